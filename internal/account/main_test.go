package account

import (
	"context"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/httpd/ratelimit"
	"housecall/internal/postgres"
	"housecall/internal/testing/apitest"
	"housecall/internal/testing/logtest"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	testPassword = "correct horse battery"
	testSecret   = "k3J9vQ2xLz8Rr5TnYw1Bd7Hf4Gm6Ps0C"
	accessTTL    = 15 * time.Minute
)

// house is one instance of the package behind a real HTTP server, on a database of its own.
type house struct {
	t       *testing.T
	svc     *Service
	pool    *postgres.Pool
	limiter *countingLimiter
	doctors *busyDoctors
	mail    *mailbox
	log     *logtest.Buffer
	api     *apitest.API

	mu    sync.Mutex // guards ended
	ended []int64    // the sessions that the listener was told of
}

// SessionsEnded implements Listener.
func (h *house) SessionsEnded(sessions []int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = append(h.ended, sessions...)
}

// told returns the ended sessions that the listener was told of since the last call.
func (h *house) told() []int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	ended := h.ended
	h.ended = nil
	return ended
}

func newHouse(t *testing.T) *house {
	t.Helper()
	passwords, err := auth.NewPasswords()
	require.NoError(t, err)
	h := &house{
		t: t, pool: pgtest.New(t), limiter: &countingLimiter{used: map[string]int{}},
		doctors: &busyDoctors{busy: map[int64]bool{}},
		mail:    &mailbox{}, log: &logtest.Buffer{},
	}
	secrets := [][]byte{[]byte(testSecret)}
	h.svc, err = New(Deps{
		Pool: h.pool, Tokens: auth.NewTokens(secrets, accessTTL, time.Now), Passwords: passwords, Limiter: h.limiter,
		Now: time.Now, Options: Options{
			Secrets: secrets, RefreshTTL: 720 * time.Hour, LegacyTTL: 12 * time.Hour, InviteTTL: 168 * time.Hour,
			VerifyTTL: 72 * time.Hour, ResetTTL: time.Hour, RequestTimeout: time.Minute,
			LoginsPerAccount: 10, LoginsPerAddress: 100, RegistersPerAddress: 20,
		},
	})
	require.NoError(t, err)
	h.svc.Connect(Ports{Profiles: rowProfiles{}, Doctors: h.doctors, Mail: h.mail, Listener: h})
	h.svc.forgotPace = 0
	h.api = apitest.Serve(t, apitest.Options{
		Routes:        func(s *httpd.Server) { Routes(s, h.svc) },
		Authenticator: h.svc, Log: zerolog.New(h.log),
	})
	return h
}

// answer is what the API says.
type answer = apitest.Answer

// call sends a request; body is JSON text, headers come in pairs.
func (h *house) call(method, path, token, body string, headers ...string) answer {
	a, err := h.api.Try(method, path, token, body, append([]string{"User-Agent", "housecall-test"}, headers...)...)
	if err != nil {
		panic(err) // workers call this too, and may not end the test
	}
	return a
}

// newUser creates a user who can sign in.
func (h *house) newUser(role auth.Role, email string) User {
	h.t.Helper()
	var u User
	require.NoError(h.t, h.pool.InTx(h.t.Context(), func(tx *postgres.Tx) (err error) {
		u, err = h.svc.CreateWithPassword(h.t.Context(), tx, NewUser{
			Name: "Ann Other", Email: email, Role: role, Password: testPassword,
		})
		return err
	}))
	return u
}

// registers creates a patient as patients do themselves.
func (h *house) registers(email string) User {
	h.t.Helper()
	u, err := h.svc.Register(h.t.Context(), Registration{Name: "Ann Other", Email: email, Password: testPassword},
		httpd.Client{})
	require.NoError(h.t, err)
	return u
}

// signIn creates a session for a user through the service, past the throttles.
func (h *house) signIn(u User) SignIn {
	h.t.Helper()
	c, err := credentialsByID(h.t.Context(), h.pool, u.ID)
	require.NoError(h.t, err)
	r, err := h.svc.open(h.t.Context(), c, httpd.Client{Address: "192.0.2.7", UserAgent: "elsewhere"})
	require.NoError(h.t, err)
	return r
}

func (h *house) token(u User) string { return h.signIn(u).AccessToken }

func (h *house) actor(token string) auth.Actor {
	h.t.Helper()
	a, _, err := h.svc.Authenticate(h.t.Context(), token)
	require.NoError(h.t, err)
	return a
}

// audited returns the actions recorded about a subject, oldest first.
func (h *house) audited(subject string) []string {
	h.t.Helper()
	type row struct{ Action string }
	rows, err := postgres.Rows[row](h.t.Context(), h.pool, "audit",
		`select action from audit_events where subject = $1 order by id`, subject)
	require.NoError(h.t, err)
	var out []string
	for _, r := range rows {
		out = append(out, r.Action)
	}
	return out
}

// count runs a query whose only column, n, is a number.
func (h *house) count(sql string, args ...any) int {
	h.t.Helper()
	type row struct{ N int }
	r, err := one[row](h.t.Context(), h.pool, "count", sql, args...)
	require.NoError(h.t, err)
	return r.N
}

func (h *house) exec(sql string, args ...any) {
	h.t.Helper()
	_, err := h.pool.Exec(h.t.Context(), sql, args...)
	require.NoError(h.t, err)
}

// together runs n workers that start at once, and waits for them.
func together(n int, work func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			work(i)
		})
	}
	close(start)
	wg.Wait()
}

// volatile is what differs each time.
var volatile = []apitest.Mask{
	{Pattern: regexp.MustCompile(`"(PAT|DOC|ADM)[0-9A-Z]{10}"`), Instead: `"${1}0000000000"`},
	apitest.MaskUUIDs,
	apitest.MaskTimes,
	{Pattern: regexp.MustCompile(`"expiresIn": (8\d\d|900)\b`), Instead: `"expiresIn": 900`},
	{
		Pattern: regexp.MustCompile(`("(?:accessToken|refreshToken|invitationToken|nextCursor)": )"[^"]+"`),
		Instead: `${1}"secret"`,
	},
}

// golden compares an answer, without what differs each time, with testdata/name.json.
func golden(t *testing.T, name string, a answer) {
	t.Helper()
	apitest.Golden(t, name, a, volatile...)
}

// countingLimiter allows N per key until it is emptied; it has no clock.
type countingLimiter struct {
	mu   sync.Mutex
	used map[string]int
}

func (l *countingLimiter) Allow(ctx context.Context, key string, limit ratelimit.Limit) (bool, time.Duration) {
	giveBack, retryAfter := l.Take(ctx, key, limit)
	return giveBack != nil, retryAfter
}

func (l *countingLimiter) Take(
	_ context.Context, key string, limit ratelimit.Limit,
) (func(context.Context), time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.used[key] >= limit.N {
		return nil, limit.Per / time.Duration(limit.N)
	}
	l.used[key]++
	return func(context.Context) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.used[key]--
	}, 0
}

// rowProfiles writes just the rows.
type rowProfiles struct{}

func (rowProfiles) CreatePatient(
	ctx context.Context, tx *postgres.Tx, _ auth.Actor, userID int64, d PatientDetails,
) error {
	_, err := tx.Exec(ctx, `
		insert into patients (user_id, phone, gender, date_of_birth, address) values ($1, $2, $3, $4, $5)
		on conflict (user_id) do nothing`, userID, d.Phone, d.Gender, d.DateOfBirth, d.Address)
	return err
}

func (rowProfiles) CheckPatient(PatientDetails) error { return nil }

func (rowProfiles) KeepSignup(ctx context.Context, tx *postgres.Tx, userID int64, d PatientDetails) error {
	_, err := tx.Exec(ctx, `
		insert into patient_signups (user_id, phone, gender, date_of_birth, address) values ($1, $2, $3, $4, $5)`,
		userID, d.Phone, d.Gender, d.DateOfBirth, d.Address)
	return err
}

func (rowProfiles) CreateDoctor(ctx context.Context, tx *postgres.Tx, userID int64) error {
	_, err := tx.Exec(ctx, `insert into doctors (user_id) values ($1) on conflict (user_id) do nothing`, userID)
	return err
}

// busyDoctors refuses a busy doctor's departure unless their appointments may be cancelled.
type busyDoctors struct {
	mu       sync.Mutex
	busy     map[int64]bool
	released []int64
	returned []int64
}

func (d *busyDoctors) Release(_ context.Context, _ *postgres.Tx, l auth.Departure) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy[l.DoctorID] && !l.CancelAppointments {
		return errs.New(errs.Conflict, "future_appointments", "The doctor still has appointments.").With("count", 1)
	}
	d.released = append(d.released, l.DoctorID)
	return nil
}

func (d *busyDoctors) Return(_ context.Context, _ *postgres.Tx, doctorID int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.returned = append(d.returned, doctorID)
	return nil
}
