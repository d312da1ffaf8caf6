package appointment_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/chat"
	"housecall/internal/config"
	"housecall/internal/conversation"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
	"housecall/internal/testing/apitest"
	"housecall/internal/testing/clinic"
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
	require.NoError(t, w.cfg.ClinicZone.UnmarshalText([]byte("Europe/Berlin")))
	w.cfg.RequestTimeout = time.Minute // hundreds of requests queue on one row
	w.svc, w.pool = w.instance()
	w.patient = w.user("PAT0000000001", "Ada Jones", auth.Patient)
	w.other = w.user("PAT0000000002", "Ben Okoro", auth.Patient)
	w.doctor = w.user("DOC0000000001", "Dr Cara Lim", auth.Doctor)
	w.stranger = w.user("DOC0000000002", "Dr Dan Roth", auth.Doctor)
	w.admin = w.user("ADM0000000001", "Eve Admin", auth.Admin)
	return w
}

// instance makes the services over a pool of their own, as one process has them.
func (w *world) instance() (*appointment.Service, *postgres.Pool) {
	w.t.Helper()
	pool, err := postgres.Open(context.Background(), postgres.Options{DSN: w.dsn, MaxConns: 16})
	require.NoError(w.t, err)
	w.t.Cleanup(pool.Close)
	return w.over(pool, newLog()), pool
}

// over makes the services over a pool.
func (w *world) over(pool *postgres.Pool, c appointment.Conversations) *appointment.Service {
	w.t.Helper()
	return clinic.New(clinic.Deps{
		Pool: pool, Conversations: c, Now: func() time.Time { return w.now }, Config: w.cfg,
	}).Appointments
}

func (w *world) user(publicID, name string, role auth.Role) auth.Actor {
	w.t.Helper()
	a := auth.Actor{UserID: publicID, Name: name, Role: role}
	err := w.pool.QueryRow(context.Background(), `insert into users (public_id, email, name, role, password_hash) values ($1::text, lower($1::text) || '@x.test', $2, $3, 'x')
		returning id`, publicID, name, role).
		Scan(&a.ID)
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

// books asks for an appointment of a patient with the world's doctor; nil is any time.
func (w *world) books(p auth.Actor, startsAt *time.Time) appointment.Appointment {
	w.t.Helper()
	a, err := w.svc.Book(context.Background(), p,
		appointment.Booking{Doctor: w.doctor.UserID, StartsAt: startsAt, Reason: "Cough"})
	require.NoError(w.t, err)
	return a
}

// reply is what the API says.
type reply = apitest.Answer

// api calls one instance on behalf of actors.
type api struct{ *apitest.API }

func (w *world) api() api { return w.apiOf(w.svc) }

func (w *world) apiOf(svc *appointment.Service) api {
	w.t.Helper()
	return api{apitest.Serve(w.t, apitest.Options{
		Routes:        func(s *httpd.Server) { appointment.Routes(s, svc) },
		Authenticator: apitest.ByPublicID(w.pool),
	})}
}

// call sends in as JSON (nil: no body) on behalf of the actor (zero: nobody). It may be used from any goroutine,
// so a failure to get an answer is status 0.
func (a api) call(actor auth.Actor, method, path string, in any, headers ...string) reply {
	r, err := a.Try(method, path, actor.UserID, in, headers...)
	if err != nil {
		return reply{Raw: []byte(err.Error())}
	}
	return r
}

type object = map[string]any

// log is the conversations of appointments, whose events reach nobody.
type log struct {
	*conversation.Log
	chat.Counts
}

func newLog() log { return log{Log: conversation.NewLog()} }
