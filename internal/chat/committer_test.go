package chat

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

// TestCommitter_ManySendersTwoInstances: whatever the interleaving, every room's log is gapless, has each clientId
// once and every acknowledged seq is that of its message.
func TestCommitter_ManySendersTwoInstances(t *testing.T) {
	t.Parallel()
	const rooms, senders, each = 12, 24, 25
	w := newWorld(t)
	one, heardOne := startCommitter(t, w.connect(), 3)
	two, heardTwo := startCommitter(t, w.connect(), 2)
	ids := make([]int64, rooms)
	for i := range ids {
		ids[i] = w.room()
	}
	var mu sync.Mutex
	acked := map[int64]map[int64]uuid.UUID{} // room -> seq -> clientId
	var work sync.WaitGroup
	for n := range senders {
		work.Go(func() {
			for i := range each {
				d := draft(ids[rand.IntN(rooms)], w.patient, fmt.Sprintf("%d %d", n, i))
				first, other := one, two
				if n%2 == 1 {
					first, other = two, one
				}
				r, err := first.send(d)
				if err == nil && i%5 == 0 { // as after a lost ack, on the other instance
					again, err := other.send(d)
					if err != nil || !again.Duplicate || again.Seq != r.Seq || !again.At.Equal(r.At) {
						t.Errorf("a resend gave %+v, %v after %+v", again, err, r)
					}
				}
				if err != nil || r.Duplicate {
					t.Errorf("a send gave %+v, %v", r, err)
				}
				mu.Lock()
				if acked[d.Room] == nil {
					acked[d.Room] = map[int64]uuid.UUID{}
				}
				acked[d.Room][r.Seq] = d.ClientID
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
		require.ElementsMatch(t, log, append(heardOne.in(id), heardTwo.in(id)...), "each event is told once, as it is in the log")
		require.True(t, slices.IsSortedFunc(heardOne.in(id), func(a, b Event) int { return int(a.Seq - b.Seq) }), "and in order")
	}
	require.Equal(t, senders*each, total)
}

// TestCommitter_OneClientIDManyTimes is the one-winner test of drafts.
func TestCommitter_OneClientIDManyTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, _ := startCommitter(t, w.connect(), 4)
	two, _ := startCommitter(t, w.connect(), 4)
	room := w.room()
	d := draft(room, w.patient, "once")
	outcomes := make(chan outcome, 50)
	for i := range 50 {
		go func() {
			c := one
			if i%2 == 1 {
				c = two
			}
			r, err := c.send(d)
			outcomes <- outcome{receipt: r, err: err}
		}()
	}
	winners := 0
	for range 50 {
		o := <-outcomes
		require.NoError(t, o.err)
		require.EqualValues(t, 1, o.receipt.Seq)
		if !o.receipt.Duplicate {
			winners++
		}
	}
	require.Equal(t, 1, winners)
	require.Len(t, w.requireGapless(room), 1)
}

// commitOne runs a batch through a committer that has no lanes running, so that it is surely one batch.
func commitOne(c *committer, drafts ...Draft) []outcome {
	out := make([]outcome, len(drafts))
	batch := make([]submission, len(drafts))
	for i, d := range drafts {
		batch[i] = submission{d, time.Now(), func(r Receipt, err error) { out[i] = outcome{receipt: r, err: err} }}
	}
	c.commit(batch)
	return out
}

func TestCommitter_DuplicatesInOneBatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, told := committerOn(w.pool, 1)
	room, other := w.room(), w.room()
	old, d := draft(room, w.patient, "old"), draft(room, w.doctor, "new")
	require.NoError(t, commitOne(c, old)[0].err)

	sameIDOfPatient, sameIDElsewhere := d, d
	sameIDOfPatient.Sender = w.patient // another sender's id is another message
	sameIDElsewhere.Room = other
	out := commitOne(c, d, old, d, sameIDOfPatient, sameIDElsewhere, d)
	seqs, duplicates := []int64{}, []bool{}
	for _, o := range out {
		require.NoError(t, o.err)
		seqs, duplicates = append(seqs, o.receipt.Seq), append(duplicates, o.receipt.Duplicate)
	}
	require.Equal(t, []int64{2, 1, 2, 3, 1, 2}, seqs)
	require.Equal(t, []bool{false, true, true, false, false, true}, duplicates)
	require.Len(t, w.requireGapless(room), 3)
	require.Len(t, w.requireGapless(other), 1)
	require.Len(t, told.in(room), 3)
}

// TestCommitter_RefusedDataIsIsolated: one draft that PostgreSQL cannot store does not take the others with it.
func TestCommitter_RefusedDataIsIsolated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, told := committerOn(w.pool, 1)
	room := w.room()
	drafts := make([]Draft, 20)
	for i := range drafts {
		drafts[i] = draft(room, w.patient, fmt.Sprint(i))
	}
	drafts[7].Text, drafts[13].Text = "a\x00b", "a\xffb" // past CheckText
	for i, o := range commitOne(c, drafts...) {
		if i == 7 || i == 13 {
			require.Equal(t, ErrInvalidText, o.err)
			continue
		}
		require.NoError(t, o.err)
	}
	log := w.requireGapless(room)
	require.Len(t, log, 18)
	require.Equal(t, log, told.in(room))
}

func TestCommitter_Refusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, _ := committerOn(w.pool, 1)
	open, pending, bare, shut := w.room(), w.appointment(appointment.Pending), w.appointment(appointment.Booked), w.room()
	w.exec(`insert into conversations (id) values ($1)`, pending)
	w.exec(`update conversations set closed_at = now() where id = $1`, shut)
	stranger, admin := w.signIn(w.user(auth.Patient)), w.signIn(w.user(auth.Admin))
	ended, borrowed, nobody := w.signIn(w.patient), w.patient, w.patient
	w.exec(`update sessions set ended_at = now(), end_reason = 'logout' where id = $1`, ended.Session)
	borrowed.Session, nobody.Session = w.doctor.Session, 0
	for name, c2 := range map[string]struct {
		d    Draft
		want error
	}{
		"participant":               {draft(open, w.doctor, "x"), nil},
		"not a participant":         {draft(open, stranger, "x"), ErrForbidden},
		"admin":                     {draft(open, admin, "x"), ErrForbidden},
		"ended session":             {draft(open, ended, "x"), ErrForbidden},
		"somebody else's session":   {draft(open, borrowed, "x"), ErrForbidden},
		"no session":                {draft(open, nobody, "x"), ErrForbidden},
		"appointment not confirmed": {draft(pending, w.patient, "x"), ErrClosed},
		"closed by the doctor":      {draft(shut, w.patient, "x"), ErrClosed},
		"no conversation":           {draft(bare, w.patient, "x"), ErrForbidden},
		"no appointment":            {draft(1<<40, w.patient, "x"), ErrForbidden},
	} {
		out := commitOne(c, c2.d, draft(open, w.patient, "the neighbour in the batch"))
		require.Equal(t, c2.want, out[0].err, name)
		require.NoError(t, out[1].err, name)
	}
	require.Len(t, w.requireGapless(open), 11)
	require.InDelta(t, 2, testutil.ToFloat64(c.metrics.refused.WithLabelValues("closed")), 0, "refusals are counted by reason")
	require.InDelta(t, 7, testutil.ToFloat64(c.metrics.refused.WithLabelValues("forbidden")), 0)
}

// TestCommitter_AckedStaysAcked: a resend of what is committed is acknowledged, whatever has been closed since.
func TestCommitter_AckedStaysAcked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, told := committerOn(w.pool, 1)
	room := w.room()
	d := draft(room, w.patient, "before the end")
	first := commitOne(c, d)[0]
	require.NoError(t, first.err)
	for _, end := range []string{
		`update appointments set status = 'CANCELLED' where id = $1`,
		`update conversations set closed_at = now() where id = $1`,
		`update sessions set ended_at = now() where user_id = (select patient_id from appointments where id = $1)`,
	} {
		w.exec(end, room)
		out := commitOne(c, d, draft(room, w.patient, "too late"))
		require.NoError(t, out[0].err)
		require.True(t, out[0].receipt.Duplicate)
		require.Equal(t, first.receipt.Seq, out[0].receipt.Seq)
		require.True(t, first.receipt.At.Equal(out[0].receipt.At))
		require.Error(t, out[1].err)
	}
	require.Len(t, told.in(room), 1)
}

// TestCommitter_RuleEqualsReply holds the committer's SQL of who may write against appointment.Reply, which everyone
// else is told by.
func TestCommitter_RuleEqualsReply(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, _ := committerOn(w.pool, 1)
	for _, status := range appointment.Statuses {
		for name, completed := range map[string]*time.Duration{"never": nil, "just now": new(time.Minute), "long ago": new(followUp + time.Minute)} {
			for _, updated := range []time.Duration{0, 2 * followUp} {
				for _, closed := range []bool{false, true} {
					room := w.appointment(status)
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
					w.exec(`update appointments set completed_at = $2, updated_at = $3 where id = $1`, room, a.CompletedAt, a.UpdatedAt)
					w.exec(`insert into conversations (id, closed_at) values ($1, $2)`, room, closedAt)
					shut := time.Time{}
					if closed {
						shut = now
					}
					can, _, why := a.Reply(now, followUp, shut)
					err := commitOne(c, draft(room, w.patient, "x"))[0].err
					require.Equalf(t, can, err == nil, "%s, completed %s, updated %s ago, closed %t: %s, %v", status, name, updated, closed, why, err)
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
	c, _ := committerOn(w.connect(), 2)
	rooms := []int64{w.room(), w.room(), w.room()}
	const n = 3 * batchLimit
	outcomes := make(chan outcome, n)
	for i := range n {
		c.submit(draft(rooms[i%3], w.patient, "queued"), func(r Receipt, err error) { outcomes <- outcome{receipt: r, err: err} })
	}
	c.start()
	c.close(context.Background())
	require.Len(t, outcomes, n, "everyone was answered before close returned")
	for range n {
		require.NoError(t, (<-outcomes).err)
	}
	for _, room := range rooms {
		require.Len(t, w.requireGapless(room), n/3)
	}
	_, err := c.send(draft(rooms[0], w.patient, "late"))
	require.Equal(t, ErrOverload, err)
	c.close(context.Background())
}

func TestCommitter_FullLaneRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, _ := committerOn(w.connect(), 1)
	room := w.room()
	refused := 0
	for range laneQueue + 3 {
		c.submit(draft(room, w.patient, "x"), func(_ Receipt, err error) {
			if err != nil {
				refused++
			}
		})
	}
	require.Equal(t, 3, refused, "at once, not later")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c.start()
	c.close(ctx) // the time for the rest is over
	require.Greater(t, refused, 3)
}
