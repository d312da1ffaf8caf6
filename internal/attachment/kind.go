package attachment

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"unicode/utf8"
)

// Kind is a supported type of file.
type Kind struct {
	// MediaType is the Content-Type of downloads.
	MediaType string
	// Extensions are those that a name may have, the usual one first.
	Extensions []string
	Picture    bool
}

// The kinds.
var (
	png  = Kind{"image/png", []string{".png"}, true}
	jpeg = Kind{"image/jpeg", []string{".jpg", ".jpeg"}, true}
	gif  = Kind{"image/gif", []string{".gif"}, true}
	webp = Kind{"image/webp", []string{".webp"}, true}
	pdf  = Kind{"application/pdf", []string{".pdf"}, false}
	text = Kind{"text/plain; charset=utf-8", []string{".txt", ".md", ".csv", ".log"}, false}
)

const (
	// pdfBefore is within how many bytes from the beginning the header of a PDF stands (ISO 32000-1, Annex H, note 13).
	pdfBefore = 1024
	// sniffed is how many bytes sniff looks at: enough for such a header.
	sniffed = pdfBefore + len("%PDF-1.7\r")
)

// sniff detects the type of a file from its first bytes, regardless of its name and its declared type, or returns
// the refusal. A file that begins like text is text only if all of it is; see textCheck.
func sniff(begin []byte) (Kind, error) {
	switch {
	case bytes.HasPrefix(begin, []byte("\x89PNG\r\n\x1a\n")):
		return png, nil
	case bytes.HasPrefix(begin, []byte("\xff\xd8\xff")):
		return jpeg, nil
	case bytes.HasPrefix(begin, []byte("GIF87a")), bytes.HasPrefix(begin, []byte("GIF89a")):
		return gif, nil
	case isRIFF(begin, "WEBP"):
		return webp, nil
	}
	if err := foreign(begin); err != nil {
		return Kind{}, err
	}
	var check textCheck
	notText := check.add(begin)
	if isPDF(begin, notText == nil) {
		return pdf, nil
	}
	if notText != nil {
		return Kind{}, notText
	}
	return text, nil
}

// headerOfPDF is the header at the beginning of a line. A text that speaks of one goes on behind it.
var headerOfPDF = regexp.MustCompile(`(?:^|[\r\n]|^\x{FEFF})%PDF-[0-9]\.[0-9][ \t]*[\r\n]`)

// isPDF also finds headers that do not come first: programs put byte order marks, line breaks, what they told a printer
// or what a server told them before it, and viewers skip that.
func isPDF(begin []byte, likeText bool) bool {
	if bytes.HasPrefix(begin, []byte("%PDF-")) {
		return true
	}
	if likeText {
		return headerOfPDF.Match(begin)
	}
	at := bytes.Index(begin, []byte("%PDF-"))
	return at >= 0 && at < pdfBefore
}

func isRIFF(begin []byte, form string) bool {
	return len(begin) >= 12 && string(begin[:4]) == "RIFF" && string(begin[8:12]) == form
}

// textCheck checks a text in pieces: it must be valid UTF-8, with no control characters but those for layout.
type textCheck struct {
	rest []byte // the beginning of a character that ends in the next piece
}

func (c *textCheck) add(piece []byte) error {
	if len(c.rest) > 0 {
		piece = append(c.rest, piece...)
		c.rest = nil
	}
	whole := piece
	for len(piece) > 0 {
		r, size := utf8.DecodeRune(piece)
		if r == utf8.RuneError && size == 1 {
			if !utf8.FullRune(piece) {
				c.rest = bytes.Clone(piece)
				return nil
			}
			return notUTF8(whole)
		}
		if !layout(r) {
			return ErrUnsupported
		}
		piece = piece[size:]
	}
	return nil
}

// layout reports whether a text may contain a character.
func layout(r rune) bool {
	return r >= ' ' && r != 0x7f || r == '\t' || r == '\n' || r == '\r' || r == '\f'
}

// notUTF8 is the refusal of what is not UTF-8: without control characters it is probably text in an older encoding.
func notUTF8(piece []byte) error {
	for _, b := range piece {
		if !layout(rune(b)) {
			return ErrUnsupported
		}
	}
	return errEncoding
}

// end checks that the text does not end within a character.
func (c *textCheck) end() error {
	if len(c.rest) > 0 {
		return errEncoding
	}
	return nil
}

// checked is a reader that fails as soon as what it reads is not text.
type checked struct {
	r     io.Reader
	check textCheck
}

// Read implements io.Reader.
func (c *checked) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if bad := c.check.add(p[:n]); bad != nil {
		return n, bad
	}
	if errors.Is(err, io.EOF) {
		if bad := c.check.end(); bad != nil {
			return n, bad
		}
	}
	return n, err
}
