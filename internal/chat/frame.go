package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"housecall/internal/conversation"
	"housecall/internal/text"
)

// MaxFrameBytes is the longest frame that a client may send.
const MaxFrameBytes = 64 * 1024

// Inbound is a decoded client frame. Its Type decides which fields are used.
type Inbound struct {
	Type         string
	ClientID     uuid.UUID
	Echo         string // the client's own spelling of ClientID, for answers: clients compare strings
	Text         string
	AttachmentID uuid.UUID // for send, instead of Text
	Target       int64     // of retract and correct
	UpTo         int64
	Active       bool
	Token        string
	ID           string
}

// errProtocol means that the data is not a frame at all: the connection is closed with 4400.
var errProtocol = errors.New("the frame is not a JSON object in valid UTF-8")

// badFrame is a JSON object whose type is unknown or whose fields are not valid. The answer is a nack if it has a
// clientID, otherwise an error; the connection stays open.
type badFrame struct {
	clientID string // as the client spelled it
	code     string
	detail   string
}

func (e *badFrame) Error() string { return e.code + ": " + e.detail }

// clientFields are the fields of all client frames together. A pointer tells absence from a zero value.
type clientFields struct {
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

// Decode reads one client frame. It fails with errProtocol or a *badFrame unless all fields of the type are present and
// have the right shape (the rules for texts are those of conversation.CheckText).
func Decode(data []byte) (Inbound, error) {
	if !utf8.Valid(data) {
		return Inbound{}, errProtocol
	}
	var w clientFields
	if err := json.Unmarshal(data, &w); err != nil {
		return Inbound{}, explain(data, err)
	}
	if trimmed := bytes.TrimLeft(data, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return Inbound{}, errProtocol // null unmarshals into any type
	}
	if twice := text.TwiceInAnyCase(data); len(twice) > 0 {
		return Inbound{}, &badFrame{clientID: namedBy(data, twice), code: "invalid", detail: "A field comes twice."}
	}
	in, frame := Inbound{Type: w.Type}, clientFrameOf(w.Type)
	if frame == nil {
		return Inbound{}, &badFrame{code: "unknown_type", detail: "This server does not know this type of frame."}
	}
	if missing := frame.read(&w, &in); missing != "" {
		return Inbound{}, &badFrame{
			clientID: in.Echo, code: "invalid", detail: "The field " + missing + " is missing or not valid.",
		}
	}
	return in, nil
}

// explain distinguishes a field of the wrong type from data that is not a frame at all.
func explain(data []byte, err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) || wrong.Field == "" {
		return errProtocol
	}
	return &badFrame{
		clientID: namedBy(data, text.TwiceInAnyCase(data)), code: "invalid",
		detail: "The field " + wrong.Field + " has the wrong type.",
	}
}

// namedBy returns the clientId that the answer to a refused frame repeats, as the client spelled it: "" unless the
// frame asks for an event and has one valid clientId. twice are the keys that come twice.
func namedBy(data []byte, twice []string) string {
	if slices.ContainsFunc(twice, func(key string) bool { return strings.EqualFold(key, "clientId") }) {
		return ""
	}
	var loose struct {
		Type     any `json:"type"`
		ClientID any `json:"clientId"`
	}
	if json.Unmarshal(data, &loose) != nil {
		return ""
	}
	kind, _ := loose.Type.(string)
	id, _ := loose.ClientID.(string)
	if f := clientFrameOf(kind); f == nil || !f.drafts {
		return ""
	}
	if _, err := conversation.ParseClientID(id); err != nil {
		return ""
	}
	return id
}

func readSend(w *clientFields, in *Inbound) (missing string) {
	if missing = readClientID(w, in); missing != "" {
		return missing
	}
	if w.AttachmentID == nil {
		return readText(w, in)
	}
	if w.Text != nil {
		return "text (not allowed together with attachmentId)"
	}
	var err error
	if in.AttachmentID, err = conversation.ParseClientID(*w.AttachmentID); err != nil {
		return "attachmentId"
	}
	return ""
}

func readRetract(w *clientFields, in *Inbound) (missing string) {
	if missing = readClientID(w, in); missing != "" {
		return missing
	}
	return readTarget(w, in)
}

func readCorrect(w *clientFields, in *Inbound) (missing string) {
	if missing = readRetract(w, in); missing != "" {
		return missing
	}
	return readText(w, in)
}

func readClientID(w *clientFields, in *Inbound) (missing string) {
	var err error
	if in.ClientID, err = conversation.ParseClientID(w.ClientID); err != nil {
		return "clientId"
	}
	in.Echo = w.ClientID
	return ""
}

func readTarget(w *clientFields, in *Inbound) (missing string) {
	if w.Target == nil || *w.Target < 1 {
		return "target"
	}
	in.Target = *w.Target
	return ""
}

func readText(w *clientFields, in *Inbound) (missing string) {
	if w.Text == nil {
		return "text"
	}
	in.Text = *w.Text
	return ""
}

func readUpTo(w *clientFields, in *Inbound) (missing string) {
	if w.UpTo == nil || *w.UpTo < 0 {
		return "upTo"
	}
	in.UpTo = *w.UpTo
	return ""
}

func readTyping(w *clientFields, in *Inbound) (missing string) {
	if w.Active == nil {
		return "active"
	}
	in.Active = *w.Active
	return ""
}

func readAuth(w *clientFields, in *Inbound) (missing string) {
	if w.Token == nil || *w.Token == "" {
		return "token"
	}
	in.Token = *w.Token
	return ""
}

func readPing(w *clientFields, in *Inbound) (missing string) {
	if len(w.ID) > 128 {
		return "id"
	}
	in.ID = string(w.ID)
	return ""
}
