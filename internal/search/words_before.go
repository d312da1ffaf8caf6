package search

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// This file cuts texts as the release before did, which composes nothing before it cuts and leaves look-alike letters
// and digits of other scripts as they are. Its instances may still run beside this one: documents have its words too,
// so that they find what this release has indexed, and queries ask for its words too, so that this release finds what
// is not indexed anew yet. The next release can do without it (see version).

// wordsBefore is wordsOf of the release before.
func wordsBefore(s string) []word { return cut(composed{text: s}, kindBefore, foldBefore) }

func kindBefore(r rune) runeKind {
	if r >= utf8.RuneSelf && !unicode.In(r, unicode.M, unicode.Cf) && unicode.In(r, unspaced...) && unicode.IsNumber(r) {
		return single
	}
	return kindOf(r)
}

// accentedBefore are scripts in which a letter without its marks was the same letter.
var accentedBefore = []*unicode.RangeTable{
	unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Arabic, unicode.Hebrew,
}

var undecomposedBefore = strings.NewReplacer(
	"ø", "o", "ł", "l", "đ", "d", "ð", "d", "ħ", "h", "ı", "i", "æ", "ae", "œ", "oe", "þ", "th", "ŧ", "t",
)

func foldBefore(s string) string {
	var b strings.Builder
	base := rune(-1)
	for _, r := range cases.Fold().String(norm.NFKD.String(s)) {
		switch {
		case unicode.Is(unicode.M, r):
			if base < 0 || unicode.In(base, accentedBefore...) || unicode.Is(unicode.Variation_Selector, r) {
				continue
			}
		case unicode.IsLetter(r), unicode.IsNumber(r), unicode.Is(unicode.So, r):
			base = r
		default:
			continue
		}
		b.WriteRune(r)
	}
	return clip(norm.NFKC.String(undecomposedBefore.Replace(b.String())))
}
