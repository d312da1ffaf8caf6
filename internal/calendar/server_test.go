package calendar

import (
	"context"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/httpd"
	"housecall/internal/httpd/ratelimit"
	"housecall/internal/postgres"
	"housecall/internal/testing/apitest"
	"housecall/internal/testing/logtest"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	pat = "PAT0000000PAT"
	ann = "DOC0000000ANN"
)

// answer is what the server says.
type answer = apitest.Answer

// world is the service, with its routes, on a database of its own, with a clock that stands still. The token of a user
// is their public id.
type world struct {
	t        *testing.T
	pool     *postgres.Pool
	svc      *Service
	rest     *apitest.API
	feeds    *apitest.API // the same server, for the addresses that calendar programs read
	log      *logtest.Buffer
	registry *prometheus.Registry
	diary    *diary

	mu  sync.Mutex // guards now
	now time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, pool: pgtest.New(t), log: &logtest.Buffer{}, registry: prometheus.NewRegistry(), diary: &diary{
			of: map[int64][]Appointment{},
		},
		now: tuesday.Add(300 * time.Millisecond),
	}
	const publicURL = "https://clinic.example/"
	w.svc = New(Deps{
		Pool: w.pool, Appointments: w.diary, Links: pages{}, Limiter: ratelimit.New(nil, zerolog.Nop()), Now: w.time,
		Options: Options{PublicURL: publicURL, Horizon: 90 * 24 * time.Hour, Organizer: clinic},
	})
	w.rest = apitest.Serve(t, apitest.Options{
		Routes:        func(s *httpd.Server) { Routes(s, w.svc) },
		Authenticator: apitest.ByPublicID(w.pool), Log: zerolog.New(w.log), Registry: w.registry, PublicURL: publicURL,
	})
	w.feeds = w.rest.Under("")
	return w
}

func (w *world) time() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }

func (w *world) pass(d time.Duration) { w.mu.Lock(); defer w.mu.Unlock(); w.now = w.now.Add(d) }

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

// diary stands in for the package that has the appointments.
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

// pages are the addresses of pages.
type pages struct{}

// Appointment implements Links.
func (pages) Appointment(id string) string { return "https://clinic.example/appointments/" + id }

// Between implements Appointments.
func (d *diary) Between(_ context.Context, userID int64, from, to time.Time, limit int) ([]Appointment, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.from, d.to = from, to
	all := d.of[userID]
	return slices.Clone(all[:min(limit, len(all))]), nil
}

func visit(id string, status appointment.Status, version int, startsAt time.Time) Appointment {
	return Appointment{
		PublicID: id, Version: version, Status: status, StartsAt: startsAt, EndsAt: startsAt.Add(30 * time.Minute),
		UpdatedAt: tuesday.Add(-time.Hour),
	}
}

// api calls a route of the API; token "" is nobody.
func (w *world) api(method, path, token string) answer {
	w.t.Helper()
	return w.rest.Ask(method, path, token, nil)
}

// reads asks for a feed by the address that its owner got, with pairs of headers.
func (w *world) reads(address string, headers ...string) answer {
	w.t.Helper()
	return w.feeds.Ask("GET", w.here(address), "", nil, headers...)
}

// here returns the path of an address under the public URL.
func (w *world) here(address string) string {
	path, ok := strings.CutPrefix(address, "https://clinic.example")
	require.True(w.t, ok, "the address begins where clients reach the service")
	return path
}

// make creates a feed for a user.
func (w *world) make(token string) (address string) {
	w.t.Helper()
	made := w.api("POST", "/me/calendar", token)
	require.Equal(w.t, http.StatusCreated, made.Status, string(made.Raw))
	return made.Body["url"].(string)
}

func secretOf(address string) string {
	return strings.TrimSuffix(filepath.Base(address), ".ics")
}
