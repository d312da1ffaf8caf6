package hms_test

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"housecall/internal/app"
	"housecall/internal/config"
	"housecall/internal/postgres"
	"housecall/internal/testing/apitest"
	"housecall/internal/testing/logtest"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	pgtest.Main(m)
}

const (
	patience = time.Minute
	password = "a-rather-long-passphrase-7"
	zone     = "Europe/Berlin"
	origin   = "https://older.clinic.test"
)

// world is a whole instance on a database and a Redis of its own, and an old client.
type world struct {
	t    *testing.T
	cfg  config.Config
	api  *apitest.API
	pool *postgres.Pool
	log  *logtest.Buffer

	people int
}

func newWorld(t *testing.T, change ...func(*config.Config)) *world {
	t.Helper()
	dsn := pgtest.DSN(t)
	w := &world{t: t, cfg: config.Default(), log: &logtest.Buffer{}}
	w.cfg.Addr, w.cfg.MetricsAddr, w.cfg.PublicURL = "127.0.0.1:0", "", "http://clinic.test"
	w.cfg.DatabaseURL, w.cfg.RedisURL = config.Secret(dsn), config.Secret(pgtest.Redis(t).URL())
	w.cfg.TokenSecrets = []config.Secret{config.Secret(rand.Text() + rand.Text())}
	w.cfg.AllowedOrigins = []string{origin}
	require.NoError(t, w.cfg.ClinicZone.UnmarshalText([]byte(zone)))
	w.cfg.ClinicHours = config.Hours{{From: 0, To: 24 * 60}}
	w.cfg.BookingHorizon = 2 * 366 * 24 * time.Hour // so that it includes a start of summer time
	w.cfg.RequestTimeout = patience
	w.cfg.MaxOpenRequests = 1000
	w.cfg.MailDir = filepath.Join(t.TempDir(), "mail")
	for _, f := range change {
		f(&w.cfg)
	}
	require.NoError(t, w.cfg.Validate())
	pool, err := postgres.Open(context.Background(), postgres.Options{DSN: dsn, MaxConns: 2})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	w.pool = pool
	a, err := app.New(w.cfg, zerolog.New(w.log))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(t, a.Start(ctx))
	t.Cleanup(func() {
		assert.NoError(t, a.Stop())
	})
	w.api = apitest.Client(t, "http://"+a.Addr(), "")
	return w
}

// reply is the answer to a request.
type reply struct{ apitest.Answer }

// message returns the text that an old page shows.
func (r reply) message() string { s, _ := r.Body["message"].(string); return s }

// list returns a list in the body.
func (r reply) list(name string) []map[string]any {
	items, ok := r.Body[name].([]any)
	if !ok {
		return nil
	}
	out := make([]map[string]any, len(items))
	for i, item := range items {
		out[i], _ = item.(map[string]any)
	}
	return out
}

// call sends a request as an old page would: body is JSON, and the token goes into its header.
func (w *world) call(token, method, path, body string, header ...string) reply {
	w.t.Helper()
	a, err := w.try(token, method, path, body, header...)
	require.NoError(w.t, err)
	return reply{a}
}

func (w *world) try(token, method, path, body string, header ...string) (apitest.Answer, error) {
	always := []string{"auth-token", token, "Content-Type", "application/json"}
	return w.api.Try(method, path, "", body, append(always, header...)...)
}

// ok is call, and requires success.
func (w *world) ok(token, method, path, body string) reply {
	w.t.Helper()
	r := w.call(token, method, path, body)
	require.Less(w.t, r.Status, 300, "%s %s: %s", method, path, r.Raw)
	require.NotEmpty(w.t, r.message(), "%s %s: every answer has a message", method, path)
	return r
}

// refused requires the one shape of a refusal.
func (w *world) refused(r reply, status int, says string) {
	w.t.Helper()
	require.Equal(w.t, status, r.Status, "%s", r.Raw)
	require.Contains(w.t, r.message(), says)
	require.Len(w.t, r.Body, 1, "only a message: %s", r.Raw)
	require.Contains(w.t, r.Header.Get("Content-Type"), "application/json")
}

// person is a signed-in user.
type person struct {
	userID, email, token string
}

func (w *world) email() string {
	w.people++
	return fmt.Sprintf("person-%d@older.test", w.people)
}

// patient registers and signs in.
func (w *world) patient(name string) person {
	w.t.Helper()
	email := w.email()
	w.ok("", "POST", "/api/auth/register/patient", fmt.Sprintf(
		`{"name":%q,"email":%q,"password":%q,"phoneNo":"9841000000","gender":"Female","age":"34"}`, name, email, password))
	return w.signIn(email, password)
}

func (w *world) signIn(email, secret string) person {
	w.t.Helper()
	r := w.ok("", "POST", "/api/auth/login", fmt.Sprintf(`{"userId":%q,"password":%q}`, email, secret))
	id := r.Text("user.userId")
	if id == "" {
		id = r.Text("user.adminId")
	}
	return person{userID: id, email: email, token: r.Text("token")}
}

func (w *world) admin() person {
	w.t.Helper()
	email := w.email()
	_, err := app.CreateAdmin(context.Background(), w.cfg, "Eve Admin", email, password)
	require.NoError(w.t, err)
	return w.signIn(email, password)
}

// doctor makes a doctor, created by an admin, who has chosen a password.
func (w *world) doctor(admin person, name string) person {
	w.t.Helper()
	email := w.email()
	r := w.ok(admin.token, "POST", "/api/admin/doctor/create", fmt.Sprintf(
		`{"name":%q,"email":%q,"specialization":"Cardiology","experience":7,"qualification":"MD","phoneNo":9841111111}`, name,
		email,
	))
	d := w.signIn(email, r.Text("plainPassword"))
	w.ok(d.token, "PUT", "/api/auth/updatePassword", fmt.Sprintf(`{"newPassword":%q}`, password))
	return d
}

// request makes a patient's request to a doctor and returns its id. Earlier ones are a while ago, so that it does not
// count as one that was sent twice.
func (w *world) request(p, d person) string {
	w.t.Helper()
	w.timePasses()
	r := w.ok(p.token, "POST", "/api/patient/request/appointment", fmt.Sprintf(`{"doctorId":%q}`, d.userID))
	return r.Text("appointment.appointmentId")
}

func (w *world) timePasses() {
	w.t.Helper()
	w.exec(`update appointments set created_at = created_at - interval '2 minutes'`)
}

// tomorrow returns a day that is free for appointments.
func tomorrow(t *testing.T) string {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	require.NoError(t, err)
	return time.Now().In(loc).AddDate(0, 0, 1).Format(time.DateOnly)
}

// booked makes an appointment tomorrow, each at another hour.
func (w *world) booked(p, d person, clock string) string {
	w.t.Helper()
	id := w.request(p, d)
	w.ok(d.token, "PUT", "/api/doctor/appointments/approve/"+id,
		fmt.Sprintf(`{"date":%q,"time":%q}`, tomorrow(w.t), clock))
	return id
}

func (w *world) count(sql string, args ...any) (n int) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(context.Background(), sql, args...).Scan(&n))
	return n
}

// eventually waits for something that the instance does in the background.
func (w *world) eventually(ok func() bool) {
	w.t.Helper()
	require.Eventually(w.t, ok, time.Minute, 10*time.Millisecond)
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.pool.Exec(context.Background(), sql, args...)
	require.NoError(w.t, err)
}

// golden compares a status and an answer, without what differs each time, with testdata/name.txt.
func golden(t *testing.T, name string, r reply) {
	t.Helper()
	shown := apitest.Pretty(t, r.Answer,
		apitest.Mask{Pattern: regexp.MustCompile(`"(PAT|DOC|ADM|APP)[0-9A-Z]{10}"`), Instead: `"${1}0000000000"`},
		apitest.Mask{Pattern: regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`), Instead: `"time"`},
		apitest.Mask{Pattern: regexp.MustCompile(`"date": "\d{4}-\d\d-\d\dT00:00:00"`), Instead: `"date": "date"`},
		apitest.Mask{Pattern: regexp.MustCompile(`("(?:token|plainPassword)": )"[^"]+"`), Instead: `${1}"secret"`})
	apitest.GoldenFile(t, name+".txt", fmt.Appendf(nil, "%d\n%s", r.Status, shown))
}

// status is call for goroutines other than the test's own; 0 if there was no answer.
func (w *world) status(token, method, path, body string) int {
	a, err := w.try(token, method, path, body)
	if err != nil {
		return 0
	}
	return a.Status
}
