package text

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// plain are scripts in which joiners change nothing that is seen.
var plain = []*unicode.RangeTable{unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Han, unicode.Common}

// tidyName composes a name (NFC) and drops what nobody sees in it and what comes along when it is copied, so that names
// that look the same are the same. Joiners stay where they shape letters, as in Persian and in scripts of India, and so
// do the variants of Chinese characters.
func tidyName(s string) string {
	var b strings.Builder
	before, joiner := rune(-1), rune(0)
	for _, r := range s {
		switch {
		case r == '\u200c', r == '\u200d': // the joiners
			if joiner = r; before < 0 || unicode.In(before, plain...) {
				joiner = 0
			}
			continue
		case unicode.Is(unicode.Variation_Selector, r):
		case invisible(r) && !isFiller(r):
			continue
		case r == '\u00a0', r == '\u2007', r == '\u202f': // spaces at which lines do not break
			r = ' '
		}
		if joiner != 0 && r != ' ' {
			b.WriteRune(joiner)
		}
		joiner = 0
		if !unicode.Is(unicode.M, r) {
			before = r
		}
		b.WriteRune(r)
	}
	return strings.TrimSpace(norm.NFC.String(b.String()))
}

// isFiller reports whether r takes part in writing although it is seen as nothing, such as the fillers of Hangul.
func isFiller(r rune) bool { return unicode.IsLetter(r) || unicode.Is(unicode.M, r) }
