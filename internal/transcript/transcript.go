// Package transcript writes a conversation as a self-contained document: JSON, text or PDF. It does not decide who
// may read a conversation; callers must have a Reading.
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

// Format is the format of a transcript.
type Format string

// The formats.
const (
	JSON Format = "json"
	Text Format = "txt"
	PDF  Format = "pdf"
)

// MediaType returns the format's Content-Type.
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

// Facts are everything in a transcript besides the events.
type Facts struct {
	Appointment  Appointment
	Participants []Participant // everyone who takes part or has written
	Zone         *time.Location
	GeneratedAt  time.Time
	HeadSeq      int64 // the seq of the transcript's last event
}

// Appointment is the appointment that the conversation belongs to.
type Appointment struct {
	ID       string     `json:"id"`
	Status   string     `json:"status"`
	StartsAt *time.Time `json:"startsAt"`
	EndsAt   *time.Time `json:"endsAt"`
	Reason   string     `json:"reason"`
}

// Participant is someone who takes part in the conversation or has written in it.
type Participant struct {
	UserID string `json:"userId"`
	Name   string `json:"name"`
	Role   string `json:"role"`
}

// The kinds of entries that are rendered specially.
const (
	kindSystem     = "system"
	kindRetraction = "retraction"
	kindCorrection = "correction"
)

// Entry is an event as it stood when the transcript was started: without text and attachment if it was retracted,
// with its latest text if it was corrected. Original is its first text, set only for readers who may see it.
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

// Attachment describes a file that was sent. A transcript does not contain the file itself.
type Attachment struct {
	Name      string `json:"name"`
	MediaType string `json:"mediaType"`
	Size      int64  `json:"size"`
	SHA256    string `json:"sha256"`
}

// Pages returns the next entries after a seq, in order; none at the end.
type Pages func(ctx context.Context, after int64) ([]Entry, error)

// Digest computes the checksum of a transcript, which is the same in all formats and zones if the entries are: SHA-256
// over lines that end with U+000A, each the canonical form (RFC 8785) of a JSON object. The first is {"appointmentId",
// "headSeq", "version": 1}; then comes each event as in the JSON transcript, without "local". Times are in UTC.
type Digest struct{ sum hash.Hash }

// newDigest starts a digest with the first line.
func newDigest(f Facts) (Digest, error) {
	d := Digest{sha256.New()}
	_, err := d.takeIn(map[string]any{"version": 1, "appointmentId": f.Appointment.ID, "headSeq": f.HeadSeq})
	return d, err
}

// Add adds an entry and returns its canonical form.
func (d Digest) Add(e Entry) (line []byte, err error) { return d.takeIn(e.inUTC()) }

func (d Digest) takeIn(v any) ([]byte, error) {
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

// String returns the checksum of what has been added so far, in hexadecimal.
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
