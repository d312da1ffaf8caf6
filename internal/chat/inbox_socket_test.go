package chat

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/conversation"
	"housecall/internal/testing/pgtest"
)

// counts reads an inbox up to a conversation's next unread frame: how much, the head, and the total.
func counts(p *peer, id string) []any {
	p.t.Helper()
	for {
		f := p.until("unread")
		if f["appointmentId"] == id {
			require.NotContains(p.t, f, "text")
			return []any{f["unread"], f["headSeq"], f["total"]}
		}
	}
}

func TestInbox_Live(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	quiet, id := w.Conversation(), w.Conversation()
	in.say(t, id, w.Doctor, "one")
	in.say(t, id, w.Patient, "two")
	p, d := in.inbox(t, w.Patient), in.inbox(t, w.Doctor)
	require.Equal(t, map[string]any{"userId": w.Patient.UserID, "role": "PATIENT", "name": w.Patient.Name}, p.hello["you"])
	require.EqualValues(t, 1, p.hello["total"])
	require.NotContains(t, p.hello, "more")
	delivery := p.hello["unread"].([]any)[0].(map[string]any)
	require.Len(t, p.hello["unread"], 1, "only where something is unread")
	require.Equal(t, []any{in.PublicID(id), 1.0, 2.0, 0.0},
		[]any{delivery["appointmentId"], delivery["unread"], delivery["headSeq"], delivery["readSeq"]})
	require.Equal(t, map[string]any{"userId": w.Doctor.UserID, "role": "DOCTOR", "name": w.Doctor.Name}, delivery["from"])

	in.say(t, id, w.Doctor, "three")
	require.Equal(t, []any{2.0, 3.0, 2.0}, counts(p, in.PublicID(id)))
	require.Equal(t, []any{1.0, 3.0, 1.0}, counts(d, in.PublicID(id)), "one's own do not count, but the list moves")
	in.say(t, quiet, w.Doctor, "hello")
	require.Equal(t, []any{1.0, 1.0, 3.0}, counts(p, in.PublicID(quiet)))

	other := in.dial(t, w.Patient, id, "") // another device
	other.say(map[string]any{"type": "read", "upTo": 3})
	require.Equal(t, []any{0.0, 3.0, 1.0}, counts(p, in.PublicID(id)))

	w.append(quiet, conversation.KindRetraction, w.Doctor, 1) // by another process: the sweep finds it
	in.svc.sweepSoon()
	require.Equal(t, []any{0.0, 2.0, 0.0}, counts(p, in.PublicID(quiet)), "what was retracted is not unread")
}

// TestInbox_Appointments: new ones come, and every change does, whoever made it.
func TestInbox_Appointments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(func(c *setup) { c.FollowUp = 2 * time.Second })
	p := in.inbox(t, w.Patient)
	require.Equal(t, []any{}, p.hello["unread"])
	for _, log := range []*conversation.Log{in.log, nil} {
		id := w.book(t, log, w.Patient, w.Doctor)
		in.svc.sweepSoon()
		f := p.until("appointment")
		require.Equal(t, []any{in.PublicID(id), "BOOKED", 1.0}, []any{
			f["appointment"].(map[string]any)["id"], f["appointment"].(map[string]any)["status"],
			f["appointment"].(map[string]any)["version"],
		})
		require.Equal(t, true, f["canReply"])
		require.Equal(t, w.Doctor.UserID, f["with"].(map[string]any)["userId"])
		require.Equal(t, []any{0.0, 1.0, 0.0}, counts(p, in.PublicID(id)))
		w.move(t, log, id, `status = 'COMPLETED', completed_at = now()`)
		in.svc.sweepSoon()
		f = p.until("appointment")
		require.Equal(t, []any{"COMPLETED", true}, []any{f["appointment"].(map[string]any)["status"], f["canReply"]})
		require.Equal(t, "follow_up_over", p.until("appointment")["whyNot"], "the clock changes it too")
	}
}

// TestInbox_HandOver: the conversation leaves one doctor's inbox and appears in the other's, with what they have not
// read.
func TestInbox_HandOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	next := w.SignIn(w.User(auth.Doctor))
	in.knows(next)
	for _, log := range []*conversation.Log{in.log, nil} {
		id := w.Conversation()
		in.say(t, id, w.Patient, "x")
		former, gains := in.inbox(t, w.Doctor), in.inbox(t, next)
		before := gains.hello["total"].(float64)
		require.EqualValues(t, 1, former.hello["total"])
		w.move(t, log, id, `doctor_id = $2`, next.ID)
		in.svc.sweepSoon()
		require.Equal(t, map[string]any{"type": "gone", "appointmentId": in.PublicID(id), "total": 0.0}, former.until("gone"))
		require.Equal(t, in.PublicID(id), gains.until("appointment")["appointment"].(map[string]any)["id"])
		require.Equal(t, []any{1.0, 2.0, before + 1}, counts(gains, in.PublicID(id)))
		in.say(t, id, w.Patient, "for the new one")
		require.Equal(t, []any{2.0, 3.0, before + 2}, counts(gains, in.PublicID(id)))
		elsewhere := w.Conversation()
		in.say(t, elsewhere, w.Patient, "y")
		require.Equal(t, []any{1.0, 1.0, 1.0}, counts(former, in.PublicID(elsewhere)))
		in.dial(t, w.Doctor, elsewhere, "").say(map[string]any{"type": "read", "upTo": 1})
		require.Equal(t, []any{0.0, 1.0, 0.0}, counts(former, in.PublicID(elsewhere)))
	}
}

func TestInbox_Admission(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(func(c *setup) { c.chat.SocketsPerUser = 2 })
	admin := w.SignIn(w.User(auth.Admin))
	in.knows(admin)
	as := func(a auth.Actor) string { return bearerSubprotocol + a.UserID }
	for name, c := range map[string]struct {
		header    http.Header
		protocols []string
		want      int
	}{
		"a foreign origin": {http.Header{"Origin": {"https://evil.test"}}, []string{subprotocol, as(w.Patient)}, 403},
		"no token":         {nil, []string{subprotocol}, 401},
		"a wrong token":    {nil, []string{subprotocol, bearerSubprotocol + "x"}, 401},
		"no subprotocol":   {nil, []string{as(w.Patient)}, 426},
	} {
		_, status, err := in.tryAt("/ws/inbox", "", c.header, c.protocols...)
		require.Error(t, err)
		require.Equal(t, c.want, status, name)
	}
	require.Empty(t, in.inbox(t, admin).hello["unread"], "they take part in none")
	in.inbox(t, w.Patient)
	in.dial(t, w.Patient, w.Conversation(), "")
	_, status, _ := in.tryAt("/ws/inbox", "", nil, subprotocol, as(w.Patient))
	require.Equal(t, http.StatusTooManyRequests, status, "they count like others")
	d := in.inbox(t, w.Doctor)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		in.svc.Drain(context.Background())
	}()
	d.requireBye(closeRestart)
	<-drained
	_, status, _ = in.tryAt("/ws/inbox", "", nil, subprotocol, as(w.Doctor))
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Empty(t, in.svc.inboxes.boxes)
	require.Empty(t, in.svc.inboxes.watchers, "what has left is watched no more")
}

func TestInbox_Frames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	again := w.SignIn(w.Patient)
	in.accounts.mu.Lock()
	in.accounts.actors["again"] = again
	in.accounts.mu.Unlock()
	p, d, garbled := in.inbox(t, w.Patient), in.inbox(t, w.Doctor), in.inbox(t, w.Patient)
	p.say(`{"type":"ping","id":7}`)
	require.EqualValues(t, 7, p.until("pong")["id"])
	p.say(map[string]any{"type": "send", "clientId": uuid.New(), "text": "x"})
	require.Equal(t, "unknown_type", p.until("error")["code"])
	p.say(map[string]any{"type": "send", "clientId": uuid.New()})
	require.Equal(t, "invalid", p.until("nack")["code"])
	garbled.say("[]")
	garbled.requireBye(closeProtocol)
	p.say(`{"type":"auth","token":"again"}`)
	p.until("authOk")
	in.svc.SessionsEnded([]int64{w.Patient.Session, w.Doctor.Session})
	d.requireBye(closeAuth)
	p.say(`{"type":"ping"}`)
	p.until("pong")
	p.say(`{"type":"auth","token":"` + w.Doctor.UserID + `"}`)
	p.requireBye(closeAuth)
}

// TestInbox_Bounded: a hello lists some hundreds, and counts all.
func TestInbox_Bounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	w.Exec(`insert into appointments (public_id, patient_id, doctor_id, status, starts_at, ends_at)
		select 'APP' || lpad(g::text, 10, '0'), $1, $2, 'BOOKED', now(), now() + interval '30 minutes' from generate_series(1, $3::int) g`,
		w.Patient.ID, w.Doctor.ID, inboxLimit+1)
	w.Exec(`insert into conversations (id, head_seq) select id, 1 from appointments`)
	w.Exec(`insert into messages (room_id, seq, at, kind, sender_id, client_id, body)
		select id, 1, now() + id * interval '1 ms', 'text', $1, gen_random_uuid(), 'x' from appointments`, w.Patient.ID)
	d := in.inbox(t, w.Doctor)
	require.Len(t, d.hello["unread"], inboxLimit)
	require.EqualValues(t, inboxLimit+1, d.hello["total"])
	require.Equal(t, true, d.hello["more"])
	first, second := d.hello["unread"].([]any)[0].(map[string]any), d.hello["unread"].([]any)[1].(map[string]any)
	require.Greater(t, first["at"], second["at"], "what has changed last comes first")
	oldest := w.Number(`select min(id) from appointments`) // not in the list
	_, err := in.svc.MoveReceipts(context.Background(), in.reading(w.Doctor, oldest), conversation.Cursors{Read: 1})
	require.NoError(t, err)
	require.Equal(t, []any{0.0, 1.0, float64(inboxLimit)}, counts(d, in.PublicID(oldest)))
}

// TestInbox_OtherInstances: what happens on one instance reaches the other over the bus, and without the bus through
// the sweep.
func TestInbox_OtherInstances(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	server := pgtest.Redis(t)
	var ins [2]*instance
	for n := range ins {
		ins[n] = w.serveOn(redisBus(t, server), nil)
	}
	require.Eventually(t, func() bool { return ins[0].svc.bus.Healthy() && ins[1].svc.bus.Healthy() }, time.Minute,
		time.Millisecond)
	id := w.Conversation()
	publicID := w.PublicID(id)
	p := ins[1].inbox(t, w.Patient)
	for seq := 1.0; seq <= 4; seq++ {
		if seq == 3 {
			require.NoError(t, server.Stop())
			require.Eventually(t, func() bool { return !ins[1].svc.bus.Healthy() }, time.Minute, time.Millisecond)
		}
		ins[0].say(t, id, w.Doctor, fmt.Sprint(seq))
		require.Equal(t, []any{1.0, seq, 1.0}, counts(p, publicID))
		_, err := ins[0].svc.MoveReceipts(context.Background(), ins[0].reading(w.Patient, id),
			conversation.Cursors{Read: int64(seq)})
		require.NoError(t, err)
		require.Equal(t, []any{0.0, seq, 0.0}, counts(p, publicID))
	}
	other := w.book(t, ins[0].log, w.Patient, w.Doctor)
	require.Equal(t, w.PublicID(other), p.until("appointment")["appointment"].(map[string]any)["id"])
}
