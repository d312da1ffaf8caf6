package jobs

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Three instances run a function once in each period.
func TestService_Every(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	turn := make(chan struct{}, 100)
	for range 3 {
		s := w.instance()
		s.Every("look", time.Second, func(context.Context) error { turn <- struct{}{}; return nil })
		require.Panics(t, func() { s.Every("look", time.Second, nil) })
		require.Panics(t, func() { s.Every("fast", time.Millisecond, nil) })
		w.starts(s)
	}
	for range 3 {
		receive(t, turn)
	}
	var most, turns int
	require.NoError(t, w.pool.QueryRow(t.Context(), `
		select max(n), count(*) from (
			select count(*) as n from river_job where kind = 'periodic' group by date_trunc('second', scheduled_at)) periods`).Scan(&most, &turns))
	require.Equal(t, 1, most, "one in each period")
	require.GreaterOrEqual(t, turns, 3)
}

func TestService_Every_unknownTurn(t *testing.T) {
	t.Parallel()
	s := newWorld(t).instance()
	require.NoError(t, s.tick(t.Context(), tickArgs{"of another release"}))
}
