package pdf

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"unicode/utf16"

	"github.com/go-text/typesetting/font"
)

// maxGlyphs is how many glyphs a font can have: their codes have two bytes.
const maxGlyphs = 1 << 16

// subset is what a document uses of a font. A glyph that stands for different texts is in it several times, so that
// the text can be extracted.
type subset struct {
	face  *face
	ref   ref
	name  string
	one   map[oneKey]uint16  // codes of glyphs that show one character
	many  map[manyKey]uint16 // of others
	shown []shown            // by code
	wide  []float64          // in thousandths of the size, by code
}

// shown is what a code shows.
type shown struct {
	id    font.GID
	blank bool
	text  string
}

type oneKey struct {
	id    font.GID
	text  rune
	parts int
	blank bool
}

type manyKey struct {
	id   font.GID
	text string
}

func newSubset(f *face, r ref, number int) *subset {
	family := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, f.Describe().Family)
	if family == "" {
		family = "Font"
	}
	tag := fmt.Sprintf("HCAA%c%c", 'A'+number/26%26, 'A'+number%26)
	s := &subset{face: f, ref: r, name: tag + "+" + family, one: map[oneKey]uint16{}, many: map[manyKey]uint16{}}
	s.include(glyph{})
	return s
}

// code returns the code of a glyph for a text; 0, which shows that a character is missing, if there are too many.
func (s *subset) code(g glyph) uint16 {
	if len(g.text) == 1 {
		key := oneKey{g.id, g.text[0], g.parts, g.blank}
		code, known := s.one[key]
		if !known {
			code = s.include(g)
			s.one[key] = code
		}
		return code
	}
	key := manyKey{g.id, string(g.text)}
	code, known := s.many[key]
	if !known {
		code = s.include(g)
		s.many[key] = code
	}
	return code
}

func (s *subset) include(g glyph) uint16 {
	if len(s.shown) == maxGlyphs {
		return 0
	}
	width := float64(s.face.HorizontalAdvance(g.id)) * 1000 / float64(s.face.Upem()) / float64(max(g.parts, 1))
	s.shown, s.wide = append(s.shown, shown{g.id, g.blank, string(g.text)}), append(s.wide, math.Round(width))
	return uint16(len(s.shown) - 1)
}

// write writes the font (ISO 32000-1, 9.7): its codes are the numbers of its glyphs.
func (s *subset) write(o *objects) {
	unit := float64(s.face.Upem())
	extents, _ := s.face.FontHExtents()
	outlines := make([]outline, len(s.shown))
	for code, g := range s.shown {
		outlines[code].advance = s.wide[code] * unit / 1000
		if !g.blank {
			drawn, _ := s.face.GlyphDataOutline(g.id)
			outlines[code].segments = drawn.Segments
		}
	}
	file, box := trueType(outlines, int(unit), int(extents.Ascender), int(extents.Descender))
	program, unicodes, descriptor, inner := o.reserve(), o.reserve(), o.reserve(), o.reserve()
	o.stream(program, fmt.Sprintf("/Length1 %d", len(file)), file)
	o.stream(unicodes, "", s.toUnicode())
	scaled := func(v float64) int { return int(math.Round(v * 1000 / unit)) }
	o.put(descriptor, fmt.Sprintf("<</Type/FontDescriptor/FontName/%s/Flags 4/FontBBox[%d %d %d %d]/ItalicAngle 0"+
		"/Ascent %d/Descent %d/CapHeight %d/StemV 80/FontFile2 %v>>", s.name,
		scaled(float64(box[0])), scaled(float64(box[1])), scaled(float64(box[2])), scaled(float64(box[3])),
		scaled(float64(extents.Ascender)), scaled(float64(extents.Descender)), scaled(float64(extents.Ascender)), program))
	var widths strings.Builder
	for _, w := range s.wide {
		fmt.Fprintf(&widths, "%d ", int(w))
	}
	o.put(inner, fmt.Sprintf("<</Type/Font/Subtype/CIDFontType2/BaseFont/%s/CIDSystemInfo<</Registry(Adobe)"+
		"/Ordering(Identity)/Supplement 0>>/FontDescriptor %v/CIDToGIDMap/Identity/W[0[%s]]>>",
		s.name, descriptor, strings.TrimSpace(widths.String())))
	o.put(s.ref, fmt.Sprintf("<</Type/Font/Subtype/Type0/BaseFont/%s/Encoding/Identity-H/DescendantFonts[%v]"+
		"/ToUnicode %v>>", s.name, inner, unicodes))
}

// toUnicode says which text each code stands for (9.10.3).
func (s *subset) toUnicode() []byte {
	var b bytes.Buffer
	b.WriteString("/CIDInit/ProcSet findresource begin\n12 dict begin\nbegincmap\n" +
		"/CIDSystemInfo<</Registry(Adobe)/Ordering(UCS)/Supplement 0>>def\n" +
		"/CMapName/Adobe-Identity-UCS def\n/CMapType 2 def\n" +
		"1 begincodespacerange\n<0000><FFFF>\nendcodespacerange\n")
	const atOnce = 100
	for from := 1; from < len(s.shown); from += atOnce {
		part := s.shown[from:min(from+atOnce, len(s.shown))]
		fmt.Fprintf(&b, "%d beginbfchar\n", len(part))
		for i, g := range part {
			fmt.Fprintf(&b, "<%04X><", from+i)
			for _, unit := range utf16.Encode([]rune(g.text)) {
				fmt.Fprintf(&b, "%04X", unit)
			}
			b.WriteString(">\n")
		}
		b.WriteString("endbfchar\n")
	}
	b.WriteString("endcmap\nCMapName currentdict/CMap defineresource pop\nend\nend\n")
	return b.Bytes()
}
