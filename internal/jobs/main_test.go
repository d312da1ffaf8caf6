package jobs

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
	"housecall/internal/testing/apitest"
	"housecall/internal/testing/logtest"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// patience is how long a test waits for a signal that must come.
const patience = time.Minute

// world is a database, and instances that run its jobs.
type world struct {
	t    *testing.T
	pool *postgres.Pool
	log  *logtest.Buffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	pool, err := postgres.Open(context.Background(), postgres.Options{DSN: pgtest.DSN(t), MaxConns: 20})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return &world{t: t, pool: pool, log: &logtest.Buffer{}}
}

// instance makes an instance that is not started; it retries at once.
func (w *world) instance(change ...func(*Deps)) *Service {
	w.t.Helper()
	d := Deps{
		Pool: w.pool, Log: zerolog.New(w.log), Now: time.Now, Prompt: true,
		Pause: func(int) time.Duration { return time.Millisecond }, Options: Options{Workers: 4},
	}
	for _, f := range change {
		f(&d)
	}
	s, err := New(d)
	require.NoError(w.t, err)
	return s
}

func (w *world) starts(s *Service) {
	w.t.Helper()
	require.NoError(w.t, s.Start(w.t.Context()))
	w.t.Cleanup(func() { require.NoError(w.t, stop(s)) })
}

func stop(s *Service) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.Stop(ctx)
}

func (w *world) add(s *Service, args Args, o Terms) {
	w.t.Helper()
	require.NoError(w.t,
		w.pool.InTx(w.t.Context(), func(tx *postgres.Tx) error { return s.InsertTx(w.t.Context(), tx, args, o) }))
}

// jobs returns all jobs, newest first.
func (w *world) jobs(s *Service) []Job {
	w.t.Helper()
	var all []State
	for _, st := range everyState {
		all = append(all, State(st))
	}
	page, more, err := s.List(w.t.Context(), all, 0, 100)
	require.NoError(w.t, err)
	require.False(w.t, more)
	return page
}

// becomes waits until the newest job is in a state.
func (w *world) becomes(s *Service, state State) Job {
	w.t.Helper()
	var j Job
	require.Eventually(w.t, func() bool {
		j = w.jobs(s)[0]
		return j.State == state
	}, patience, 10*time.Millisecond)
	return j
}

// greet is a job with a part that must never be shown.
type greet struct {
	Name   string `json:"name" river:"unique"`
	Secret string `json:"secret"`
}

// Kind implements Args.
func (greet) Kind() string { return "greet" }

// receive waits for a signal that must come.
func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		panic("unreachable")
	}
}

// roles authenticates a role's name as a token.
type roles struct{}

func (roles) Authenticate(_ context.Context, token string) (auth.Actor, time.Time, error) {
	if !auth.Role(token).Valid() {
		return auth.Actor{}, time.Time{}, errs.ErrUnauthenticated
	}
	return auth.Actor{ID: 0, UserID: "ADM0000000000", Role: auth.Role(token)}, time.Now().Add(time.Hour), nil
}

// serve puts the routes behind a real server. The token of an actor is their role.
func (w *world) serve(s *Service) *apitest.API {
	w.t.Helper()
	return apitest.Serve(w.t, apitest.Options{
		Routes: func(server *httpd.Server) { Routes(server, s) }, Authenticator: roles{}, Log: zerolog.New(w.log),
	})
}
