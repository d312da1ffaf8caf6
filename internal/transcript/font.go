package transcript

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/image/font/sfnt"
	"golang.org/x/text/unicode/bidi"
	"golang.org/x/text/unicode/norm"
)

// DejaVu Sans Condensed has Latin, Greek, Cyrillic, Armenian, Georgian, Hebrew, Arabic and many symbols.
//
//go:embed fonts
var fonts embed.FS

const (
	regularFile = "fonts/DejaVuSansCondensed.ttf"
	boldFile    = "fonts/DejaVuSansCondensed-Bold.ttf"
)

// typeface is a font in the form the PDF library needs, and the characters that it has.
type typeface struct {
	data []byte
	has  *sfnt.Font
}

func loadFace(file string) (typeface, error) {
	data, err := fonts.ReadFile(file)
	if err != nil {
		return typeface{}, fmt.Errorf("read the font: %w", err)
	}
	has, err := sfnt.Parse(data)
	if err != nil {
		return typeface{}, fmt.Errorf("parse the font: %w", err)
	}
	return typeface{data, has}, nil
}

var loadFaces = sync.OnceValues(func() ([2]typeface, error) {
	regular, err := loadFace(regularFile)
	if err != nil {
		return [2]typeface{}, err
	}
	bold, err := loadFace(boldFile)
	return [2]typeface{regular, bold}, err
})

// printable replaces every character that the font lacks with its code point, such as <1F600>, so that none
// disappears without a trace. It removes characters that only control the layout. The PDF library does not support
// characters beyond U+FFFF.
func (f typeface) printable(s string, buffer *sfnt.Buffer) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for _, r := range norm.NFC.String(s) {
		switch {
		case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Variation_Selector, r):
		case f.shows(r, buffer):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "<%04X>", r)
		}
	}
	return b.String()
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func (f typeface) shows(r rune, buffer *sfnt.Buffer) bool {
	if r > 0xFFFF {
		return false
	}
	glyph, err := f.has.GlyphIndex(buffer, r)
	return err == nil && glyph != 0
}

// visual puts the characters of a row in their order from left to right (Unicode Standard Annex 9). The libraries
// have limits: numbers and brackets may be on the wrong side where the direction changes, and Arabic letters keep
// their isolated forms, because nothing joins them.
func visual(row string, fromRight bool) string {
	if !rightToLeft(row) {
		return row
	}
	direction := bidi.LeftToRight
	if fromRight {
		direction = bidi.RightToLeft
	}
	var p bidi.Paragraph
	if _, err := p.SetString(row, bidi.DefaultDirection(direction)); err != nil {
		return row
	}
	order, err := p.Order()
	if err != nil {
		return row
	}
	runs := make([]string, order.NumRuns()) // in reading order
	for i := range runs {
		run := order.Run(i)
		if runs[i] = run.String(); run.Direction() == bidi.RightToLeft {
			runs[i] = bidi.ReverseString(runs[i])
		}
	}
	if fromRight {
		slices.Reverse(runs)
	}
	return strings.Join(runs, "")
}

func rightToLeft(s string) bool {
	if plain(s) {
		return false
	}
	for _, r := range s {
		if p, _ := bidi.LookupRune(r); p.Class() == bidi.R || p.Class() == bidi.AL {
			return true
		}
	}
	return false
}

// startsRightToLeft reports whether a line runs from right to left, as its first letter does.
func startsRightToLeft(line string) bool {
	for _, r := range line {
		switch p, _ := bidi.LookupRune(r); p.Class() {
		case bidi.L:
			return false
		case bidi.R, bidi.AL:
			return true
		}
	}
	return false
}
