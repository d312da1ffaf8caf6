package search

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// wordMax is how many code points of a word are compared.
const wordMax = 64

// word is what search compares: a word of a text, folded so that case, accents and compatibility forms do not matter,
// or two neighbouring characters of a script without spaces between words. Texts are split here and not by
// PostgreSQL's parser, so that documents, queries and highlights agree whatever the locale of the database is.
type word struct {
	text     string
	from, to int // its place in the text in code points, half open
	// char is the first character of a pair, with its end; it equals text if that character has no neighbour. It is
	// "" for a word between spaces.
	char string
	ends int
}

// unspaced are scripts in which only a dictionary can tell where a word ends. Their characters are indexed in pairs,
// so that whatever is written together is found. (Korean has spaces, but attaches particles to words.)
var unspaced = []*unicode.RangeTable{
	unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul,
	unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar,
}

const prolonged = 'ー' // used with Katakana and Hiragana, so Unicode assigns it to neither

// accented are scripts in which a letter without its marks is still the same letter: those with capitals (accents),
// and Arabic and Hebrew (vowel signs).
var accented = []*unicode.RangeTable{unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Arabic, unicode.Hebrew}

// undecomposed replaces letters that people see as accented, but that Unicode does not decompose.
var undecomposed = strings.NewReplacer(
	"ø", "o", "ł", "l", "đ", "d", "ð", "d", "ħ", "h", "ı", "i", "æ", "ae", "œ", "oe", "þ", "th", "ŧ", "t",
)

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

// piece is a part of a text whose characters are of one kind.
type piece struct {
	kind     runeKind
	text     string // as written
	from, to int    // code points
}

// pieces splits a text into words, single characters and symbols.
func pieces(text string) []piece {
	var out []piece
	last := between // the kind of piece that a mark would join
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

// wordsOf splits a text, which must be valid UTF-8, into its words, in order. In documents their positions are 1, 2,
// 3 and so on.
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

// fold makes words equal that people consider the same. A word that consists only of marks becomes empty.
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
