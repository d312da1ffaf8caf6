package pdf

import (
	"unicode"
)

// languages are those that their script gives away, or which are by far the most common in it.
var languages = []struct {
	script *unicode.RangeTable
	name   string
}{
	{unicode.Hiragana, "ja"},
	{unicode.Katakana, "ja"},
	{unicode.Hangul, "ko"},
	{unicode.Thai, "th"},
	{unicode.Hebrew, "he"},
	{unicode.Arabic, "ar"},
	{unicode.Devanagari, "hi"},
	{unicode.Bengali, "bn"},
	{unicode.Tamil, "ta"},
	{unicode.Telugu, "te"},
	{unicode.Gujarati, "gu"},
	{unicode.Gurmukhi, "pa"},
	{unicode.Georgian, "ka"},
	{unicode.Armenian, "hy"},
	{unicode.Ethiopic, "am"},
	{unicode.Khmer, "km"},
	{unicode.Lao, "lo"},
	{unicode.Myanmar, "my"},
	{unicode.Sinhala, "si"},
	{unicode.Han, "zh"},
}

// languageOf guesses the language of a text from its script; "" if that says nothing. A text is plain if its characters
// are shown one by one, from left to right.
func languageOf(text string) (language string, plain bool) {
	plain = true
	counts := map[string]int{}
	letters := 0
	for _, r := range text {
		if r < 0x250 || unicode.In(r, unicode.Greek, unicode.Cyrillic) {
			if unicode.IsLetter(r) {
				letters++
			}
			continue
		}
		plain = false
		for _, l := range languages {
			if unicode.Is(l.script, r) {
				counts[l.name]++
				break
			}
		}
	}
	if counts["ja"] > 0 { // Japanese also uses Chinese characters
		counts["ja"] += counts["zh"]
	}
	most := letters
	for _, l := range languages {
		if counts[l.name] > most {
			language, most = l.name, counts[l.name]
		}
	}
	return language, plain
}
