package chat

import (
	"context"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"housecall/internal/auth"
	"housecall/internal/conversation"
)

func TestService_NotifyAbsent(t *testing.T) {
	t.Parallel()
	a := newAbsence(t)
	id, other := a.Conversation(), a.Conversation()
	left := a.now
	a.pass(5 * time.Minute)
	a.say(id, a.Doctor, conversation.KindText)
	a.say(other, a.Doctor, conversation.KindText)
	a.say(other, a.Doctor, conversation.KindText)
	a.useREST(a.Doctor)
	a.pass(15*time.Minute - time.Second)
	require.Empty(t, a.sweep(), "away for long enough, but not with that")
	a.pass(time.Second)
	require.Equal(t, []tiding{{a.Patient.ID, left, 2}}, a.sweep(), "the sender is not notified of their own messages")
	require.Empty(t, a.sweep(), "once")
	a.say(id, a.Doctor, conversation.KindText)
	a.pass(time.Hour)
	require.Empty(t, a.sweep(), "once in an absence, whatever comes")

	a.useREST(a.Patient)
	back := a.now
	a.pass(14 * time.Minute)
	require.Empty(t, a.sweep())
	a.pass(time.Minute)
	require.Equal(t, []tiding{{a.Patient.ID, back, 2}}, a.sweep(), "they were there, left it unread, and went again")

	require.NoError(t, saveSeen(t.Context(), a.Pool, []int64{a.Patient.ID}, a.now))
	a.read(id, a.Patient, 9)
	a.read(other, a.Patient, 9)
	a.pass(time.Hour)
	require.Empty(t, a.sweep(), "they have read it")
	require.Zero(t, a.Number(`select count(*) from unread_pending`))
}

// A retracted message is not unread, whether it was retracted before the sweep or after it; the others still are.
func TestService_NotifyAbsent_takenBack(t *testing.T) {
	t.Parallel()
	a := newAbsence(t)
	id, other := a.Conversation(), a.Conversation()
	left := a.now
	a.pass(5 * time.Minute)
	gone, late, kept := a.say(id, a.Doctor,
		conversation.KindText), a.say(other, a.Doctor, conversation.KindText), a.say(other, a.Doctor, conversation.KindAttachment)
	a.append(id, conversation.KindRetraction, a.Doctor, gone)
	a.pass(14 * time.Minute)
	require.Empty(t, a.sweep())
	a.pass(2 * time.Minute)
	require.Equal(t, []tiding{{a.Patient.ID, left, 1}}, a.sweep())
	n, err := a.sweeper().UnreadConversations(t.Context(), a.Patient.ID)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	a.append(other, conversation.KindRetraction, a.Doctor, kept)
	n, err = a.sweeper().UnreadConversations(t.Context(), a.Patient.ID)
	require.NoError(t, err)
	require.Equal(t, 1, n, "an older one is left")
	a.append(other, conversation.KindRetraction, a.Doctor, late)
	n, err = a.sweeper().UnreadConversations(t.Context(), a.Patient.ID)
	require.NoError(t, err)
	require.Zero(t, n)
	a.useREST(a.Patient)
	a.pass(time.Hour)
	require.Empty(t, a.sweep())
}

// A doctor who has handed an appointment over is no longer notified of it.
func TestService_NotifyAbsent_handedOver(t *testing.T) {
	t.Parallel()
	a := newAbsence(t)
	id := a.Conversation()
	a.say(id, a.Patient, conversation.KindText)
	a.pass(15 * time.Minute)
	a.useREST(a.Patient)
	a.useREST(a.Doctor)
	require.Empty(t, a.sweep(), "both are there")
	require.EqualValues(t, 1, a.Number(`select count(*) from unread_pending where user_id = $1`, a.Doctor.ID))
	a.Exec(`update appointments set doctor_id = $1`, a.User(auth.Doctor).ID)
	a.pass(15 * time.Minute)
	require.Empty(t, a.sweep())
	n, err := a.sweeper().UnreadConversations(t.Context(), a.Doctor.ID)
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestService_Unread(t *testing.T) {
	t.Parallel()
	a := newAbsence(t)
	id := a.Conversation()
	seq := a.say(id, a.Doctor, conversation.KindText)
	a.useREST(a.Doctor)
	a.pass(15 * time.Minute)
	require.Len(t, a.sweep(), 1)
	unread := func() int {
		n, err := a.sweeper().UnreadConversations(t.Context(), a.Patient.ID)
		require.NoError(t, err)
		return n
	}
	require.Equal(t, 1, unread())
	a.read(id, a.Patient, seq)
	require.Zero(t, unread(), "at once, not with the next sweep")
}

// What a user saw at minute 10 and left unread is notified 15 minutes after they went.
func TestService_NotifyAbsent_leftUnread(t *testing.T) {
	t.Parallel()
	a := newAbsence(t)
	a.say(a.Conversation(), a.Doctor, conversation.KindText)
	a.useREST(a.Doctor)
	for range 24 {
		a.pass(time.Minute)
		if a.now.Minute() == 10 {
			require.NoError(t, saveSeen(t.Context(), a.Pool, []int64{a.Patient.ID}, a.now))
		}
		require.Empty(t, a.sweep(), a.now)
	}
	a.pass(time.Minute)
	require.Equal(t, []tiding{{a.Patient.ID, a.now.Add(-15 * time.Minute), 1}}, a.sweep())
}

func TestService_NotifyAbsent_whatCounts(t *testing.T) {
	t.Parallel()
	a := newAbsence(t)
	left := a.now
	a.say(a.Conversation(), a.Doctor, conversation.KindSystem)
	a.pass(time.Hour)
	require.Empty(t, a.sweep(), "system events alone do not count")
	over := a.Conversation()
	a.say(over, a.Doctor, conversation.KindText)
	a.Exec(`update conversations set closed_at = now() where id = $1`, over)
	a.Exec(`update appointments set status = 'CANCELLED' where id = $1`, over)
	a.pass(15 * time.Minute)
	require.Equal(t, []tiding{{a.Patient.ID, left, 1}}, a.sweep(),
		"a message is a message, though its conversation is over")
	a.Exec(`update users set disabled_at = now() where id = $1`, a.Patient.ID)
	a.Exec(`delete from unread_notices`)
	require.Empty(t, a.sweep(), "disabled")
}

// Many sweepers at once notify each user once.
func TestService_NotifyAbsent_oneWinner(t *testing.T) {
	t.Parallel()
	a := newAbsence(t)
	id := a.Conversation()
	a.say(id, a.Doctor, conversation.KindText)
	a.say(id, a.Patient, conversation.KindText)
	a.pass(time.Hour)
	for range 3 {
		failures := make([]error, 12)
		var all sync.WaitGroup
		for i := range failures {
			s := a.sweeper()
			all.Go(func() { failures[i] = s.NotifyAbsent(context.Background()) })
		}
		all.Wait()
		for _, err := range failures {
			require.NoError(t, err)
		}
		heard := a.ears.take()
		if len(heard) < 2 { // all others ran before the one who collected
			heard = append(heard, a.sweep()...)
		}
		require.Len(t, heard, 2, "patient and doctor")
		require.NotEqual(t, heard[0].user, heard[1].user)
		a.pass(time.Minute)
		a.useREST(a.Patient)
		a.useREST(a.Doctor)
		a.pass(15 * time.Minute)
	}
}

// A notification that fails is tried again, and keeps nobody else from theirs.
func TestService_NotifyAbsent_failure(t *testing.T) {
	t.Parallel()
	a := newAbsence(t)
	id := a.Conversation()
	a.say(id, a.Doctor, conversation.KindText)
	a.say(id, a.Patient, conversation.KindText)
	a.pass(time.Hour)
	a.ears.deaf[a.Patient.ID] = true
	require.ErrorIs(t, a.sweeper().NotifyAbsent(t.Context()), errDeaf)
	require.Equal(t, a.Doctor.ID, a.ears.take()[0].user)
	a.ears.deaf = nil
	require.Equal(t, a.Patient.ID, a.sweep()[0].user)
}

// After days of downtime the sweep catches up.
func TestService_NotifyAbsent_catchesUp(t *testing.T) {
	t.Parallel()
	a := newAbsence(t)
	a.pass(time.Hour)
	a.say(a.Conversation(), a.Doctor, conversation.KindText)
	a.pass(60 * time.Hour)
	a.say(a.Conversation(), a.Doctor, conversation.KindText)
	a.useREST(a.Doctor)
	a.pass(15 * time.Minute)
	require.Len(t, a.sweep(), 1, "the first day")
	a.sweep()
	a.sweep()
	require.EqualValues(t, 2, a.Number(`select count(*) from unread_pending`))
}

// A user with an open connection counts as present, however long they do nothing.
func TestService_NotifyAbsent_openSocket(t *testing.T) {
	t.Parallel()
	a := newAbsence(t)
	in := a.serve(nil)
	id := a.Conversation()
	in.dial(t, a.Patient, id, "")
	require.Equal(t, []int64{a.Patient.ID}, in.svc.connections.people())
	sweeper := a.sweeper() // by the test's clock, while the instance keeps its own
	sweeper.connections = in.svc.connections
	a.say(id, a.Doctor, conversation.KindText)
	for range 30 {
		a.pass(time.Minute)
		a.useREST(a.Doctor)
		require.NoError(t, sweeper.markSeen(t.Context()))
		require.NoError(t, sweeper.NotifyAbsent(t.Context()))
		require.Empty(t, a.ears.take())
	}
}

// oracle knows the rule and everything that happened, but nothing of how the service finds it out.
type oracle struct {
	seen, notified map[int64]time.Time
	read           map[receiptKey]int64
	said           []said
}

type said struct {
	id, seq, sender int64
	to              int64
	at              time.Time
}

func (o *oracle) due(now time.Time) map[int64]tiding {
	cutoff, out := now.Add(-15*time.Minute), map[int64]tiding{}
	for user, seen := range o.seen {
		ids := map[int64]bool{}
		for _, m := range o.said {
			if m.to == user && m.seq > o.read[receiptKey{m.id, user}] && !m.at.After(cutoff) {
				ids[m.id] = true
			}
		}
		if len(ids) > 0 && !seen.After(cutoff) && o.notified[user].Before(seen) {
			out[user] = tiding{user, seen, len(ids)}
			o.notified[user] = now
		}
	}
	return out
}

func TestService_NotifyAbsent_model(t *testing.T) {
	t.Parallel()
	a := newAbsence(t)
	ids := []int64{a.Conversation(), a.Conversation()}
	people := []auth.Actor{a.Patient, a.Doctor}
	rapid.Check(t, func(rt *rapid.T) {
		a.pass(time.Hour)
		a.reset()
		o := &oracle{seen: map[int64]time.Time{}, notified: map[int64]time.Time{}, read: map[receiptKey]int64{}}
		for _, p := range people {
			o.seen[p.ID] = a.now
		}
		steps := rapid.IntRange(5, 30).Draw(rt, "steps")
		for range steps {
			a.pass(time.Duration(rapid.IntRange(1, 9).Draw(rt, "minutes")) * time.Minute)
			who := rapid.IntRange(0, 1).Draw(rt, "who")
			p, id := people[who], ids[rapid.IntRange(0, 1).Draw(rt, "id")]
			switch rapid.SampledFrom([]string{"say", "say", "system", "read", "rest", "socket", "pass", "pass"}).
				Draw(rt, "what") {
			case "say":
				o.said = append(o.said, said{id, a.say(id, p, conversation.KindText), p.ID, people[1-who].ID, a.now})
			case "system":
				a.say(id, p, conversation.KindSystem)
			case "read":
				head := a.Number(`select head_seq from conversations where id = $1`, id)
				seq := rapid.Int64Range(0, head).Draw(rt, "seq")
				a.read(id, p, seq)
				k := receiptKey{id, p.ID}
				o.read[k] = max(o.read[k], seq)
			case "rest":
				a.useREST(p)
				o.seen[p.ID] = a.now
			case "socket":
				require.NoError(rt, saveSeen(context.Background(), a.Pool, []int64{p.ID}, a.now))
				o.seen[p.ID] = a.now
			}
			if rapid.Bool().Draw(rt, "sweep") {
				got := map[int64]tiding{}
				for _, x := range a.sweep() {
					require.NotContains(rt, got, x.user, "told twice")
					got[x.user] = x
				}
				want := o.due(a.now)
				require.True(rt, maps.Equal(want, got), "%v, not %v", want, got)
			}
		}
	})
}
