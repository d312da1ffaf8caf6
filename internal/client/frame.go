package client

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Frame is one frame from the service: PROTOCOL.md's table as a struct. Type says which fields apply. Hello has a
// struct of its own, since a connection gets only one.
type Frame struct {
	Type string `json:"type"`
	Event
	Duplicate bool `json:"duplicate"` // ack

	Code   scalar `json:"code"` // nack, error; the close code of bye
	Detail string `json:"detail"`
	Retry  string `json:"retry"` // nack: never or later
	Reason string `json:"reason"`

	HeadSeq          int64 `json:"headSeq"`          // live, reset
	ReconnectAfterMs int64 `json:"reconnectAfterMs"` // bye

	UserID       string    `json:"userId"` // receipt, typing, presence
	DeliveredSeq int64     `json:"deliveredSeq"`
	ReadSeq      int64     `json:"readSeq"`
	Active       bool      `json:"active"`
	Online       *bool     `json:"online"` // nil: unknown
	ExpiresAt    time.Time `json:"expiresAt"`
	ID           scalar    `json:"id"` // pong

	Hello       *Hello            `json:"-"`
	Appointment *AppointmentState `json:"appointment"` // appointment, as are those below
	CanReply    bool              `json:"canReply"`
	WhyNot      string            `json:"whyNot"`
}

// Hello is the first frame of every connection.
type Hello struct {
	Connection       string           `json:"connection"`
	You              Person           `json:"you"`
	Appointment      AppointmentState `json:"appointment"`
	Participants     []Participant    `json:"participants"`
	HeadSeq          int64            `json:"headSeq"`
	Epoch            string           `json:"epoch"`
	CanReply         bool             `json:"canReply"`
	WhyNot           string           `json:"whyNot"`
	Limits           Limits           `json:"limits"`
	HeartbeatSeconds int              `json:"heartbeatSeconds"`
	Notice           string           `json:"notice"`
}

// AppointmentState is what a conversation knows of its appointment.
type AppointmentState struct {
	ID       string     `json:"id"`
	Status   string     `json:"status"`
	StartsAt *time.Time `json:"startsAt"`
	EndsAt   *time.Time `json:"endsAt"`
	Version  int        `json:"version"`
}

// Participant is the patient or the doctor of a conversation. Online is nil while presence is unknown.
type Participant struct {
	UserID       string `json:"userId"`
	Role         string `json:"role"`
	Name         string `json:"name"`
	Online       *bool  `json:"online"`
	DeliveredSeq int64  `json:"deliveredSeq"`
	ReadSeq      int64  `json:"readSeq"`
}

// Limits are the service's limits for this connection.
type Limits struct {
	MessageChars int `json:"messageChars"`
	FrameBytes   int `json:"frameBytes"`
	PerSecond    int `json:"perSecond"`
}

// scalar is a string in one frame and a number in another: it keeps the string's content or the number's digits.
type scalar string

func (s *scalar) UnmarshalJSON(raw []byte) error {
	*s = scalar(strings.Trim(string(raw), `"`))
	return nil
}

// decode reads a frame into f and replaces everything in it. The strings in f do not share memory with raw.
func decode(raw []byte, f *Frame) error {
	*f = Frame{}
	text := string(raw)
	if scanFrame(text, f) {
		return nil
	}
	*f = Frame{}
	if err := json.Unmarshal(raw, f); err != nil {
		return fmt.Errorf("read a frame: %w", err)
	}
	if f.Type != "hello" {
		return nil
	}
	f.Hello = &Hello{}
	if err := json.Unmarshal(raw, f.Hello); err != nil {
		return fmt.Errorf("read a hello frame: %w", err)
	}
	return nil
}

// Each of these appends a frame that a client sends to dst.

func appendSend(dst []byte, clientID, text string) []byte {
	dst = append(dst, `{"type":"send","clientId":"`...)
	dst = append(dst, clientID...)
	dst = append(dst, `","text":`...)
	dst = appendString(dst, text)
	return append(dst, '}')
}

// appendDraft appends the frame that sends a draft.
func appendDraft(dst []byte, d *draft) []byte {
	switch {
	case d.kind == "retract":
		return fmt.Appendf(dst, `{"type":"retract","clientId":%q,"target":%d}`, d.clientID, d.target)
	case d.kind == "correct":
		dst = fmt.Appendf(dst, `{"type":"correct","clientId":%q,"target":%d,"text":`, d.clientID, d.target)
		return append(appendString(dst, d.text), '}')
	case d.file != "":
		return fmt.Appendf(dst, `{"type":"send","clientId":%q,"attachmentId":%q}`, d.clientID, d.file)
	}
	return appendSend(dst, d.clientID, d.text)
}

func appendUpTo(dst []byte, frameType string, seq int64) []byte {
	return fmt.Appendf(dst, `{"type":%q,"upTo":%d}`, frameType, seq)
}

func appendTyping(dst []byte, active bool) []byte {
	return fmt.Appendf(dst, `{"type":"typing","active":%t}`, active)
}

func appendAuth(dst []byte, token string) []byte {
	dst = append(dst, `{"type":"auth","token":`...)
	dst = appendString(dst, token)
	return append(dst, '}')
}

// appendString writes a JSON string; most messages need no escapes, and then nothing is allocated.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if b := s[i]; b < ' ' || b == '"' || b == '\\' || b >= 0x7f {
			quoted, _ := json.Marshal(s) // a string always encodes
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
