package pdf

import (
	"fmt"
	"slices"
	"unicode"

	"github.com/go-text/typesetting/di"
	"github.com/go-text/typesetting/font"
	"github.com/go-text/typesetting/language"
	"github.com/go-text/typesetting/segmenter"
	"github.com/go-text/typesetting/shaping"
	"golang.org/x/image/math/fixed"
	"golang.org/x/text/unicode/norm"

	"housecall/internal/pdf/bidi"
)

// Style is how a text looks.
type Style struct {
	Bold bool
	Size float64 // in points
	Gray float64 // 0 is black, 1 is white
	// LeftToRight is the direction of paragraphs; otherwise, they have that of their first letter.
	LeftToRight bool
}

// Row is one line of a text, ready to be drawn.
type Row struct {
	Width       float64 // in points
	RightToLeft bool    // whether its paragraph is
	style       Style
	pieces      []piece // in the order of reading
}

// piece is what one font shows of a row in one direction.
type piece struct {
	face   int
	x      float64 // where it begins, in thousandths of the size of the font
	glyphs []glyph // from left to right
	hidden rune    // the character that a code point stands for; 0 for other text
}

// glyph is a shape at its place. Lengths are in thousandths of the size of the font.
type glyph struct {
	id            font.GID
	text          []rune // what it shows; empty for a further shape of the same characters
	advance, x, y float64
	cluster       int  // the place in the paragraph of its first character
	parts         int  // into how many parts its width is divided; 0 if it is not
	blank         bool // another part shows the shape
}

// item is a part of a paragraph with one direction, one script and one font.
type item struct {
	from, to int
	level    uint8
	face     int
	script   language.Script
	missing  bool // no font has this character
	glyphs   []glyph
}

// typesetter turns text into rows. It is used by one goroutine at a time.
type typesetter struct {
	faces   []*face // the regular one, the bold one, the others
	shaper  shaping.HarfbuzzShaper
	breaks  segmenter.Segmenter
	unknown map[rune]bool    // characters that no font has
	missing map[string]bool  // their scripts
	codes   map[code][]glyph // how such characters are shown: a long message may have thousands of a few hundred
}

// code is a character that no font has, in a face.
type code struct {
	r    rune
	face int
}

const regular, bold = 0, 1

func newTypesetter(f *Fonts) *typesetter {
	t := &typesetter{unknown: map[rune]bool{}, missing: map[string]bool{}, codes: map[code][]glyph{}}
	t.faces = append(t.faces, newFace(f.regular, false), newFace(f.bold, true))
	for _, other := range f.more {
		t.faces = append(t.faces, newFace(other, false))
	}
	return t
}

// paragraph is one paragraph while it is set.
type paragraph struct {
	text     []rune
	levels   []uint8 // nil: all are 0
	base     uint8
	items    []item
	advances []float64 // of the characters; one that shares its shape with those before it has 0
}

// rows sets one paragraph in rows of at most the given width, which is in points.
func (t *typesetter) rows(text string, s Style, width float64) []Row {
	p := &paragraph{text: clean(text)}
	primary := regular
	if s.Bold {
		primary = bold
	}
	direction := bidi.Auto
	if s.LeftToRight {
		direction = bidi.LeftToRight
	}
	t.itemize(p, primary, direction)
	p.advances = make([]float64, len(p.text))
	for i := range p.items {
		t.shape(p, &p.items[i], primary)
		for _, g := range p.items[i].glyphs {
			p.advances[g.cluster] += g.advance
		}
	}
	return t.wrap(p, s, width*1000/s.Size)
}

// clean composes characters, and replaces control characters with spaces.
func clean(text string) []rune {
	runes := []rune(norm.NFC.String(text))
	for i, r := range runes {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			runes[i] = ' '
		}
	}
	return runes
}

// simple tells whether a text is ASCII, which needs no rules for directions and scripts.
func simple(text []rune) bool {
	return !slices.ContainsFunc(text, func(r rune) bool { return r > '~' })
}

// itemize divides a paragraph.
func (t *typesetter) itemize(p *paragraph, primary int, d bidi.Direction) {
	if len(p.text) == 0 {
		return
	}
	if simple(p.text) {
		p.items = []item{{from: 0, to: len(p.text), face: primary, script: language.Latin}}
		return
	}
	p.levels, p.base = bidi.Resolve(p.text, d)
	scripts := scriptsOf(p.text)
	current := primary
	for i, r := range p.text {
		face, ok := t.faceFor(r, primary, current)
		next := item{i, i + 1, p.levels[i], face, scripts[i], !ok, nil}
		if !ok && !t.unknown[r] {
			t.unknown[r] = true
			t.missing[scriptName(r)] = true
		}
		current = face
		if n := len(p.items); n > 0 && ok && next.joins(p.items[n-1]) {
			p.items[n-1].to = i + 1
			continue
		}
		p.items = append(p.items, next)
	}
}

func (it *item) joins(before item) bool {
	return !before.missing && it.level == before.level && it.face == before.face && it.script == before.script
}

// faceFor finds a font for a character: the usual one, unless it lacks the character or the one before has it, too,
// and it belongs to no script, such as punctuation.
func (t *typesetter) faceFor(r rune, primary, current int) (index int, ok bool) {
	switch {
	case ignorable(r):
		return current, true
	case r < 0x250:
		return primary, true
	}
	script := language.LookupScript(r)
	if (script == language.Common || script == language.Inherited) && t.faces[current].has(r) {
		return current, true
	}
	if t.faces[primary].has(r) {
		return primary, true
	}
	for i, f := range t.faces {
		if i != bold && f.has(r) {
			return i, true
		}
	}
	return primary, false
}

// ignorable tells whether a character only controls how others look.
func ignorable(r rune) bool {
	return unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Variation_Selector, r)
}

// scriptsOf returns the script of each character; one of no script has that of what is before it.
func scriptsOf(text []rune) []language.Script {
	out := make([]language.Script, len(text))
	known := language.Script(0)
	for i, r := range text {
		if s := language.LookupScript(r); s != language.Common && s != language.Inherited && s != language.Unknown {
			if known == 0 {
				for k := range i {
					out[k] = s
				}
			}
			known = s
		}
		out[i] = known
	}
	if known == 0 {
		for i := range out {
			out[i] = language.Latin
		}
	}
	return out
}

// codeOf shapes the code point of a character.
func (t *typesetter) codeOf(c code) []glyph {
	glyphs, known := t.codes[c]
	if !known {
		shown := []rune(fmt.Sprintf("<%04X>", c.r))
		glyphs = t.shapes(shown, item{from: 0, to: len(shown), face: c.face, script: language.Latin})
		t.codes[c] = glyphs
	}
	return glyphs
}

// scriptName names the script of a character, for people.
func scriptName(r rune) string {
	for name, table := range unicode.Scripts {
		if name != "Common" && name != "Inherited" && unicode.Is(table, r) {
			return name
		}
	}
	return "symbols and emoji"
}

// shape finds the shapes of an item. A character that no font has is shown as its code point.
func (t *typesetter) shape(p *paragraph, it *item, primary int) {
	if !it.missing {
		it.glyphs = t.shapes(p.text, *it)
		return
	}
	it.glyphs = slices.Clone(t.codeOf(code{p.text[it.from], primary}))
	for i := range it.glyphs {
		it.glyphs[i].cluster = it.from
	}
}

func (t *typesetter) shapes(text []rune, it item) []glyph {
	direction := di.DirectionLTR
	if it.level%2 == 1 {
		direction = di.DirectionRTL
	}
	f := t.faces[it.face]
	shaped := t.shaper.ShapeNoExtents(shaping.Input{
		Text: text, RunStart: it.from, RunEnd: it.to, Direction: direction, Face: f.Face, Size: fixed.I(1000),
		Script: it.script,
	})
	space, _ := f.NominalGlyph(' ')
	out := make([]glyph, 0, len(shaped.Glyphs))
	for _, g := range shaped.Glyphs {
		if g.GlyphID == space && g.Advance == 0 {
			continue // the place of a character that is not shown
		}
		out = append(out, glyph{
			id: g.GlyphID, advance: float64(g.Advance) / 64, x: float64(g.XOffset) / 64, y: float64(g.YOffset) / 64,
			cluster: g.TextIndex(),
		})
	}
	return shareText(text, it, out)
}

// withoutControls removes what controls directions: in the text that is extracted, it would have no end.
func withoutControls(text []rune) []rune {
	if len(text) < 2 || !slices.ContainsFunc(text, controlsDirection) {
		return text
	}
	return slices.DeleteFunc(slices.Clone(text), controlsDirection)
}

func controlsDirection(r rune) bool {
	return r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069 || r == 0x200E || r == 0x200F || r == 0x061C
}

// shareText says for each shape which characters it shows. The shapes of a cluster share its characters in the order of
// reading; the first one shows those that are left over.
func shareText(text []rune, it item, glyphs []glyph) []glyph {
	rightToLeft := it.level%2 == 1
	if rightToLeft {
		slices.Reverse(glyphs)
	}
	out := make([]glyph, 0, len(glyphs))
	for i := 0; i < len(glyphs); {
		next := i
		for next < len(glyphs) && glyphs[next].cluster == glyphs[i].cluster {
			next++
		}
		at, end := glyphs[i].cluster, it.to
		if next < len(glyphs) {
			end = glyphs[next].cluster
		}
		for k := i; k < next; k++ {
			to := min(at+1, end)
			if k == i {
				to = max(to, end-(next-i-1))
			}
			g := glyphs[k]
			if g.text = withoutControls(text[at:to]); rightToLeft && len(g.text) > 1 {
				out = append(out, divided(g)...)
			} else {
				out = append(out, g)
			}
			at = to
		}
		i = next
	}
	if rightToLeft {
		slices.Reverse(out)
	}
	return out
}

// divided gives each character of a ligature from right to left a part of its width, in the order of reading: the shape
// is drawn with the last one, which is on the left. Whoever extracts the text would otherwise turn its characters round
// with all others of the line.
func divided(g glyph) []glyph {
	n := len(g.text)
	out := make([]glyph, n)
	for i := range out {
		out[i] = g
		out[i].text, out[i].parts, out[i].blank = g.text[i:i+1], n, i < n-1
		out[i].advance = g.advance / float64(n)
		if out[i].blank {
			out[i].x = 0
		}
	}
	return out
}
