package client

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const sampleEvent = `{"type":"event","seq":1234,"kind":"text","clientId":"8f14e45f-ceea-467f-9a2b-1f0c6b3f0a11","sender":"PAT0123456789",` +
	`"text":"How long should I keep taking the tablets after the fever has gone?","at":"2026-11-22T10:15:30.123456Z"}`

func TestFrame_scanAgreesWithJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := map[string]any{
			"seq": rapid.Int64Range(0, 1<<53).Draw(t, "seq"), "kind": "text", "clientId": NewClientID(),
			"sender": rapid.String().Draw(t, "sender"), "text": rapid.String().Draw(t, "text"),
			"at": "2026-11-22T10:15:30.5+01:00", "duplicate": rapid.Bool().Draw(t, "duplicate"),
		}
		raw, err := json.Marshal(e)
		require.NoError(t, err)
		text := `{"type":"event",` + string(raw[1:])
		var scanned, plain Frame
		require.True(t, scanFrame(text, &scanned))
		require.NoError(t, json.Unmarshal([]byte(text), &plain))
		require.True(t, plain.At.Equal(scanned.At))
		plain.At = scanned.At
		require.Equal(t, plain, scanned)
	})
}

func TestFrame_scanLeavesTheRestToJSON(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"another type":   `{"type":"live","headSeq":3}`,
		"type not first": `{"seq":1,"type":"event"}`,
		"unknown member": `{"type":"event","seq":1,"reactions":[1]}`,
		"negative":       `{"type":"event","seq":-1}`,
		"fraction":       `{"type":"event","seq":1.5}`,
		"leading zero":   `{"type":"event","seq":01}`,
		"null":           `{"type":"event","seq":1,"text":null}`,
		"cut off":        `{"type":"event","seq":1`,
		"cut in escape":  `{"type":"event","text":"a\`,
		"trailing":       `{"type":"event","seq":1} x`,
		"bad time":       `{"type":"event","at":"yesterday"}`,
		"bare control":   "{\"type\":\"event\",\"text\":\"a\nb\"}",
	} {
		var f Frame
		require.False(t, scanFrame(text, &f), name)
	}
}

func TestFrame_decodeOfEveryOtherType(t *testing.T) {
	t.Parallel()
	var f Frame
	require.NoError(t, decode([]byte(`{"type":"bye","code":1012,"reason":"restart","reconnectAfterMs":250}`), &f))
	require.Equal(t, scalar("1012"), f.Code)
	require.EqualValues(t, 250, f.ReconnectAfterMs)
	require.NoError(t, decode([]byte(`{"type":"nack","clientId":"x","code":"rate","detail":"d","retry":"later"}`), &f))
	require.Equal(t, scalar("rate"), f.Code)
	require.NoError(t,
		decode([]byte(`{"type":"hello","epoch":"e1","headSeq":7,"participants":[{"userId":"DOC1","online":null}]}`), &f))
	require.Equal(t, "e1", f.Hello.Epoch)
	require.Nil(t, f.Hello.Participants[0].Online)
	require.NoError(t,
		decode([]byte(`{"type":"appointment","appointment":{"id":"APP1","status":"BOOKED"},"canReply":true}`), &f))
	require.Equal(t, "BOOKED", f.Appointment.Status)
	require.True(t, f.CanReply)
	require.NoError(t, decode([]byte(`{"type":"something-new","id":4}`), &f))
	require.Error(t, decode([]byte(`{"type":`), &f))
}

func TestFrame_sendIsJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		var got struct{ Type, ClientID, Text string }
		require.NoError(t, json.Unmarshal(appendSend(nil, "id", text), &got))
		require.Equal(t, text, got.Text)
	})
}

func FuzzDecode(f *testing.F) {
	f.Add(sampleEvent)
	f.Add(`{"type":"ack","clientId":"x","seq":1,"duplicate":true}`)
	f.Add(`{"type":"event","text":"\ud800\\"}`)
	f.Fuzz(func(t *testing.T, text string) {
		var frame Frame
		if scanFrame(text, &frame) {
			require.True(t, json.Valid([]byte(text)), "the scanner accepts only JSON")
		}
		_ = decode([]byte(text), &frame)
	})
}

func BenchmarkDecodeEvent(b *testing.B) {
	raw := []byte(sampleEvent)
	var f Frame
	b.ReportAllocs()
	for b.Loop() {
		if err := decode(raw, &f); err != nil {
			b.Fatal(err)
		}
	}
}

func TestFrame_draftsAreJSON(t *testing.T) {
	t.Parallel()
	type frame struct {
		Type, ClientID, Text, AttachmentID string
		Target                             int64
	}
	for name, c := range map[string]struct {
		draft draft
		want  frame
	}{
		"text":       {draft{clientID: "id", text: "a \"b\""}, frame{Type: "send", ClientID: "id", Text: "a \"b\""}},
		"file":       {draft{clientID: "id", file: "f"}, frame{Type: "send", ClientID: "id", AttachmentID: "f"}},
		"retraction": {draft{clientID: "id", kind: "retract", target: 7}, frame{Type: "retract", ClientID: "id", Target: 7}},
		"correction": {draft{clientID: "id", kind: "correct", target: 7, text: "\u2028"}, frame{Type: "correct", ClientID: "id", Target: 7, Text: "\u2028"}},
	} {
		var got frame
		require.NoError(t, json.Unmarshal(appendDraft(nil, &c.draft), &got), name)
		require.Equal(t, c.want, got, name)
	}
}

func TestFrame_decodeOfWhatBecameOfAMessage(t *testing.T) {
	t.Parallel()
	var f Frame
	require.NoError(
		t,
		decode(
			[]byte(
				`{"type":"event","seq":9,"kind":"attachment","sender":"PAT1","attachment":{"id":"f1","name":"x.pdf","size":3},"at":"2026-11-22T10:00:00Z"}`,
			),
			&f,
		),
	)
	require.Equal(t, "x.pdf", f.Attachment.Name)
	require.NoError(
		t,
		decode([]byte(`{"type":"event","seq":9,"kind":"text","sender":"PAT1","retracted":true,"at":"2026-11-22T10:00:00Z"}`),
			&f),
	)
	require.True(t, f.Retracted)
	require.Nil(t, f.Attachment)
	require.NoError(
		t,
		decode(
			[]byte(
				`{"type":"event","seq":10,"kind":"correction","sender":"PAT1","text":"b","target":9,"at":"2026-11-22T10:00:00Z"}`,
			),
			&f,
		),
	)
	require.EqualValues(t, 9, f.Target)
}
