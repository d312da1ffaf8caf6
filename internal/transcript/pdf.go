package transcript

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"housecall/internal/pdf"
)

// Sizes in points.
const (
	millimetre = 72 / 25.4
	margin     = 18 * millimetre
	bottom     = 20 * millimetre
	footer     = 11 * millimetre  // the baseline of the footer, above the edge
	pageWidth  = 210 * millimetre // A4
	pageHeight = 297 * millimetre
	textWidth  = pageWidth - 2*margin
	lineHeight = 4.8 * millimetre
	factWidth  = 32 * millimetre
	inset      = 6 * millimetre  // of messages
	noteHeight = 2.5 * smallSize // the place for a note on the first page
	textSize   = 9.5
	smallSize  = 7.5
	titleSize  = 16.0
	gray       = 0.35
	lightGray  = 0.67
	// scriptsNamed is how many scripts without a font the note names.
	scriptsNamed = 8
)

// MakePDF returns a transcript as a tagged PDF. It is in memory, so callers must limit how many are made at once.
func MakePDF(ctx context.Context, fonts *pdf.Fonts, facts Facts, pages Pages) ([]byte, error) {
	p := newPages(fonts, facts)
	s, err := open(ctx, p, &bytes.Buffer{}, facts, pages)
	if err != nil {
		return nil, err
	}
	for !s.over {
		if err := s.more(); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil { // the rest takes long, and does not look
		return nil, fmt.Errorf("transcript: %w", err)
	}
	return p.doc.Finish(p.late), nil
}

// inPDF puts paragraphs on pages.
type inPDF struct {
	doc    *pdf.Document
	writer *writer
	head   *pdf.Element // the title and the facts; open until the end, for a note
	day    *pdf.Element // nil before the first entry
	y      float64      // how far the page is filled
	pages  int
}

func newPages(fonts *pdf.Fonts, f Facts) *inPDF {
	doc := pdf.New(fonts, pdf.Info{
		Title:   "Transcript " + f.Appointment.ID, // viewers show it, so it has no names
		Creator: "Housecall", Language: "en", At: f.GeneratedAt,
	}, pageWidth, pageHeight)
	return &inPDF{doc: doc, writer: newWriter(f, isolated)}
}

func (p *inPDF) begin(f Facts) error {
	p.addPage()
	p.head = p.doc.Body.Add(pdf.Part)
	p.paragraph(p.head, pdf.Heading1, pdf.Style{Bold: true, Size: titleSize}, "Transcript")
	p.y += 2 * millimetre
	for _, l := range f.facts(isolated) {
		e := p.head.Add(pdf.Paragraph)
		top := p.y
		p.write(e, margin, factWidth, pdf.Style{Bold: true, Size: textSize}, l.name)
		p.y = top
		p.write(e, margin+factWidth, textWidth-factWidth, pdf.Style{Size: textSize, LeftToRight: !l.typed}, l.value)
		e.Says(l.name + " " + l.value)
		e.Close()
	}
	return nil
}

func (p *inPDF) entry(e Entry, _ []byte) error {
	if day, first := p.writer.newDay(e); first {
		p.endDay()
		p.day = p.doc.Body.Add(pdf.Part)
		p.keep(4 * lineHeight)
		p.y += lineHeight
		p.paragraph(p.day, pdf.Heading2, pdf.Style{Bold: true, Size: textSize + 1}, day)
		p.doc.Line(margin, margin+textWidth, p.y+0.8*millimetre, lightGray)
	}
	t := p.writer.tell(e)
	p.keep(3 * lineHeight)
	p.y += lineHeight / 2
	p.paragraph(p.day, pdf.Heading3, pdf.Style{Bold: true, Size: smallSize + 1, LeftToRight: true}, t.head)
	if t.text != "" {
		p.paragraph(p.day, pdf.Paragraph, pdf.Style{Size: textSize}, t.text)
	}
	for _, n := range t.notes {
		p.paragraph(p.day, pdf.Paragraph, pdf.Style{Size: smallSize + 1, Gray: gray}, n)
	}
	return nil
}

func (p *inPDF) endDay() {
	if p.day != nil {
		p.day.Close()
	}
}

func (p *inPDF) end(sum string) error {
	p.endDay()
	last := p.doc.Body.Add(pdf.Part)
	p.keep(6 * lineHeight)
	p.y += lineHeight
	p.doc.Line(margin, margin+textWidth, p.y, lightGray)
	p.y += lineHeight / 2
	for i, line := range closing(p.writer.facts, sum) {
		p.paragraph(last, pdf.Paragraph, pdf.Style{Bold: i == 1, Size: smallSize}, line)
	}
	last.Close()
	return nil
}

// late adds the footer to a page, and to the first one which scripts could not be shown.
func (p *inPDF) late(number, of int) {
	left, right := "Transcript "+p.writer.facts.Appointment.ID, fmt.Sprintf("page %d of %d", number, of)
	small := pdf.Style{Size: smallSize, Gray: gray}
	for _, r := range p.doc.Layout(left, small, textWidth) {
		p.doc.Draw(nil, margin, pageHeight-footer, r)
	}
	for _, r := range p.doc.Layout(right, small, textWidth) {
		p.doc.Draw(nil, margin+textWidth-r.Width, pageHeight-footer, r)
	}
	if number > 1 {
		return
	}
	if missing := p.doc.Missing(); len(missing) > 0 {
		note := p.head.Add(pdf.Paragraph)
		for i, r := range p.doc.Layout(withoutFont(missing), pdf.Style{Size: smallSize}, textWidth) {
			p.doc.Draw(note, margin, pageHeight-bottom-noteHeight+float64(i+1)*1.2*smallSize, r)
		}
		note.Close()
	}
	p.head.Close()
}

func withoutFont(scripts []string) string {
	names := strings.Join(scripts[:min(len(scripts), scriptsNamed)], ", ")
	if len(scripts) > scriptsNamed {
		names += " and others"
	}
	return "Characters for which this clinic has no font are shown as code points, such as <4E2D>: " + names +
		". The formats JSON and text have them as they were sent."
}

func (p *inPDF) addPage() {
	p.doc.AddPage()
	p.pages++
	p.y = margin
}

// keep starts a new page unless this one has enough space left.
func (p *inPDF) keep(height float64) {
	end := pageHeight - bottom
	if p.pages == 1 {
		end -= noteHeight
	}
	if p.y+height > end {
		p.addPage()
	}
}

// paragraph sets a text as an element of its own. What is neither a heading nor at the end is indented.
func (p *inPDF) paragraph(in *pdf.Element, kind pdf.Kind, s pdf.Style, text string) {
	x, width := margin, textWidth
	if in == p.day && kind == pdf.Paragraph {
		x, width = margin+inset, textWidth-inset
	}
	e := in.Add(kind)
	p.write(e, x, width, s, text)
	e.Says(text)
	e.Close()
}

// write sets a text in lines of the given width, on as many pages as needed. Right-to-left text is aligned right.
func (p *inPDF) write(e *pdf.Element, x, width float64, s pdf.Style, text string) {
	height := max(lineHeight*s.Size/textSize, 1.3*s.Size)
	for _, line := range lines(text) {
		for _, row := range p.doc.Layout(line, s, width) {
			p.keep(height)
			left := x
			if row.RightToLeft {
				left = x + width - row.Width
			}
			p.doc.Draw(e, left, p.y+0.72*height, row)
			p.y += height
		}
	}
}
