package appointment_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/chat"
	"housecall/internal/config"
	"housecall/internal/doctor"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/patient"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// monday is the time of every test: 09:00 in Berlin, before the doctors begin.
var monday = time.Date(2026, time.March, 2, 8, 0, 0, 0, time.UTC)

// at is a time on the test's Tuesday, as wall time in Berlin.
func at(hour, minute int) time.Time {
	return time.Date(2026, time.March, 3, hour-1, minute, 0, 0, time.UTC)
}

// world is a database with some people in it.
type world struct {
	t    testing.TB
	dsn  string
	cfg  config.Config
	pool *postgres.Pool
	svc  *appointment.Service
	now  time.Time

	patient, other, doctor, stranger, admin auth.Actor // stranger is another doctor
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, dsn: pgtest.DSN(t), cfg: config.Default(), now: monday}
	w.cfg.ClinicZone = "Europe/Berlin"
	w.cfg.RequestTimeout = time.Minute // hundreds of requests queue on one row
	w.svc, w.pool = w.instance()
	w.patient = w.user("PAT0000000001", "Ada Jones", auth.Patient)
	w.other = w.user("PAT0000000002", "Ben Okoro", auth.Patient)
	w.doctor = w.user("DOC0000000001", "Dr Cara Lim", auth.Doctor)
	w.stranger = w.user("DOC0000000002", "Dr Dan Roth", auth.Doctor)
	w.admin = w.user("ADM0000000001", "Eve Admin", auth.Admin)
	return w
}

// instance makes the rooms over a pool of their own, as one process has them.
func (w *world) instance() (*appointment.Service, *postgres.Pool) {
	w.t.Helper()
	pool, err := postgres.Open(context.Background(), postgres.Options{DSN: w.dsn, MaxConns: 16})
	require.NoError(w.t, err)
	w.t.Cleanup(pool.Close)
	return w.over(pool, chat.NewLog()), pool
}

// over makes the rooms over a pool.
func (w *world) over(pool *postgres.Pool, c appointment.Conversations) *appointment.Service {
	w.t.Helper()
	hours, err := schedule.New(w.cfg, schedule.WithClock(func() time.Time { return w.now }))
	require.NoError(w.t, err)
	doctors := doctor.New(pool, hours, nil)
	patients := patient.New(pool, doctors, appointment.Care{})
	return appointment.New(pool, hours, doctors, patients, c, w.cfg, func() time.Time { return w.now })
}

func (w *world) user(publicID, name string, role auth.Role) auth.Actor {
	w.t.Helper()
	a := auth.Actor{UserID: publicID, Name: name, Role: role}
	err := w.pool.QueryRow(context.Background(), `insert into users (public_id, email, name, role, password_hash) values ($1::text, lower($1::text) || '@x.test', $2, $3, 'x')
		returning id`, publicID, name, role).Scan(&a.ID)
	require.NoError(w.t, err)
	switch role {
	case auth.Patient:
		w.exec(`insert into patients (user_id) values ($1)`, a.ID)
	case auth.Doctor:
		w.exec(`insert into doctors (user_id, specialization) values ($1, 'Cardiology')`, a.ID)
	}
	return a
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.pool.Exec(context.Background(), sql, args...)
	require.NoError(w.t, err)
}

func (w *world) count(sql string, args ...any) (n int) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(context.Background(), sql, args...).Scan(&n))
	return n
}

// book asks for an appointment of a patient with the world's doctor; nil is any time.
func (w *world) book(p auth.Actor, startsAt *time.Time) appointment.Appointment {
	w.t.Helper()
	a, err := w.svc.Book(context.Background(), p, appointment.Booking{Doctor: w.doctor.UserID, StartsAt: startsAt, Reason: "Cough"})
	require.NoError(w.t, err)
	return a
}

// Authenticate takes a public id for a token.
func (w *world) Authenticate(ctx context.Context, token string) (auth.Actor, time.Time, error) {
	a := auth.Actor{UserID: token}
	err := w.pool.QueryRow(ctx, `select id, name, role from users where public_id = $1`, token).Scan(&a.ID, &a.Name, &a.Role)
	if err != nil {
		return auth.Actor{}, time.Time{}, errs.ErrUnauthenticated
	}
	return a, w.now.Add(time.Hour), nil
}

// serve starts an instance on a port of its own and gives its base URL.
func (w *world) serve(svc *appointment.Service) string {
	w.t.Helper()
	s, err := httpd.New(httpd.Deps{
		Log: zerolog.Nop(), Registry: prometheus.NewRegistry(), Authenticator: w,
		Options: httpd.Options{
			BodyLimit: w.cfg.BodyLimit, RequestTimeout: w.cfg.RequestTimeout, Origins: w.cfg.Origins(), CursorSecrets: w.cfg.Secrets(),
		},
	})
	require.NoError(w.t, err)
	appointment.Routes(s, svc)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(w.t, err)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ln) }()
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(w.t, s.Shutdown(ctx))
		require.NoError(w.t, <-done)
	})
	return "http://" + ln.Addr().String() + httpd.APIPrefix
}

// reply is what came back over HTTP.
type reply struct {
	status int
	header http.Header
	body   map[string]any
	raw    []byte
}

func (r reply) code() string { s, _ := r.body["code"].(string); return s }

// api calls one instance.
type api struct {
	t      testing.TB
	base   string
	client *http.Client
}

func (w *world) api() api { return w.apiOf(w.svc) }

func (w *world) apiOf(svc *appointment.Service) api {
	transport := &http.Transport{MaxIdleConnsPerHost: 200}
	a := api{t: w.t, base: w.serve(svc), client: &http.Client{Transport: transport}}
	w.t.Cleanup(transport.CloseIdleConnections) // runs before the server stops
	return a
}

// call sends in as JSON (nil: no body) on behalf of the actor (zero: nobody). It may be used from any goroutine,
// so a failure to get an answer is status 0.
func (a api) call(actor auth.Actor, method, path string, in any, headers ...string) reply {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return reply{raw: []byte(err.Error())}
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, a.base+path, body)
	if err != nil {
		return reply{raw: []byte(err.Error())}
	}
	req.Header.Set("Content-Type", "application/json")
	if actor.ID != 0 {
		req.Header.Set("Authorization", "Bearer "+actor.UserID)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := a.client.Do(req)
	if err != nil {
		return reply{raw: []byte(err.Error())}
	}
	defer res.Body.Close()
	r := reply{status: res.StatusCode, header: res.Header}
	r.raw, _ = io.ReadAll(res.Body)
	_ = json.Unmarshal(r.raw, &r.body)
	return r
}

type object = map[string]any
