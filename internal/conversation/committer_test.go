package conversation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
)

// TestCommitter_ManySendersTwoInstances: whatever the interleaving, every conversation's log is gapless and has each
// clientId once, and every ack has the seq of its message.
func TestCommitter_ManySendersTwoInstances(t *testing.T) {
	t.Parallel()
	const conversations, senders, each = 12, 24, 25
	w := newWorld(t)
	one, heardOne := startCommitter(t, w.Connect(), 3)
	two, heardTwo := startCommitter(t, w.Connect(), 2)
	ids := make([]int64, conversations)
	for i := range ids {
		ids[i] = w.Conversation()
	}
	var mu sync.Mutex
	acked := map[int64]map[int64]uuid.UUID{} // conversation -> seq -> clientId
	var work sync.WaitGroup
	for n := range senders {
		work.Go(func() {
			for i := range each {
				d := draft(ids[rand.IntN(conversations)], w.Patient, fmt.Sprintf("%d %d", n, i))
				first, other := one, two
				if n%2 == 1 {
					first, other = two, one
				}
				ack, err := first.send(d)
				if err == nil && i%5 == 0 { // as after a lost ack, on the other instance
					again, err := other.send(d)
					if err != nil || !again.Duplicate || again.Seq != ack.Seq || !again.At.Equal(ack.At) {
						t.Errorf("a resend gave %+v, %v after %+v", again, err, ack)
					}
				}
				if err != nil || ack.Duplicate {
					t.Errorf("a send gave %+v, %v", ack, err)
				}
				mu.Lock()
				if acked[d.Conversation] == nil {
					acked[d.Conversation] = map[int64]uuid.UUID{}
				}
				acked[d.Conversation][ack.Seq] = d.ClientID
				mu.Unlock()
			}
		})
	}
	work.Wait()
	total := 0
	for _, id := range ids {
		log := w.requireGapless(id)
		total += len(log)
		require.Len(t, acked[id], len(log))
		for _, e := range log {
			require.Equal(t, acked[id][e.Seq], e.ClientID)
		}
		require.ElementsMatch(t, log, append(heardOne.in(id), heardTwo.in(id)...),
			"each event is announced once, as it is in the log")
		require.True(t, slices.IsSortedFunc(heardOne.in(id), func(a, b Event) int { return int(a.Seq - b.Seq) }),
			"and in order")
	}
	require.Equal(t, senders*each, total)
}

// TestCommitter_OneClientIDManyTimes is the one-winner test for drafts.
func TestCommitter_OneClientIDManyTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, _ := startCommitter(t, w.Connect(), 4)
	two, _ := startCommitter(t, w.Connect(), 4)
	id := w.Conversation()
	d := draft(id, w.Patient, "once")
	outcomes := make(chan outcome, 50)
	for i := range 50 {
		go func() {
			c := one
			if i%2 == 1 {
				c = two
			}
			ack, err := c.send(d)
			outcomes <- outcome{ack: ack, err: err}
		}()
	}
	winners := 0
	for range 50 {
		o := <-outcomes
		require.NoError(t, o.err)
		require.EqualValues(t, 1, o.ack.Seq)
		if !o.ack.Duplicate {
			winners++
		}
	}
	require.Equal(t, 1, winners)
	require.Len(t, w.requireGapless(id), 1)
}

func TestCommitter_DuplicatesInOneBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, told := committerOn(w.Pool, 1)
	id, other := w.Conversation(), w.Conversation()
	old, d := draft(id, w.Patient, "old"), draft(id, w.Doctor, "new")
	require.NoError(t, commitOne(c, old)[0].err)

	sameIDOfPatient, sameIDElsewhere := d, d
	sameIDOfPatient.Sender = w.Patient // the same id from another sender is another message
	sameIDElsewhere.Conversation = other
	out := commitOne(c, d, old, d, sameIDOfPatient, sameIDElsewhere, d)
	seqs, duplicates := []int64{}, []bool{}
	for _, o := range out {
		require.NoError(t, o.err)
		seqs, duplicates = append(seqs, o.ack.Seq), append(duplicates, o.ack.Duplicate)
	}
	require.Equal(t, []int64{2, 1, 2, 3, 1, 2}, seqs)
	require.Equal(t, []bool{false, true, true, false, false, true}, duplicates)
	require.Len(t, w.requireGapless(id), 3)
	require.Len(t, w.requireGapless(other), 1)
	require.Len(t, told.in(id), 3)
}

// TestCommitter_RefusedDataIsIsolated: a draft that PostgreSQL cannot store does not cause the others to be refused.
func TestCommitter_RefusedDataIsIsolated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, told := committerOn(w.Pool, 1)
	id := w.Conversation()
	drafts := make([]Draft, 20)
	for i := range drafts {
		drafts[i] = draft(id, w.Patient, fmt.Sprint(i))
	}
	drafts[7].Text, drafts[13].Text = "a\x00b", "a\xffb" // past CheckText
	for i, o := range commitOne(c, drafts...) {
		if i == 7 || i == 13 {
			require.Equal(t, ErrInvalidText, o.err)
			continue
		}
		require.NoError(t, o.err)
	}
	log := w.requireGapless(id)
	require.Len(t, log, 18)
	require.Equal(t, log, told.in(id))
}

func TestCommitter_Refusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, _ := committerOn(w.Pool, 1)
	open, pending, bare, shut := w.Conversation(), w.Appointment(
		appointment.Pending,
	), w.Appointment(appointment.Booked), w.Conversation()
	w.Exec(`insert into conversations (id) values ($1)`, pending)
	w.Exec(`update conversations set closed_at = now() where id = $1`, shut)
	stranger, admin := w.SignIn(w.User(auth.Patient)), w.SignIn(w.User(auth.Admin))
	ended, borrowed, nobody := w.SignIn(w.Patient), w.Patient, w.Patient
	w.Exec(`update sessions set ended_at = now(), end_reason = 'logout' where id = $1`, ended.Session)
	borrowed.Session, nobody.Session = w.Doctor.Session, 0
	for name, c2 := range map[string]struct {
		d    Draft
		want error
	}{
		"participant":               {draft(open, w.Doctor, "x"), nil},
		"not a participant":         {draft(open, stranger, "x"), ErrForbidden},
		"admin":                     {draft(open, admin, "x"), ErrForbidden},
		"ended session":             {draft(open, ended, "x"), ErrForbidden},
		"somebody else's session":   {draft(open, borrowed, "x"), ErrForbidden},
		"no session":                {draft(open, nobody, "x"), ErrForbidden},
		"appointment not confirmed": {draft(pending, w.Patient, "x"), ErrClosed},
		"closed by the doctor":      {draft(shut, w.Patient, "x"), ErrClosed},
		"no conversation":           {draft(bare, w.Patient, "x"), ErrForbidden},
		"no appointment":            {draft(1<<40, w.Patient, "x"), ErrForbidden},
	} {
		out := commitOne(c, c2.d, draft(open, w.Patient, "the neighbour in the batch"))
		require.Equal(t, c2.want, out[0].err, name)
		require.NoError(t, out[1].err, name)
	}
	require.Len(t, w.requireGapless(open), 11)
	require.InDelta(t, 2, testutil.ToFloat64(c.metrics.refused.WithLabelValues("closed")), 0,
		"refusals are counted by reason")
	require.InDelta(t, 7, testutil.ToFloat64(c.metrics.refused.WithLabelValues("forbidden")), 0)
}

// TestCommitter_AckedStaysAcked: resending a committed draft gets its ack, even if the conversation has closed since.
func TestCommitter_AckedStaysAcked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, told := committerOn(w.Pool, 1)
	id := w.Conversation()
	d := draft(id, w.Patient, "before the end")
	first := commitOne(c, d)[0]
	require.NoError(t, first.err)
	for _, end := range []string{
		`update appointments set status = 'CANCELLED' where id = $1`,
		`update conversations set closed_at = now() where id = $1`,
		`update sessions set ended_at = now() where user_id = (select patient_id from appointments where id = $1)`,
	} {
		w.Exec(end, id)
		out := commitOne(c, d, draft(id, w.Patient, "too late"))
		require.NoError(t, out[0].err)
		require.True(t, out[0].ack.Duplicate)
		require.Equal(t, first.ack.Seq, out[0].ack.Seq)
		require.True(t, first.ack.At.Equal(out[0].ack.At))
		require.Error(t, out[1].err)
	}
	require.Len(t, told.in(id), 1)
}

// TestCommitter_RuleEqualsReply checks that the committer's SQL for who may write agrees with appointment.Reply,
// which everything else uses.
func TestCommitter_RuleEqualsReply(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, _ := committerOn(w.Pool, 1)
	for _, status := range appointment.Statuses {
		for name, completed := range map[string]*time.Duration{"never": nil, "just now": new(time.Minute), "long ago": new(followUp + time.Minute)} {
			for _, updated := range []time.Duration{0, 2 * followUp} {
				for _, closed := range []bool{false, true} {
					id := w.Appointment(status)
					now := time.Now()
					a := appointment.Appointment{Status: status, UpdatedAt: now.Add(-updated)}
					if completed != nil {
						at := now.Add(-*completed)
						a.CompletedAt = &at
					}
					var closedAt *time.Time
					if closed {
						closedAt = &now
					}
					w.Exec(`update appointments set completed_at = $2, updated_at = $3 where id = $1`, id, a.CompletedAt, a.UpdatedAt)
					w.Exec(`insert into conversations (id, closed_at) values ($1, $2)`, id, closedAt)
					shut := appointment.Closing{}
					if closed {
						shut.At = now
					}
					can, _, why := a.Reply(now, followUp, shut)
					err := commitOne(c, draft(id, w.Patient, "x"))[0].err
					require.Equalf(t, can, err == nil, "%s, completed %s, updated %s ago, closed %t: %s, %v", status, name, updated,
						closed, why, err)
					if !can {
						require.Equal(t, ErrClosed, err)
					}
				}
			}
		}
	}
}

func TestCommitter_CloseCommitsWhatIsQueued(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, _ := committerOn(w.Connect(), 2)
	ids := []int64{w.Conversation(), w.Conversation(), w.Conversation()}
	const n = 3 * batchLimit
	outcomes := make(chan outcome, n)
	for i := range n {
		c.queue(draft(ids[i%3], w.Patient, "queued"), func(ack Ack, err error) { outcomes <- outcome{ack: ack, err: err} })
	}
	c.begin()
	c.finish(context.Background())
	require.Len(t, outcomes, n, "everyone was answered before close returned")
	for range n {
		require.NoError(t, (<-outcomes).err)
	}
	for _, id := range ids {
		require.Len(t, w.requireGapless(id), n/3)
	}
	_, err := c.send(draft(ids[0], w.Patient, "late"))
	require.Equal(t, ErrUnavailable, err)
	c.finish(context.Background())
}

func TestCommitter_FullLaneRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, _ := committerOn(w.Connect(), 1)
	id := w.Conversation()
	refused := 0
	for range laneQueue + 3 {
		c.queue(draft(id, w.Patient, "x"), func(_ Ack, err error) {
			if err != nil {
				refused++
			}
		})
	}
	require.Equal(t, 3, refused, "at once, not later")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c.begin()
	c.finish(ctx) // the time for the remaining drafts is over
	require.Greater(t, refused, 3)
}
