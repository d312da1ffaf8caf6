// Package transcript writes a conversation down as a document that stands for itself: as JSON, as text and as PDF. It knows
// neither the log nor who may read it: chat gives it the events, page by page.
package transcript

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"time"

	"github.com/gowebpki/jcs"
)

// Format is how a transcript is written down.
type Format string

// The formats.
const (
	JSON Format = "json"
	Text Format = "txt"
	PDF  Format = "pdf"
)

// MediaType is the value of the Content-Type of a format.
func (f Format) MediaType() string {
	switch f {
	case Text:
		return "text/plain; charset=utf-8"
	case PDF:
		return "application/pdf"
	default:
		return "application/json"
	}
}

// Facts are what a transcript says but for the events.
type Facts struct {
	Appointment  Appointment
	Participants []Participant // whoever takes part or has written
	Zone         *time.Location
	GeneratedAt  time.Time
	HeadSeq      int64 // the last event of the transcript
}

// Appointment is what the conversation is about.
type Appointment struct {
	ID       string     `json:"id"`
	Status   string     `json:"status"`
	StartsAt *time.Time `json:"startsAt"`
	EndsAt   *time.Time `json:"endsAt"`
	Reason   string     `json:"reason"`
}

// Participant is somebody in the conversation.
type Participant struct {
	UserID string `json:"userId"`
	Name   string `json:"name"`
	Role   string `json:"role"`
}

// The kinds of entries that are written in a way of their own.
const (
	kindSystem     = "system"
	kindRetraction = "retraction"
	kindCorrection = "correction"
)

// Entry is an event as it stood when the transcript was begun: without text or attachment when it was taken back, with its
// latest text when it was corrected. Original is what it said at first, for those only who may know.
type Entry struct {
	Seq         int64       `json:"seq"`
	Kind        string      `json:"kind"`
	Sender      string      `json:"sender,omitempty"`
	At          time.Time   `json:"at"`
	Text        *string     `json:"text,omitempty"`
	Attachment  *Attachment `json:"attachment,omitempty"`
	Target      int64       `json:"target,omitempty"`
	RetractedAt *time.Time  `json:"retractedAt,omitempty"`
	CorrectedAt *time.Time  `json:"correctedAt,omitempty"`
	CorrectedBy int64       `json:"correctedBy,omitempty"`
	Original    *string     `json:"original,omitempty"`
}

// Attachment is a file of which a transcript has everything but the content.
type Attachment struct {
	Name      string `json:"name"`
	MediaType string `json:"mediaType"`
	Size      int64  `json:"size"`
	SHA256    string `json:"sha256"`
}

// Pages gives the entries after one, in order; none at the end.
type Pages func(ctx context.Context, after int64) ([]Entry, error)

// Digest sums up a transcript in a way that is the same in all formats and zones, for whoever reads the same: SHA-256 over
// lines that end with U+000A, each the canonical form (RFC 8785) of a JSON object. The first is {"appointmentId", "headSeq",
// "version": 1}; then comes each event as in the JSON transcript, without "local". Times are in UTC.
type Digest struct{ sum hash.Hash }

// newDigest begins with the first line.
func newDigest(f Facts) (Digest, error) {
	d := Digest{sha256.New()}
	_, err := d.add(map[string]any{"version": 1, "appointmentId": f.Appointment.ID, "headSeq": f.HeadSeq})
	return d, err
}

// Add takes an entry in and gives its canonical form.
func (d Digest) Add(e Entry) (line []byte, err error) { return d.add(e.inUTC()) }

func (d Digest) add(v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode an event: %w", err)
	}
	line, err := jcs.Transform(plain)
	if err != nil {
		return nil, fmt.Errorf("encode an event: %w", err)
	}
	d.sum.Write(line)
	d.sum.Write([]byte{'\n'})
	return line, nil
}

// String gives the sum of what was taken in so far, in hexadecimal digits.
func (d Digest) String() string { return hex.EncodeToString(d.sum.Sum(nil)) }

func (e Entry) inUTC() Entry {
	e.At = e.At.UTC()
	for _, t := range []**time.Time{&e.RetractedAt, &e.CorrectedAt} {
		if *t != nil {
			utc := (*t).UTC()
			*t = &utc
		}
	}
	return e
}
