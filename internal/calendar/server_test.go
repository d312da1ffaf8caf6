package calendar

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/httpd/ratelimit"
	"housecall/internal/postgres"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	pat = "PAT0000000PAT"
	ann = "DOC0000000ANN"
)

// world is a served room on a database of its own, with a clock that stands still. It authenticates by public id: the
// token is the id.
type world struct {
	t        *testing.T
	pool     *postgres.Pool
	svc      *Service
	root     string // of the server
	log      *logBook
	registry *prometheus.Registry
	diary    *diary

	mu  sync.Mutex // guards now
	now time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, pool: pgtest.New(t), log: &logBook{}, registry: prometheus.NewRegistry(), diary: &diary{of: map[int64][]Appointment{}},
		now: tuesday.Add(300 * time.Millisecond),
	}
	cfg := config.Default()
	cfg.PublicURL = "https://clinic.example/"
	w.svc = New(w.pool, w.diary, ratelimit.New(nil, zerolog.Nop()), clinic, cfg, w.time)
	server, err := httpd.New(httpd.Deps{
		Log: zerolog.New(w.log), Registry: w.registry, Authenticator: w,
		Options: httpd.Options{
			BodyLimit: cfg.BodyLimit, RequestTimeout: cfg.RequestTimeout, Origins: cfg.Origins(), CursorSecrets: cfg.Secrets(),
		},
	})
	require.NoError(t, err)
	Routes(server, w.svc)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		require.NoError(t, server.Shutdown(context.Background()))
		require.NoError(t, <-served)
	})
	w.root = "http://" + ln.Addr().String()
	return w
}

func (w *world) time() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }

func (w *world) pass(d time.Duration) { w.mu.Lock(); defer w.mu.Unlock(); w.now = w.now.Add(d) }

// Authenticate takes an enabled user's public id for a token.
func (w *world) Authenticate(ctx context.Context, token string) (auth.Actor, time.Time, error) {
	var a auth.Actor
	err := w.pool.QueryRow(ctx, `select id, public_id, name, role from users where public_id = $1 and disabled_at is null`, token).
		Scan(&a.ID, &a.UserID, &a.Name, &a.Role)
	if err != nil {
		return a, time.Time{}, errs.ErrUnauthenticated
	}
	return a, time.Now().Add(time.Hour), nil
}

func (w *world) user(publicID string, role auth.Role) int64 {
	w.t.Helper()
	var id int64
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), `
		insert into users (public_id, email, name, role) values ($1::text, lower($1::text) || '@example.test', 'Somebody', $2) returning id`,
		publicID, role).Scan(&id))
	return id
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.pool.Exec(w.t.Context(), sql, args...)
	require.NoError(w.t, err)
}

func (w *world) audited(action string) (n int) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), `select count(*) from audit_events
		where action = $1 and subject = $2 and detail = '{}'`, action, pat).Scan(&n))
	return n
}

// diary holds appointments in place of the room that does.
type diary struct {
	mu sync.Mutex // guards of and the window of the last look
	of map[int64][]Appointment

	from, to time.Time
}

func (d *diary) set(userID int64, all ...Appointment) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.of[userID] = all
}

// Between implements Appointments.
func (d *diary) Between(_ context.Context, userID int64, from, to time.Time, limit int) ([]Appointment, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.from, d.to = from, to
	all := d.of[userID]
	return slices.Clone(all[:min(limit, len(all))]), nil
}

func visit(id, status string, version int, startsAt time.Time) Appointment {
	return Appointment{
		PublicID: id, Version: version, Status: status, StartsAt: startsAt, EndsAt: startsAt.Add(30 * time.Minute),
		UpdatedAt: tuesday.Add(-time.Hour),
	}
}

// logBook is a log that can be read while it is written.
type logBook struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logBook) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.b.Write(p) }

func (l *logBook) text() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

type answer struct {
	status int
	header http.Header
	raw    []byte
	body   map[string]any // nil unless it is JSON
}

func (a answer) etag() string { return a.header.Get("ETag") }

func (a answer) modified() string { return a.header.Get("Last-Modified") }

// api calls a route of the API; token "" is nobody.
func (w *world) api(method, path, token string) answer {
	w.t.Helper()
	a, err := w.send(method, w.root+httpd.APIPrefix+path, "Authorization", "Bearer "+token)
	require.NoError(w.t, err)
	return a
}

// read asks for a feed by the address that its owner got, with pairs of headers.
func (w *world) read(address string, headers ...string) answer {
	w.t.Helper()
	a, err := w.send("GET", w.here(address), headers...)
	require.NoError(w.t, err)
	return a
}

// here is an address of the world outside on the server of the test.
func (w *world) here(address string) string {
	path, ok := strings.CutPrefix(address, "https://clinic.example")
	require.True(w.t, ok, "the address begins where clients reach the service")
	return w.root + path
}

// send is what api and read do, for other goroutines than the test's own.
func (w *world) send(method, url string, headers ...string) (a answer, err error) {
	req, err := http.NewRequestWithContext(w.t.Context(), method, url, http.NoBody)
	if err != nil {
		return a, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	a = answer{status: resp.StatusCode, header: resp.Header}
	if a.raw, err = io.ReadAll(resp.Body); err != nil {
		return a, err
	}
	kind := resp.Header.Get("Content-Type")
	if a.status >= 400 && kind != httpd.ProblemType {
		return a, fmt.Errorf("status %d without a problem document", a.status)
	}
	if strings.Contains(kind, "json") && len(a.raw) > 0 {
		err = json.Unmarshal(a.raw, &a.body)
	}
	return a, err
}

// make gives a user a feed.
func (w *world) make(token string) (address string) {
	w.t.Helper()
	made := w.api("POST", "/me/calendar", token)
	require.Equal(w.t, http.StatusCreated, made.status, string(made.raw))
	return made.body["url"].(string)
}

func secretOf(address string) string {
	return strings.TrimSuffix(filepath.Base(address), ".ics")
}

// goldenJSON compares an answer's shape with testdata/NAME.json; what differs each time is hidden.
func goldenJSON(t *testing.T, name string, a answer, hide ...string) {
	t.Helper()
	shown := map[string]any{}
	for k, v := range a.body {
		shown[k] = v
		if slices.Contains(hide, k) && v != nil {
			shown[k] = "…"
		}
	}
	got, err := json.MarshalIndent(shown, "", "  ")
	require.NoError(t, err)
	file := filepath.Join("testdata", name+".json")
	if *update {
		require.NoError(t, os.WriteFile(file, append(got, '\n'), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, strings.TrimSpace(string(want)), string(got))
}
