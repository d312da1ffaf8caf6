package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"housecall/internal/auth"
)

// Inbound is a client's frame, decoded. Which fields count depends on Type.
type Inbound struct {
	Type         string
	ClientID     uuid.UUID
	Text         string
	AttachmentID uuid.UUID // of send: instead of Text
	Target       int64     // of retract and correct
	UpTo         int64
	Active       bool
	Token        string
	ID           string
}

// draft makes what a send, retract or correct asks for.
func (in Inbound) draft(room int64, sender auth.Actor) Draft {
	d := Draft{Room: room, Sender: sender, ClientID: in.ClientID, Kind: KindText, Text: in.Text, Target: in.Target, Attachment: in.AttachmentID}
	switch {
	case in.Type == "retract":
		d.Kind = KindRetraction
	case in.Type == "correct":
		d.Kind = KindCorrection
	case in.AttachmentID != uuid.Nil:
		d.Kind = KindAttachment
	}
	return d
}

// errProtocol is a frame that cannot be a frame: the connection closes with 4400.
var errProtocol = errors.New("the frame is not a JSON object in valid UTF-8")

// badFrame is a frame whose type is known or readable, but not what it carries. With a ClientID it is answered
// with nack, else with error; the connection stays.
type badFrame struct {
	clientID uuid.UUID
	code     string
	detail   string
}

func (e *badFrame) Error() string { return e.code + ": " + e.detail }

// wireInbound has pointers where absence differs from a zero value.
type wireInbound struct {
	Type         string          `json:"type"`
	ClientID     string          `json:"clientId"`
	Text         *string         `json:"text"`
	AttachmentID *string         `json:"attachmentId"`
	Target       *int64          `json:"target"`
	UpTo         *int64          `json:"upTo"`
	Active       *bool           `json:"active"`
	Token        *string         `json:"token"`
	ID           json.RawMessage `json:"id"`
}

// Decode reads one client frame: errProtocol, a *badFrame, or a frame whose fields are all present and of the
// right shape (the text's own rules are CheckText's).
func Decode(data []byte) (Inbound, error) {
	if !utf8.Valid(data) {
		return Inbound{}, errProtocol
	}
	var w wireInbound
	if err := json.Unmarshal(data, &w); err != nil {
		return Inbound{}, explain(data, err)
	}
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return Inbound{}, errProtocol // null unmarshals into anything
	}
	return w.check()
}

// explain tells a field of the wrong type from something that is no frame at all.
func explain(data []byte, err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) || wrong.Field == "" {
		return errProtocol
	}
	var loose struct {
		Type     any `json:"type"`
		ClientID any `json:"clientId"`
	}
	if json.Unmarshal(data, &loose) != nil {
		return errProtocol
	}
	bad := &badFrame{code: "invalid", detail: "The field " + wrong.Field + " has the wrong type."}
	if s, ok := loose.ClientID.(string); ok && slices.Contains(draftTypes, loose.Type) {
		bad.clientID, _ = parseClientID(s)
	}
	return bad
}

// draftTypes are the frames that are answered with ack or nack.
var draftTypes = []any{"send", "retract", "correct"}

func (w *wireInbound) check() (Inbound, error) {
	in := Inbound{Type: w.Type}
	missing := func(field string) (Inbound, error) {
		return Inbound{}, &badFrame{clientID: in.ClientID, code: "invalid", detail: "The field " + field + " is missing or not valid."}
	}
	switch w.Type {
	case "send", "retract", "correct":
		if field := w.fillDraft(&in); field != "" {
			return missing(field)
		}
	case "delivered", "read":
		if w.UpTo == nil || *w.UpTo < 0 {
			return missing("upTo")
		}
		in.UpTo = *w.UpTo
	case "typing":
		if w.Active == nil {
			return missing("active")
		}
		in.Active = *w.Active
	case "auth":
		if w.Token == nil || *w.Token == "" {
			return missing("token")
		}
		in.Token = *w.Token
	case "ping":
		if len(w.ID) > 128 {
			return missing("id")
		}
		in.ID = string(w.ID)
	default:
		return Inbound{}, &badFrame{code: "unknown_type", detail: "This server does not know that type of frame."}
	}
	return in, nil
}

// fillDraft reads what a send, retract or correct carries, its clientId first; field names what is wrong.
func (w *wireInbound) fillDraft(in *Inbound) (field string) {
	var err error
	if in.ClientID, err = parseClientID(w.ClientID); err != nil {
		return "clientId"
	}
	if w.Type != "send" {
		if w.Target == nil || *w.Target < 1 {
			return "target"
		}
		in.Target = *w.Target
	}
	switch {
	case w.Type == "retract":
	case w.Type == "send" && w.AttachmentID != nil:
		if w.Text != nil {
			return "text (of a message that sends a file)"
		}
		if in.AttachmentID, err = parseClientID(*w.AttachmentID); err != nil {
			return "attachmentId"
		}
	case w.Text == nil:
		return "text"
	default:
		in.Text = *w.Text
	}
	return ""
}

// parseClientID takes the canonical form of RFC 9562 only, so that one id cannot be spelt two ways.
func parseClientID(s string) (uuid.UUID, error) {
	if len(s) != 36 {
		return uuid.Nil, errors.New("not a UUID")
	}
	id, err := uuid.Parse(s)
	if err == nil && id == uuid.Nil {
		return uuid.Nil, errors.New("the nil UUID names nothing")
	}
	return id, err
}

// Person is a participant as frames show him.
type Person struct {
	UserID string `json:"userId"`
	Role   string `json:"role"`
	Name   string `json:"name"`
}

// Participant is a person with what is known of him in this room. Online is null while nobody can know.
type Participant struct {
	Person
	Online       *bool `json:"online"`
	DeliveredSeq int64 `json:"deliveredSeq"`
	ReadSeq      int64 `json:"readSeq"`
}

// AppointmentState is the appointment as frames show it.
type AppointmentState struct {
	ID       string     `json:"id"`
	Status   string     `json:"status"`
	StartsAt *time.Time `json:"startsAt,omitempty"`
	EndsAt   *time.Time `json:"endsAt,omitempty"`
	Version  int        `json:"version"`
}

// Limits are told to every client, so that it need not guess.
type Limits struct {
	MessageChars      int `json:"messageChars"`
	FrameBytes        int `json:"frameBytes"`
	PerSecond         int `json:"perSecond"` // messages, sustained, of a connection; below of a user and of a room
	UserPerSecond     int `json:"userPerSecond"`
	RoomPerSecond     int `json:"roomPerSecond"`
	FramesPerSecond   int `json:"framesPerSecond"` // of any kind, of a connection
	SocketsPerUser    int `json:"socketsPerUser"`
	SocketsPerAddress int `json:"socketsPerAddress"`
}

// The server's frames. Field order is wire order: type first.
type (
	helloFrame struct {
		Type             string           `json:"type"`
		Connection       string           `json:"connection"`
		You              Person           `json:"you"`
		Appointment      AppointmentState `json:"appointment"`
		Participants     []Participant    `json:"participants"`
		HeadSeq          int64            `json:"headSeq"`
		Epoch            string           `json:"epoch"`
		CanReply         bool             `json:"canReply"`
		WhyNot           string           `json:"whyNot,omitempty"`
		Limits           Limits           `json:"limits"`
		HeartbeatSeconds int              `json:"heartbeatSeconds"`
		Notice           string           `json:"notice"`
	}
	appointmentFrame struct {
		Type        string           `json:"type"`
		Appointment AppointmentState `json:"appointment"`
		CanReply    bool             `json:"canReply"`
		WhyNot      string           `json:"whyNot,omitempty"`
	}
	nackFrame struct {
		Type     string    `json:"type"`
		ClientID uuid.UUID `json:"clientId"`
		Code     string    `json:"code"`
		Detail   string    `json:"detail"`
		Retry    string    `json:"retry"`
	}
	errorFrame struct {
		Type   string `json:"type"`
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	liveFrame struct {
		Type    string `json:"type"`
		HeadSeq int64  `json:"headSeq"`
	}
	resetFrame struct {
		Type    string `json:"type"`
		HeadSeq int64  `json:"headSeq"`
		Reason  string `json:"reason"`
	}
	receiptFrame struct {
		Type         string `json:"type"`
		UserID       string `json:"userId"`
		DeliveredSeq int64  `json:"deliveredSeq"`
		ReadSeq      int64  `json:"readSeq"`
	}
	typingFrame struct {
		Type   string `json:"type"`
		UserID string `json:"userId"`
		Active bool   `json:"active"`
	}
	presenceFrame struct {
		Type   string `json:"type"`
		UserID string `json:"userId"`
		Online *bool  `json:"online"`
	}
	authOkFrame struct {
		Type      string    `json:"type"`
		ExpiresAt time.Time `json:"expiresAt"`
	}
	authExpiringFrame struct {
		Type string    `json:"type"`
		At   time.Time `json:"at"`
	}
	pongFrame struct {
		Type string          `json:"type"`
		ID   json.RawMessage `json:"id,omitempty"`
	}
	byeFrame struct {
		Type             string `json:"type"`
		Code             int    `json:"code"`
		Reason           string `json:"reason"`
		ReconnectAfterMs int64  `json:"reconnectAfterMs"`
	}
)
