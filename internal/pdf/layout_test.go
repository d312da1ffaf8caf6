package pdf

import (
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-text/typesetting/font/opentype"
	"github.com/stretchr/testify/require"

	"housecall/internal/pdf/bidi"
)

func TestLayout_shapes(t *testing.T) {
	t.Parallel()
	set := newTypesetter(loaded(t, moreFonts(t)))
	shapes := func(text string) (glyphs []glyph) {
		for _, p := range set.rows(text, Style{Size: 10}, 1000)[0].pieces {
			glyphs = append(glyphs, p.glyphs...)
		}
		return glyphs
	}
	alone, joined := shapes("ب"), shapes("ببب")
	require.Len(t, joined, 3)
	for _, g := range joined {
		require.NotEqual(t, alone[0].id, g.id, "Arabic letters are joined")
	}
	ligature := shapes("لا")
	require.Len(t, ligature, 2, "one shape, in parts for its characters")
	require.Equal(t, ligature[0].id, ligature[1].id)
	require.Equal(t, []bool{false, true}, []bool{ligature[0].blank, ligature[1].blank})
	require.Equal(t, "ا ل", string(ligature[0].text)+" "+string(ligature[1].text))
	before := shapes("क")[0].id
	require.NotEqual(t, before, shapes("कि")[0].id, "the vowel stands before the consonant")
	require.Len(t, shapes("e\u0301"), 1, "it is composed")
	require.Len(t, shapes("a\u200b\u2067b"), 2, "controls take no place")
}

func TestLayout_rows(t *testing.T) {
	t.Parallel()
	set := newTypesetter(loaded(t, moreFonts(t)))
	texts := func(text string, width float64) (rows []string) {
		for _, r := range set.rows(text, Style{Size: 10}, width) {
			require.LessOrEqual(t, r.Width, width)
			var b strings.Builder
			for _, p := range r.pieces {
				for _, g := range p.glyphs {
					b.WriteString(string(g.text))
				}
			}
			rows = append(rows, b.String())
		}
		return rows
	}
	require.Equal(t, []string{""}, texts("", 100))
	require.Equal(t, []string{"one two ", "three"}, texts("one two three", 40))
	require.Equal(t, []string{"xxxxxxx", "xxx"}, texts("xxxxxxxxxx", 40), "what cannot be broken is, if it has to be")
	require.Equal(t, []string{"中文中", "文。"}, texts("中文中文。", 35), "where the language allows it")
	require.Len(t, texts(strings.Repeat("שלום ", 10), 60), 5)
	require.True(t, set.rows("12 שלום", Style{Size: 10}, 100)[0].RightToLeft)
	require.False(t, set.rows("12 שלום", Style{Size: 10, LeftToRight: true}, 100)[0].RightToLeft)
}

// Cubic curves, which fonts in .otf files have, keep their shape.
func TestContours_cubic(t *testing.T) {
	t.Parallel()
	const r, k = 1000, 552.28 // a quarter of a circle
	c := contoursOf([]opentype.Segment{
		{Op: opentype.SegmentOpMoveTo, Args: [3]opentype.SegmentPoint{{X: r}}},
		{Op: opentype.SegmentOpCubeTo, Args: [3]opentype.SegmentPoint{{X: r, Y: k}, {X: k, Y: r}, {Y: r}}},
		{Op: opentype.SegmentOpLineTo},
		{Op: opentype.SegmentOpLineTo, Args: [3]opentype.SegmentPoint{{X: r}}},
	})
	require.Equal(t, []int{2*cubicParts + 1}, c.ends, "it is closed without its first point")
	require.Equal(t, [4]int16{0, 0, r, r}, c.box)
	for i := 0; i < 2*cubicParts; i += 2 {
		a, control, b := c.points[i], c.points[i+1], c.points[i+2]
		x := (float64(a.x) + 2*float64(control.x) + float64(b.x)) / 4
		y := (float64(a.y) + 2*float64(control.y) + float64(b.y)) / 4
		require.InDelta(t, r, math.Hypot(x, y), 2)
	}
}

// Whatever the text, each character is in one row, and no row is too wide.
func FuzzLayout(f *testing.F) {
	for _, s := range append([]string{
		"", "\u202e\u2067abc\u05d0\u2069", strings.Repeat("\u05d0 a", 300), "\U0010ffff\ufffd\ufeff", "\u0661\u05d0)(\u0301",
		strings.Repeat("W", 4000), "\u0301\u0301a", "👨‍👩‍👧🏽 \u1112\u1161", "\x00\x01\u2028",
	}, paragraphs...) {
		f.Add(s)
	}
	set := newTypesetter(loaded(f, ""))
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return
		}
		for _, width := range []float64{50, 1000} {
			for _, r := range set.rows(text, Style{Size: 10}, width) {
				require.True(t, r.Width <= width || glyphsOf(r) <= maxWide, "%q", text)
			}
		}
		p := &paragraph{text: clean(text)}
		set.itemize(p, regular, bidi.Auto)
		at := 0
		for _, it := range p.items {
			require.Equal(t, at, it.from)
			at = it.to
		}
		require.Len(t, p.text, at)
	})
}

// maxWide is how many glyphs one character may have that is alone in its row, because the row is too narrow for it.
const maxWide = 20

func glyphsOf(r Row) (n int) {
	for _, p := range r.pieces {
		n += len(p.glyphs)
	}
	return n
}
