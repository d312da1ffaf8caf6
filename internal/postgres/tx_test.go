package postgres_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/testing/pgtest"
)

func TestPool_InTx_Commits(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	read := notes(t, pool)
	err := pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		write(t, tx, "kept")
		require.Empty(t, read(), "nobody sees it yet")
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []string{"kept"}, read())
}

func TestPool_InTx_RollsBack(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	read := notes(t, pool)
	refused := errs.New(errs.Conflict, "slot_taken", "This time is taken.")
	err := pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		write(t, tx, "gone")
		tx.AfterCommit(func() { t.Error("it did not commit") })
		return refused
	})
	require.Same(t, refused, err, "our own errors come back unchanged")
	require.Empty(t, read())
}

func TestPool_InTx_Panic(t *testing.T) {
	t.Parallel()
	pool := open(t, pgtest.DSN(t), 1)
	read := notes(t, pool)
	require.PanicsWithValue(t, "a bug", func() {
		_ = pool.InTx(t.Context(), func(tx *postgres.Tx) error {
			write(t, tx, "gone")
			tx.AfterCommit(func() { t.Error("it did not commit") })
			panic("a bug")
		})
	})
	require.Empty(t, read(), "rolled back, and the only connection is free again")
}

// A failed statement whose error was ignored must not look like success.
func TestPool_InTx_FailureIgnored(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	read := notes(t, pool)
	err := pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		write(t, tx, "gone")
		_, _ = tx.Exec(t.Context(), `select 1 / 0`)
		tx.AfterCommit(func() { t.Error("it did not commit") })
		return nil
	})
	require.ErrorIs(t, err, pgx.ErrTxCommitRollback)
	require.Empty(t, read())
}

func TestTx_AfterCommit(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	read := notes(t, pool)
	var order []int
	err := pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		for i := range 5 {
			tx.AfterCommit(func() {
				require.Equal(t, []string{"kept"}, read(), "a hook finds everything committed")
				order = append(order, i)
			})
		}
		write(t, tx, "kept")
		require.Empty(t, order, "not before")
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []int{0, 1, 2, 3, 4}, order, "in order, and done when InTx returns")
}

func TestTx_Now(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	var first time.Time
	require.NoError(t, pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		first = tx.Now()
		require.Equal(t, time.UTC, first.Location())
		var now, clock time.Time
		for range 3 {
			if err := tx.QueryRow(t.Context(), `select now(), clock_timestamp()`).Scan(&now, &clock); err != nil {
				return err
			}
			require.True(t, now.Equal(tx.Now()), "PostgreSQL's own now()")
			require.Equal(t, first, tx.Now())
			require.True(t, clock.After(first), "while the clock goes on")
		}
		return nil
	}))
	require.NoError(t, pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		require.True(t, tx.Now().After(first))
		return nil
	}))
}

// attempts counts how often two transactions ran, and which of their hooks did.
type attempts struct {
	mu    sync.Mutex // guards all below
	tried map[string]int
	hooks []string
}

func (a *attempts) next(who string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.tried == nil {
		a.tried = map[string]int{}
	}
	a.tried[who]++
	return a.tried[who]
}

func (a *attempts) hook(who string, attempt int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hooks = append(a.hooks, name(who, attempt))
}

// check wants one of two transactions retried once, and of each only the hooks of its last attempt.
func (a *attempts) check(t *testing.T) {
	t.Helper()
	require.Equal(t, 3, a.tried["a"]+a.tried["b"], "one of the two ran again")
	require.ElementsMatch(t, []string{name("a", a.tried["a"]), name("b", a.tried["b"])}, a.hooks,
		"a retry starts with no hooks")
}

// bothInside waits until both transactions have got here once, or the test ends.
func bothInside(t *testing.T) (wait func(attempt int)) {
	var both sync.WaitGroup
	both.Add(2)
	met := make(chan struct{})
	go func() {
		both.Wait()
		close(met)
	}()
	return func(attempt int) {
		if attempt > 1 {
			return
		}
		both.Done()
		select {
		case <-met:
		case <-t.Context().Done():
		}
	}
}

func TestPool_InTx_Deadlock(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	_, err := pool.Exec(t.Context(),
		`create table rows (id int primary key, n int not null); insert into rows values (1, 0), (2, 0)`)
	require.NoError(t, err)
	var count attempts
	wait := bothInside(t)
	run := func(who string, first, second int) error {
		return pool.InTx(t.Context(), func(tx *postgres.Tx) error {
			attempt := count.next(who)
			tx.AfterCommit(func() { count.hook(who, attempt) })
			if _, err := tx.Exec(t.Context(), `set local deadlock_timeout = '20ms'`); err != nil {
				return err
			}
			if _, err := tx.Exec(t.Context(), `update rows set n = n + 1 where id = $1`, first); err != nil {
				return err
			}
			wait(attempt)
			_, err := tx.Exec(t.Context(), `update rows set n = n + 1 where id = $1`, second)
			return err
		})
	}
	failures := make(chan error, 2)
	go func() { failures <- run("a", 1, 2) }()
	go func() { failures <- run("b", 2, 1) }()
	require.NoError(t, <-failures)
	require.NoError(t, <-failures)
	count.check(t)
	var sum int
	require.NoError(t, pool.QueryRow(t.Context(), `select sum(n) from rows`).Scan(&sum))
	require.Equal(t, 4, sum, "each counted once in each row")
}

// If two transactions each read what the other writes (write skew), PostgreSQL makes one of them repeat.
func TestPool_InTx_Serialization(t *testing.T) {
	t.Parallel()
	pool := open(t, pgtest.DSN(t)+"&default_transaction_isolation=serializable", 4)
	_, err := pool.Exec(t.Context(),
		`create table shifts (who text primary key, on_call boolean not null); insert into shifts values ('a', true), ('b', true)`)
	require.NoError(t, err)
	var count attempts
	wait := bothInside(t)
	run := func(who string) error {
		return pool.InTx(t.Context(), func(tx *postgres.Tx) error {
			attempt := count.next(who)
			tx.AfterCommit(func() { count.hook(who, attempt) })
			var others int
			if err := tx.QueryRow(t.Context(), `select count(*) from shifts where on_call and who <> $1`, who).
				Scan(&others); err != nil {
				return err
			}
			wait(attempt)
			if others == 0 {
				return nil // somebody must stay
			}
			_, err := tx.Exec(t.Context(), `update shifts set on_call = false where who = $1`, who)
			return err
		})
	}
	failures := make(chan error, 2)
	go func() { failures <- run("a") }()
	go func() { failures <- run("b") }()
	require.NoError(t, <-failures)
	require.NoError(t, <-failures)
	count.check(t)
	var left int
	require.NoError(t, pool.QueryRow(t.Context(), `select count(*) from shifts where on_call`).Scan(&left))
	require.Equal(t, 1, left, "the transaction that ran again saw the other's change")
}

func TestPool_InTx_BoundedAttempts(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"40001", "40P01"} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.New(t)
			tried := 0
			err := pool.InTx(t.Context(), func(tx *postgres.Tx) error {
				tried++
				_, err := tx.Exec(t.Context(), `do $$ begin raise exception 'again' using errcode = '`+code+`'; end $$`)
				return err
			})
			require.Equal(t, 5, tried)
			require.Equal(t, errs.Unavailable, errs.KindOf(err), "the client may try again")
			require.ErrorContains(t, err, "SQLSTATE "+code, "the log says why")
		})
	}
	t.Run("others", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.New(t)
		tried := 0
		err := pool.InTx(t.Context(), func(tx *postgres.Tx) error {
			tried++
			_, err := tx.Exec(t.Context(), `select 1 / 0`)
			return err
		})
		require.Error(t, err)
		require.Equal(t, 1, tried, "an error that will not go away is not retried")
	})
}

func TestPool_InTx_ContextEndsRetries(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	ctx, cancel := context.WithCancel(t.Context())
	tried := 0
	err := pool.InTx(ctx, func(tx *postgres.Tx) error {
		tried++
		_, err := tx.Exec(ctx, `do $$ begin raise exception 'again' using errcode = '40001'; end $$`)
		cancel()
		return err
	})
	require.Error(t, err)
	require.Equal(t, 1, tried)
}

// Whenever ctx ends, nothing is written, and the pool's only connection is free and clean.
func TestPool_InTx_Cancelled(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, ctx context.Context, cancel func(), pool, other *postgres.Pool, tx *postgres.Tx) error{
		"between statements": func(_ *testing.T, ctx context.Context, cancel func(), _, _ *postgres.Pool, _ *postgres.Tx) error {
			cancel()
			return ctx.Err()
		},
		"before the commit": func(_ *testing.T, _ context.Context, cancel func(), _, _ *postgres.Pool, _ *postgres.Tx) error {
			cancel()
			return nil
		},
		"in a statement": func(t *testing.T, ctx context.Context, cancel func(), _, other *postgres.Pool, tx *postgres.Tx) error {
			go func() {
				defer cancel()
				waitForSleep(t, other)
			}()
			_, err := tx.Exec(ctx, `select pg_sleep(60)`)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := pgtest.DSN(t)
			pool, other := open(t, dsn, 1), open(t, dsn, 1)
			read := notes(t, pool)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			err := pool.InTx(ctx, func(tx *postgres.Tx) error {
				write(t, tx, "gone")
				tx.AfterCommit(func() { t.Error("it did not commit") })
				return end(t, ctx, cancel, pool, other, tx)
			})
			require.ErrorIs(t, err, context.Canceled)
			require.False(t, postgres.IsUnavailable(err), "the caller cancelled it")
			require.Empty(t, read())
			require.NoError(t, pool.InTx(t.Context(), func(tx *postgres.Tx) error { write(t, tx, "kept"); return nil }))
			require.Equal(t, []string{"kept"}, read())
			require.Eventually(t, func() bool { // a backend notices only later that its connection is gone
				var open int
				err := other.QueryRow(t.Context(), `select count(*) from pg_stat_activity
					where datname = current_database() and pid <> pg_backend_pid() and state like 'idle in transaction%'`).Scan(&open)
				return err == nil && open == 0
			}, time.Minute, 10*time.Millisecond, "no transaction is left open")
		})
	}
}

// waitForSleep returns once a statement sleeps in the database.
func waitForSleep(t *testing.T, pool *postgres.Pool) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var n int
		err := pool.QueryRow(t.Context(), `select count(*) from pg_stat_activity
			where datname = current_database() and wait_event = 'PgSleep'`).Scan(&n)
		if err != nil || n > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-t.Context().Done():
			return
		}
	}
}

func TestPool_InTx_Unreachable(t *testing.T) {
	t.Parallel()
	pool := open(t, "postgres://app:hunter2@"+unused(t)+"/housecall", 1)
	err := pool.InTx(t.Context(), func(*postgres.Tx) error { return errors.New("never runs") })
	require.Equal(t, errs.Unavailable, errs.KindOf(err))
	require.NotContains(t, err.Error(), "hunter2")
}
