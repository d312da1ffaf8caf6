package transcript

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/go-pdf/fpdf"
	"golang.org/x/image/font/sfnt"
)

// Sizes: of the page in millimetres, of letters in points.
const (
	margin     = 18.0
	bottom     = 20.0
	pageWidth  = 210.0 // A4
	textWidth  = pageWidth - 2*margin
	lineHeight = 4.8
	factWidth  = 32.0
	textSize   = 9.5
	smallSize  = 7.5
	titleSize  = 16.0
	family     = "DejaVu"
	// pageTotal is a placeholder for the number of pages until it is known. No text contains it, because control
	// characters are removed. The library also replaces it byte by byte, so no letters of the font may have these
	// bytes in UTF-16.
	pageTotal = "\x01pages\x01"
)

// WritePDF writes a transcript as PDF. The library keeps it in memory until it is complete, so callers must limit how
// many are made at once. If WritePDF fails, it has written nothing to w, unless w itself failed.
func WritePDF(ctx context.Context, w io.Writer, facts Facts, pages Pages) error {
	p, err := newPages(facts)
	if err != nil {
		return err
	}
	s, err := open(ctx, p, &bytes.Buffer{}, facts, pages)
	if err != nil {
		return err
	}
	for !s.over {
		if err := s.more(); err != nil {
			return err
		}
	}
	if err := p.pdf.Output(w); err != nil {
		return fmt.Errorf("write a PDF: %w", err)
	}
	return nil
}

// inPDF puts paragraphs on pages.
type inPDF struct {
	pdf    *fpdf.Fpdf
	writer *writer
	faces  [2]typeface
	style  string // "" or "B"
	buffer sfnt.Buffer
	widths map[string]map[rune]float64 // of characters at size 1, by style
}

func newPages(f Facts) (*inPDF, error) {
	faces, err := loadFaces()
	if err != nil {
		return nil, err
	}
	pdf := fpdf.New("P", "mm", "A4", "")
	pdf.AddUTF8FontFromBytes(family, "", faces[0].data)
	pdf.AddUTF8FontFromBytes(family, "B", faces[1].data)
	pdf.SetMargins(margin, margin, margin)
	pdf.SetAutoPageBreak(false, bottom)
	pdf.AliasNbPages(pageTotal)
	pdf.SetTitle("Transcript "+f.Appointment.ID, true) // viewers show it, so it has no names
	pdf.SetCreator("Housecall", true)
	pdf.SetCreationDate(f.GeneratedAt.UTC())
	pdf.SetModificationDate(f.GeneratedAt.UTC())
	pdf.SetCatalogSort(true)
	p := &inPDF{pdf: pdf, writer: newWriter(f), faces: faces, widths: map[string]map[rune]float64{"": {}, "B": {}}}
	pdf.SetFooterFunc(func() {
		pdf.SetFont(family, "", smallSize)
		pdf.SetTextColor(90, 90, 90)
		pdf.SetXY(margin, -14)
		pdf.CellFormat(textWidth/2, lineHeight, "Transcript "+f.Appointment.ID, "", 0, "L", false, 0, "")
		number := fmt.Sprintf("page %d of %s", pdf.PageNo(), pageTotal)
		pdf.CellFormat(textWidth/2, lineHeight, number, "", 0, "R", false, 0, "")
	})
	return p, p.fault()
}

func (p *inPDF) fault() error {
	if err := p.pdf.Error(); err != nil {
		return fmt.Errorf("make a PDF: %w", err)
	}
	return nil
}

func (p *inPDF) begin(f Facts) error {
	p.pdf.AddPage()
	p.font("B", titleSize)
	p.write(margin, textWidth, 9, "Transcript")
	p.pdf.Ln(2)
	for _, l := range f.facts() {
		top := p.pdf.GetY()
		p.font("B", textSize)
		p.write(margin, factWidth, lineHeight, l.name)
		p.pdf.SetY(top)
		p.font("", textSize)
		p.write(margin+factWidth, textWidth-factWidth, lineHeight, l.value)
	}
	return p.fault()
}

func (p *inPDF) entry(e Entry, _ []byte) error {
	if day, first := p.writer.newDay(e); first {
		p.keep(4 * lineHeight)
		p.pdf.Ln(lineHeight)
		p.font("B", textSize+1)
		p.write(margin, textWidth, lineHeight, day)
		p.pdf.SetDrawColor(170, 170, 170)
		p.pdf.Line(margin, p.pdf.GetY()+0.8, margin+textWidth, p.pdf.GetY()+0.8)
	}
	t := p.writer.tell(e)
	p.keep(3 * lineHeight)
	p.pdf.Ln(lineHeight / 2)
	p.font("B", smallSize+1)
	p.write(margin, textWidth, lineHeight, t.head)
	if t.text != "" {
		p.font("", textSize)
		p.write(margin+6, textWidth-6, lineHeight, t.text)
	}
	for _, n := range t.notes {
		p.font("", smallSize+1)
		p.pdf.SetTextColor(90, 90, 90)
		p.write(margin+6, textWidth-6, lineHeight, n)
	}
	return p.fault()
}

func (p *inPDF) end(sum string) error {
	p.keep(6 * lineHeight)
	p.pdf.Ln(lineHeight)
	p.pdf.Line(margin, p.pdf.GetY(), margin+textWidth, p.pdf.GetY())
	p.pdf.Ln(lineHeight / 2)
	for i, line := range closing(p.writer.facts, sum) {
		p.font("", smallSize)
		if i == 1 {
			p.font("B", smallSize)
		}
		p.write(margin, textWidth, lineHeight-0.6, line)
	}
	return p.fault()
}

func (p *inPDF) font(style string, size float64) {
	p.style = style
	p.pdf.SetFont(family, style, size)
	p.pdf.SetTextColor(0, 0, 0)
}

// keep starts a new page unless this one has enough space left.
func (p *inPDF) keep(height float64) {
	_, pageHeight := p.pdf.GetPageSize()
	if p.pdf.GetY()+height <= pageHeight-bottom {
		return
	}
	style := p.style
	size, _ := p.pdf.GetFontSize()
	r, g, b := p.pdf.GetTextColor()
	p.pdf.AddPage()
	p.font(style, size)
	p.pdf.SetTextColor(r, g, b)
}

// write sets a text in lines of the given width, on as many pages as needed. Right-to-left text is aligned right.
func (p *inPDF) write(x, width, height float64, text string) {
	face := p.faces[0]
	if p.style == "B" {
		face = p.faces[1]
	}
	for _, line := range lines(text) {
		fromRight, align := startsRightToLeft(line), "L"
		if fromRight {
			align = "R"
		}
		for _, row := range p.wrap(face.printable(line, &p.buffer), width) {
			p.keep(height)
			p.pdf.SetX(x)
			p.pdf.CellFormat(width, height, visual(row, fromRight), "", 1, align, false, 0, "")
		}
	}
}

// wrap breaks a line at spaces, or at the full width if there are none.
func (p *inPDF) wrap(line string, width float64) []string {
	size, _ := p.pdf.GetFontSize()
	available := width - 2*p.pdf.GetCellMargin()
	runes := []rune(line)
	var rows []string
	start, space, used := 0, -1, 0.0
	for i := 0; i < len(runes); i++ {
		if unicode.IsSpace(runes[i]) {
			space = i
		}
		if used += p.width(runes[i]) * size; used <= available || i == start {
			continue
		}
		end, next := i, i
		if space > start {
			end, next = space, space+1
		}
		rows = append(rows, string(runes[start:end]))
		start, space, used = next, -1, 0
		i = next - 1
	}
	return append(rows, strings.TrimRightFunc(string(runes[start:]), unicode.IsSpace))
}

// width returns the width of a character at a size of one point.
func (p *inPDF) width(r rune) float64 {
	w, known := p.widths[p.style][r]
	if !known {
		size, _ := p.pdf.GetFontSize()
		w = p.pdf.GetStringWidth(string(r)) / size
		p.widths[p.style][r] = w
	}
	return w
}
