package chat

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// audited counts rows of the trail.
func (w *world) audited(action, subject string, actor auth.Actor) int64 {
	w.t.Helper()
	return w.number(`select count(*) from audit_events where action = $1 and subject = $2 and actor_id = $3`, action, subject, actor.ID)
}

func TestRoutes_closeAndOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, other := w.serve(nil), w.serve(nil)
	room := w.room()
	id := w.publicID(room)
	path := "/appointments/" + id + "/conversation"
	stranger, admin := w.signIn(w.user(auth.Doctor)), w.signIn(w.user(auth.Admin))
	in.knows(stranger, admin)
	p, elsewhere := in.dial(t, w.patient, room, ""), other.dial(t, w.doctor, room, "")
	p.until("live")
	elsewhere.until("live")
	goldenRest(t, "conversation", in.rest(w.patient, http.MethodGet, path, ""))

	for _, move := range []string{"/close", "/open"} {
		for name, c := range map[string]struct {
			actor auth.Actor
			want  int
		}{
			"nobody": {auth.Actor{}, 401}, "patient": {w.patient, 403}, "stranger": {stranger, 404}, "admin": {admin, 403},
		} {
			require.Equal(t, c.want, in.rest(c.actor, http.MethodPost, path+move, "").status, "%s%s", name, move)
		}
	}
	for _, body := range []string{`{"reason":"a\u0000"}`, `{"reason":"` + strings.Repeat("x", 501) + `"}`, `{"why":"x"}`} {
		require.Equal(t, 422, in.rest(w.doctor, http.MethodPost, path+"/close", body).status)
	}
	require.Equal(t, 200, in.rest(w.doctor, http.MethodPost, path+"/open", "").status, "open already")
	require.Empty(t, w.log(room))

	first := in.rest(w.doctor, http.MethodPost, path+"/close", `{"reason":" All is said. "}`)
	require.Equal(t, 200, first.status, "%s", first.raw)
	goldenRest(t, "conversation_closed", first)
	require.Equal(t, "The doctor closed the conversation. Reason: All is said.", p.until("event")["text"])
	require.Equal(t, "closed_by_doctor", p.until("appointment")["whyNot"])
	other.svc.sweepSoon() // the bus of these instances carries nothing
	require.Equal(t, false, elsewhere.until("appointment")["canReply"])
	require.Equal(t, first.raw, in.rest(w.doctor, http.MethodPost, path+"/close", "").raw, "closed already: the same answer")
	p.say(map[string]any{"type": "send", "clientId": uuid.New(), "text": "too late"})
	require.Equal(t, "closed", p.until("nack")["code"])

	again := in.rest(w.doctor, http.MethodPost, path+"/open", "")
	require.Equal(t, []any{200, true}, []any{again.status, again.body["canReply"]})
	require.Equal(t, true, p.until("appointment")["canReply"])
	require.Equal(t, 200, in.rest(w.doctor, http.MethodPost, path+"/open", "").status)
	require.EqualValues(t, 1, w.audited("conversation.close", id, w.doctor))
	require.EqualValues(t, 1, w.audited("conversation.open", id, w.doctor))
	require.Len(t, w.requireGapless(room), 2, "a repetition says nothing")
}

// What the appointment forbids is refused with the reason.
func TestService_OpenConversation_refusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	ctx := context.Background()
	window := in.svc.d.Config.FollowUpWindow
	for status, why := range map[appointment.Status]string{
		appointment.Pending: "pending", appointment.Cancelled: "cancelled", appointment.NoShow: "no_show", appointment.Completed: "follow_up_over",
		appointment.Booked: "", // can be
	} {
		room := w.appointment(status)
		w.exec(`insert into conversations (id, closed_at) values ($1, now())`, room)
		if why != "" {
			w.exec(`update appointments set completed_at = $2 where id = $1 and status = 'COMPLETED'`, room, time.Now().Add(-window-time.Minute))
		}
		id := w.publicID(room)
		_, err := in.svc.CloseConversation(ctx, w.doctor, id, "")
		require.NoError(t, err, "closed already")
		c, err := in.svc.OpenConversation(ctx, w.doctor, id)
		if why == "" {
			require.NoError(t, err)
			require.True(t, c.CanReply)
			continue
		}
		require.ErrorIs(t, err, errCannotOpen)
		require.Equal(t, why, extra(err, "whyNot"))
		w.exec(`update conversations set closed_at = null where id = $1`, room)
		_, err = in.svc.CloseConversation(ctx, w.doctor, id, "")
		require.ErrorIs(t, err, errNotOpen)
		require.Equal(t, why, extra(err, "whyNot"))
		require.Empty(t, w.log(room))
	}
	room := w.room()
	w.exec(`update users set disabled_at = now() where id = $1`, w.doctor.ID)
	_, err := in.svc.OpenConversation(ctx, w.doctor, w.publicID(room))
	require.Equal(t, "doctor_unavailable", errs.CodeOf(err), "who is just being let go opens nothing")
}

func extra(err error, key string) any {
	var e *errs.Error
	if !errors.As(err, &e) {
		return nil
	}
	return e.Extra[key]
}

// TestService_CloseConversation_contention: whoever sends, closes and opens at once, on two instances: the log has no hole,
// opening and closing take turns in it, and nothing stands between a closing and the next opening.
func TestService_CloseConversation_contention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	instances := []*instance{w.serve(nil), w.serve(nil)}
	room := w.room()
	id := w.publicID(room)
	ctx := context.Background()
	var sent, refused atomic.Int64
	var work sync.WaitGroup
	for n := range 8 {
		svc := instances[n%2].svc
		sender := []auth.Actor{w.patient, w.doctor}[n/2%2]
		work.Go(func() {
			for range 40 {
				switch _, err := svc.Send(ctx, sender, room, uuid.New(), "x"); {
				case err == nil:
					sent.Add(1)
				case errors.Is(err, ErrClosed):
					refused.Add(1)
				case errs.KindOf(err) != errs.RateLimited:
					t.Errorf("send: %v", err)
				}
			}
		})
		work.Go(func() {
			for range 10 {
				_, err := svc.CloseConversation(ctx, w.doctor, id, "")
				if err != nil {
					t.Errorf("close: %v", err)
				}
				if _, err = svc.OpenConversation(ctx, w.doctor, id); err != nil {
					t.Errorf("open: %v", err)
				}
			}
		})
	}
	work.Wait()
	open, moves := true, int64(0)
	for _, e := range w.requireGapless(room) {
		if e.Kind == KindText {
			require.True(t, open, "seq %d landed after a closing", e.Seq)
			continue
		}
		closing := strings.Contains(e.Text, "closed")
		require.Equal(t, open, closing, "seq %d: each move is made once", e.Seq)
		open = !closing
		moves++
	}
	require.True(t, open)
	require.Equal(t, moves, w.audited("conversation.close", id, w.doctor)+w.audited("conversation.open", id, w.doctor))
	require.Equal(t, sent.Load(), w.number(`select count(*) from messages where room_id = $1 and kind = 'text'`, room))
	t.Logf("%d sent, %d refused, %d moves", sent.Load(), refused.Load(), moves)
}

func TestLog_Reopen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	room := w.room()
	id := w.publicID(room)
	inTx := func(f func(tx *postgres.Tx) error) { require.NoError(t, w.pool.InTx(context.Background(), f)) }
	why := func() string {
		c, err := in.svc.State(context.Background(), w.patient, id)
		require.NoError(t, err)
		return c.WhyNot
	}
	log, ctx := NewLog(), context.Background()
	inTx(func(tx *postgres.Tx) error { return log.Close(ctx, tx, room, "gone") })
	require.Equal(t, "doctor_unavailable", why())
	inTx(func(tx *postgres.Tx) error { return log.Reopen(ctx, tx, room, "back") })
	inTx(func(tx *postgres.Tx) error { return log.Reopen(ctx, tx, room, "back") })
	require.Empty(t, why())
	_, err := in.svc.CloseConversation(ctx, w.doctor, id, "")
	require.NoError(t, err)
	inTx(func(tx *postgres.Tx) error { return log.Close(ctx, tx, room, "gone") })
	inTx(func(tx *postgres.Tx) error { return log.Reopen(ctx, tx, room, "back") })
	require.Equal(t, "closed_by_doctor", why(), "what the doctor closed stays closed")
	require.Len(t, w.requireGapless(room), 3)
}
