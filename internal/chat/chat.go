// Package chat is the conversation inside an appointment: a durable, gapless log in PostgreSQL, and live
// delivery of it to sockets on any instance. PostgreSQL is the truth; the bus only carries wake-ups.
//
// A message goes conn -> Service.Send -> committer -> PostgreSQL, and once committed to the sender as an ack, to
// local sockets through the hub, and to other instances over the bus. seq tells every hub what it misses.
package chat

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"housecall/internal/auth"
	"housecall/internal/errs"
)

// Limits of the protocol.
const (
	MaxChars      = 4000      // of a text, in code points
	MaxFrameBytes = 64 * 1024 // of a client's frame
	catchUpLimit  = 500       // events: whoever is further behind gets a reset
	recentLimit   = 50        // events for whoever joins without a cursor
)

// Kind says what an event is.
type Kind string

// The kinds.
const (
	KindText       Kind = "text"
	KindAttachment Kind = "attachment"
	KindSystem     Kind = "system"
	KindRetraction Kind = "retraction" // takes the event Target back
	KindCorrection Kind = "correction" // its Text stands instead of that of the event Target
)

// Event is one entry of a room's log. Seq starts at 1 and has no holes in a room. Read from the log it is as it stands now:
// what was taken back has neither Text nor Attachment, and what was corrected has its latest Text, a correction too.
type Event struct {
	Room     int64
	Seq      int64
	Kind     Kind
	ClientID uuid.UUID // zero for system events
	Sender   string    // public id; empty for system events
	Text     string
	At       time.Time
	Regroup  bool // a system event after which others take part

	Target      int64       // seq that a retraction or correction speaks of; 0 for others
	Attachment  *Attachment // of that kind only
	Retracted   bool
	CorrectedBy int64 // seq of the correction, another event, that has the Text; 0 for none
}

// Attachment is a file that a message sends.
type Attachment struct {
	ID        uuid.UUID `json:"id"`
	Name      string    `json:"name"`
	MediaType string    `json:"mediaType"`
	Size      int64     `json:"size" doc:"Bytes."`
	SHA256    string    `json:"sha256" doc:"Of the content, in hexadecimal digits."`
	Width     int       `json:"width,omitempty" doc:"Pixels, of images."`
	Height    int       `json:"height,omitempty"`
	Thumbnail bool      `json:"thumbnail,omitempty" doc:"There is a small image of it."`
}

// Draft is a message on its way into the log.
type Draft struct {
	Room       int64
	Sender     auth.Actor
	ClientID   uuid.UUID
	Kind       Kind
	Text       string    // of texts and corrections
	Target     int64     // of retractions and corrections: the seq of the message they speak of
	Attachment uuid.UUID // of that kind: a file that the sender has uploaded to this room
}

// check applies the rules of what a draft says; what it speaks of is judged when it is committed.
func (d Draft) check() error {
	if d.Kind == KindText || d.Kind == KindCorrection {
		return CheckText(d.Text)
	}
	return nil
}

// size is what a draft costs while it waits, in bytes: not much without a text, but not nothing.
func (d Draft) size() int64 { return int64(len(d.Text)) + 128 }

// Receipt is what became of a draft. Duplicate says that the log had it already, under this Seq.
type Receipt struct {
	Seq       int64
	At        time.Time
	Duplicate bool
}

// Refusals of a draft: Code is the nack code of the protocol, Kind the HTTP side of the same refusal.
var (
	ErrClosed      = errs.New(errs.Conflict, "closed", "The conversation is not open: nobody can write in it now.")
	ErrForbidden   = errs.New(errs.NotFound, "forbidden", "There is no such conversation.")
	ErrNoTarget    = errs.New(errs.NotFound, "not_found", "There is no such message, or it was taken back.")
	ErrNoFile      = errs.New(errs.NotFound, "not_found", "There is no such file of yours here, or it was sent already.")
	ErrNotOwn      = errs.New(errs.Forbidden, "not_yours", "Only who sent a message can take it back or correct it.")
	ErrEmpty       = errs.New(errs.Invalid, "empty", "A message needs text.")
	ErrTooLong     = errs.New(errs.Invalid, "too_long", "A message has at most 4000 characters.")
	ErrInvalidText = errs.New(errs.Invalid, "invalid", "The text must be valid UTF-8 without U+0000.")
	ErrOverload    = &errs.Error{
		Kind: errs.Unavailable, Code: "unavailable", Message: "The message could not be stored right now. Send it again.", RetryAfter: time.Second,
	}
)

// Refusals of too many drafts, by whose limit it was. One code, since a client does the same about all.
var (
	errRateConnection = tooFast("over this connection")
	errRateUser       = tooFast("of one user")
	errRateRoom       = tooFast("in this room, of both sides together")
)

func tooFast(where string) *errs.Error {
	return &errs.Error{
		Kind: errs.RateLimited, Code: "rate", Message: "Too many messages at once " + where + ". Wait a moment and send it again.", RetryAfter: time.Second,
	}
}

// CheckText applies the rules of a message's text.
func CheckText(s string) error {
	switch {
	case !storable(s):
		return ErrInvalidText
	case isBlank(s):
		return ErrEmpty
	case len(s) > MaxChars && utf8.RuneCountInString(s) > MaxChars:
		return ErrTooLong
	}
	return nil
}

// storable tells whether PostgreSQL takes a text.
func storable(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// isBlank also takes for blank what only looks empty: joiners and other format characters.
func isBlank(s string) bool {
	for _, r := range s {
		if !unicode.IsSpace(r) && !unicode.Is(unicode.Cf, r) {
			return false
		}
	}
	return true
}
