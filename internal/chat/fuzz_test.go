package chat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"housecall/internal/bus"
	"housecall/internal/conversation"
	"housecall/internal/testing/apitest"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

func FuzzDecode(f *testing.F) {
	paths, err := filepath.Glob("testdata/client_*.json")
	require.NoError(f, err)
	require.NotEmpty(f, paths)
	for _, path := range paths {
		frame, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(frame)
	}
	for _, s := range []string{
		"", "null", "[]", "{}", `{"type":"send"}`, `{"type":5}`, `{"TYPE":"ping"}`, `{"type":"ping","type":"auth"}`, `{"type":"ping","id":"\ud800"}`,
		`{"type":"send","clientId":"6f1a0c52-7c39-4a70-9a3e-0d2f5c1b8e11","text":7}`, `{"type":"read","upTo":1e3}`, `{"type":"retract","target":-1}`,
		`{"type":"send","clientId":"6f1a0c52-7c39-4a70-9a3e-0d2f5c1b8e11","text":null,"attachmentId":"6f1a0c52-7c39-4a70-9a3e-0d2f5c1b8e11"}`,
		`{"type":"correct","clientId":"6f1a0c52-7c39-4a70-9a3e-0d2f5c1b8e11","target":9223372036854775807,"text":"","attachmentId":7}`,
		"\xff", "{\"type\":\"\u2028\"}",
		strings.Repeat("[", 20000), `{"type":` + strings.Repeat(`{"a":`, 9999),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := Decode(data)
		if err != nil {
			var bad *badFrame
			require.True(t, errors.Is(err, errProtocol) || errors.As(err, &bad), "an undocumented refusal: %v", err)
			require.Zero(t, in)
			return
		}
		requireValid(t, in)
		again, err := Decode(reencode(t, in))
		require.NoError(t, err)
		require.Equal(t, in, again)
	})
}

// requireValid checks what Decode promises about a frame that it accepts.
func requireValid(t *testing.T, in Inbound) {
	t.Helper()
	require.True(t, utf8.ValidString(in.Text) && utf8.ValidString(in.Token) && utf8.ValidString(in.ID))
	if in.Echo != "" { // acks write it without escaping
		require.True(t, strings.EqualFold(in.Echo, in.ClientID.String()), in.Echo)
	}
	switch in.Type {
	case "send":
		require.NotEqual(t, uuid.Nil, in.ClientID)
		require.True(t, in.Text == "" || in.AttachmentID == uuid.Nil, "one of both")
		require.Zero(t, in.Target)
	case "retract", "correct":
		require.NotEqual(t, uuid.Nil, in.ClientID)
		require.Positive(t, in.Target)
		require.Equal(t, uuid.Nil, in.AttachmentID)
	case "delivered", "read":
		require.GreaterOrEqual(t, in.UpTo, int64(0))
	case "auth":
		require.NotEmpty(t, in.Token)
	case "ping":
		require.LessOrEqual(t, len(in.ID), 128)
		require.True(t, in.ID == "" || json.Valid([]byte(in.ID)))
		_ = encode(pongFrame{ID: json.RawMessage(in.ID)}) // panics on what does not marshal
	case "typing":
	default:
		require.Fail(t, "an unknown type was taken", in.Type)
	}
}

func reencode(t *testing.T, in Inbound) []byte {
	t.Helper()
	w := map[string]any{"type": in.Type}
	switch in.Type {
	case "send":
		w["clientId"], w["text"] = in.Echo, in.Text
		if in.AttachmentID != uuid.Nil {
			w["attachmentId"] = in.AttachmentID
			delete(w, "text")
		}
	case "retract":
		w["clientId"], w["target"] = in.Echo, in.Target
	case "correct":
		w["clientId"], w["target"], w["text"] = in.Echo, in.Target, in.Text
	case "delivered", "read":
		w["upTo"] = in.UpTo
	case "typing":
		w["active"] = in.Active
	case "auth":
		w["token"] = in.Token
	}
	out, err := json.Marshal(w)
	require.NoError(t, err)
	if in.ID != "" { // to the byte: encoding/json would compact it
		out = append(out[:len(out)-1], `,"id":`+in.ID+`}`...)
	}
	return out
}

// onBus is a broadcast as the bus delivers it.
func onBus(b broadcast) bus.Message {
	return bus.Message{Topic: b.topic(), Origin: b.origin, Kind: byte(b.kind), Payload: b.AppendTo(nil)}
}

func FuzzDecodeBroadcast(f *testing.F) {
	for _, b := range sampleBroadcasts() {
		f.Add(byte(b.kind), b.AppendTo(nil))
	}
	f.Add(byte(broadcastEvents), []byte{})
	f.Add(byte(broadcastEvents), []byte{2, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add(byte('?'), []byte{2})
	f.Fuzz(func(t *testing.T, kind byte, payload []byte) {
		b, err := decodeBroadcast(bus.Message{Topic: 1, Origin: 2, Kind: kind, Payload: payload})
		if err != nil {
			require.ErrorIs(t, err, errBroadcast)
			return
		}
		again, err := decodeBroadcast(onBus(b))
		require.NoError(t, err)
		require.Equal(t, b.AppendTo(nil), again.AppendTo(nil))
	})
}

func sampleBroadcasts() []broadcast {
	frame := encodeEvent(
		conversation.Event{
			Seq: 8, Kind: conversation.KindText, ClientID: goldenID, Sender: "PAT0000000001", Text: "x", At: goldenTime,
		},
	)
	return []broadcast{
		{
			kind: broadcastEvents, origin: 7, id: 3,
			deliveries: []delivery{{seq: 8, frame: frame}, {seq: 9, frame: wire{0x81, 0}, system: true}},
		},
		{kind: broadcastHead, origin: 1 << 63, id: 1 << 40, head: 1 << 50},
		{
			kind: broadcastSignal, origin: 1, id: 1,
			signal: &signal{What: signalReceipt, User: 4, UserID: "DOC0000000001", Delivered: 5, Read: 4},
		},
		{kind: broadcastSignal, id: 2, signal: &signal{What: signalTyping, UserID: "PAT\u2028", Active: true}},
		{kind: broadcastSessions, origin: 9, sessions: []int64{1, 2, 1 << 40}},
		{kind: broadcastSessions, origin: 9},
		{kind: broadcastEvents, origin: 9, id: 1},
		{
			kind: broadcastInbox, origin: 9,
			touched: map[int64]touch{1: touchedParticipants, 2: 0, 1 << 40: touchedParticipants},
		},
		{kind: broadcastInbox, origin: 9, touched: map[int64]touch{}},
	}
}

// Instances of two releases hear each other during an upgrade, so the bytes stay as they are.
func TestBroadcast_Golden(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for _, b := range sampleBroadcasts() {
		fmt.Fprintf(&all, "%c %q\n", b.kind, b.AppendTo(nil))
	}
	apitest.GoldenFile(t, "broadcasts.txt", []byte(all.String()))
}

func TestBroadcast_RoundTrip(t *testing.T) {
	t.Parallel()
	for _, want := range sampleBroadcasts() {
		got, err := decodeBroadcast(onBus(want))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// TestBroadcast_CutOff: no prefix of a broadcast decodes to more than it contains, and none panics.
func TestBroadcast_CutOff(t *testing.T) {
	t.Parallel()
	for _, n := range sampleBroadcasts() {
		whole := n.AppendTo(nil)
		for i := range whole {
			got, err := decodeBroadcast(bus.Message{Kind: byte(n.kind), Payload: whole[:i]})
			if err == nil {
				require.LessOrEqual(t, len(got.deliveries), len(n.deliveries))
			}
		}
	}
}

func FuzzReadFrame(f *testing.F) {
	for _, size := range []int{0, 1, 2047, 2048, 2049, 4096, MaxFrameBytes - 1, MaxFrameBytes, MaxFrameBytes + 1, 2 * MaxFrameBytes} {
		f.Add(size, byte(size%3))
	}
	f.Fuzz(func(t *testing.T, size int, how byte) {
		if size < 0 || size > 3*MaxFrameBytes {
			return
		}
		want := bytes.Repeat([]byte("abcdefg"), size/7+1)[:size]
		r := io.Reader(bytes.NewReader(want))
		switch how % 3 {
		case 1:
			r = iotest.OneByteReader(r)
		case 2:
			r = iotest.DataErrReader(iotest.HalfReader(r)) // the end comes with the last bytes
		}
		calls := 0
		err := readFrame(r, func(got []byte) {
			calls++
			require.True(t, bytes.Equal(want, got))
		})
		if size > MaxFrameBytes {
			require.ErrorIs(t, err, errTooBig)
			require.Zero(t, calls)
			return
		}
		require.NoError(t, err)
		require.Equal(t, 1, calls)
	})
}

func TestReadFrame_Broken(t *testing.T) {
	t.Parallel()
	broken := errors.New("cut off")
	err := readFrame(io.MultiReader(strings.NewReader(`{"type":`), iotest.ErrReader(broken)),
		func([]byte) { require.Fail(t, "half a frame was handed over") })
	require.ErrorIs(t, err, broken)
}
