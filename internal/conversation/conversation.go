// Package conversation keeps the conversation of each appointment: a durable log without gaps in PostgreSQL, the rules
// for who may read and write it, and its closing and opening. The live side (connections, presence, receipts) belongs
// to package chat, which this package neither knows nor needs.
//
// A message goes Service.Submit -> committer -> PostgreSQL. Once committed it goes to the function given to
// OnCommitted, and to its sender as an ack. The seq tells every reader what it is missing.
package conversation

import (
	"errors"
	"time"

	"github.com/google/uuid"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/text"
)

// MaxChars is the longest text of a message, in code points.
const MaxChars = 4000

// Kind says what an event is.
type Kind string

// The kinds of events.
const (
	KindText       Kind = "text"
	KindAttachment Kind = "attachment"
	KindSystem     Kind = "system"
	KindRetraction Kind = "retraction" // retracts the event Target
	KindCorrection Kind = "correction" // its Text replaces that of the event Target
)

// Event is one entry of a conversation's log. Seq starts at 1 and has no gaps within a conversation. An event read from
// the log is as it is now: a retracted one has neither Text nor Attachment, and a corrected one has its latest Text, as
// do its corrections.
type Event struct {
	Conversation int64
	Seq          int64
	Kind         Kind
	ClientID     uuid.UUID // zero for system events
	Sender       string    // public id; empty for system events
	Text         string
	At           time.Time
	Regroup      bool // a system event that changes the participants

	Target      int64       // seq of the event that a retraction or correction is about; 0 for others
	Attachment  *Attachment // of that kind only
	Retracted   bool
	CorrectedBy int64 // seq of the correction, another event, that has the Text; 0 for none
}

// HasText reports whether an event has a text: it is neither a file nor a retraction, and was not retracted.
func (e Event) HasText() bool {
	return !e.Retracted && e.Kind != KindAttachment && e.Kind != KindRetraction
}

// Attachment is the file that a message sends.
type Attachment struct {
	ID        uuid.UUID `json:"id"`
	Name      string    `json:"name"`
	MediaType string    `json:"mediaType"`
	Size      int64     `json:"size" doc:"Bytes."`
	SHA256    string    `json:"sha256" doc:"Of the content, in hexadecimal digits."`
	Width     int       `json:"width,omitempty" doc:"Pixels, of images."`
	Height    int       `json:"height,omitempty"`
	Thumbnail bool      `json:"thumbnail,omitempty" doc:"There is a thumbnail of it."`
}

// Draft is a message, retraction or correction on its way into the log.
type Draft struct {
	Conversation int64
	Sender       auth.Actor
	ClientID     uuid.UUID // made once and kept over retries, so that a draft is stored once
	Kind         Kind
	Text         string    // of texts and corrections
	Target       int64     // of retractions and corrections: the seq of the message they are about
	Attachment   uuid.UUID // of that kind: a file that the sender has uploaded to the conversation
}

// check applies the rules for a draft's own content; what it refers to is judged when it is committed.
func (d Draft) check() error {
	if d.Kind == KindText || d.Kind == KindCorrection {
		return CheckText(d.Text)
	}
	return nil
}

// size is how much memory a draft takes while it waits, in bytes: without a text it is little, but not nothing.
func (d Draft) size() int64 { return int64(len(d.Text)) + 128 }

// Ack says that a draft is in the log, under this Seq. Duplicate means that it already was.
type Ack struct {
	Seq       int64
	At        time.Time
	Duplicate bool
}

// Refusals of a draft: Code is the nack code of the protocol, Kind the HTTP side of the same refusal.
var (
	ErrClosed = errs.New(errs.Conflict, "closed",
		"This conversation is closed to new messages.")
	ErrForbidden = errs.New(errs.NotFound, "forbidden",
		"There is no such conversation.")
	ErrNoTarget = errs.New(errs.NotFound, "not_found",
		"There is no such message, or it was retracted.")
	ErrNoFile = errs.New(errs.NotFound, "not_found",
		"You have not uploaded such a file to this conversation, or it was already sent.")
	ErrNotOwn = errs.New(errs.Forbidden, "not_yours",
		"Only the sender can retract or correct a message.")
	ErrEmpty = errs.New(errs.Invalid, "empty",
		"A message needs text.")
	ErrTooLong = errs.New(errs.Invalid, "too_long",
		"A message can have at most 4,000 characters.")
	ErrInvalidText = errs.New(errs.Invalid, "invalid",
		"The text must be valid UTF-8 without U+0000.")
	ErrUnavailable = &errs.Error{
		Kind: errs.Unavailable, Code: "unavailable", RetryAfter: time.Second,
		Message: "The message could not be saved right now. Please send it again.",
	}
)

// ErrTooFast refuses a draft because of a limit; where completes "Too many messages at once …". There is one code for
// all limits, because clients treat them alike.
func ErrTooFast(where string) *errs.Error {
	return &errs.Error{
		Kind: errs.RateLimited, Code: "rate", RetryAfter: time.Second,
		Message: "Too many messages at once " + where + ". Please wait a moment and send it again.",
	}
}

// CheckText applies the rules for a message's text.
func CheckText(s string) error {
	switch {
	case !text.Storable(s):
		return ErrInvalidText
	case text.Blank(s):
		return ErrEmpty
	case text.Longer(s, MaxChars):
		return ErrTooLong
	}
	return nil
}

// ParseClientID accepts the canonical form of RFC 9562 only, so that one id cannot be spelled in two ways.
func ParseClientID(s string) (uuid.UUID, error) {
	if len(s) != 36 {
		return uuid.Nil, errors.New("not a UUID")
	}
	id, err := uuid.Parse(s)
	if err == nil && id == uuid.Nil {
		return uuid.Nil, errors.New("the nil UUID identifies nothing")
	}
	return id, err
}
