package pdf

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
)

// number writes a number with at most three decimals.
func number(v float64) string { return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64) }

// mark begins the marked content of an element on the current page (ISO 32000-1, 14.6), or of something that belongs to
// the page and not to the text if e is nil.
func (d *Document) mark(e *Element) {
	p := d.current
	if p.open && p.marked == e {
		return
	}
	d.unmark()
	p.open, p.marked = true, e
	if e == nil {
		p.text.WriteString("/Artifact BMC\n")
		return
	}
	e.kids = append(e.kids, kid{page: p.ref, mark: int32(len(p.marks))})
	fmt.Fprintf(&p.text, "/%s<</MCID %d>>BDC\n", e.kind, len(p.marks))
	p.marks = append(p.marks, e.ref)
}

func (d *Document) unmark() {
	if p := d.current; p != nil && p.open {
		p.text.WriteString("EMC\n")
		p.open = false
	}
}

// Draw puts a row on the current page: x is where it begins, y its baseline, in points from the upper left corner. e is
// nil for what belongs to the page and not to the text.
func (d *Document) Draw(e *Element, x, y float64, r Row) {
	d.mark(e)
	out := &d.current.text
	fmt.Fprintf(out, "BT %s g %s %s Td\n", number(r.style.Gray), number(x), number(d.height-y))
	pen := pen{d: d, size: r.style.Size, face: -1}
	for _, p := range r.pieces {
		pen.piece(p)
	}
	out.WriteString("ET\n")
}

// Line draws a line from one side to the other, as a part of the page.
func (d *Document) Line(x1, x2, y, gray float64) {
	d.mark(nil)
	fmt.Fprintf(&d.current.text, "0.5 w %s G %s %s m %s %s l S\n", number(gray),
		number(x1), number(d.height-y), number(x2), number(d.height-y))
}

// pen shows the pieces of a row.
type pen struct {
	d        *Document
	size     float64
	face     int
	at, want float64 // where it is and where it should be, in thousandths of the size
	rise     float64
	open     bool // an array has begun
	inString bool // and a string in it
}

func (p *pen) piece(of piece) {
	if len(of.glyphs) == 0 {
		return
	}
	p.want = of.x
	out := &p.d.current.text
	s := p.d.subset(of.face)
	if p.face != of.face {
		p.face = of.face
		fmt.Fprintf(out, "/F%d %s Tf", p.face, number(p.size))
	}
	if of.hidden != 0 { // its text is the character, not the code point that is seen
		fmt.Fprintf(out, "/Span<</ActualText%s>>BDC", inHex(string(of.hidden)))
	}
	for _, g := range of.glyphs {
		code := s.code(g)
		p.glyph(g, code)
		p.at += s.wide[code]
		p.want += g.advance
	}
	p.flush()
	if of.hidden != 0 {
		out.WriteString("EMC")
	}
	out.WriteByte('\n')
}

func (p *pen) glyph(g glyph, code uint16) {
	out := &p.d.current.text
	if g.y != p.rise {
		p.flush()
		p.rise = g.y
		fmt.Fprintf(out, "%s Ts", number(g.y*p.size/1000))
	}
	if !p.open {
		out.WriteByte('[')
		p.open = true
	}
	if move := math.Round(p.at - p.want - g.x); move != 0 {
		if p.inString {
			out.WriteByte('>')
		}
		p.inString = false
		out.WriteString(strconv.Itoa(int(move)))
		p.at -= move
	}
	if !p.inString {
		out.WriteByte('<')
		p.inString = true
	}
	out.Write(hex.AppendEncode(out.AvailableBuffer(), []byte{byte(code >> 8), byte(code)}))
}

// flush shows what has been collected.
func (p *pen) flush() {
	out := &p.d.current.text
	if p.inString {
		out.WriteByte('>')
	}
	if p.open {
		out.WriteString("]TJ ")
	}
	p.open, p.inString = false, false
}

func (d *Document) subset(face int) *subset {
	if d.subsets[face] == nil {
		d.subsets[face] = newSubset(d.set.faces[face], d.objects.reserve(), face)
	}
	return d.subsets[face]
}
