// Package mail sends single messages to single people: over SMTP, or into a folder if there is no server. It does not
// know what they say.
package mail

import (
	"context"
	"mime"
	"net/mail"
	"strings"
	"time"
	"unicode"

	gomail "github.com/wneessen/go-mail"

	"housecall/internal/text"
)

// Address is a person's: a display name, which may be empty, and an addr-spec (RFC 5322, 3.4.1) in ASCII.
type Address struct{ Name, Email string }

// Attachment is a file that goes with a message.
type Attachment struct {
	Name        string // of the file, without a path
	ContentType string
	Data        []byte
}

// Message is one email to one person.
type Message struct {
	// ID is the Message-ID without its brackets. It is the same for all attempts at an email, so that a receiver can
	// recognize a duplicate.
	ID      string
	To      Address
	Subject string
	// Text and HTML say the same; both are needed.
	Text, HTML string
	// Calendar is an iCalendar object (RFC 5545) that mail programs offer to put into a calendar, nil for none; Method
	// is its METHOD (RFC 6047): REQUEST or CANCEL.
	Calendar    []byte
	Method      string
	Attachments []Attachment
	Date        time.Time
}

// Sender sends messages.
type Sender interface {
	// Send returns nil once somebody else is responsible for the message. Its failures are of type *Error.
	Send(ctx context.Context, m Message) error
}

var errCompose = &Error{Stage: stageCompose, Permanent: true}

// compose makes the MIME message. It refuses, with a permanent error, whatever could break out of a header, although
// the library would encode it.
func compose(from mail.Address, m Message) (*gomail.Msg, error) {
	if !headerSafe(m.ID, m.To.Name, m.To.Email, m.Subject,
		m.Method) || !wellFormed(m.ID) || m.Text == "" || m.HTML == "" {
		return nil, errCompose
	}
	a, err := mail.ParseAddress(m.To.Email)
	if err != nil || a.Name != "" || a.Address != m.To.Email || !ascii(m.To.Email) {
		return nil, errCompose
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithEncoding(gomail.EncodingQP))
	msg.FromMailAddress(&from)
	msg.ToMailAddress(&mail.Address{Name: m.To.Name, Address: m.To.Email})
	msg.Subject(m.Subject)
	msg.SetMessageIDWithValue(m.ID)
	msg.SetDateWithValue(m.Date.UTC())
	// A program wrote this, so other programs need not answer (RFC 3834, 5).
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	if m.Calendar != nil {
		if m.Method != "REQUEST" && m.Method != "CANCEL" {
			return nil, errCompose
		}
		msg.AddAlternativeString(gomail.ContentType("text/calendar; method="+m.Method), string(m.Calendar))
	}
	for _, a := range m.Attachments {
		if !headerSafe(a.Name, a.ContentType) || strings.ContainsAny(a.Name, `/\"`) || a.Name == "" {
			return nil, errCompose
		}
		if _, _, err := mime.ParseMediaType(a.ContentType); err != nil {
			return nil, errCompose
		}
		if err := msg.AttachReader(a.Name, strings.NewReader(string(a.Data)),
			gomail.WithFileContentType(gomail.ContentType(a.ContentType))); err != nil {
			return nil, errCompose
		}
	}
	return msg, nil
}

// headerSafe reports whether every value is one line of valid text.
func headerSafe(values ...string) bool {
	for _, v := range values {
		if !text.IsLine(v) || strings.ContainsRune(v, unicode.ReplacementChar) {
			return false
		}
	}
	return true
}

// wellFormed reports whether id is the inside of a Message-ID (RFC 5322, 3.6.4), of the plain kind that we make.
func wellFormed(id string) bool {
	local, domain, ok := strings.Cut(id, "@")
	return ok && local != "" && domain != "" && len(id) <= 200 && !strings.ContainsFunc(id, func(r rune) bool {
		return r >= 0x7f || r <= ' ' || strings.ContainsRune(`<>()[]\,;:"`, r)
	}) && !strings.Contains(domain, "@")
}

func ascii(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > unicode.MaxASCII })
}
