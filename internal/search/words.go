package search

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"housecall/internal/text"
)

// wordMax is how many code points of a word are compared.
const wordMax = 64

// word is what search compares: a word of a text, folded so that nothing matters that people do not see as a
// difference (see text.Fold), or two neighbouring characters of a script without spaces between words. Texts are split
// here and not by PostgreSQL's parser, so that documents, queries and highlights agree whatever the locale of the
// database is.
type word struct {
	text     string
	from, to int // its place in the text as written in code points, half open
	// char is the first character of a pair, with its end; it equals text if that character has no neighbour. It is
	// "" for a word between spaces.
	char string
	ends int
	// paired is whether the word before is a pair that ends with char.
	paired bool
}

// unspaced are scripts in which only a dictionary can tell where a word ends. Their characters are indexed in pairs,
// so that whatever is written together is found. (Korean has spaces, but attaches particles to words.)
var unspaced = []*unicode.RangeTable{
	unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul,
	unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar,
}

const prolonged = 'ー' // used with Katakana and Hiragana, so Unicode assigns it to neither

// runeKind says how search treats a character.
type runeKind int

const (
	between runeKind = iota // separates words
	letter                  // of a word between spaces
	digit                   // of a number, which is a word of its own: 5mg may also be written 5 mg
	single                  // of an unspaced script: indexed in pairs
	symbol                  // a word of one character, such as an emoji or an arrow
	joined                  // belongs to the character before it
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
	case unicode.Is(unicode.Nd, r): // before the scripts, which have digits of their own
		return digit
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

// composed is a text in which what looks the same is written the same (NFKC), and where that comes from.
type composed struct {
	text     string
	from, to []int // for each code point of text, its place in the text as written; nil: they are the same
}

// place returns where the code points from..to-1 come from.
func (c composed) place(from, to int) (int, int) {
	if c.from == nil {
		return from, to
	}
	return c.from[from], c.to[to-1]
}

// voiceMarks of kana with a width of their own, which otherwise combine with nothing.
var voiceMarks = strings.NewReplacer("゛", "\u3099", "゜", "\u309a")

// compose writes a text in NFKC before it is cut: a syllable of Hangul can be written as three letters, a voiced kana
// of half width as two.
func compose(s string) composed {
	s = voiceMarks.Replace(s) // one code point for another
	if norm.NFKC.IsNormalString(s) {
		return composed{text: s}
	}
	var c composed
	var b strings.Builder
	for at := 0; s != ""; {
		n := norm.NFKC.NextBoundaryInString(s, true)
		part := s[:n]
		whole, to := norm.NFKC.String(part), at+utf8.RuneCountInString(part)
		b.WriteString(whole)
		for range whole {
			c.from, c.to = append(c.from, at), append(c.to, to)
			if whole == part {
				c.to[len(c.to)-1] = at + 1
				at++
			}
		}
		s, at = s[n:], to
	}
	c.text = b.String()
	return c
}

// piece is a part of a composed text whose characters are of one kind.
type piece struct {
	kind     runeKind
	text     string
	from, to int // code points
}

// pieces splits a composed text into words, single characters and symbols.
func pieces(s string, kind func(rune) runeKind) []piece {
	var out []piece
	last := between // the kind of piece that a mark would join
	start, n := 0, 0
	for i, r := range s {
		k := kind(r)
		switch {
		case k == joined && last == between, k == between:
			last = between
		case k == joined, k == last && (k == letter || k == digit):
			p := &out[len(out)-1]
			p.text, p.to = s[start:i+utf8.RuneLen(r)], n+1
		default:
			out = append(out, piece{kind: k, text: s[i : i+utf8.RuneLen(r)], from: n, to: n + 1})
			start, last = i, k
		}
		n++
	}
	return out
}

// wordsOf splits a text, which must be valid UTF-8, into its words, in order. In documents their positions are 1, 2,
// 3 and so on.
func wordsOf(s string) []word { return cut(compose(s), kindOf, fold) }

// cut is wordsOf for one way to tell characters apart and to fold words.
func cut(c composed, kind func(rune) runeKind, fold func(string) string) []word {
	all := pieces(c.text, kind)
	for i := range all {
		all[i].text = fold(all[i].text)
	}
	out := make([]word, 0, len(all))
	paired := false
	for i, p := range all {
		w := word{text: p.text, paired: paired}
		if paired = false; w.text == "" {
			continue
		}
		w.from, w.to = c.place(p.from, p.to)
		if p.kind == single {
			w.char, w.ends = w.text, w.to
			if i+1 < len(all) && all[i+1].kind == single && all[i+1].from == p.to {
				w.text, paired = w.text+all[i+1].text, true
				_, w.to = c.place(p.from, all[i+1].to)
			}
		}
		out = append(out, w)
	}
	return out
}

// sameWords reports whether two ways to cut a text come to the same.
func sameWords(a, b []word) bool {
	return slices.EqualFunc(a, b, func(a, b word) bool { return a.text == b.text && a.char == b.char })
}

// fold makes words equal that people consider the same. A word that consists only of marks becomes empty.
func fold(s string) string { return clip(text.Fold(s)) }

// clip shortens a word to wordMax.
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
