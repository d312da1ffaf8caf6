package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// accented are scripts in which a letter without its marks is still the same letter: those with capitals (accents),
// and Arabic and Hebrew (vowel signs).
var accented = []*unicode.RangeTable{unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Arabic, unicode.Hebrew}

// undecomposed replaces letters that people see as accented, but that Unicode does not decompose.
var undecomposed = strings.NewReplacer(
	"ø", "o", "ł", "l", "đ", "d", "ð", "d", "ħ", "h", "ı", "i", "æ", "ae", "œ", "oe", "þ", "th", "ŧ", "t",
)

// tatweel stretches Arabic words and has no meaning.
const tatweel = 'ـ'

// sameArabic are letters of Arabic script for which keyboards differ: the Persian and Urdu kaf, yeh and heh look like
// the Arabic ones, and many people type alef maksura for yeh, and heh for ta marbuta.
var sameArabic = map[rune]rune{
	'ک': 'ك', 'ڪ': 'ك', // keheh, swash kaf
	'ی': 'ي', 'ى': 'ي', 'ے': 'ي', // Farsi yeh, alef maksura, yeh barree
	'ہ': 'ه', 'ە': 'ه', 'ة': 'ه', 'ۃ': 'ه', // heh goal, ae, ta marbuta, ta marbuta goal
}

// Fold makes texts equal that people consider the same: it removes differences of case, accents, compatibility forms
// (full width, ligatures), decomposition, look-alike letters of Arabic script, and scripts of digits, and everything
// invisible. What separates words becomes one space. The result is for comparison, not for display; it is in NFKC and
// folding it again changes nothing. Bytes that are not UTF-8 become U+FFFD.
func Fold(s string) string {
	if isASCII(s) {
		return strings.Join(strings.FieldsFunc(strings.ToLower(s), separates), " ")
	}
	var b strings.Builder
	base, gap := rune(-1), false // the letter that marks belong to; whether words have to be separated
	for _, r := range cases.Fold().String(norm.NFKD.String(s)) {
		r = likeness(r)
		switch {
		case r == tatweel, invisible(r):
			continue
		case unicode.Is(unicode.M, r):
			if base < 0 || unicode.In(base, accented...) {
				continue
			}
		case separates(r):
			base, gap = -1, true
			continue
		default:
			if gap && b.Len() > 0 {
				b.WriteByte(' ')
			}
			base, gap = r, false
		}
		b.WriteRune(r)
	}
	return norm.NFKC.String(undecomposed.Replace(b.String()))
}

// likeness returns the letter or digit that stands for all that are the same as r.
func likeness(r rune) rune {
	if same, ok := sameArabic[r]; ok {
		return same
	}
	if d, ok := digit(r); ok {
		return '0' + d
	}
	if unicode.Is(unicode.Cherokee, r) { // package cases exchanges its capitals and small letters
		return unicode.ToUpper(r)
	}
	return r
}

// digit returns the value of a decimal digit of any script. Each script's are ten in a row, beginning with zero.
func digit(r rune) (value rune, ok bool) {
	if r < utf8.RuneSelf {
		return r - '0', r >= '0' && r <= '9'
	}
	for _, in := range unicode.Nd.R16 {
		if lo := rune(in.Lo); r >= lo && r <= rune(in.Hi) {
			return (r - lo) % 10, true
		}
	}
	for _, in := range unicode.Nd.R32 {
		if lo := rune(in.Lo); r >= lo && r <= rune(in.Hi) {
			return (r - lo) % 10, true
		}
	}
	return 0, false
}

// separates reports whether r is no part of a word: neither a letter, a number, a mark, nor a symbol such as an emoji.
func separates(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.Is(unicode.M, r) && !unicode.Is(unicode.So, r)
}

// invisible reports whether r is shown as nothing: format characters, variation selectors, fillers.
func invisible(r rune) bool {
	return unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
