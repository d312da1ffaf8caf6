package chat

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unique"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"housecall/internal/conversation"
	"housecall/internal/testing/apitest"
)

var (
	goldenID   = uuid.MustParse("6f1a0c52-7c39-4a70-9a3e-0d2f5c1b8e11")
	goldenFile = &conversation.Attachment{
		ID: uuid.MustParse("0b7e5a34-2f1d-4c58-8d6b-6a1f3c9e7d42"), Name: "knee <left>.jpg", MediaType: "image/jpeg",
		Size: 123456, SHA256: strings.Repeat("0f", 32), Width: 1600, Height: 1200, Thumbnail: true,
	}
	goldenTime = time.Date(2026, time.March, 2, 9, 30, 15, 123456000, time.UTC)
)

func goldenLimits() Limits {
	s := &Service{d: Deps{Options: defaultOptions()}}
	return s.limits()
}

func goldenHello() helloFrame {
	end := goldenTime.Add(30 * time.Minute)
	yes := true
	patient := Person{UserID: "PAT0000000001", Role: "PATIENT", Name: "Ada Jones"}
	doctor := Person{UserID: "DOC0000000001", Role: "DOCTOR", Name: "Dr Cara Lim"}
	return helloFrame{
		Connection: goldenID.String(), You: patient,
		Appointment: AppointmentState{
			ID: "APP0000000001", Status: "BOOKED", StartsAt: &goldenTime, EndsAt: &end, Version: 2,
		},
		Participants: []Participant{{Person: patient, Online: &yes, DeliveredSeq: 4, ReadSeq: 3}, {Person: doctor}},
		HeadSeq:      7, Epoch: "0123456789ab", CanReply: true,
		Limits:           goldenLimits(),
		HeartbeatSeconds: 25, Notice: "In an emergency call your local emergency number.",
	}
}

func goldenNews() news {
	end := goldenTime.Add(30 * time.Minute)
	return news{
		standing: standing{
			PublicID: "APP0000000001", Status: "COMPLETED", StartsAt: &goldenTime, EndsAt: &end, Version: 3, HeadSeq: 9,
			ReadSeq: 6, Unread: 2, At: &goldenTime, OtherID: "DOC0000000001", OtherRole: "DOCTOR", OtherName: "Dr Cara Lim",
		},
		mark: mark{whyNot: unique.Make("follow_up_over")},
	}
}

func goldenInbox(more bool) inboxHelloFrame {
	hello := goldenHello()
	f := inboxHelloFrame{
		Connection: hello.Connection, You: hello.You, Unread: []UnreadItem{}, Limits: hello.Limits,
		HeartbeatSeconds: hello.HeartbeatSeconds,
	}
	if more {
		f.Unread, f.Total, f.More = append(f.Unread, goldenNews().unreadItem()), 7, true
	}
	return f
}

// TestFrame_Golden compares every server frame byte for byte, because other people's clients read them.
func TestFrame_Golden(t *testing.T) {
	t.Parallel()
	no := false
	closed := goldenHello()
	closed.CanReply, closed.WhyNot = false, "closed_by_doctor"
	observer := goldenHello()
	observer.You = Person{UserID: "ADM0000000001", Role: "ADMIN", Name: "Eve Admin"}
	observer.CanReply, observer.WhyNot = false, conversation.Reply{Can: true}.ReadOnly().WhyNot
	frames := map[string]wire{
		"hello_onlooker":  encode(observer),
		"error_forbidden": encode(errorFrame{Code: "forbidden", Detail: errObserver(Inbound{}).detail}),
		"hello":           encode(goldenHello()),
		"hello_closed":    encode(closed),
		"event": encodeEvent(conversation.Event{
			Seq: 5, Kind: conversation.KindText, ClientID: goldenID, Sender: "PAT0000000001",
			Text: "It hurts \"here\".\n\u2028 <b>ü 🩺</b> \x01", At: goldenTime,
		}),
		"event_system": encodeEvent(
			conversation.Event{
				Seq: 1, Kind: conversation.KindSystem, Text: "The doctor confirmed the appointment.", At: goldenTime,
			},
		),
		"event_attachment": encodeEvent(conversation.Event{
			Seq: 6, Kind: conversation.KindAttachment, ClientID: goldenID, Sender: "PAT0000000001", Attachment: goldenFile,
			At: goldenTime,
		}),
		"event_retraction": encodeEvent(
			conversation.Event{
				Seq: 7, Kind: conversation.KindRetraction, ClientID: goldenID, Sender: "PAT0000000001", Target: 6, At: goldenTime,
			},
		),
		"event_correction": encodeEvent(conversation.Event{
			Seq: 8, Kind: conversation.KindCorrection, ClientID: goldenID, Sender: "PAT0000000001", Text: "It hurts there.",
			Target: 5, At: goldenTime,
		}),
		"event_retracted": encodeEvent(
			conversation.Event{
				Seq: 6, Kind: conversation.KindAttachment, ClientID: goldenID, Sender: "PAT0000000001",
				Retracted: true, At: goldenTime,
			},
		),
		"event_corrected": encodeEvent(conversation.Event{
			Seq: 5, Kind: conversation.KindText, ClientID: goldenID, Sender: "PAT0000000001", Text: "It hurts there.",
			CorrectedBy: 8, At: goldenTime,
		}),
		"ack":                 encodeAck(goldenID.String(), conversation.Ack{Seq: 5, At: goldenTime}),
		"ack_duplicate":       encodeAck(goldenID.String(), conversation.Ack{Seq: 5, At: goldenTime, Duplicate: true}),
		"nack_closed":         encodeNack(goldenID.String(), conversation.ErrClosed),
		"nack_forbidden":      encodeNack(goldenID.String(), conversation.ErrForbidden),
		"nack_empty":          encodeNack(goldenID.String(), conversation.ErrEmpty),
		"nack_too_long":       encodeNack(goldenID.String(), conversation.ErrTooLong),
		"nack_invalid":        encodeNack(goldenID.String(), conversation.ErrInvalidText),
		"nack_rate":           encodeNack(goldenID.String(), errConnectionTooFast),
		"nack_rate_user":      encodeNack(goldenID.String(), conversation.ErrUserTooFast),
		"nack_rate_room":      encodeNack(goldenID.String(), conversation.ErrConversationTooFast),
		"nack_not_found":      encodeNack(goldenID.String(), conversation.ErrNoTarget),
		"nack_not_found_file": encodeNack(goldenID.String(), conversation.ErrNoFile),
		"nack_not_yours":      encodeNack(goldenID.String(), conversation.ErrNotOwn),
		"nack_unavailable":    encodeNack(goldenID.String(), conversation.ErrUnavailable),
		"live":                encode(liveFrame{HeadSeq: 7}),
		"reset":               encode(resetFrame{HeadSeq: 7, Reason: "gap"}),
		"receipt":             encode(receiptFrame{UserID: "DOC0000000001", DeliveredSeq: 7, ReadSeq: 6}),
		"typing":              encode(typingFrame{UserID: "DOC0000000001", Active: true}),
		"authOk":              encode(authOkFrame{ExpiresAt: goldenTime}),
		"presence":            encode(presenceFrame{UserID: "DOC0000000001", Online: &no}),
		"presence_unknown":    encode(presenceFrame{UserID: "DOC0000000001"}),
		"appointment": encode(appointmentFrame{
			Appointment: AppointmentState{ID: "APP0000000001", Status: "CANCELLED", Version: 3}, WhyNot: "cancelled",
		}),
		"hello_inbox":       encode(goldenInbox(false)),
		"hello_inbox_more":  encode(goldenInbox(true)),
		"unread":            encode(unreadFrame{UnreadItem: goldenNews().unreadItem(), Total: 7}),
		"appointment_inbox": encode(goldenNews().appointmentFrame()),
		"gone":              encode(goneFrame{AppointmentID: "APP0000000001", Total: 5}),
		"authExpiring":      encode(authExpiringFrame{At: goldenTime}),
		"pong":              encode(pongFrame{ID: json.RawMessage(`{"n":[1,"a"]}`)}),
		"pong_bare":         encode(pongFrame{}),
		"error":             encode(errorFrame{Code: "unknown_type", Detail: "This server does not know this type of frame."}),
		"bye":               encode(byeFrame{Code: closeRestart, Reason: "this instance is restarting", ReconnectAfterMs: 1500}),
	}
	for name, frame := range frames {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := payload(t, frame)
			apitest.GoldenFile(t, "server_"+name+".json", append(body, '\n'))
			kind, _, _ := strings.Cut(name, "_")
			require.True(t, strings.HasPrefix(string(body), `{"type":"`+kind+`"`), "type comes first")
		})
	}
}

// TestDecode_Golden reads the frames that documented clients send.
func TestDecode_Golden(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]Inbound{
		"send":            {Type: "send", ClientID: goldenID, Echo: goldenID.String(), Text: "Good morning, ü 🩺 \u2028 \"x\""},
		"send_attachment": {Type: "send", ClientID: goldenID, Echo: goldenID.String(), AttachmentID: goldenFile.ID},
		"retract":         {Type: "retract", ClientID: goldenID, Echo: goldenID.String(), Target: 5},
		"correct":         {Type: "correct", ClientID: goldenID, Echo: goldenID.String(), Target: 5, Text: "It hurts there, not here."},
		"delivered":       {Type: "delivered", UpTo: 7},
		"read":            {Type: "read", UpTo: 6},
		"typing":          {Type: "typing", Active: true},
		"auth":            {Type: "auth", Token: "eyJhbGciOiJIUzI1NiJ9.e30.x"},
		"ping":            {Type: "ping", ID: `{"n": 1}`},
		"ping_bare":       {Type: "ping"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			frame, err := os.ReadFile(filepath.Join("testdata", "client_"+name+".json"))
			require.NoError(t, err)
			got, err := Decode(frame)
			require.NoError(t, err)
			require.Equal(t, want, got)
		})
	}
}

// TestDecode_Refusals says for each bad frame whether the connection ends, and if not, whether the answer can be a
// nack.
func TestDecode_Refusals(t *testing.T) {
	t.Parallel()
	id := goldenID.String()
	for name, c := range map[string]struct {
		frame, code string // code "" is errProtocol
		named       bool   // the answer names the clientId
	}{
		"not JSON":                     {frame: `hello`},
		"empty":                        {frame: ``},
		"cut off":                      {frame: `{"type":"ping"`},
		"two values":                   {frame: `{"type":"ping"}{}`},
		"null":                         {frame: `null`},
		"a list":                       {frame: `[]`},
		"a string":                     {frame: `"ping"`},
		"a number":                     {frame: ` 7`},
		"not UTF-8":                    {frame: "{\"type\":\"ping\",\"id\":\"\xff\"}"},
		"a NUL byte":                   {frame: "{\"type\":\"\x00\"}"},
		"no type":                      {frame: `{}`, code: "unknown_type"},
		"unknown type":                 {frame: `{"type":"shout","clientId":"` + id + `"}`, code: "unknown_type"},
		"later type":                   {frame: `{"type":"react","clientId":"` + id + `","target":1}`, code: "unknown_type"},
		"type is a number":             {frame: `{"type":5}`, code: "invalid"},
		"a field twice":                {frame: `{"type":"send","clientId":"` + id + `","text":"x","text":"y"}`, code: "invalid", named: true},
		"a field twice, in any case":   {frame: `{"type":"send","clientId":"` + id + `","text":"x","Text":"y"}`, code: "invalid", named: true},
		"a clientId twice":             {frame: `{"type":"send","ClientID":"` + id + `","text":"x","clientId":"` + id + `"}`, code: "invalid"},
		"a clientId twice, and a text": {frame: `{"type":"send","clientId":"` + id + `","text":7,"clientId":"` + id + `"}`, code: "invalid"},
		"upTo twice, with a clientId":  {frame: `{"type":"read","clientId":"` + id + `","upTo":1,"upTo":2}`, code: "invalid"},
		"send without clientId":        {frame: `{"type":"send","text":"x"}`, code: "invalid"},
		"send with a short clientId":   {frame: `{"type":"send","clientId":"1","text":"x"}`, code: "invalid"},
		"send with a nil clientId":     {frame: `{"type":"send","clientId":"` + uuid.Nil.String() + `","text":"x"}`, code: "invalid"},
		"send with a URN":              {frame: `{"type":"send","clientId":"urn:uuid:` + id + `","text":"x"}`, code: "invalid"},
		"send with braces":             {frame: `{"type":"send","clientId":"{` + id + `}","text":"x"}`, code: "invalid"},
		"send without text":            {frame: `{"type":"send","clientId":"` + id + `"}`, code: "invalid", named: true},
		"send with null text":          {frame: `{"type":"send","clientId":"` + id + `","text":null}`, code: "invalid", named: true},
		"send with a number for text":  {frame: `{"type":"send","clientId":"` + id + `","text":7}`, code: "invalid", named: true},
		"send with an object for text": {frame: `{"type":"send","text":{},"clientId":"` + id + `"}`, code: "invalid", named: true},
		"send with text and a file":    {frame: `{"type":"send","clientId":"` + id + `","text":"x","attachmentId":"` + id + `"}`, code: "invalid", named: true},
		"send with no file's id":       {frame: `{"type":"send","clientId":"` + id + `","attachmentId":"x"}`, code: "invalid", named: true},
		"send with a number for file":  {frame: `{"type":"send","clientId":"` + id + `","attachmentId":1}`, code: "invalid", named: true},
		"retract without clientId":     {frame: `{"type":"retract","target":1}`, code: "invalid"},
		"retract without target":       {frame: `{"type":"retract","clientId":"` + id + `"}`, code: "invalid", named: true},
		"retract of nothing":           {frame: `{"type":"retract","clientId":"` + id + `","target":0}`, code: "invalid", named: true},
		"retract of a word":            {frame: `{"type":"retract","clientId":"` + id + `","target":"1"}`, code: "invalid", named: true},
		"retract of a fraction":        {frame: `{"type":"retract","clientId":"` + id + `","target":1.5}`, code: "invalid", named: true},
		"correct without target":       {frame: `{"type":"correct","clientId":"` + id + `","text":"x"}`, code: "invalid", named: true},
		"correct without text":         {frame: `{"type":"correct","clientId":"` + id + `","target":1}`, code: "invalid", named: true},
		"correct with a list for text": {frame: `{"type":"correct","clientId":"` + id + `","target":1,"text":[]}`, code: "invalid", named: true},
		"read of a word, named":        {frame: `{"type":"read","clientId":"` + id + `","upTo":"x"}`, code: "invalid"},
		"read without upTo":            {frame: `{"type":"read"}`, code: "invalid"},
		"read below zero":              {frame: `{"type":"read","upTo":-1}`, code: "invalid"},
		"read of a fraction":           {frame: `{"type":"read","upTo":1.5}`, code: "invalid"},
		"read beyond 64 bits":          {frame: `{"type":"read","upTo":9223372036854775808}`, code: "invalid"},
		"delivered as text":            {frame: `{"type":"delivered","upTo":"7"}`, code: "invalid"},
		"typing without active":        {frame: `{"type":"typing"}`, code: "invalid"},
		"auth without token":           {frame: `{"type":"auth"}`, code: "invalid"},
		"auth with an empty token":     {frame: `{"type":"auth","token":""}`, code: "invalid"},
		"ping with a long id":          {frame: `{"type":"ping","id":"` + strings.Repeat("x", 127) + `"}`, code: "invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Decode([]byte(c.frame))
			if c.code == "" {
				require.ErrorIs(t, err, errProtocol)
				return
			}
			var bad *badFrame
			require.ErrorAs(t, err, &bad)
			require.Equal(t, c.code, bad.code)
			require.Equal(t, c.named, bad.clientID == goldenID.String())
			require.NotEmpty(t, bad.detail)
		})
	}
}

func TestDecode_UnknownFieldsAreIgnored(t *testing.T) {
	t.Parallel()
	in, err := Decode([]byte(` {"future":{"a":[1]},"type":"typing","active":false}`))
	require.NoError(t, err)
	require.Equal(t, Inbound{Type: "typing"}, in)
}

func TestCheckText(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"a word":                         {"x", nil},
		"4,000 characters of one byte":   {strings.Repeat("x", conversation.MaxChars), nil},
		"4,000 characters of four":       {strings.Repeat("🩺", conversation.MaxChars), nil},
		"one too many":                   {strings.Repeat("x", conversation.MaxChars+1), conversation.ErrTooLong},
		"one too many of four bytes":     {strings.Repeat("🩺", conversation.MaxChars+1), conversation.ErrTooLong},
		"nothing":                        {"", conversation.ErrEmpty},
		"spaces and lines":               {" \t\r\n\u00a0\u2003", conversation.ErrEmpty},
		"joiners, marks of direction":    {"\u200b\u200d\u2060\ufeff\u202e", conversation.ErrEmpty},
		"an emoji made with joiners":     {"👩\u200d⚕️", nil},
		"U+0000":                         {"a\x00b", conversation.ErrInvalidText},
		"not UTF-8":                      {"a\xffb", conversation.ErrInvalidText},
		"a surrogate":                    {"\xed\xa0\x80", conversation.ErrInvalidText},
		"other controls are let through": {"a\x01b", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, conversation.CheckText(c.text))
		})
	}
}
