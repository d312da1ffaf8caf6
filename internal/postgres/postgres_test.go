package postgres_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/postgres"
	"housecall/internal/testing/pgtest"
)

func TestOpen_Malformed(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{
		"postgres://app:hunter2@host:port/db",
		"postgres://app:hunter2@host/db?sslmode=perhaps",
		"postgres://app:hunter2@host/db?connect_timeout=soon",
		"postgres://app:hunter2%zz@host/db",
		"host=db password=hunter2 port=x",
		"password='hunter2",
	} {
		_, err := postgres.Open(t.Context(), postgres.Options{DSN: dsn})
		require.EqualError(t, err, "the database DSN is malformed")
		require.EqualError(t, postgres.Migrate(t.Context(), dsn), "the database DSN is malformed")
		_, err = postgres.MigrationStatus(t.Context(), dsn)
		require.EqualError(t, err, "the database DSN is malformed")
	}
}

func TestOpen_ConnectTimeout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		dsn  string
		opt  time.Duration
		want time.Duration
	}{
		"ours":    {"postgres://db/housecall", 0, 3 * time.Second},
		"DSN's":   {"postgres://db/housecall?connect_timeout=2", 0, 2 * time.Second},
		"options": {"postgres://db/housecall?connect_timeout=2", time.Second, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, err := postgres.Open(t.Context(), postgres.Options{DSN: c.dsn, ConnectTimeout: c.opt, MaxConns: 7})
			require.NoError(t, err)
			defer pool.Close()
			require.Equal(t, c.want, pool.Config().ConnConfig.ConnectTimeout)
			require.Equal(t, int32(7), pool.Config().MaxConns)
		})
	}
}

func TestOpen_Session(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	var zone, program, isolation string
	err := pool.QueryRow(t.Context(), `select current_setting('timezone'), current_setting('application_name'),
		current_setting('transaction_isolation')`).Scan(&zone, &program, &isolation)
	require.NoError(t, err)
	require.Equal(t, []string{"UTC", "housecall", "read committed"}, []string{zone, program, isolation})
}

// If the first host is gone, the next one is used.
func TestOpen_SeveralHosts(t *testing.T) {
	t.Parallel()
	dead := unused(t)
	dsn := with(t, pgtest.DSN(t), func(u *url.URL) {
		u.Host = dead + "," + u.Host
		u.RawQuery += "&target_session_attrs=read-write"
	})
	pool := open(t, dsn, 1)
	require.NoError(t, pool.Ping(t.Context()))
	statuses, err := postgres.MigrationStatus(t.Context(), dsn)
	require.NoError(t, err)
	require.NotEmpty(t, statuses)
}
