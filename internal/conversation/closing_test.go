package conversation

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

func TestRoutes_closeAndReopen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve()
	conversation := w.Conversation()
	id := w.PublicID(conversation)
	path := "/appointments/" + id + "/conversation"
	stranger, admin := w.SignIn(w.User(auth.Doctor)), w.SignIn(w.User(auth.Admin))
	requireGolden(t, "conversation", in.ask(w.Patient, http.MethodGet, path, ""))

	for _, move := range []string{"/close", "/open"} {
		for name, c := range map[string]struct {
			actor auth.Actor
			want  int
		}{
			"nobody": {auth.Actor{}, 401}, "patient": {w.Patient, 403}, "stranger": {stranger, 404}, "admin": {admin, 403},
		} {
			require.Equal(t, c.want, in.ask(c.actor, http.MethodPost, path+move, "").Status, "%s%s", name, move)
		}
	}
	for _, body := range []string{`{"reason":"a\u0000"}`, `{"reason":"` + strings.Repeat("x", 501) + `"}`, `{"why":"x"}`} {
		require.Equal(t, 422, in.ask(w.Doctor, http.MethodPost, path+"/close", body).Status)
	}
	require.Equal(t, 200, in.ask(w.Doctor, http.MethodPost, path+"/open", "").Status, "open already")
	require.Empty(t, w.log(conversation))

	first := in.ask(w.Doctor, http.MethodPost, path+"/close", `{"reason":" All is said. "}`)
	require.Equal(t, 200, first.Status, "%s", first)
	requireGolden(t, "conversation_closed", first)
	require.Equal(t, "The doctor closed this conversation. Reason: All is said.", w.log(conversation)[0].Text)
	require.Equal(t, first.Raw, in.ask(w.Doctor, http.MethodPost, path+"/close", "").Raw,
		"closed already: the same answer")
	_, err := in.svc.Send(t.Context(), draft(conversation, w.Patient, "too late"))
	require.Equal(t, ErrClosed, err)

	again := in.ask(w.Doctor, http.MethodPost, path+"/open", "")
	require.Equal(t, []any{200, true}, []any{again.Status, again.Body["canReply"]})
	require.Equal(t, "The doctor reopened this conversation.", w.log(conversation)[1].Text)
	require.Equal(t, 200, in.ask(w.Doctor, http.MethodPost, path+"/open", "").Status)
	require.EqualValues(t, 1, w.audited("conversation.close", id, w.Doctor))
	require.EqualValues(t, 1, w.audited("conversation.open", id, w.Doctor))
	require.Len(t, w.requireGapless(conversation), 2, "repeating it adds no event")
}

// The conversation's state decides, and the refusal gives the reason.
func TestService_Reopen_refusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve()
	ctx := context.Background()
	for status, why := range map[appointment.Status]string{
		appointment.Pending: "pending", appointment.Cancelled: "cancelled", appointment.NoShow: "no_show", appointment.Completed: "follow_up_over",
		appointment.Booked: "", // can be
	} {
		conversation := w.Appointment(status)
		w.Exec(`insert into conversations (id, closed_at) values ($1, now())`, conversation)
		if why != "" {
			w.Exec(`update appointments set completed_at = $2 where id = $1 and status = 'COMPLETED'`, conversation,
				time.Now().Add(-followUp-time.Minute))
		}
		id := w.PublicID(conversation)
		_, err := in.svc.Close(ctx, w.Doctor, id, "")
		require.NoError(t, err, "closed already")
		c, err := in.svc.Reopen(ctx, w.Doctor, id)
		if why == "" {
			require.NoError(t, err)
			require.True(t, c.Can)
			continue
		}
		require.ErrorIs(t, err, errCannotOpen)
		require.Equal(t, why, extra(err, "whyNot"))
		w.Exec(`update conversations set closed_at = null where id = $1`, conversation)
		_, err = in.svc.Close(ctx, w.Doctor, id, "")
		require.ErrorIs(t, err, errNotOpen)
		require.Equal(t, why, extra(err, "whyNot"))
		require.Empty(t, w.log(conversation))
	}
	conversation := w.Conversation()
	w.Exec(`update users set disabled_at = now() where id = $1`, w.Doctor.ID)
	_, err := in.svc.Reopen(ctx, w.Doctor, w.PublicID(conversation))
	require.Equal(t, "doctor_unavailable", errs.CodeOf(err), "a doctor who is just losing their role opens nothing")
}

func extra(err error, key string) any {
	var e *errs.Error
	if !errors.As(err, &e) {
		return nil
	}
	return e.Extra[key]
}

// TestService_Close_contention sends, closes and reopens at the same time on two instances: the log has no gap,
// closings and openings alternate, and no message lies between a closing and the next opening.
func TestService_Close_contention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	instances := []*instance{w.serve(), w.serve()}
	conversation := w.Conversation()
	id := w.PublicID(conversation)
	ctx := context.Background()
	var sent, refused atomic.Int64
	var work sync.WaitGroup
	for n := range 8 {
		svc := instances[n%2].svc
		sender := []auth.Actor{w.Patient, w.Doctor}[n/2%2]
		work.Go(func() {
			for range 40 {
				switch _, err := svc.Send(ctx, draft(conversation, sender, "x")); {
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
				_, err := svc.Close(ctx, w.Doctor, id, "")
				if err != nil {
					t.Errorf("close: %v", err)
				}
				if _, err = svc.Reopen(ctx, w.Doctor, id); err != nil {
					t.Errorf("open: %v", err)
				}
			}
		})
	}
	work.Wait()
	open, moves := true, int64(0)
	for _, e := range w.requireGapless(conversation) {
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
	require.Equal(t, moves, w.audited("conversation.close", id, w.Doctor)+w.audited("conversation.open", id, w.Doctor))
	require.Equal(t, sent.Load(),
		w.Number(`select count(*) from messages where room_id = $1 and kind = 'text'`, conversation))
	t.Logf("%d sent, %d refused, %d moves", sent.Load(), refused.Load(), moves)
}

func TestLog_Reopen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve()
	conversation := w.Conversation()
	id := w.PublicID(conversation)
	inTx := func(f func(tx *postgres.Tx) error) { require.NoError(t, w.Pool.InTx(context.Background(), f)) }
	why := func() string {
		c, err := in.svc.State(context.Background(), w.Patient, id)
		require.NoError(t, err)
		return c.WhyNot
	}
	log, ctx := NewLog(), context.Background()
	inTx(func(tx *postgres.Tx) error { return log.Close(ctx, tx, conversation, "gone") })
	require.Equal(t, "doctor_unavailable", why())
	inTx(func(tx *postgres.Tx) error { return log.Reopen(ctx, tx, conversation, "back") })
	inTx(func(tx *postgres.Tx) error { return log.Reopen(ctx, tx, conversation, "back") })
	require.Empty(t, why())
	_, err := in.svc.Close(ctx, w.Doctor, id, "")
	require.NoError(t, err)
	inTx(func(tx *postgres.Tx) error { return log.Close(ctx, tx, conversation, "gone") })
	inTx(func(tx *postgres.Tx) error { return log.Reopen(ctx, tx, conversation, "back") })
	require.Equal(t, "closed_by_doctor", why(), "what the doctor closed stays closed")
	require.Len(t, w.requireGapless(conversation), 3)
}
