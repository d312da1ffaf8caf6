package mail

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"time"
)

// Stored is a message in a folder.
type Stored struct {
	File        string
	From, To    string
	Subject     string
	Date        time.Time
	Text, HTML  string
	Attachments []Attachment // the calendar part among them
}

// Limits on what is read from a folder, since anybody may have written into it.
const (
	listMax  = 500
	emlMax   = 10 << 20
	depthMax = 5
)

var errNotMail = errors.New("this file is not an email that can be shown")

// names returns the newest files of a folder, newest first; none if there is no folder.
func names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, pathless(err)
	}
	var out []string
	for _, e := range entries {
		if e.Type().IsRegular() && eml.MatchString(e.Name()) {
			out = append(out, e.Name())
		}
	}
	slices.Reverse(out) // ReadDir sorts
	return out[:min(len(out), listMax)], nil
}

// load reads one file of a folder; os.ErrNotExist for any name that is not one of Folder's.
func load(dir, name string) (Stored, error) {
	if !eml.MatchString(name) {
		return Stored{}, os.ErrNotExist
	}
	f, err := os.OpenInRoot(dir, name)
	if err != nil {
		return Stored{}, os.ErrNotExist
	}
	defer f.Close() //nolint:errcheck // only read
	s, err := parse(io.LimitReader(f, emlMax))
	s.File = name
	return s, err
}

// parse reads a message (RFC 5322 and MIME, RFC 2045 to 2047), as far as Folder uses them.
func parse(r io.Reader) (Stored, error) {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return Stored{}, errNotMail
	}
	s := Stored{
		From: decoded(m.Header.Get("From")), To: decoded(m.Header.Get("To")), Subject: decoded(m.Header.Get("Subject")),
	}
	s.Date, _ = m.Header.Date() // the zero time if there is none
	if err := s.part(textproto.MIMEHeader(m.Header), m.Body, 0); err != nil {
		return Stored{}, errNotMail
	}
	return s, nil
}

func decoded(header string) string {
	if text, err := new(mime.WordDecoder).DecodeHeader(header); err == nil {
		return text
	}
	return header
}

// part adds one part, and the parts in it.
func (s *Stored) part(h textproto.MIMEHeader, body io.Reader, depth int) error {
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		kind, params = "text/plain", nil // RFC 2045, 5.2
	}
	if strings.HasPrefix(kind, "multipart/") {
		return s.parts(multipart.NewReader(body, params["boundary"]), depth)
	}
	data, err := io.ReadAll(transferred(h.Get("Content-Transfer-Encoding"), body))
	if err != nil {
		return fmt.Errorf("read a part: %w", err)
	}
	disposition, file, _ := mime.ParseMediaType(h.Get("Content-Disposition"))
	switch {
	case disposition == "attachment":
		s.Attachments = append(s.Attachments, Attachment{decoded(file["filename"]), kind, data})
	case kind == "text/plain" && s.Text == "":
		s.Text = string(data)
	case kind == "text/html" && s.HTML == "":
		s.HTML = string(data)
	default:
		name := "part"
		if kind == "text/calendar" {
			name = strings.ToLower(params["method"]) + ".ics"
		}
		s.Attachments = append(s.Attachments, Attachment{name, kind, data})
	}
	return nil
}

func (s *Stored) parts(r *multipart.Reader, depth int) error {
	if depth >= depthMax {
		return errNotMail
	}
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the parts: %w", err)
		}
		if err := s.part(p.Header, p, depth+1); err != nil {
			return err
		}
	}
}

// transferred undoes a Content-Transfer-Encoding (RFC 2045, 6).
func transferred(encoding string, r io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "quoted-printable":
		return quotedprintable.NewReader(r)
	case "base64":
		raw, err := io.ReadAll(r)
		if err != nil {
			return bytes.NewReader(nil)
		}
		return base64.NewDecoder(base64.StdEncoding, bytes.NewReader(bytes.Join(bytes.Fields(raw), nil)))
	default:
		return r
	}
}
