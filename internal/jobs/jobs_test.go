package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/stretchr/testify/require"

	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/testing/logtest"
	"housecall/internal/testing/pgtest"
)

func TestService_InsertTx_withItsChange(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.instance()
	worked := make(chan string, 10)
	Handle(s, func(_ context.Context, g greet) error { worked <- g.Name; return nil })
	err := w.pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		require.NoError(t, s.InsertTx(t.Context(), tx, greet{Name: "nobody"}, Terms{}))
		return errors.New("changed my mind")
	})
	require.Error(t, err)
	w.starts(s)
	w.add(s, greet{Name: "Ann"}, Terms{})
	require.Equal(t, "Ann", receive(t, worked))
	j := w.becomes(s, Completed)
	require.Equal(t, "greet", j.Kind)
	require.Len(t, w.jobs(s), 1, "the one that was rolled back never existed")
}

func TestService_InsertTx_notBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.instance()
	worked := make(chan time.Time, 10)
	Handle(s, func(context.Context, greet) error { worked <- time.Now(); return nil })
	w.starts(s)
	due := time.Now().Add(3 * time.Second)
	w.add(s, greet{Name: "Ann"}, Terms{At: due})
	require.False(t, receive(t, worked).Before(due))
}

// Many transactions on two instances add the same job: it is stored once, and run once.
func TestService_InsertTx_once(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var count atomic.Int32
	worked := make(chan struct{}, 100)
	var instances []*Service
	for range 2 {
		s := w.instance()
		Handle(s, func(context.Context, greet) error { count.Add(1); worked <- struct{}{}; return nil })
		w.starts(s)
		instances = append(instances, s)
	}
	var wg sync.WaitGroup
	failures := make(chan error, 16)
	for i := range 16 {
		wg.Go(func() {
			failures <- w.pool.InTx(t.Context(), func(tx *postgres.Tx) error {
				return instances[i%2].InsertTx(t.Context(), tx, greet{Name: "Ann", Secret: fmt.Sprint(i)}, Terms{Once: true})
			})
		})
	}
	wg.Wait()
	for range 16 {
		require.NoError(t, <-failures)
	}
	receive(t, worked)
	w.becomes(instances[0], Completed)
	w.add(instances[1], greet{Name: "Ann"}, Terms{Once: true})
	require.Len(t, w.jobs(instances[0]), 1, "also once it is done")
	require.EqualValues(t, 1, count.Load())
	w.add(instances[1], greet{Name: "Ben"}, Terms{Once: true})
	receive(t, worked)
	require.Len(t, w.jobs(instances[0]), 2)
}

// Two instances share many jobs; each is run once.
func TestService_manyInstances(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 200
	var mu sync.Mutex
	times := map[string]int{}
	all := make(chan struct{}, n)
	var first *Service
	for range 2 {
		s := w.instance()
		Handle(s, func(_ context.Context, g greet) error {
			mu.Lock()
			times[g.Name]++
			mu.Unlock()
			all <- struct{}{}
			return nil
		})
		w.starts(s)
		first = s
	}
	require.NoError(t, w.pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		for i := range n {
			if err := first.InsertTx(t.Context(), tx, greet{Name: fmt.Sprint(i)}, Terms{}); err != nil {
				return err
			}
		}
		return nil
	}))
	for range n {
		receive(t, all)
	}
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, times, n)
	for name, count := range times {
		require.Equal(t, 1, count, name)
	}
}

func TestService_failures(t *testing.T) {
	t.Parallel()
	const secret = "ann@private.test"
	for name, c := range map[string]struct {
		fail  error
		state State
		tries int
		kept  string
	}{
		"a reason": {
			Because("the server said 450", errors.New("450 "+secret)), Discarded, 3, "the server said 450",
		},
		"for good":      {Dead("the server said 550", errors.New("550 "+secret)), Cancelled, 1, "the server said 550"},
		"anything else": {fmt.Errorf("send to %s: broken", secret), Discarded, 3, "internal error, see the log"},
		"one of the house": {
			fmt.Errorf("read: %w", errs.ErrUnavailable), Discarded, 3, "unavailable: " + errs.ErrUnavailable.Message,
		},
		"a bug of its own": {
			&errs.Error{Kind: errs.Internal, Code: "x", Message: secret}, Discarded, 3, "internal error, see the log",
		},
		"wrapped, for good": {fmt.Errorf("%s: %w", secret, Dead("no", nil)), Cancelled, 1, "no"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			registry := prometheus.NewRegistry()
			s := w.instance(func(d *Deps) { d.Registry = registry })
			var tries atomic.Int32
			Handle(s, func(context.Context, greet) error { tries.Add(1); return c.fail })
			w.starts(s)
			w.add(s, greet{Name: secret, Secret: secret}, Terms{MaxAttempts: 3})
			j := w.becomes(s, c.state)
			require.EqualValues(t, c.tries, tries.Load())
			require.Equal(t, c.kept, j.LastError)
			require.Equal(t, c.tries, j.Attempt)
			require.True(t, j.Failed())
			require.Equal(t, map[string]float64{resultFailed: float64(c.tries - 1), resultDead: 1}, counted(t, registry))
			var rows string
			require.NoError(t,
				w.pool.QueryRow(t.Context(), `select array_to_string(errors, ' ') || metadata::text from river_job`).Scan(&rows))
			require.NotContains(t, rows, secret, "rows keep no cause")
			require.Contains(t, w.log.String(), `"kind":"greet"`)
			require.Contains(t, w.log.String(), `"dead":true`)
		})
	}
}

// counted returns jobs_worked_total by result, failed included.
func counted(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	out := map[string]float64{resultFailed: 0}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == "result" {
					out[l.GetValue()] = m.GetCounter().GetValue()
				}
			}
		}
	}
	return out
}

// PgBouncer in transaction mode requires cache_describe and no listening; all statements of the library work that way.
func TestService_asBehindPgBouncer(t *testing.T) {
	t.Parallel()
	pool, err := postgres.Open(t.Context(),
		postgres.Options{DSN: pgtest.DSN(t) + "&default_query_exec_mode=cache_describe", MaxConns: 10})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	w := &world{t: t, pool: pool, log: &logtest.Buffer{}}
	s := w.instance(func(d *Deps) { d.Options.PollOnly = true })
	worked := make(chan string, 10)
	s.Every("look", time.Second, func(context.Context) error { worked <- "look"; return nil })
	Handle(s, func(_ context.Context, g greet) error { worked <- g.Name; return Dead("no", nil) })
	w.starts(s)
	require.Equal(t, "look", receive(t, worked))
	w.add(s, greet{Name: "Ann"}, Terms{Once: true})
	for receive(t, worked) != "Ann" {
		continue
	}
	require.Eventually(t, func() bool {
		failed, _, err := s.List(t.Context(), nil, 0, 10)
		return err == nil && len(failed) == 1
	}, patience, 10*time.Millisecond)
	require.NotContains(t, w.log.String(), "SQLSTATE")
}

func TestService_panic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.instance()
	Handle(s, func(context.Context, greet) error { panic("ann@private.test") })
	w.starts(s)
	w.add(s, greet{Name: "Ann"}, Terms{MaxAttempts: 1})
	j := w.becomes(s, Discarded)
	require.Equal(t, "panic of type string, see the log", j.LastError)
	require.NotContains(t, w.log.String(), "ann@private.test")
	require.Contains(t, w.log.String(), "jobs_test.go", "the stack is told")
}

func TestService_Later(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.instance()
	var tries atomic.Int32
	Handle(s, func(context.Context, greet) error {
		if tries.Add(1) < 3 {
			return Later(time.Now().Add(time.Millisecond))
		}
		return nil
	})
	w.starts(s)
	w.add(s, greet{Name: "Ann"}, Terms{MaxAttempts: 1})
	require.Equal(t, 1, w.becomes(s, Completed).Attempt, "waiting is no attempt")
}

// An instance without workers adds jobs and runs none.
func TestService_insertOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	quiet := w.instance(func(d *Deps) { d.Options.Workers = 0 })
	quiet.Every("never", time.Second, func(context.Context) error { t.Error("it works nothing"); return nil })
	Handle(quiet, func(context.Context, greet) error { t.Error("it works nothing"); return nil })
	w.starts(quiet)
	w.add(quiet, greet{Name: "Ann"}, Terms{})
	busy := w.instance(func(d *Deps) { d.Options.PollOnly = true })
	worked := make(chan struct{})
	Handle(busy, func(context.Context, greet) error { close(worked); return nil })
	w.starts(busy)
	receive(t, worked)
}

// A slow mail server delays neither timers nor urgent jobs.
func TestService_urgentFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.instance(func(d *Deps) { d.Options.Workers = 1 })
	order, slow := make(chan string, 10), make(chan struct{})
	Handle(s, func(_ context.Context, g greet) error {
		if g.Name == "slow" {
			<-slow
		}
		order <- g.Name
		return nil
	})
	w.add(s, greet{Name: "slow"}, Terms{Urgent: true})
	w.add(s, greet{Name: "usual"}, Terms{})
	w.add(s, greet{Name: "urgent"}, Terms{Urgent: true})
	var once sync.Once
	s.Every("timer", time.Hour, func(context.Context) error { once.Do(func() { order <- "timer" }); return nil })
	w.starts(s)
	require.Equal(t, "timer", receive(t, order), "it has a place of its own")
	close(slow)
	for _, want := range []string{"slow", "urgent", "usual"} {
		require.Equal(t, want, receive(t, order))
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	var sum time.Duration
	for n := 1; n < Attempts; n++ {
		require.True(t, n == 1 || pause(n) > pause(n-1))
		require.GreaterOrEqual(t, spread(n), pause(n))
		sum += pause(n)
	}
	require.InDelta(t, 24, sum.Hours(), 2, "about a day")
	require.Equal(t, pause(Attempts-1), pause(99))
	require.Equal(t, pause(1), pause(0))
}

// riverSchema describes everything that River's migrations create.
const riverSchema = `
select array_agg(what order by what) from (
    select format('%s.%s %s %s %s', table_name, column_name, udt_name, is_nullable, column_default) as what
    from information_schema.columns where table_schema = $1
    union all select format('%s %s: %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) from pg_constraint
        where connamespace = $1::regnamespace and conrelid <> 0
    union all select indexdef from pg_indexes where schemaname = $1
    union all select prosrc || pg_get_function_arguments(oid) from pg_proc where pronamespace = $1::regnamespace and proname like 'river%'
    union all select typname || ' ' || enumlabel || ' ' || row_number() over (order by enumsortorder)
        from pg_enum e join pg_type y on y.oid = enumtypid where typnamespace = $1::regnamespace
    union all select relname || ' ' || relpersistence::text from pg_class where relnamespace = $1::regnamespace and relkind = 'r'
) things where what ilike '%river%'`

// Our migration creates what River's own migrations create.
func TestMigration_IsRivers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	read := func(schema string) (things []string) {
		require.NoError(t, w.pool.QueryRow(t.Context(), riverSchema, schema).Scan(&things))
		return things
	}
	ours := read("public")
	migrator := func(schema string) *rivermigrate.Migrator[pgx.Tx] {
		m, err := rivermigrate.New(riverpgxv5.New(w.pool.Pool), &rivermigrate.Config{Schema: schema})
		require.NoError(t, err)
		return m
	}
	valid, err := migrator("").Validate(t.Context(), nil)
	require.NoError(t, err)
	require.True(t, valid.OK, "River is content: %v", valid.Messages)

	_, err = w.pool.Exec(t.Context(), `
		drop table river_notification, river_queue, river_leader, river_job, river_migration; drop function river_job_state_in_bitmask; drop type river_job_state`)
	require.NoError(t, err)
	_, err = migrator("").Migrate(t.Context(), rivermigrate.DirectionUp, nil)
	require.NoError(t, err)
	theirs := read("public")
	require.NotEmpty(t, theirs)
	require.Equal(t, theirs, ours)
}
