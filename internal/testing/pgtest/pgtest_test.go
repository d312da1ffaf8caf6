package pgtest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/postgres"
)

func TestMain(m *testing.M) { Main(m) }

func TestNew_OwnDatabase(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			pool := New(t)
			_, err := pool.Exec(t.Context(), "create table mine (id int)")
			require.NoError(t, err)
			var tables int
			err = pool.QueryRow(t.Context(), "select count(*) from pg_tables where tablename = 'goose_db_version'").Scan(&tables)
			require.NoError(t, err)
			require.Equal(t, 1, tables, "the clone is migrated")
		})
	}
}

func TestOwn_Restart(t *testing.T) {
	t.Parallel()
	server, dsn := Own(t)
	require.NotEqual(t, Server(t).Port(), server.Port())
	require.NoError(t, server.Kill())
	require.NoError(t, server.Restart(t.Context()))
	pool, err := postgres.Open(t.Context(), postgres.Options{DSN: dsn})
	require.NoError(t, err)
	defer pool.Close()
	require.NoError(t, pool.Ping(t.Context()))
}

func TestRedis(t *testing.T) {
	t.Parallel()
	one, other := Redis(t), Redis(t)
	require.NotEqual(t, one.Addr(), other.Addr())
}

func BenchmarkNew(b *testing.B) {
	New(b)
	for b.Loop() {
		_, drop, err := shared.clone(b.Context())
		require.NoError(b, err)
		require.NoError(b, drop())
	}
}
