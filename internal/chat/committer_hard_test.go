package chat

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
	one, _ := startCommitter(t, w.connect(), 2)
	two, _ := startCommitter(t, w.connect(), 2)
	for range 15 {
		room := w.room()
		started := make(chan struct{}, 1)
		var work sync.WaitGroup
		for n := range 6 {
			work.Go(func() {
				c := one
				if n%2 == 1 {
					c = two
				}
				for {
					_, err := c.send(draft(room, w.patient, "still there?"))
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
		w.cancel(room)
		work.Wait()
		log := w.requireGapless(room)
		require.Equal(t, KindSystem, log[len(log)-1].Kind, "no message lands after the cancellation")
	}
}

// cancel does to an appointment what the appointment room does: lock, update, append last.
func (w *world) cancel(room int64) {
	w.t.Helper()
	require.NoError(w.t, w.pool.InTx(context.Background(), func(tx *postgres.Tx) error {
		ctx := context.Background()
		if _, err := tx.Exec(ctx, `select 1 from appointments where id = $1 for update`, room); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		if _, err := tx.Exec(ctx, `update appointments set status = 'CANCELLED' where id = $1`, room); err != nil {
			return fmt.Errorf("update: %w", err)
		}
		return NewLog().Append(ctx, tx, room, "The patient cancelled the appointment.")
	}))
}

// TestCommitter_PostgresKilled kills the server under senders: what was acknowledged is there afterwards, what was not
// can be sent again and gets one seq.
func TestCommitter_PostgresKilled(t *testing.T) {
	t.Parallel()
	server, dsn := pgtest.Own(t)
	w := worldAt(t, dsn)
	c, _ := startCommitter(t, w.pool, 2)
	rooms := []int64{w.room(), w.room(), w.room(), w.room()}
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
				d := draft(rooms[n%len(rooms)], w.patient, "x")
				r, err := c.send(d)
				results <- sent{d, outcome{receipt: r, err: err}}
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
	go func() { // one that has surely met the dead server
		defer close(refused)
		_, _ = c.send(draft(rooms[0], w.patient, "into the dark"))
	}()
	<-refused
	require.NoError(t, server.Restart(context.Background()))
	require.Eventually(t, func() bool {
		_, err := c.send(draft(rooms[0], w.patient, "back"))
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
			require.Equal(t, ErrOverload, s.err)
			continue
		}
		require.True(t, again.Duplicate, "acked means committed")
		require.Equal(t, s.receipt.Seq, again.Seq)
	}
	require.Positive(t, nacked)
	for _, room := range rooms {
		w.requireGapless(room)
	}
}
