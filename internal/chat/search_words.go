package chat

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// wordMax is how many code points of a word count.
const wordMax = 64

// word is what search compares: a word of a text, folded so that case, accents and compatibility forms do not matter, or
// a character of a script that puts no spaces between words, with the next. It is found out here and not by PostgreSQL's
// parser, so that documents, queries and highlights agree, whatever the locale of the database.
type word struct {
	text     string
	from, to int // its place in the text in code points, half open
	// char is the character alone, and ends where it does; "" for a word between spaces. text is the pair then, or char too
	// where there is no next one.
	char string
	ends int
}

// unspaced are scripts in which a word cannot be told from its neighbours without a dictionary. Their characters are
// indexed in pairs, so that whatever stands together is found (Korean does put spaces, but hangs particles onto words).
var unspaced = []*unicode.RangeTable{
	unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar,
}

const prolonged = 'ー' // belongs to Katakana and Hiragana, so Unicode has it in neither

// accented are scripts in which marks may be left out without making another letter: accents where there are capitals, and
// the vowel signs of Arabic and Hebrew.
var accented = []*unicode.RangeTable{unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Arabic, unicode.Hebrew}

// undecomposed are letters that look like one with an accent, but that Unicode does not decompose.
var undecomposed = strings.NewReplacer("ø", "o", "ł", "l", "đ", "d", "ð", "d", "ħ", "h", "ı", "i", "æ", "ae", "œ", "oe", "þ", "th", "ŧ", "t")

// runeKind is what a character is to search.
type runeKind int

const (
	between runeKind = iota // separates words
	letter                  // of a word between spaces
	digit                   // of a number: 5mg is written as 5 mg too
	single                  // stands for itself, in pairs with its neighbours
	symbol                  // a word of one character: pictures, arrows
	joined                  // belongs to what stands before it
)

func kindOf(r rune) runeKind {
	switch {
	case r < utf8.RuneSelf:
		switch {
		case r >= '0' && r <= '9':
			return digit
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z':
			return letter
		}
		return between
	case unicode.Is(unicode.M, r), unicode.Is(unicode.Cf, r):
		return joined
	case unicode.In(r, unspaced...) && (unicode.IsLetter(r) || unicode.IsNumber(r)), r == prolonged:
		return single
	case unicode.IsLetter(r):
		return letter
	case unicode.IsNumber(r):
		return digit
	case unicode.Is(unicode.So, r):
		return symbol
	default:
		return between
	}
}

// piece is a stretch of a text of one kind.
type piece struct {
	kind     runeKind
	text     string // as written
	from, to int    // code points
}

// pieces cuts a text into words, single characters and symbols.
func pieces(text string) []piece {
	var out []piece
	last := between // kind of what a mark would join
	start, n := 0, 0
	for i, r := range text {
		k := kindOf(r)
		switch {
		case k == joined && last == between, k == between:
			last = between
		case k == joined, k == last && (k == letter || k == digit):
			p := &out[len(out)-1]
			p.text, p.to = text[start:i+utf8.RuneLen(r)], n+1
		default:
			out = append(out, piece{kind: k, text: text[i : i+utf8.RuneLen(r)], from: n, to: n + 1})
			start, last = i, k
		}
		n++
	}
	return out
}

// wordsOf gives the words of a text in order, which is also that of their positions: 1, 2, 3 and so on. text must be valid
// UTF-8.
func wordsOf(text string) []word {
	all := pieces(text)
	for i := range all {
		all[i].text = fold(all[i].text)
	}
	out := make([]word, 0, len(all))
	for i, p := range all {
		w := word{text: p.text, from: p.from, to: p.to}
		if w.text == "" {
			continue
		}
		if p.kind == single {
			w.char, w.ends = w.text, w.to
			if i+1 < len(all) && all[i+1].kind == single && all[i+1].from == p.to {
				w.text, w.to = w.text+all[i+1].text, all[i+1].to
			}
		}
		out = append(out, w)
	}
	return out
}

// fold makes alike what people take for the same word. It may leave nothing, of marks alone.
func fold(s string) string {
	if isASCII(s) {
		return clip(strings.ToLower(s))
	}
	var b strings.Builder
	base := rune(-1) // the letter that marks belong to
	for _, r := range cases.Fold().String(norm.NFKD.String(s)) {
		switch {
		case unicode.Is(unicode.M, r):
			if base < 0 || unicode.In(base, accented...) || unicode.Is(unicode.Variation_Selector, r) {
				continue
			}
		case unicode.IsLetter(r), unicode.IsNumber(r), unicode.Is(unicode.So, r):
			base = r
		default:
			continue
		}
		b.WriteRune(r)
	}
	return clip(norm.NFKC.String(undecomposed.Replace(b.String())))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// clip cuts a word to wordMax.
func clip(s string) string {
	if len(s) <= wordMax {
		return s
	}
	n := 0
	for i := range s {
		if n == wordMax {
			return s[:i]
		}
		n++
	}
	return s
}
