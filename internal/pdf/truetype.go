package pdf

import (
	"encoding/binary"
	"math"

	"github.com/go-text/typesetting/font/opentype"
)

// cubicParts is how many quadratic curves replace a cubic one.
const cubicParts = 4

// outline is the shape of a glyph in a font that a document has.
type outline struct {
	segments []opentype.Segment
	advance  float64 // in units of the font
}

// trueType makes a font of outlines, the first of which is that of characters that are missing. It has the tables that
// a font in a PDF needs (ISO 32000-1, 9.9), with plain outlines only, whatever sort of font they are from.
func trueType(outlines []outline, unitsPerEm, ascent, descent int) (file []byte, box [4]int16) {
	var glyf, loca, hmtx []byte
	var mostPoints, mostContours, widest int
	for _, o := range outlines {
		loca = binary.BigEndian.AppendUint32(loca, uint32(len(glyf)))
		g := contoursOf(o.segments)
		glyf = append(glyf, g.bytes()...)
		mostPoints, mostContours = max(mostPoints, len(g.points)), max(mostContours, len(g.ends))
		widest = max(widest, int(o.advance))
		hmtx = binary.BigEndian.AppendUint16(hmtx, uint16(max(0, math.Round(o.advance))))
		hmtx = binary.BigEndian.AppendUint16(hmtx, uint16(g.box[0]))
		box = [4]int16{min(box[0], g.box[0]), min(box[1], g.box[1]), max(box[2], g.box[2]), max(box[3], g.box[3])}
	}
	loca = binary.BigEndian.AppendUint32(loca, uint32(len(glyf)))
	head := shorts(1, 0, 1, 0, 0, 0, 0x5F0F, 0x3CF5, 3, unitsPerEm, 0, 0, 0, 0, 0, 0, 0, 0,
		int(box[0]), int(box[1]), int(box[2]), int(box[3]), 0, 3, 2, 1, 0)
	hhea := shorts(1, 0, ascent, descent, 0, widest, int(box[0]), 0, int(box[2]), 1, 0, 0, 0, 0, 0, 0, 0, len(outlines))
	maxp := shorts(1, 0, len(outlines), mostPoints, mostContours, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0)
	file = fontFile([]string{"glyf", "head", "hhea", "hmtx", "loca", "maxp"},
		[][]byte{glyf, head, hhea, hmtx, loca, maxp})
	return file, box
}

// fontFile puts tables together.
func fontFile(names []string, tables [][]byte) []byte {
	n := len(names)
	file := shorts(1, 0, n, 64, 2, n*16-64)
	at := len(file) + 16*n
	var body []byte
	for i, table := range tables {
		length := len(table)
		for len(table)%4 != 0 {
			table = append(table, 0)
		}
		var sum uint32
		for k := 0; k < len(table); k += 4 {
			sum += binary.BigEndian.Uint32(table[k:])
		}
		file = append(file, names[i]...)
		for _, v := range []uint32{sum, uint32(at + len(body)), uint32(length)} {
			file = binary.BigEndian.AppendUint32(file, v)
		}
		body = append(body, table...)
	}
	return append(file, body...)
}

func shorts(values ...int) []byte {
	out := make([]byte, 0, 2*len(values))
	for _, v := range values {
		out = binary.BigEndian.AppendUint16(out, uint16(v))
	}
	return out
}

type point struct {
	x, y int16
	on   bool // the curve
}

// contours is a glyph of the table glyf.
type contours struct {
	points []point
	ends   []int // the last point of each contour
	box    [4]int16
}

func contoursOf(segments []opentype.Segment) contours {
	var c contours
	var at opentype.SegmentPoint
	begin := 0
	finish := func() {
		if n := len(c.points); n > begin+1 && c.points[n-1] == c.points[begin] {
			c.points = c.points[:n-1] // contours close by themselves
		}
		if len(c.points) > begin {
			c.ends = append(c.ends, len(c.points)-1)
		}
		begin = len(c.points)
	}
	for _, s := range segments {
		a := s.Args
		switch s.Op {
		case opentype.SegmentOpMoveTo:
			finish()
			at = a[0]
			c.to(at, true)
		case opentype.SegmentOpLineTo:
			at = a[0]
			c.to(at, true)
		case opentype.SegmentOpQuadTo:
			c.to(a[0], false)
			at = a[1]
			c.to(at, true)
		case opentype.SegmentOpCubeTo:
			c.cubic(at, a[0], a[1], a[2])
			at = a[2]
		}
	}
	finish()
	return c
}

func (c *contours) to(p opentype.SegmentPoint, on bool) {
	q := point{short(p.X), short(p.Y), on}
	if len(c.points) == 0 {
		c.box = [4]int16{q.x, q.y, q.x, q.y}
	}
	c.box = [4]int16{min(c.box[0], q.x), min(c.box[1], q.y), max(c.box[2], q.x), max(c.box[3], q.y)}
	c.points = append(c.points, q)
}

func short(v float32) int16 { return int16(math.Round(float64(min(max(v, -16000), 16000)))) }

// cubic replaces a cubic curve with quadratic ones that have its tangents where they meet.
func (c *contours) cubic(p0, p1, p2, p3 opentype.SegmentPoint) {
	value := func(a, b, d, e, t float32) (at, slope float32) {
		u := 1 - t
		return u*u*u*a + 3*u*u*t*b + 3*u*t*t*d + t*t*t*e, 3*u*u*(b-a) + 6*u*t*(d-b) + 3*t*t*(e-d)
	}
	const step = float32(1) / cubicParts
	for i := range cubicParts {
		t := float32(i) * step
		x0, dx0 := value(p0.X, p1.X, p2.X, p3.X, t)
		y0, dy0 := value(p0.Y, p1.Y, p2.Y, p3.Y, t)
		x1, dx1 := value(p0.X, p1.X, p2.X, p3.X, t+step)
		y1, dy1 := value(p0.Y, p1.Y, p2.Y, p3.Y, t+step)
		c.to(opentype.SegmentPoint{
			X: (x0+x1)/2 + (dx0-dx1)*step/4, Y: (y0+y1)/2 + (dy0-dy1)*step/4,
		}, false)
		c.to(opentype.SegmentPoint{X: x1, Y: y1}, true)
	}
}

// bytes returns the glyph as it is stored; nothing for an empty one.
func (c *contours) bytes() []byte {
	if len(c.ends) == 0 {
		return nil
	}
	out := shorts(len(c.ends), int(c.box[0]), int(c.box[1]), int(c.box[2]), int(c.box[3]))
	out = append(out, shorts(c.ends...)...)
	out = append(out, 0, 0) // no instructions
	var xs, ys []byte
	var x, y int16
	for _, p := range c.points {
		flag := byte(0) // both coordinates are differences of two bytes
		if p.on {
			flag = 1
		}
		out = append(out, flag)
		xs = binary.BigEndian.AppendUint16(xs, uint16(p.x-x))
		ys = binary.BigEndian.AppendUint16(ys, uint16(p.y-y))
		x, y = p.x, p.y
	}
	out = append(append(out, xs...), ys...)
	for len(out)%4 != 0 {
		out = append(out, 0)
	}
	return out
}
