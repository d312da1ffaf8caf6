package chat

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha1" // as RFC 6455 section 4.2.2 has it
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"housecall/internal/wirejson"

	"housecall/internal/conversation"

	"github.com/fasthttp/websocket"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// nasty are texts that JSON encoders have got wrong.
var nasty = []string{
	"", "\"", "\\", "\\\"", "\n\r\t", "\b\f", "\x01\x1f\x7f", "\u0080\u009f", "\u2028", "\u2029x", "x\u2028",
	"\u2027\u202a", "\ufffd", "\ufeff", "<script>&amp;</script>", "🩺", "👩\u200d⚕️", "\U0010ffff", "\ud7ff\ue000",
	"é e\u0301", strings.Repeat("\u2028", 50), strings.Repeat("\x1b", 300),
}

func nastyText() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		parts := rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(nasty), rapid.String()), 0, 8).Draw(t, "parts")
		return strings.ToValidUTF8(strings.Join(parts, ""), "?")
	})
}

// wantEvent and wantAck are the frames as encoding/json would write them.
type wantEvent struct {
	Type        string                   `json:"type"`
	Seq         int64                    `json:"seq"`
	Kind        conversation.Kind        `json:"kind"`
	ClientID    *uuid.UUID               `json:"clientId,omitempty"`
	Sender      string                   `json:"sender,omitempty"`
	Text        *string                  `json:"text,omitempty"`
	Target      int64                    `json:"target,omitempty"`
	Attachment  *conversation.Attachment `json:"attachment,omitempty"`
	Retracted   bool                     `json:"retracted,omitempty"`
	CorrectedBy int64                    `json:"correctedBy,omitempty"`
	At          time.Time                `json:"at"`
}

type wantAck struct {
	Type      string    `json:"type"`
	ClientID  uuid.UUID `json:"clientId"`
	Seq       int64     `json:"seq"`
	At        time.Time `json:"at"`
	Duplicate bool      `json:"duplicate,omitempty"`
}

// marshal is encoding/json without the escapes for HTML; it spells \b and \f shorter than we do.
func marshal(t require.TestingT, v any) string {
	body, err := wirejson.Marshal(v)
	require.NoError(t, err)
	return string(body)
}

func bodyOfWire(w wire) string {
	if w[1] < 126 {
		return string(w[2:])
	}
	return string(w[4:])
}

func TestEncodeEvent_EqualsEncodingJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := conversation.Event{
			Seq: rapid.Int64Min(1).Draw(t, "seq"),
			Kind: rapid.SampledFrom([]conversation.Kind{conversation.KindText, conversation.KindAttachment, conversation.KindSystem, conversation.KindRetraction, conversation.KindCorrection}).
				Draw(t, "kind"),
			Sender: rapid.SampledFrom([]string{"", "PAT0000000001"}).Draw(t, "sender"),
			Text:   nastyText().Draw(t, "text"),
			At:     time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "at")),
		}
		drawRare(t, &e)
		want := wantEvent{
			Type: "event", Seq: e.Seq, Kind: e.Kind, Sender: e.Sender, Target: e.Target, Attachment: e.Attachment,
			Retracted: e.Retracted, CorrectedBy: e.CorrectedBy, At: e.At.UTC(),
		}
		if !e.Retracted && e.Kind != conversation.KindAttachment && e.Kind != conversation.KindRetraction {
			want.Text = &e.Text
		}
		if rapid.Bool().Draw(t, "fromClient") {
			e.ClientID = uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
			if e.ClientID != uuid.Nil {
				want.ClientID = &e.ClientID
			}
		}
		got := bodyOfWire(encodeEvent(e))
		var back wantEvent
		require.NoError(t, json.Unmarshal([]byte(got), &back))
		require.Equal(t, want, back)
		if !strings.ContainsAny(e.Text, "\b\f") && e.Attachment == nil {
			require.Equal(t, marshal(t, want), got)
		}
		require.NotContains(t, got, "\u2028", "the frame is valid JavaScript too")
	})
}

// drawRare draws what events of each kind may have beside their text.
func drawRare(t *rapid.T, e *conversation.Event) {
	switch e.Kind {
	case conversation.KindText, conversation.KindAttachment:
		if e.Retracted = rapid.Bool().Draw(t, "retracted"); e.Retracted {
			return
		}
		if e.Kind == conversation.KindText {
			e.CorrectedBy = rapid.Int64Min(0).Draw(t, "correctedBy")
			return
		}
		e.Attachment = &conversation.Attachment{
			ID: uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "file")), Name: nastyText().Draw(t, "name"),
			MediaType: "image/png",
			Size: rapid.Int64Min(0).
				Draw(t, "size"),
			SHA256: "ab", Width: rapid.IntMin(0).Draw(t, "width"), Thumbnail: rapid.Bool().Draw(t, "thumbnail"),
		}
	case conversation.KindRetraction, conversation.KindCorrection:
		e.Target = rapid.Int64Min(1).Draw(t, "target")
		e.Retracted = e.Kind == conversation.KindCorrection && rapid.Bool().Draw(t, "retracted")
	case conversation.KindSystem:
	}
}

func TestEncodeAck_EqualsEncodingJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		r := conversation.Ack{
			Seq: rapid.Int64().Draw(t, "seq"), At: time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "at")),
			Duplicate: rapid.Bool().Draw(t, "duplicate"),
		}
		want := wantAck{Type: "ack", ClientID: id, Seq: r.Seq, At: r.At.UTC(), Duplicate: r.Duplicate}
		require.Equal(t, marshal(t, want), bodyOfWire(encodeAck(id.String(), r)))
	})
}

// TestEncodeEvent_LongestFits proves that no text that passes conversation.CheckText needs a 64-bit length.
func TestEncodeEvent_LongestFits(t *testing.T) {
	t.Parallel()
	for _, char := range []string{"x", "\x01", "\u2028", "🩺", "\"", "\\"} {
		text := "x" + strings.Repeat(char, conversation.MaxChars-1)
		require.NoError(t, conversation.CheckText(text))
		frame := encodeEvent(
			conversation.Event{
				Seq: 1 << 62, Kind: conversation.KindText, ClientID: goldenID, Sender: "PAT0000000001", Text: text, At: goldenTime,
			},
		)
		require.Equal(t, text, fields(t, payload(t, frame))["text"])
	}
}

// TestSeal_Headers has the library's client read frames of every length form.
func TestSeal_Headers(t *testing.T) {
	t.Parallel()
	client, server := dialRaw(t)
	for _, size := range []int{0, 1, 124, 125, 126, 127, 255, 256, 4096, 65534, 65535} {
		want := bytes.Repeat([]byte{'x'}, size)
		frame := seal(opText, append(make([]byte, wireHeader), want...))
		go func() { _, _ = server.Write(frame) }() // the read below tells
		kind, got, err := client.ReadMessage()
		require.NoError(t, err)
		require.Equal(t, websocket.TextMessage, kind)
		require.Equal(t, string(want), string(got))
	}
	require.Equal(t, wire{0x89, 0}, seal(opPing, make([]byte, wireHeader)))
	require.Equal(t, wire{0x8A, 2, 'h', 'i'}, seal(opPong, append(make([]byte, wireHeader), "hi"...)))
}

func TestEncodeClose(t *testing.T) {
	t.Parallel()
	client, server := dialRaw(t)
	_, err := server.Write(encodeClose(closeSlow, strings.Repeat("r", 200)))
	require.NoError(t, err)
	_, _, err = client.ReadMessage()
	var closed *websocket.CloseError
	require.ErrorAs(t, err, &closed)
	require.EqualValues(t, closeSlow, closed.Code)
	require.Equal(t, strings.Repeat("r", 120), closed.Text)
}

// dialRaw gives a WebSocket client and the other end of its connection, for tests that write frames by hand.
func dialRaw(t testing.TB) (client *websocket.Conn, server net.Conn) {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, ln.Close()) }()
	accepted := make(chan net.Conn, 1)
	go func() { accepted <- shakeHands(ln) }()
	client, response, err := websocket.DefaultDialer.Dial("ws://"+ln.Addr().String(), nil)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	server = <-accepted
	require.NotNil(t, server)
	t.Cleanup(func() {
		_ = client.Close()
		_ = server.Close()
	})
	return client, server
}

// shakeHands accepts one connection and answers its upgrade; nil if that fails.
func shakeHands(ln net.Listener) net.Conn {
	conn, err := ln.Accept()
	if err != nil {
		return nil
	}
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return nil
	}
	sum := sha1.Sum([]byte(req.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, err = io.WriteString(
		conn,
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "+
			base64.StdEncoding.EncodeToString(sum[:])+"\r\n\r\n",
	)
	if err != nil {
		return nil
	}
	return conn
}
