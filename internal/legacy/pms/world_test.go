package pms_test

import (
	"context"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/account"
	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/chat"
	"housecall/internal/config"
	"housecall/internal/conversation"
	"housecall/internal/doctor"
	"housecall/internal/httpd"
	"housecall/internal/httpd/ratelimit"
	"housecall/internal/legacy/pms"
	"housecall/internal/patient"
	"housecall/internal/postgres"
	"housecall/internal/testing/apitest"
	"housecall/internal/testing/clinic"
	"housecall/internal/testing/logtest"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	password = "correct horse battery"
	zoneName = "Asia/Kathmandu" // a quarter of an hour off the usual grids
)

// monday is the time of every test: 09:00 in the clinic, an hour before it opens.
var monday = time.Date(2026, time.March, 2, 3, 15, 0, 0, time.UTC)

// The days of the tests, as clients write them.
const (
	today    = "2026-03-02"
	tomorrow = "2026-03-03"
)

// world is the older API over the real services, and an old client of it.
type world struct {
	t            testing.TB
	pool         *postgres.Pool
	accounts     *account.Service
	doctors      *doctor.Service
	patients     *patient.Service
	appointments *appointment.Service
	zone         *time.Location
	log          *logtest.Buffer
	letters      letters
	api          *apitest.API // the older one

	admin person
}

// person is somebody with a token.
type person struct {
	id     int64
	email  string
	userID string
	token  string
}

func newWorld(t testing.TB, change ...func(*config.Config)) *world {
	t.Helper()
	cfg := config.Default()
	cfg.TokenSecrets = []config.Secret{"k3J9vQ2xLz8Rr5TnYw1Bd7Hf4Gm6Ps0C"}
	require.NoError(t, cfg.ClinicZone.UnmarshalText([]byte(zoneName)))
	cfg.RequestTimeout, cfg.BodyLimit = time.Minute, 4096
	cfg.RegistersPerAddress, cfg.LoginsPerAddress = 1000, 1000
	for _, f := range change {
		f(&cfg)
	}
	w := &world{t: t, pool: pgtest.New(t), log: &logtest.Buffer{}}
	now := func() time.Time { return monday }
	passwords, err := auth.NewPasswords()
	require.NoError(t, err)
	w.zone = cfg.ClinicZone.Location
	w.accounts, err = account.New(account.Deps{
		Pool: w.pool, Tokens: auth.NewTokens(cfg.Secrets(), cfg.AccessTTL, time.Now), Passwords: passwords,
		Limiter: ratelimit.New(nil, zerolog.Nop()), Now: time.Now, Options: account.Options{
			Secrets: cfg.Secrets(), RefreshTTL: cfg.RefreshTTL, LegacyTTL: cfg.LegacyTTL, VerifyTTL: cfg.VerifyTTL,
			RequestTimeout: cfg.RequestTimeout, LoginsPerAccount: cfg.LoginsPerAccount,
			LoginsPerAddress: cfg.LoginsPerAddress, RegistersPerAddress: cfg.RegistersPerAddress,
		},
	})
	require.NoError(t, err)
	c := clinic.New(
		clinic.Deps{
			Pool: w.pool, Inviter: w.accounts, Conversations: log{conversation.NewLog(), chat.Counts{}}, Now: now, Config: cfg,
		},
	)
	w.doctors, w.patients, w.appointments = c.Doctors, c.Patients, c.Appointments
	w.accounts.Connect(account.Ports{Profiles: profiles{w.doctors, w.patients}, Doctors: w.appointments, Mail: &w.letters})
	w.serve(cfg, now)

	u, err := w.accounts.CreateAdmin(t.Context(), "Ada Admin", "ada@clinic.example", password)
	require.NoError(t, err)
	w.admin = w.signedIn(u.ID, u.Email)
	return w
}

func (w *world) serve(cfg config.Config, now func() time.Time) {
	w.t.Helper()
	w.api = apitest.Serve(w.t, apitest.Options{
		Routes: func(s *httpd.Server) {
			account.Routes(s, w.accounts)
			pms.Mount(s,
				pms.Deps{Accounts: w.accounts, Patients: w.patients, Appointments: w.appointments, Zone: w.zone, Now: now})
		},
		Authenticator: w.accounts, Log: zerolog.New(w.log), BodyLimit: cfg.BodyLimit,
	}).Under("/web")
}

// profiles makes what a role needs, as the program does.
type profiles struct {
	doctors  *doctor.Service
	patients *patient.Service
}

func (p profiles) CreatePatient(
	ctx context.Context, tx *postgres.Tx, by auth.Actor, id int64, d account.PatientDetails,
) error {
	return p.patients.Create(ctx, tx, by, id, detailsOf(d))
}

func (p profiles) CheckPatient(d account.PatientDetails) error {
	return p.patients.Check(detailsOf(d), time.Now())
}

func (p profiles) KeepSignup(ctx context.Context, tx *postgres.Tx, id int64, d account.PatientDetails) error {
	return p.patients.KeepSignup(ctx, tx, id, detailsOf(d))
}

func (p profiles) CreateDoctor(ctx context.Context, tx *postgres.Tx, id int64) error {
	return p.doctors.Create(ctx, tx, id)
}

func detailsOf(d account.PatientDetails) patient.Details {
	return patient.Details{Phone: d.Phone, Gender: d.Gender, DateOfBirth: d.DateOfBirth, Address: d.Address}
}

// letters collects the addresses that were asked to verify; these tests send no other mail.
type letters struct {
	account.Mail
	mu sync.Mutex // guards to
	to []string
}

func (l *letters) VerifyEmail(_ context.Context, _ *postgres.Tx, _ int64, address string, _ auth.Link) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = append(l.to, address)
	return nil
}

// answer is what an old client gets.
type answer struct {
	apitest.Answer
	Success bool            `json:"success"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

// object reads data that is one object.
func (a answer) object(t testing.TB) (out map[string]any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(a.Data, &out), string(a.Raw))
	return out
}

// list reads data that is a list.
func (a answer) list(t testing.TB) (out []map[string]any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(a.Data, &out), string(a.Raw))
	return out
}

// send sends a request as an old client does; body is JSON unless the headers say that it is a form.
func (w *world) send(method, path, token, body string, headers ...string) (answer, error) {
	got, err := w.api.Try(method, path, token, body, headers...)
	if err != nil {
		return answer{}, err
	}
	a := answer{Answer: got}
	return a, json.Unmarshal(a.Raw, &a)
}

func (w *world) call(method, path, token, body string, headers ...string) answer {
	w.t.Helper()
	a, err := w.send(method, path, token, body, headers...)
	require.NoError(w.t, err, string(a.Raw))
	require.Equal(w.t, "application/json; charset=utf-8", a.Header.Get("Content-Type"))
	require.NotEqual(w.t, "null", string(a.Data), "clients use data without a check")
	require.NotEmpty(w.t, a.Data, string(a.Raw))
	return a
}

// yes is a call that must succeed, no one that a rule must refuse.
func (w *world) yes(method, path, token, body string, headers ...string) answer {
	w.t.Helper()
	a := w.call(method, path, token, body, headers...)
	require.True(w.t, a.Success && (a.Status == 200 || a.Status == 201), "%d %s", a.Status, a.Raw)
	return a
}

func (w *world) no(method, path, token, body string) string {
	w.t.Helper()
	a := w.call(method, path, token, body)
	require.Equal(w.t, 200, a.Status, string(a.Raw))
	require.False(w.t, a.Success, string(a.Raw))
	require.NotEmpty(w.t, a.Message)
	return a.Message
}

func (w *world) signedIn(id int64, email string) person {
	w.t.Helper()
	a := w.yes("POST", "/user/login", "", `{"email":"`+email+`","password":"`+password+`"}`)
	token, _ := a.object(w.t)["authToken"].(string)
	require.NotEmpty(w.t, token)
	u, err := w.accounts.ByID(context.Background(), id)
	require.NoError(w.t, err)
	return person{id: id, email: email, userID: u.PublicID, token: token}
}

// signUp makes a user over the API; they are not registered as a patient.
func (w *world) signUp(name string) person {
	w.t.Helper()
	email := strings.ToLower(strings.ReplaceAll(name, " ", ".")) + "@mail.example"
	a := w.yes("POST", "/user/register", "", `{"name":"`+name+`","email":"`+email+`","contact":"9841000000",
		"dateOfBirth":"1990-02-28","gender":"2","address":"Lane 1, Kathmandu","password":"`+password+`"}`)
	require.Equal(w.t, 201, a.Status)
	id, _ := a.object(w.t)["userId"].(float64)
	return w.signedIn(int64(id), email)
}

// doctor makes a user a doctor, as administrators of the old system did.
func (w *world) doctor(name string) person {
	w.t.Helper()
	p := w.signUp(name)
	w.yes("PUT", "/user/updateRole", w.admin.token, `{"id":`+id(p)+`,"role":2}`)
	return w.signedIn(p.id, p.email)
}

// registered makes a user who is a patient.
func (w *world) registered(name string) person {
	w.t.Helper()
	p := w.signUp(name)
	w.yes("POST", "/patient/register/"+id(p), w.admin.token, "")
	return p
}

// booked books a slot and returns the appointment's number.
func (w *world) booked(by, d person, day string, slot int) string {
	w.t.Helper()
	a := w.yes("POST", "/appointment/book", by.token,
		`{"docId":`+id(d)+`,"date":"`+day+`","slotId":`+strconv.Itoa(slot)+`}`)
	n, _ := a.object(w.t)["appointmentId"].(float64)
	return strconv.Itoa(int(n))
}

func id(p person) string { return strconv.FormatInt(p.id, 10) }

func (w *world) actor(p person) auth.Actor {
	w.t.Helper()
	a, err := w.accounts.AuthenticateOlder(context.Background(), p.token, auth.AudiencePMS)
	require.NoError(w.t, err)
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

// golden compares an answer's body, without what differs each time, with testdata/name.json.
func golden(t *testing.T, name string, a answer) {
	t.Helper()
	apitest.Golden(t, name, a.Answer,
		apitest.Mask{
			Pattern: regexp.MustCompile(`("(?:created|updated|Booked At)": )"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}"`),
			Instead: `${1}"stamp"`,
		},
		apitest.Mask{Pattern: regexp.MustCompile(`("authToken": )"[^"]+"`), Instead: `${1}"secret"`})
}

// log stands in for conversations; their events reach nobody.
type log struct {
	*conversation.Log
	chat.Counts
}
