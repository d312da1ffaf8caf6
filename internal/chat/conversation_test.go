package chat

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	"housecall/internal/auth"
	"housecall/internal/conversation"

	"github.com/fasthttp/websocket"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

func TestCursor_Resume(t *testing.T) {
	t.Parallel()
	snap := conversation.State{HeadSeq: 2000, Epoch: "e"}
	for name, c := range map[string]struct {
		at     cursor
		from   int64
		reset  string
		behind int64 // head; 0 is snap's
	}{
		"without a cursor the latest":            {cursor{-1, ""}, 2000 - recentLimit, "", 0},
		"without a cursor, an old epoch":         {cursor{-1, "old"}, 2000 - recentLimit, "", 0},
		"without a cursor, a short conversation": {cursor{-1, ""}, 0, "", 3},
		"after a cursor":                         {cursor{1999, "e"}, 1999, "", 0},
		"at the head":                            {cursor{2000, ""}, 2000, "", 0},
		"at the limit":                           {cursor{2000 - catchUpLimit, "e"}, 2000 - catchUpLimit, "", 0},
		"beyond the limit":                       {cursor{1999 - catchUpLimit, "e"}, 2000, "gap", 0},
		"beyond the head":                        {cursor{2001, "e"}, 2000, "history", 0},
		"another epoch":                          {cursor{1999, "old"}, 2000, "history", 0},
	} {
		s := snap
		if c.behind > 0 {
			s.HeadSeq = c.behind
		}
		from, reset := c.at.resume(s)
		require.Equal(t, c.from, from, name)
		require.Equal(t, c.reset, reset, name)
	}
}

// TestWriteReceipts_ManyWorkers: cursors never move back or past the head, whoever writes in whatever order.
func TestWriteReceipts_ManyWorkers(t *testing.T) {
	t.Parallel()
	const head = 200
	w := newWorld(t)
	ctx := context.Background()
	ids := []int64{w.Conversation(), w.Conversation(), w.Conversation()}
	for _, id := range ids {
		w.fill(id, head)
	}
	users := []int64{w.Patient.ID, w.Doctor.ID}
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for range 30 {
				reports := map[receiptKey]report{}
				for _, id := range ids {
					for _, user := range users {
						seen := rand.Int64N(head)
						reports[receiptKey{id, user}] = report{Cursors: conversation.Cursors{Delivered: seen + 1, Read: seen}}
					}
				}
				if _, err := writeReceipts(ctx, w.Pool, reports); err != nil {
					t.Errorf("save: %v", err)
				}
			}
		})
	}
	work.Wait()
	id, user := ids[0], w.Patient.ID
	at, err := cursorsOf(ctx, w.Pool, id, user)
	require.NoError(t, err)
	require.Positive(t, at.Read)
	require.Empty(t, w.reached(id, user, 1, 1), "not back")
	require.Empty(t, w.reached(id, user, at.Delivered, at.Read), "not twice")
	end := conversation.Cursors{Delivered: head, Read: head}
	require.Equal(t, []moved{{id, receipt{user, w.Patient.UserID, end}}}, w.reached(id, user, 1<<40, 1<<40),
		"not past the head")
	at, err = cursorsOf(ctx, w.Pool, id, user)
	require.NoError(t, err)
	require.Equal(t, end, at)
	require.Empty(t, w.reached(1<<40, user, 1, 1), "no such conversation")
}

func TestReceipts_Coalesce(t *testing.T) {
	t.Parallel()
	r := newReceipts()
	require.Nil(t, r.take())
	r.move(1, 2, conversation.Cursors{Delivered: 5, Read: 0})
	r.move(1, 2, conversation.Cursors{Delivered: 3, Read: 4})
	r.move(1, 2, conversation.Cursors{Delivered: 0, Read: 9})
	r.move(1, 3, conversation.Cursors{Delivered: 1, Read: 0})
	require.Equal(t, map[receiptKey]report{
		{1, 2}: {Cursors: conversation.Cursors{Delivered: 9, Read: 9}},
		{1, 3}: {Cursors: conversation.Cursors{Delivered: 1}},
	}, r.take())
	require.Nil(t, r.take())
}

func TestCounts_Unread(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	some, none := w.Conversation(), w.Conversation()
	w.append(some, conversation.KindText, w.Patient, 0)
	w.append(some, conversation.KindText, w.Doctor, 0)
	for user, want := range map[int64]map[int64]int64{w.Doctor.ID: {some: 1, none: 0}, w.User(auth.Doctor).ID: {}} {
		got, err := Counts{}.Unread(context.Background(), w.Pool, user, []int64{some, none, 1 << 40})
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// ask sends a frame with a clientId and returns the answer.
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

// TestSocket_Edits: both sides get edits as they happen; those who join or resume later see the result.
func TestSocket_Edits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(nil), w.Conversation()
	p, phone, d := in.dial(t, w.Patient, id, ""), in.dial(t, w.Patient, id, ""), in.dial(t, w.Doctor, id, "")
	p.until("live")
	for _, other := range []*peer{phone, d} {
		other.until("live")
	}
	file := w.file(id, w.Patient)
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
		"too_long": say("correct", "target", 1, "text", strings.Repeat("x", conversation.MaxChars+1)), "invalid": say("retract", "target", "1"),
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
		joined := in.dial(t, w.Doctor, id, fmt.Sprintf("after=%d", after))
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

// TestSocket_RateLimits: clients and metrics are told which limit was exceeded.
func TestSocket_RateLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for whose, change := range map[string]func(*setup){
		"connection":   func(o *setup) { o.chat.PerSecond = 1 },
		"user":         func(o *setup) { o.UserPerSecond, o.chat.UserPerSecond = 1, 1 },
		"conversation": func(o *setup) { o.PerSecond, o.chat.ConversationPerSecond = 1, 1 },
	} {
		t.Run(whose, func(t *testing.T) {
			t.Parallel()
			in, id := w.serve(change), w.Conversation()
			p, d := in.dial(t, w.Patient, id, ""), in.dial(t, w.Doctor, id, "")
			limits := p.hello["limits"].(map[string]any)
			require.EqualValues(t, 1,
				limits[map[string]string{"connection": "perSecond", "user": "userPerSecond", "conversation": "roomPerSecond"}[whose]])
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
			reason := map[string]string{"connection": "rate_connection", "user": "rate_user", "conversation": "rate_room"}[whose]
			require.InDelta(t, 3, in.refusals(reason), 0)
			send := func() map[string]any {
				return d.ask(map[string]any{"type": "send", "clientId": uuid.New(), "text": "x"})
			}
			answer := send()
			for whose == "conversation" && answer["code"] != "rate" { // a second has passed
				answer = send()
			}
			require.Equal(t, whose == "conversation", answer["code"] == "rate",
				"the other side shares the conversation's limit only: %v", answer)
			if whose == "conversation" {
				require.Contains(t, answer["detail"], whose)
			}
		})
	}
}

// TestSocket_LimitsAreCounted: metrics show which limits clients run into.
func TestSocket_LimitsAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(func(o *setup) { o.chat.SocketsPerUser, o.chat.SocketsPerAddress, o.chat.PerSecond = 1, 2, 1 })
	id := w.Conversation()
	counted := func(limit string) float64 { return testutil.ToFloat64(in.svc.metrics.limited.WithLabelValues(limit)) }
	other := w.SignIn(w.User(auth.Patient))
	in.accounts.actors[other.UserID] = other
	p := in.dial(t, w.Patient, id, "")
	ask := func(a auth.Actor) {
		_, status, err := in.try(in.PublicID(id), "", nil, subprotocol, bearerSubprotocol+a.UserID)
		require.Error(t, err)
		require.Equal(t, http.StatusTooManyRequests, status)
	}
	ask(w.Patient)
	require.InDelta(t, 1, counted(limitUser), 0)
	in.dial(t, w.Doctor, id, "")
	ask(other)
	require.InDelta(t, 1, counted(limitAddress), 0)
	for range 2 * frameFlood * burst {
		_ = p.WriteMessage(websocket.TextMessage, []byte(`{"type":"ping"}`)) // it may be closed by then
	}
	p.requireBye(closeLimits)
	require.InDelta(t, 1, counted(limitFrames), 0)
}

// status requests a conversation as a user and returns the status.
func (in *instance) socketStatus(a auth.Actor, id string) int {
	in.T.Helper()
	c, status, _ := in.try(id, "", nil, subprotocol, bearerSubprotocol+a.UserID)
	if c != nil {
		require.NoError(in.T, c.Close())
	}
	return status
}

// TestSocket_CloseAndReopen: both sides are told at once of closing and reopening, on other instances too.
func TestSocket_CloseAndReopen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, other := w.serve(nil), w.serve(nil)
	id := w.Conversation()
	p, elsewhere := in.dial(t, w.Patient, id, ""), other.dial(t, w.Doctor, id, "")
	p.until("live")
	elsewhere.until("live")
	_, err := in.conversations.Close(t.Context(), w.Doctor, w.PublicID(id), " All is said. ")
	require.NoError(t, err)
	require.Equal(t, "The doctor closed this conversation. Reason: All is said.", p.until("event")["text"])
	require.Equal(t, "closed_by_doctor", p.until("appointment")["whyNot"])
	other.svc.sweepSoon() // the bus of these instances carries nothing
	require.Equal(t, false, elsewhere.until("appointment")["canReply"])
	p.say(map[string]any{"type": "send", "clientId": uuid.New(), "text": "too late"})
	require.Equal(t, "closed", p.until("nack")["code"])

	_, err = in.conversations.Reopen(t.Context(), w.Doctor, w.PublicID(id))
	require.NoError(t, err)
	require.Equal(t, true, p.until("appointment")["canReply"])
}

// TestSocket_EditsAsREST: a socket shows edits field by field as REST does.
func TestSocket_EditsAsREST(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(nil), w.Conversation()
	send := func(d conversation.Draft) {
		d.Conversation, d.Sender, d.ClientID = id, w.Patient, uuid.New()
		_, err := in.conversations.Send(t.Context(), d)
		require.NoError(t, err)
	}
	send(conversation.Draft{Kind: conversation.KindText, Text: "first"})
	send(conversation.Draft{Kind: conversation.KindText, Text: "second"})
	send(conversation.Draft{Kind: conversation.KindAttachment, Attachment: w.file(id, w.Patient)})
	send(conversation.Draft{Kind: conversation.KindAttachment, Attachment: w.file(id, w.Patient)})
	send(conversation.Draft{Kind: conversation.KindText, Text: "fifth"})
	send(conversation.Draft{Kind: conversation.KindCorrection, Target: 1, Text: "corrected"})
	send(conversation.Draft{Kind: conversation.KindCorrection, Target: 1, Text: "corrected again"})
	send(conversation.Draft{Kind: conversation.KindCorrection, Target: 2, Text: "gone"})
	send(conversation.Draft{Kind: conversation.KindRetraction, Target: 2})
	send(conversation.Draft{Kind: conversation.KindRetraction, Target: 3})
	answer := in.rest(w.Doctor, "GET", "/appointments/"+w.PublicID(id)+"/messages?after=0", "")
	items, _ := answer.Body["items"].([]any)
	require.Len(t, items, 10)
	p := in.dial(t, w.Doctor, id, "after=0")
	for _, item := range items {
		require.Equal(t, p.next(), item)
	}
}

// TestSocket_GlassRights: who may open a socket before, during and after an administrator's break-glass access.
func TestSocket_GlassRights(t *testing.T) {
	t.Parallel()
	g := newGlassWorld(t, 1)
	in := g.instances[0]
	stranger, other := g.SignIn(g.User(auth.Doctor)), g.SignIn(g.User(auth.Admin))
	in.knows(stranger, other)
	all := func(when string, admin int) {
		t.Helper()
		for who, c := range map[string]struct {
			actor auth.Actor
			want  int
		}{
			"patient": {g.Patient, http.StatusSwitchingProtocols}, "doctor": {g.Doctor, http.StatusSwitchingProtocols},
			"stranger": {stranger, http.StatusNotFound}, "another administrator": {other, http.StatusNotFound},
			"administrator": {g.admin, admin},
		} {
			require.Equal(t, c.want, in.socketStatus(c.actor, g.publicID), "%s, %s", when, who)
		}
	}
	all("before", http.StatusNotFound)
	require.Zero(t, g.audited("conversation.read", g.publicID, g.admin))
	glass := g.breaks(g.admin)
	all("while", http.StatusSwitchingProtocols)
	require.EqualValues(t, 1, g.audited("conversation.read", g.publicID, g.admin))
	require.Zero(t, g.audited("conversation.read", g.publicID, g.Patient))
	_, err := in.conversations.EndGlass(t.Context(), other, glass.ID)
	require.NoError(t, err)
	all("after the end", http.StatusNotFound)
	g.breaks(g.admin)
	all("anew", http.StatusSwitchingProtocols)
	g.clock.Store(int64(conversation.MinGlass))
	all("expired", http.StatusNotFound)
}

// TestSocket_GlassIsTold: both participants are told when an administrator's access starts and ends.
func TestSocket_GlassIsTold(t *testing.T) {
	t.Parallel()
	g := newGlassWorld(t, 1)
	in := g.instances[0]
	peers := []*peer{in.dial(t, g.Patient, g.id, ""), in.dial(t, g.Doctor, g.id, "")}
	glass := g.breaks(g.admin)
	for _, p := range peers {
		require.Equal(t, "An administrator, "+g.admin.Name+", has opened this conversation to read it, until "+
			glass.ExpiresAt.UTC().
				Format("Mon 2 Jan 2006, 15:04")+
			" (UTC). Reason: A complaint by the patient.", p.until("event")["text"])
	}
	_, err := in.conversations.EndGlass(t.Context(), g.admin, glass.ID)
	require.NoError(t, err)
	for _, p := range peers {
		require.Equal(t, "The administrator "+g.admin.Name+" can no longer read this conversation.", p.until("event")["text"])
	}
}

// file makes a stored attachment that has not been sent yet.
func (w *world) file(id int64, uploader auth.Actor) uuid.UUID {
	w.T.Helper()
	file := uuid.New()
	w.Exec(`
		insert into attachments
			(id, room_id, uploader_id, name, media_type, size_bytes, sha256, width, height, thumbnail, stored_at)
		values ($1, $2, $3, 'knee.jpg', 'image/jpeg', 5, decode(repeat('0f', 32), 'hex'), 4, 3, true, now())`,
		[16]byte(file), id, uploader.ID)
	return file
}

// audited counts rows of the trail.
func (w *world) audited(action, subject string, actor auth.Actor) int64 {
	w.T.Helper()
	return w.Number(`select count(*) from audit_events where action = $1 and subject = $2 and actor_id = $3`,
		action, subject, actor.ID)
}
