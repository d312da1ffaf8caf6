package text_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/unicode/runenames"

	"housecall/internal/text"
)

// Each line has texts that people consider the same; the first is how they fold.
func TestFold(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"", " ", "...", "\u200f\u200e", "\u0301", "\u3164", "ـ"},
		{"hans muller", "Hans Müller", "HANS MU\u0308LLER", "  hans\u00a0 müller ", "Hans\u200b Mül\u00adler\u202c"},
		{"o brien", "O'Brien", "O’BRIEN", "O`Brien"},
		{"jean luc", "Jean-Luc", "Jean‑Luc", "jean luc"},
		{"strasse", "Straße", "STRASSE", "STRAẞE"},
		{"lodz orsted aesir", "Łódź Ørsted Æsir"},
		{"istanbul", "İstanbul", "ISTANBUL", "ıstanbul"},
		{"nguyen thi dao", "Nguyễn Thị Đào", "NGUYỄN THỊ ĐÀO"},
		{"ελλαδα", "Ελλάδα"},
		{"елка", "Ёлка", "ЕЛКА"},
		{"full 1 fi", "ｆｕｌｌ １ ﬁ"},
		{"ガンマ", "ｶﾞﾝﾏ", "カ\u3099ンマ"},
		{"한국", "\u1112\u1161\u11ab\u1100\u116e\u11a8"},
		{"محمد علي", "مُحَمَّد علي", "محمد علی", "محـــمد على", "ﻣﺤﻤﺪ علي"},
		{"كريم", "کریم", "كريم", "کرـیم"},
		{"فاطمه", "فاطمة", "فاطمه"},
		{"احمد", "أحمد", "احمد"},
		{"2026", "٢٠٢٦", "۲۰۲۶", "२०२६", "๒๐๒๖", "２０２６", "𝟚𝟘𝟚𝟞"},
		{"हिन्दी", "हिन्दी"},
		{"山田 太郎", "山田　太郎", "山田 太郎"},
	} {
		for _, s := range same {
			require.Equal(t, same[0], text.Fold(s), "%q", s)
		}
	}
	require.NotEqual(t, text.Fold("がん"), text.Fold("かん"), "voice marks are no accents")
	require.NotEqual(t, text.Fold("कि"), text.Fold("क"), "nor are vowels")
}

// The names of Unicode say which digit each one is.
func TestFold_digits(t *testing.T) {
	t.Parallel()
	words := strings.Fields("ZERO ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE")
	n := 0
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !unicode.Is(unicode.Nd, r) {
			continue
		}
		got := text.Fold(string(r))
		require.Len(t, got, 1, "%U", r)
		require.True(t, strings.HasSuffix(runenames.Name(r), "DIGIT "+words[got[0]-'0']), "%U %s", r, runenames.Name(r))
		n++
	}
	require.Greater(t, n, 600)
}

// letters counts the letters of a text that are seen and have a meaning.
func letters(s string) (n int) {
	for _, r := range norm.NFKD.String(s) {
		if unicode.IsLetter(r) && r != 'ـ' && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) {
			n++
		}
	}
	return n
}

// faultOfFold is what is wrong with how a text folds, "" for nothing.
func faultOfFold(s string) string {
	got := text.Fold(s)
	switch {
	case !utf8.ValidString(got):
		return "not UTF-8"
	case text.Fold(got) != got:
		return "what is folded does not stay as it is"
	case letters(got) < letters(s):
		return "a letter got lost"
	case strings.Join(strings.Fields(got), " ") != got:
		return "spaces"
	case text.Fold(norm.NFD.String(s)) != got:
		return "decomposed it is another"
	}
	return ""
}

func TestFold_everyCharacter(t *testing.T) {
	t.Parallel()
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !unicode.In(r, unicode.L, unicode.M, unicode.N, unicode.S, unicode.P, unicode.Cf) ||
			unicode.In(r, unicode.Unified_Ideograph, unicode.Hangul, unicode.Tangut, unicode.Egyptian_Hieroglyphs) {
			continue
		}
		if s := "a" + string(r) + "ه"; faultOfFold(s) != "" || faultOfFold(string(r)) != "" {
			t.Fatalf("%q: %s%s", s, faultOfFold(s), faultOfFold(string(r)))
		}
	}
}

func FuzzFold(f *testing.F) {
	for _, s := range []string{
		"", "Müller", "\xff", "ｶﾞ", "\u1112\u1161\u11ab", "علی ـ", "a\u0345\u0301", "1\u0301", "ÅΩſ", "Ꭰꭰ",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { require.Empty(t, faultOfFold(s), "%q", s) })
}
