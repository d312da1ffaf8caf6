package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Event is one entry of a conversation's log, over REST and WebSocket alike. Seq starts at 1 and has no gaps.
type Event struct {
	Seq         int64     `json:"seq"`
	Kind        string    `json:"kind"` // text, attachment, system, retraction, correction
	ClientID    string    `json:"clientId"`
	Sender      string    `json:"sender"` // user id; empty for system events
	Text        string    `json:"text"`
	Target      int64     `json:"target"` // of retractions and corrections: the seq they refer to
	At          time.Time `json:"at"`
	Retracted   bool      `json:"retracted"`
	CorrectedBy int64     `json:"correctedBy"`
	// Attachment is the file of an event of that kind, unless it was retracted.
	Attachment *Attachment `json:"attachment"`
}

// Sent confirms that a message is committed.
type Sent struct {
	ClientID  string    `json:"clientId"`
	Seq       int64     `json:"seq"`
	At        time.Time `json:"at"`
	Duplicate bool      `json:"duplicate"` // an earlier attempt had stored it already
}

// History is a part of a log, oldest first.
type History struct {
	Items   []Event `json:"items"`
	HeadSeq int64   `json:"headSeq"`
}

// MessagesAfter reads the log upwards from the event after seq; limit is at most 100.
func (a *API) MessagesAfter(ctx context.Context, appointmentID string, seq int64, limit int) (History, error) {
	return a.messages(ctx, appointmentID, "after", seq, limit)
}

// MessagesBefore reads the limit events (at most 100) just before seq, oldest first; with seq 0, the newest.
func (a *API) MessagesBefore(ctx context.Context, appointmentID string, seq int64, limit int) (History, error) {
	return a.messages(ctx, appointmentID, "before", seq, limit)
}

func (a *API) messages(ctx context.Context, id, side string, seq int64, limit int) (History, error) {
	q := url.Values{"limit": {strconv.Itoa(limit)}}
	if side == "after" || seq > 0 {
		q.Set(side, strconv.FormatInt(seq, 10))
	}
	var out History
	err := a.call(ctx, ask{method: http.MethodGet, path: appointmentPath(id) + "/messages", query: q, out: &out})
	return out, err
}

// SendMessage sends a message over REST. clientID is a UUID (NewClientID). Use the same one for every attempt at a
// message: then all attempts together make one message.
func (a *API) SendMessage(ctx context.Context, appointmentID, clientID, text string) (Sent, error) {
	in := map[string]string{"clientId": clientID, "text": text}
	var out Sent
	path := appointmentPath(appointmentID) + "/messages"
	err := a.call(ctx, ask{method: http.MethodPost, path: path, in: in, out: &out})
	return out, err
}
