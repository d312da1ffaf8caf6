package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/postgres"
	"housecall/internal/testing/logtest"
	"housecall/internal/testing/pgtest"
)

// PostgreSQL dies while jobs run, and comes back: committed jobs are run, and nothing has to be restarted.
func TestService_postgresDies(t *testing.T) {
	t.Parallel()
	server, dsn := pgtest.Own(t)
	pool, err := postgres.Open(t.Context(), postgres.Options{DSN: dsn, MaxConns: 10})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	w := &world{t: t, pool: pool, log: &logtest.Buffer{}}
	s := w.instance()
	worked := make(chan string, 10)
	Handle(s, func(_ context.Context, g greet) error { worked <- g.Name; return nil })
	w.starts(s)
	w.add(s, greet{Name: "before"}, Terms{})
	require.Equal(t, "before", receive(t, worked))
	w.becomes(s, Completed)
	w.add(s, greet{Name: "due"}, Terms{At: time.Now().Add(2 * time.Second)})
	require.NoError(t, server.Kill())
	require.NoError(t, server.Restart(t.Context()))
	require.NoError(t, pool.WaitReady(t.Context(), func(error) {}))
	require.Equal(t, "due", receive(t, worked))
	w.add(s, greet{Name: "after"}, Terms{})
	require.Equal(t, "after", receive(t, worked))
}

func TestService_Stop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.instance()
	require.NoError(t, stop(s), "before it began")
	begun, ended := make(chan struct{}), make(chan struct{})
	Handle(s, func(ctx context.Context, _ greet) error {
		close(begun)
		<-ctx.Done() // as a server that says nothing
		close(ended)
		return errors.New("read: connection closed")
	})
	require.NoError(t, s.Start(t.Context()))
	require.NoError(t, s.Start(t.Context()), "again")
	w.add(s, greet{Name: "Ann"}, Terms{MaxAttempts: 1})
	receive(t, begun)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	require.NoError(t, s.Stop(ctx), "within the deadline")
	receive(t, ended)
	require.NoError(t, s.Stop(ctx), "again")
	j := w.jobs(s)[0]
	require.Equal(t, Available, j.State, "free for others at once")
	require.Zero(t, j.Attempt, "and not counted")

	other := w.instance()
	worked := make(chan struct{})
	Handle(other, func(context.Context, greet) error { close(worked); return nil })
	w.starts(other)
	receive(t, worked)
}

// Starting and stopping at random, while jobs come, leaves nothing behind and loses nothing.
func TestService_StartStop_stress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var worked atomic.Int32
	last := w.instance()
	Handle(last, func(context.Context, greet) error { worked.Add(1); return nil })
	for i := range 8 {
		s := w.instance()
		Handle(s, func(context.Context, greet) error { worked.Add(1); return nil })
		var both sync.WaitGroup
		both.Go(func() { _ = s.Start(t.Context()) })
		both.Go(func() { w.add(last, greet{Name: fmt.Sprint(i)}, Terms{}) })
		both.Wait()
		var twice sync.WaitGroup
		twice.Go(func() { _ = stop(s) })
		twice.Go(func() { _ = stop(s) })
		twice.Wait()
		require.NoError(t, stop(s))
	}
	w.starts(last)
	require.Eventually(t, func() bool {
		for _, j := range w.jobs(last) {
			if j.State != Completed {
				return false
			}
		}
		return true
	}, patience, 10*time.Millisecond)
	require.EqualValues(t, 8, worked.Load())
}

// Another instance does what a killed one had begun.
func TestService_killed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.instance()
	worked := make(chan string, 10)
	Handle(s, func(_ context.Context, g greet) error { worked <- g.Name; return nil })
	for name, ago := range map[string]time.Duration{"long ago": rescueAfter + time.Second, "just now": 0} {
		w.add(s, greet{Name: name}, Terms{Once: true})
		_, err := w.pool.Exec(t.Context(), `
			update river_job set state = 'running', attempt = 1, attempted_by = '{dead}', attempted_at = now() - make_interval(secs => $2)
			where args ->> 'name' = $1`, name, ago.Seconds())
		require.NoError(t, err)
	}
	w.starts(s)
	require.Equal(t, "long ago", receive(t, worked))
	require.Eventually(t, func() bool {
		var done, running int
		require.NoError(t, w.pool.QueryRow(t.Context(), `
			select count(*) filter (where state = 'completed'), count(*) filter (where state = 'running') from river_job`).Scan(&done, &running))
		return done == 1 && running == 1 // it may be alive, and just slow
	}, patience, 10*time.Millisecond)
	require.Empty(t, worked)
}
