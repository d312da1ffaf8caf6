// Package conversation keeps the conversation of each appointment: a durable log without gaps in PostgreSQL, the
// rules for who may read and write it, and its closing and reopening. The live side (connections, presence, receipts)
// belongs to package chat, which this package does not depend on.
//
// A message goes Service.Submit -> committer -> PostgreSQL. Once it is committed, the function given to OnCommitted
// is called and the sender gets an ack. Readers notice missing events by gaps in seq.
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

// Event is one entry of a conversation's log. Seq starts at 1 and has no gaps within a conversation. Reading the log
// gives each event in its current state: a retracted one has neither Text nor Attachment, and a corrected one has its
// latest Text, as do its corrections.
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
	Attachment  *Attachment // set only for KindAttachment
	Retracted   bool
	CorrectedBy int64 // seq of the correction event that Text comes from; 0 for none
}

// HasText reports whether the event has a text, so it is not a file or a retraction and has not been retracted.
func (e Event) HasText() bool {
	return !e.Retracted && e.Kind != KindAttachment && e.Kind != KindRetraction
}

// Attachment is the file that a message sends.
type Attachment struct {
	ID        uuid.UUID `json:"id"`
	Name      string    `json:"name"`
	MediaType string    `json:"mediaType"`
	Size      int64     `json:"size" doc:"Bytes."`
	SHA256    string    `json:"sha256" doc:"Hash of the content, in hexadecimal."`
	Width     int       `json:"width,omitempty" doc:"In pixels; images only."`
	Height    int       `json:"height,omitempty" doc:"In pixels; images only."`
	Thumbnail bool      `json:"thumbnail,omitempty" doc:"Whether the file has a thumbnail."`
}

// Draft is a message, retraction or correction on its way into the log.
type Draft struct {
	Conversation int64
	Sender       auth.Actor
	ClientID     uuid.UUID // the same on every retry, so that the draft is stored once
	Kind         Kind
	Text         string    // for texts and corrections
	Target       int64     // for retractions and corrections: the seq of the message they are about
	Attachment   uuid.UUID // for KindAttachment: a file that the sender has uploaded to the conversation
}

// check applies the rules for the draft's own content. The message or file that it refers to is checked at commit.
func (d Draft) check() error {
	if d.Kind == KindText || d.Kind == KindCorrection {
		return CheckText(d.Text)
	}
	return nil
}

// size is roughly how much memory a waiting draft takes, in bytes. The constant covers everything but the text.
func (d Draft) size() int64 { return int64(len(d.Text)) + 128 }

// Ack says that a draft is in the log as event Seq. Duplicate means that an earlier attempt had already stored it.
type Ack struct {
	Seq       int64
	At        time.Time
	Duplicate bool
}

// Reasons for refusing a draft. The code is the protocol's nack code; the kind decides the HTTP status.
var (
	ErrClosed = errs.New(errs.Conflict, "closed",
		"This conversation is closed to new messages.")
	ErrForbidden = errs.New(errs.NotFound, "forbidden",
		"There is no such conversation.")
	ErrNoTarget = errs.New(errs.NotFound, "not_found",
		"There is no such message, or it has been retracted.")
	ErrNoFile = errs.New(errs.NotFound, "not_found",
		"You have not uploaded this file to this conversation, or you have already sent it.")
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

// ErrTooFast refuses a draft that exceeds a rate limit; where completes "Too many messages at once …". All limits
// share one code, because clients treat them alike.
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

// ParseClientID accepts the 36 characters of RFC 9562, in either case: Swift writes UUIDs in upper case. Two spellings
// of one UUID are one id.
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
