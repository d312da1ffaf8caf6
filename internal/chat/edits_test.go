package chat

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/fasthttp/websocket"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/config"
)

// ask says a frame with a clientId and gives what answers it.
func (p *peer) ask(frame map[string]any) map[string]any {
	p.t.Helper()
	id := fmt.Sprint(frame["clientId"])
	p.say(frame)
	for {
		f := p.next()
		if (f["type"] == "ack" || f["type"] == "nack") && f["clientId"] == id {
			return f
		}
	}
}

// TestSocket_Edits: both sides hear of edits as they come; who joins or resumes later sees what is left.
func TestSocket_Edits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, room := w.serve(nil), w.room()
	p, phone, d := in.dial(t, w.patient, room, ""), in.dial(t, w.patient, room, ""), in.dial(t, w.doctor, room, "")
	p.until("live")
	for _, other := range []*peer{phone, d} {
		other.until("live")
	}
	file := w.file(room, w.patient)
	say := func(kind string, fields ...any) map[string]any {
		frame := map[string]any{"type": kind, "clientId": uuid.New()}
		for i := 0; i < len(fields); i += 2 {
			frame[fields[i].(string)] = fields[i+1]
		}
		return frame
	}
	for _, f := range []map[string]any{
		say("send", "text", "first"), say("send", "text", "second"), say("send", "attachmentId", file),
		say("correct", "target", 1, "text", "first, corrected"), say("retract", "target", 2), say("retract", "target", 3),
	} {
		ack := p.ask(f)
		require.Equal(t, "ack", ack["type"], "%v", ack)
		again := p.ask(f)
		require.Equal(t, []any{"ack", ack["seq"], true}, []any{again["type"], again["seq"], again["duplicate"]})
	}
	var live []map[string]any
	for range 6 {
		e := d.until("event")
		require.Equal(t, e, phone.until("event"), "the sender's other devices hear the same")
		live = append(live, e)
	}
	require.Equal(t, []any{"first", "second", nil, "first, corrected", nil, nil},
		[]any{live[0]["text"], live[1]["text"], live[2]["text"], live[3]["text"], live[4]["text"], live[5]["text"]})
	require.Equal(t, "knee.jpg", live[2]["attachment"].(map[string]any)["name"])
	require.Equal(t, []any{1.0, 2.0, 3.0}, []any{live[3]["target"], live[4]["target"], live[5]["target"]})

	for name, f := range map[string]map[string]any{
		"not_found": say("correct", "target", 2, "text", "x"), "not_yours": say("retract", "target", 1), "empty": say("correct", "target", 1, "text", " "),
		"too_long": say("correct", "target", 1, "text", strings.Repeat("x", MaxChars+1)), "invalid": say("retract", "target", "1"),
	} {
		by := p
		if name == "not_yours" {
			by = d
		}
		nack := by.ask(f)
		require.Equal(t, []any{"nack", name, "never"}, []any{nack["type"], nack["code"], nack["retry"]})
	}
	require.Equal(t, "not_found", p.ask(say("send", "attachmentId", file))["code"])

	want := []map[string]any{
		{"text": "first, corrected", "correctedBy": 4.0},
		{"retracted": true},
		{"retracted": true},
		{"text": "first, corrected", "target": 1.0},
		{"target": 2.0},
		{"target": 3.0},
	}
	for after := range 6 {
		joined := in.dial(t, w.doctor, room, fmt.Sprintf("after=%d", after))
		for seq := after; seq < 6; seq++ {
			e := joined.next()
			require.EqualValues(t, seq+1, e["seq"])
			for _, field := range []string{"text", "correctedBy", "retracted", "target", "attachment"} {
				require.Equal(t, want[seq][field], e[field], "%s of %d after %d", field, seq+1, after)
			}
		}
		require.Equal(t, "live", joined.next()["type"])
		require.NoError(t, joined.Close())
	}
}

// TestREST_Edits: REST speaks of the same log in the same words.
func TestREST_Edits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, room := w.serve(nil), w.room()
	path := "/appointments/" + in.publicID(room) + "/messages"
	body := func(more string) string { return `{"clientId":"` + uuid.NewString() + `"` + more + `}` }
	file := w.file(room, w.patient)
	for _, c := range []struct{ path, body string }{
		{"", body(`,"text":"first"`)},
		{"", body(`,"text":"second"`)},
		{"", body(`,"attachmentId":"` + file.String() + `"`)},
		{"", body(`,"text":"fourth"`)},
		{"/1/correct", body(`,"text":"corrected"`)},
		{"/1/correct", body(`,"text":"corrected again"`)},
		{"/2/correct", body(`,"text":"gone"`)},
		{"/2/retract", body(``)},
		{"/3/retract", body(``)},
	} {
		first := in.rest(w.patient, "POST", path+c.path, c.body)
		require.Equal(t, 201, first.status, "%s", first.raw)
		require.Equal(t, false, first.body["duplicate"])
		again := in.rest(w.patient, "POST", path+c.path, c.body)
		require.Equal(t, 201, again.status)
		require.Equal(t, []any{first.body["seq"], true}, []any{again.body["seq"], again.body["duplicate"]})
	}
	for name, c := range map[string]struct {
		by         auth.Actor
		path, body string
		status     int
		code       string
	}{
		"neither":             {w.patient, "", body(``), 422, "invalid"},
		"both":                {w.patient, "", body(`,"text":"x","attachmentId":"` + file.String() + `"`), 422, "invalid"},
		"no id of a file":     {w.patient, "", body(`,"attachmentId":"` + uuid.Nil.String() + `"`), 422, "invalid"},
		"a file sent already": {w.patient, "", body(`,"attachmentId":"` + file.String() + `"`), 404, "not_found"},
		"not there":           {w.patient, "/99/retract", body(``), 404, "not_found"},
		"retracted":           {w.patient, "/2/correct", body(`,"text":"x"`), 404, "not_found"},
		"the other's":         {w.doctor, "/1/retract", body(``), 403, "not_yours"},
		"below one":           {w.patient, "/0/retract", body(``), 422, "invalid"},
		"blank":               {w.patient, "/1/correct", body(`,"text":" "`), 422, "empty"},
		"U+0000":              {w.patient, "/1/correct", body(`,"text":"a\u0000"`), 422, "invalid"},
		"no clientId":         {w.patient, "/1/retract", `{}`, 422, "invalid"},
	} {
		a := in.rest(c.by, "POST", path+c.path, c.body)
		require.Equal(t, []any{c.status, c.code}, []any{a.status, a.body["code"]}, "%s: %s", name, a.raw)
	}
	items := in.rest(w.doctor, "GET", path+"?after=0", "").body["items"].([]any)
	require.Len(t, items, 9)
	p := in.dial(t, w.doctor, room, "after=0")
	for i, item := range items {
		got := item.(map[string]any)
		require.Equal(t, p.next(), got, "as over the socket")
		require.NotContains(t, []any{"second", "gone", "first", "corrected"}, got["text"])
		require.NotContains(t, got, "attachment", "it was taken back")
		_, has := got["text"]
		require.Equal(t, map[int]bool{0: true, 3: true, 4: true, 5: true}[i], has, "%v", got)
	}
	w.cancel(room)
	late := in.rest(w.patient, "POST", path+"/1/retract", body(``))
	require.Equal(t, []any{409, "closed"}, []any{late.status, late.body["code"]})
}

// TestSocket_RateLimits: each limit says whose it is, to the client and to the metrics.
func TestSocket_RateLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for whose, change := range map[string]func(*config.Config){
		"connection": func(c *config.Config) { c.MessagesPerSecond = 1 },
		"user":       func(c *config.Config) { c.UserMessagesPerSecond = 1 },
		"room":       func(c *config.Config) { c.RoomMessagesPerSecond = 1 },
	} {
		t.Run(whose, func(t *testing.T) {
			t.Parallel()
			in, room := w.serve(change), w.room()
			p, d := in.dial(t, w.patient, room, ""), in.dial(t, w.doctor, room, "")
			limits := p.hello["limits"].(map[string]any)
			require.EqualValues(t, 1, limits[map[string]string{"connection": "perSecond", "user": "userPerSecond", "room": "roomPerSecond"}[whose]])
			refused := 0
			for i := 0; refused < 3; i++ {
				frame := map[string]any{"type": "send", "clientId": uuid.New(), "text": "x"}
				if i%3 > 0 { // edits count as well
					frame = map[string]any{"type": "retract", "clientId": uuid.New(), "target": 1 << 40}
				}
				if answer := p.ask(frame); answer["code"] == "rate" {
					refused++
					require.Equal(t, "later", answer["retry"])
					require.Contains(t, answer["detail"], whose)
				}
			}
			require.InDelta(t, 3, testutil.ToFloat64(in.svc.metrics.refused.WithLabelValues("rate_"+whose)), 0)
			answer := d.ask(map[string]any{"type": "send", "clientId": uuid.New(), "text": "x"})
			require.Equal(t, whose == "room", answer["code"] == "rate", "the other side shares the room's limit only: %v", answer)
		})
	}
}

// TestSocket_LimitsAreCounted: whoever operates it sees which limit clients run into.
func TestSocket_LimitsAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(func(c *config.Config) { c.SocketsPerUser, c.SocketsPerAddress, c.MessagesPerSecond = 1, 2, 1 })
	room := w.room()
	counted := func(limit string) float64 { return testutil.ToFloat64(in.svc.metrics.limited.WithLabelValues(limit)) }
	other := w.signIn(w.user(auth.Patient))
	in.accounts.actors[other.UserID] = other
	p := in.dial(t, w.patient, room, "")
	ask := func(a auth.Actor) {
		_, status, err := in.try(in.publicID(room), "", nil, subprotocol, bearerSubprotocol+a.UserID)
		require.Error(t, err)
		require.Equal(t, http.StatusTooManyRequests, status)
	}
	ask(w.patient)
	require.InDelta(t, 1, counted(limitUser), 0)
	in.dial(t, w.doctor, room, "")
	ask(other)
	require.InDelta(t, 1, counted(limitAddress), 0)
	for range 2 * frameFlood * burst {
		_ = p.WriteMessage(websocket.TextMessage, []byte(`{"type":"ping"}`)) // it may be closed by then
	}
	p.requireBye(closeLimits)
	require.InDelta(t, 1, counted(limitFrames), 0)
}
