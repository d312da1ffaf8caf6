package conversation

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/testing/pgtest"
)

// TestCommitter_NothingAfterCancellation lets senders race with the cancellation of their appointment.
func TestCommitter_NothingAfterCancellation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, _ := startCommitter(t, w.Connect(), 2)
	two, _ := startCommitter(t, w.Connect(), 2)
	for range 15 {
		id := w.Conversation()
		started := make(chan struct{}, 1)
		var work sync.WaitGroup
		for n := range 6 {
			work.Go(func() {
				c := one
				if n%2 == 1 {
					c = two
				}
				for {
					_, err := c.send(draft(id, w.Patient, "still there?"))
					select {
					case started <- struct{}{}:
					default:
					}
					if err != nil {
						if errs.CodeOf(err) != "closed" {
							t.Errorf("refused with %v", err)
						}
						return
					}
				}
			})
		}
		<-started
		w.cancel(id)
		work.Wait()
		log := w.requireGapless(id)
		require.Equal(t, KindSystem, log[len(log)-1].Kind, "no message lands after the cancellation")
	}
}

// cancel does what package appointment does: lock, update, append last.
func (w *world) cancel(id int64) {
	w.T.Helper()
	require.NoError(w.T, w.Pool.InTx(context.Background(), func(tx *postgres.Tx) error {
		ctx := context.Background()
		if _, err := tx.Exec(ctx, `select 1 from appointments where id = $1 for update`, id); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		if _, err := tx.Exec(ctx, `update appointments set status = 'CANCELLED' where id = $1`, id); err != nil {
			return fmt.Errorf("update: %w", err)
		}
		return NewLog().Append(ctx, tx, id, "The patient cancelled the appointment.")
	}))
}

// TestCommitter_PostgresKilled kills PostgreSQL while senders are at work: afterwards every acknowledged message is
// there, and every other one can be sent again and gets one seq.
func TestCommitter_PostgresKilled(t *testing.T) {
	t.Parallel()
	server, dsn := pgtest.Own(t)
	w := worldOn(t, dsn)
	c, _ := startCommitter(t, w.Pool, 2)
	ids := []int64{w.Conversation(), w.Conversation(), w.Conversation(), w.Conversation()}
	type sent struct {
		d Draft
		outcome
	}
	results := make(chan sent, 100_000)
	stop, running := make(chan struct{}), make(chan struct{}, 1)
	var work sync.WaitGroup
	for n := range 8 {
		work.Go(func() {
			for range 10_000 {
				d := draft(ids[n%len(ids)], w.Patient, "x")
				ack, err := c.send(d)
				results <- sent{d, outcome{ack: ack, err: err}}
				select {
				case running <- struct{}{}:
				default:
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	<-running
	require.NoError(t, server.Kill())
	refused := make(chan struct{})
	go func() { // a draft that is certain to meet the dead server
		defer close(refused)
		_, _ = c.send(draft(ids[0], w.Patient, "into the dark"))
	}()
	<-refused
	require.NoError(t, server.Restart(context.Background()))
	require.Eventually(t, func() bool {
		_, err := c.send(draft(ids[0], w.Patient, "back"))
		return err == nil
	}, time.Minute, 10*time.Millisecond)
	close(stop)
	work.Wait()
	close(results)
	nacked := 0
	for s := range results {
		again, err := c.send(s.d)
		require.NoError(t, err)
		if s.err != nil {
			nacked++
			require.Equal(t, ErrUnavailable, s.err)
			continue
		}
		require.True(t, again.Duplicate, "acked means committed")
		require.Equal(t, s.ack.Seq, again.Seq)
	}
	require.Positive(t, nacked)
	for _, id := range ids {
		w.requireGapless(id)
	}
}
