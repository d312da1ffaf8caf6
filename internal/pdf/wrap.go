package pdf

import (
	"unicode"

	"housecall/internal/pdf/bidi"
)

// wrap divides a paragraph into rows, where its languages allow it (Unicode Standard Annex 14), or else anywhere
// between characters. The width is in thousandths of the size of the font.
func (t *typesetter) wrap(p *paragraph, s Style, width float64) []Row {
	var total float64
	for _, a := range p.advances {
		total += a
	}
	if total <= width {
		return []Row{t.row(p, s, 0, len(p.text), false)}
	}
	begins := t.begins(p.text)
	var rows []Row
	start, last, used := 0, 0, 0.0
	for i := 0; i < len(p.text); i++ {
		if begins[i] {
			last = i
		}
		used += p.advances[i]
		if used <= width || p.advances[i] == 0 || i == start || unicode.IsSpace(p.text[i]) {
			continue
		}
		end := i
		if last > start {
			end = last
		}
		rows = append(rows, t.row(p, s, start, end, true))
		start, last, used = end, end, 0
		i = end - 1
	}
	return append(rows, t.row(p, s, start, len(p.text), false))
}

// begins tells for each character whether a row may begin with it.
func (t *typesetter) begins(text []rune) []bool {
	out := make([]bool, len(text))
	t.breaks.Init(text)
	for lines := t.breaks.LineIterator(); lines.Next(); {
		out[lines.Line().Offset] = true
	}
	return out
}

// row makes a row of a part of a paragraph. Spaces at its end take no place; before another row, one of them is drawn
// beyond the end, for whoever extracts the text.
func (t *typesetter) row(p *paragraph, s Style, from, to int, more bool) Row {
	end := to
	for end > from && unicode.IsSpace(p.text[end-1]) {
		end--
	}
	r := Row{RightToLeft: p.base == 1, style: s}
	var levels []uint8
	var widths []float64
	for _, it := range p.items {
		if it.to <= from || it.from >= end {
			continue
		}
		part, width := it.between(from, end)
		if it.missing {
			part.hidden = p.text[it.from]
		}
		r.pieces, levels, widths = append(r.pieces, part), append(levels, it.level), append(widths, width)
	}
	at := 0.0
	for _, i := range bidi.Order(levels) {
		r.pieces[i].x = at
		at += widths[i]
	}
	r.Width = at * s.Size / 1000
	if n := len(r.pieces); more && end < to && n > 0 && !r.RightToLeft {
		face := r.pieces[n-1].face
		if id, ok := t.faces[face].NominalGlyph(' '); ok {
			r.pieces = append(r.pieces, piece{face: face, x: at, glyphs: []glyph{{id: id, text: []rune{' '}}}})
		}
	}
	return r
}

// between returns what an item shows of a part of the paragraph.
func (it *item) between(from, to int) (p piece, width float64) {
	p.face = it.face
	for _, g := range it.glyphs {
		if g.cluster >= from && g.cluster < to {
			p.glyphs = append(p.glyphs, g)
			width += g.advance
		}
	}
	return p, width
}
