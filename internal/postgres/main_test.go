package postgres_test

import (
	"net"
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/postgres"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// open makes a pool that is closed when the test ends.
func open(t testing.TB, dsn string, maxConns int32) *postgres.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), postgres.Options{DSN: dsn, MaxConns: maxConns})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// with returns a DSN with one part changed.
func with(t testing.TB, dsn string, change func(*url.URL)) string {
	t.Helper()
	u, err := url.Parse(dsn)
	require.NoError(t, err)
	change(u)
	return u.String()
}

// unused returns an address on which nobody listens.
func unused(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	return ln.Addr().String()
}

// notes makes a table for a test to write into, and returns a function that reads it.
func notes(t testing.TB, pool *postgres.Pool) (read func() []string) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `create table notes (body text not null)`)
	require.NoError(t, err)
	return func() []string {
		var all []string
		require.NoError(t,
			pool.QueryRow(t.Context(), `select coalesce(array_agg(body order by body), '{}') from notes`).Scan(&all))
		return all
	}
}

func write(t testing.TB, tx *postgres.Tx, body string) {
	t.Helper()
	_, err := tx.Exec(t.Context(), `insert into notes (body) values ($1)`, body)
	require.NoError(t, err)
}

// name returns a numbered name, for things made in a loop.
func name(prefix string, n int) string { return prefix + strconv.Itoa(n) }
