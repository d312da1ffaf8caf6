package jobs

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
	"housecall/internal/testing/pgtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	flag.Parse()
	pgtest.Main(m)
}

// patience is how long a test waits for a signal that must come.
const patience = time.Minute

// world is a database, and instances that work its jobs.
type world struct {
	t    *testing.T
	pool *postgres.Pool
	log  *lockedBuffer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	pool, err := postgres.Open(context.Background(), postgres.Options{DSN: pgtest.DSN(t), MaxConns: 20})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return &world{t: t, pool: pool, log: &lockedBuffer{}}
}

// instance makes one that is not started; it tries again at once.
func (w *world) instance(change ...func(*Deps)) *Service {
	w.t.Helper()
	d := Deps{
		Pool: w.pool, Log: zerolog.New(w.log), Now: time.Now, Workers: 4, Prompt: true, Pause: func(int) time.Duration { return time.Millisecond },
	}
	for _, f := range change {
		f(&d)
	}
	s, err := New(d)
	require.NoError(w.t, err)
	return s
}

func (w *world) start(s *Service) {
	w.t.Helper()
	require.NoError(w.t, s.Start(w.t.Context()))
	w.t.Cleanup(func() { require.NoError(w.t, stop(s)) })
}

func stop(s *Service) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.Stop(ctx)
}

func (w *world) add(s *Service, args Args, o Options) {
	w.t.Helper()
	require.NoError(w.t, w.pool.InTx(w.t.Context(), func(tx *postgres.Tx) error { return s.InsertTx(w.t.Context(), tx, args, o) }))
}

// jobs gives all, newest first.
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

// greet is a job with a part that must never be seen outside.
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

type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// roles authenticates a role's name as a token.
type roles struct{}

func (roles) Authenticate(_ context.Context, token string) (auth.Actor, time.Time, error) {
	if !auth.Role(token).Valid() {
		return auth.Actor{}, time.Time{}, errs.ErrUnauthenticated
	}
	return auth.Actor{ID: 0, UserID: "ADM0000000000", Role: auth.Role(token)}, time.Now().Add(time.Hour), nil
}

// serve puts the routes behind a real server.
func (w *world) serve(s *Service) (url string) {
	w.t.Helper()
	server, err := httpd.New(httpd.Deps{
		Log: zerolog.New(w.log), Registry: prometheus.NewRegistry(), Authenticator: roles{},
	})
	require.NoError(w.t, err)
	Routes(server, s)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(w.t, err)
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(w.t, server.Shutdown(ctx))
		require.NoError(w.t, <-done)
	})
	return "http://" + ln.Addr().String() + httpd.APIPrefix
}

type answer struct {
	status int
	body   []byte
}

func (a answer) field(name string) any {
	var m map[string]any
	_ = json.Unmarshal(a.body, &m)
	return m[name]
}

func call(t *testing.T, method, url string, role auth.Role) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	require.NoError(t, err)
	if role != "" {
		req.Header.Set("Authorization", "Bearer "+string(role))
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return answer{res.StatusCode, body}
}

var volatileTimes = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[0-9:.]+Z"`)

// golden compares a body, without its times, with testdata/name.json.
func golden(t *testing.T, name string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, json.Indent(&b, bytes.TrimSpace(body), "", "  "), string(body))
	s := volatileTimes.ReplaceAllString(b.String(), `"time"`) + "\n"
	file := filepath.Join("testdata", name+".json")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(s), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), s)
}
