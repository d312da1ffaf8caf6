package postgres_test

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/testing/pgtest"
)

// requireUnavailable requires an error after which clients are told to try again, and whose cause only the log gets.
func requireUnavailable(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	require.True(t, postgres.IsUnavailable(err), "%v", err)
	ours := postgres.Classify(err)
	require.ErrorIs(t, ours, errs.ErrUnavailable)
	require.ErrorIs(t, ours, err, "the cause stays")
	require.Same(t, ours, postgres.Classify(ours), "a second time changes nothing")
	require.True(t, postgres.IsUnavailable(ours))
	require.NoError(t, errs.ErrUnavailable.Err, "the sentinel is not touched")
}

// One server, and everything that can happen to it.
func TestIsUnavailable_ServerLost(t *testing.T) {
	t.Parallel()
	server, dsn := pgtest.Own(t)
	pool, watcher := open(t, dsn, 2), open(t, dsn, 1)
	require.NoError(t, pool.Ping(t.Context()))

	server.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	_, err := pool.Exec(ctx, `select 1`)
	cancel()
	server.Resume()
	requireUnavailable(t, err)

	running := make(chan error, 1)
	go func() {
		_, err := pool.Exec(t.Context(), `select pg_sleep(60)`)
		running <- err
	}()
	waitForSleep(t, watcher)
	require.NoError(t, server.Kill())
	requireUnavailable(t, <-running)
	_, err = pool.Exec(t.Context(), `select 1`)
	requireUnavailable(t, err)

	// A start waits for the server: it tells so once, and goes on when the server is back.
	ctx, cancel = context.WithTimeout(t.Context(), 600*time.Millisecond)
	told := 0
	err = pool.WaitReady(ctx, func(err error) {
		told++
		require.Equal(t, errs.Unavailable, errs.KindOf(err))
	})
	cancel()
	require.ErrorContains(t, err, "wait for PostgreSQL")
	require.Equal(t, 1, told)
	ready := make(chan error, 1)
	waiting := make(chan struct{})
	go func() { ready <- pool.WaitReady(t.Context(), func(error) { close(waiting) }) }()
	<-waiting
	require.NoError(t, server.Restart(t.Context()))
	require.NoError(t, <-ready)
	_, err = pool.Exec(t.Context(), `select 1`)
	require.NoError(t, err, "the pool heals by itself")
}

func TestIsUnavailable_AdminShutdown(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	pool, admin := open(t, dsn, 1), open(t, dsn, 1)
	running := make(chan error, 1)
	go func() {
		_, err := pool.Exec(t.Context(), `select pg_sleep(60)`)
		running <- err
	}()
	waitForSleep(t, admin)
	_, err := admin.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity
		where datname = current_database() and pid <> pg_backend_pid()`)
	require.NoError(t, err)
	err = <-running
	require.ErrorContains(t, err, "57P01")
	requireUnavailable(t, err)
	_, err = pool.Exec(t.Context(), `select 1`)
	require.NoError(t, err)
}

func TestIsUnavailable_TooManyConnections(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	admin := open(t, dsn, 1)
	_, err := admin.Exec(t.Context(), `create role crowded login password 'hunter2' connection limit 1`)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec(context.Background(), `drop role crowded`)
		require.NoError(t, err)
	})
	crowded := with(t, dsn, func(u *url.URL) { u.User = url.UserPassword("crowded", "hunter2") })
	one := open(t, crowded, 1)
	require.NoError(t, one.Ping(t.Context()))
	_, err = open(t, crowded, 1).Exec(t.Context(), `select 1`)
	require.ErrorContains(t, err, "53300")
	requireUnavailable(t, err)
	require.NotContains(t, err.Error(), "hunter2")
	one.Close()
}

func TestIsUnavailable_ReadOnly(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	read := notes(t, pool)
	err := pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		if _, err := tx.Exec(t.Context(), `set transaction read only`); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), `insert into notes (body) values ('gone')`)
		return err
	})
	require.ErrorContains(t, err, "25006")
	require.Equal(t, errs.Unavailable, errs.KindOf(err),
		"a primary that became a standby: the next attempt finds the new one")
	require.Empty(t, read())
}

func TestIsUnavailable_NobodyListens(t *testing.T) {
	t.Parallel()
	for name, dsn := range map[string]string{
		"port": "postgres://app:hunter2@" + unused(t) + "/housecall",
		"name": "postgres://app:hunter2@nowhere.invalid/housecall",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := open(t, dsn, 1).Exec(t.Context(), `select 1`)
			requireUnavailable(t, err)
			require.NotContains(t, postgres.Classify(err).Error(), "hunter2")
		})
	}
}

// An error in a statement stays an error: the client must not be told to try again.
func TestIsUnavailable_NotByStatement(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	_, err := pool.Exec(t.Context(), `create table things (
		id int constraint things_pkey primary key, n int constraint things_n_check check (n > 0),
		at tstzrange, constraint things_at_excl exclude using gist (at with &&));
		insert into things values (1, 1, '[2026-01-01,2026-01-02)')`)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		sql          string
		data, unique bool
		constraint   string
	}{
		"division":    {sql: `select 1 / 0`, data: true},
		"bad integer": {sql: `select 'x'::int`, data: true},
		"no time":     {sql: `select '2026-13-01'::date`, data: true},
		"syntax":      {sql: `selct 1`},
		"no table":    {sql: `select * from nowhere`},
		"unique":      {sql: `insert into things (id) values (1)`, unique: true, constraint: "things_pkey"},
		"check":       {sql: `insert into things (id, n) values (2, 0)`, constraint: "things_n_check"},
		"exclusion":   {sql: `insert into things (id, at) values (3, '[2026-01-01,2026-02-02)')`, constraint: "things_at_excl"},
		"not null":    {sql: `insert into things (n) values (1)`},
		"raised":      {sql: `do $$ begin raise exception 'no'; end $$`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := pool.Exec(t.Context(), c.sql)
			require.Error(t, err)
			require.False(t, postgres.IsUnavailable(err))
			require.Same(t, err, postgres.Classify(err))
			require.Equal(t, c.data, postgres.IsData(err))
			require.Equal(t, c.unique, postgres.IsUniqueViolation(err))
			require.Equal(t, c.constraint, postgres.Constraint(err))
		})
	}
	t.Run("U+0000", func(t *testing.T) {
		t.Parallel()
		_, err := pool.Exec(t.Context(), `select $1::text`, "a\x00b")
		require.True(t, postgres.IsData(err), "%v", err)
		require.False(t, postgres.IsUnavailable(err))
	})
}

func TestIsUnavailable_Contexts(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := pool.Exec(cancelled, `select 1`)
	require.ErrorIs(t, err, context.Canceled)
	require.False(t, postgres.IsUnavailable(err), "the client has left")

	late, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err = pool.Exec(late, `select pg_sleep(60)`)
	requireUnavailable(t, err)

	require.False(t, postgres.IsUnavailable(nil))
	require.NoError(t, postgres.Classify(nil))
	require.False(t, postgres.IsUnavailable(postgres.ErrNoRows))
	refused := errs.Missing("doctor")
	require.Same(t, refused, postgres.Classify(refused))
}

// A violated constraint does not bring what patients typed into the log.
func TestClassify_NoValues(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	_, err := pool.Exec(t.Context(), `create table secrets (body text primary key check (body <> 'private words'));
		insert into secrets values ('other private words')`)
	require.NoError(t, err)
	for _, body := range []string{"private words", "other private words"} {
		_, err := pool.Exec(t.Context(), `insert into secrets values ($1)`, body)
		require.Error(t, err)
		require.NotEmpty(t, postgres.Constraint(err))
		require.NotContains(t, postgres.Classify(err).Error(), "private words")
	}
}
