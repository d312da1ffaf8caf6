package attachment

import (
	"bytes"
	"errors"
	"io"
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

// sniffed is how many bytes sniff looks at.
const sniffed = 512

// sniff detects the type of a file from its first bytes, regardless of its name and its declared type. A file that
// begins like text is text only if all of it is; see textCheck.
func sniff(begin []byte) (Kind, bool) {
	switch {
	case bytes.HasPrefix(begin, []byte("\x89PNG\r\n\x1a\n")):
		return png, true
	case bytes.HasPrefix(begin, []byte("\xff\xd8\xff")):
		return jpeg, true
	case bytes.HasPrefix(begin, []byte("GIF87a")), bytes.HasPrefix(begin, []byte("GIF89a")):
		return gif, true
	case len(begin) >= 12 && string(begin[:4]) == "RIFF" && string(begin[8:12]) == "WEBP":
		return webp, true
	case bytes.HasPrefix(begin, []byte("%PDF-")):
		return pdf, true
	}
	var check textCheck
	return text, check.add(begin) == nil
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
	for len(piece) > 0 {
		r, size := utf8.DecodeRune(piece)
		if r == utf8.RuneError && size == 1 {
			if !utf8.FullRune(piece) {
				c.rest = bytes.Clone(piece)
				return nil
			}
			return ErrUnsupported
		}
		if r < ' ' && r != '\t' && r != '\n' && r != '\r' && r != '\f' || r == 0x7f {
			return ErrUnsupported
		}
		piece = piece[size:]
	}
	return nil
}

// end checks that the text does not end within a character.
func (c *textCheck) end() error {
	if len(c.rest) > 0 {
		return ErrUnsupported
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
