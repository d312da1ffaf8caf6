package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/postgres"
	"housecall/internal/testing/pgtest"
)

// A ping succeeds while commits wait for a standby that is away, and on a database that takes no writes. Commits says so.
func TestCommits(t *testing.T) {
	t.Parallel()
	_, dsn := pgtest.Own(t)
	pool := open(t, dsn, 4)
	set := func(sql ...string) {
		for _, s := range append(sql, "select pg_reload_conf()") {
			_, err := pool.Exec(t.Context(), s)
			require.NoError(t, err)
		}
	}
	probe := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		return postgres.NewCommits(pool).Probe(ctx)
	}
	set("alter system set synchronous_commit = on")
	require.Eventually(t, func() bool { return probe() == nil }, time.Minute, time.Millisecond)

	set("alter system set synchronous_standby_names = 'away'")
	require.Eventually(t, func() bool { return probe() != nil }, time.Minute, time.Millisecond)
	require.NoError(t, pool.Ping(t.Context()))
	set("alter system reset synchronous_standby_names")
	require.Eventually(t, func() bool { return probe() == nil }, time.Minute, time.Millisecond)

	set("alter system set default_transaction_read_only = on")
	require.Eventually(t, func() bool { return probe() != nil }, time.Minute, time.Millisecond)
	require.NoError(t, pool.Ping(t.Context()))
}

// Whoever asks, and however often, it writes once a second at most.
func TestCommits_Often(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	commits, began := postgres.NewCommits(pool), time.Now()
	for range 50 {
		require.NoError(t, commits.Probe(t.Context()))
	}
	lockers := 0
	require.NoError(t, pool.QueryRow(t.Context(),
		"select count(*) from goose_db_version where version_id = 0 and xmax <> 0").Scan(&lockers))
	require.Equal(t, 1, lockers, "it wrote")
	pool.Close()
	if time.Since(began) < time.Second { // a busy machine may take longer
		require.NoError(t, commits.Probe(t.Context()), "a fresh answer holds")
	}
}
