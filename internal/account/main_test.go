package account

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

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	flag.Parse()
	pgtest.Main(m)
}

const (
	testPassword = "correct horse battery"
	testSecret   = "k3J9vQ2xLz8Rr5TnYw1Bd7Hf4Gm6Ps0C"
)

// house is one instance of the room behind a real HTTP server, on a database of its own.
type house struct {
	t       *testing.T
	svc     *Service
	pool    *postgres.Pool
	limiter *countingLimiter
	doctors *busyDoctors
	mail    *mailbox
	log     *lockedBuffer
	server  *httpd.Server
	url     string
	client  *http.Client
}

func newHouse(t *testing.T) *house {
	t.Helper()
	cfg := config.Default()
	cfg.TokenSecrets = []config.Secret{testSecret}
	cfg.RequestTimeout = time.Minute // many passwords wait for their turn to be hashed
	passwords, err := auth.NewPasswords()
	require.NoError(t, err)
	h := &house{
		t: t, pool: pgtest.New(t), limiter: &countingLimiter{used: map[string]int{}}, doctors: &busyDoctors{busy: map[int64]bool{}},
		mail: &mailbox{}, log: &lockedBuffer{}, client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	tokens := auth.NewTokens(cfg.Secrets(), cfg.AccessTTL, time.Now)
	h.svc, err = New(h.pool, tokens, passwords, h.limiter, cfg, time.Now)
	require.NoError(t, err)
	h.svc.Connect(Ports{Profiles: rowProfiles{}, Doctors: h.doctors, Mail: h.mail})
	h.svc.forgotPace = 0
	h.serve(cfg)
	return h
}

func (h *house) serve(cfg config.Config) {
	h.t.Helper()
	server, err := httpd.New(httpd.Deps{
		Log: zerolog.New(h.log), Registry: prometheus.NewRegistry(), Authenticator: h.svc,
		Options: httpd.Options{
			BodyLimit: cfg.BodyLimit, RequestTimeout: cfg.RequestTimeout, Origins: cfg.Origins(), CursorSecrets: cfg.Secrets(),
		},
	})
	require.NoError(h.t, err)
	h.server = server
	Routes(server, h.svc)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(h.t, err)
	h.url = "http://" + ln.Addr().String()
	done := make(chan error, 1)
	go func() { done <- server.Serve(ln) }()
	h.t.Cleanup(func() {
		h.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(h.t, server.Shutdown(ctx))
		require.NoError(h.t, <-done)
	})
}

// answer is what came back for a request.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// field gives a member of the body by its dotted path, nil if there is none.
func (a answer) field(path string) any {
	var v any
	if json.Unmarshal(a.body, &v) != nil {
		return nil
	}
	for key := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

func (a answer) text(path string) string {
	s, _ := a.field(path).(string)
	return s
}

// call sends a request; body is JSON text, headers come in pairs.
func (h *house) call(method, path, token, body string, headers ...string) answer {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, h.url+"/api/v1"+path, reader)
	if err != nil {
		panic(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("User-Agent", "housecall-test")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := h.client.Do(req)
	if err != nil {
		panic(err) // workers call this too, and may not end the test
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		panic(err)
	}
	return answer{status: res.StatusCode, header: res.Header, body: raw}
}

// user makes one who can sign in.
func (h *house) user(role auth.Role, email string) User {
	h.t.Helper()
	var u User
	require.NoError(h.t, h.pool.InTx(h.t.Context(), func(tx *postgres.Tx) (err error) {
		u, err = h.svc.CreateWithPassword(h.t.Context(), tx, "Ann Other", email, role, testPassword)
		return err
	}))
	return u
}

// register makes a patient as he would himself.
func (h *house) register(email string) User {
	h.t.Helper()
	u, err := h.svc.Register(h.t.Context(), Registration{Name: "Ann Other", Email: email, Password: testPassword}, httpd.Client{})
	require.NoError(h.t, err)
	return u
}

// signIn makes a session for a user through the service, without the throttles' eye.
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

// audited gives the actions recorded about a subject, oldest first.
func (h *house) audited(subject string) []string {
	h.t.Helper()
	type row struct{ Action string }
	rows, err := postgres.Rows[row](h.t.Context(), h.pool, "audit", `select action from audit_events where subject = $1 order by id`, subject)
	require.NoError(h.t, err)
	var out []string
	for _, r := range rows {
		out = append(out, r.Action)
	}
	return out
}

// count reads a number, named n.
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

var (
	volatileIDs   = regexp.MustCompile(`"(PAT|DOC|ADM)[0-9A-Z]{10}"`)
	volatileUUIDs = regexp.MustCompile(`"[0-9a-f]{8}-[0-9a-f-]{27}"`)
	volatileTimes = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[0-9:.]+Z"`)
	volatileSpans = regexp.MustCompile(`"expiresIn": (8\d\d|900)\b`)
	volatileTexts = regexp.MustCompile(`("(?:accessToken|refreshToken|invitationToken|nextCursor)": )"[^"]+"`)
)

// golden compares a body, without what differs each time, with testdata/name.json.
func golden(t *testing.T, name string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, json.Indent(&b, body, "", "  "), string(body))
	s := volatileIDs.ReplaceAllString(b.String(), `"${1}0000000000"`)
	s = volatileUUIDs.ReplaceAllString(s, `"uuid"`)
	s = volatileTimes.ReplaceAllString(s, `"time"`)
	s = volatileSpans.ReplaceAllString(s, `"expiresIn": 900`)
	s = volatileTexts.ReplaceAllString(s, `${1}"secret"`) + "\n"
	file := filepath.Join("testdata", name+".json")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(s), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), s)
}

// countingLimiter allows N per key until it is emptied; it has no clock.
type countingLimiter struct {
	mu   sync.Mutex
	used map[string]int
}

func (l *countingLimiter) Allow(_ context.Context, key string, limit ratelimit.Limit) (bool, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.used[key] >= limit.N {
		return false, limit.Per / time.Duration(limit.N)
	}
	l.used[key]++
	return true, 0
}

// rowProfiles writes just the rows.
type rowProfiles struct{}

func (rowProfiles) CreatePatient(ctx context.Context, tx *postgres.Tx, userID int64, d PatientDetails) error {
	_, err := tx.Exec(ctx, `
		insert into patients (user_id, phone, gender, date_of_birth, address) values ($1, $2, $3, $4, $5)
		on conflict (user_id) do nothing`, userID, d.Phone, d.Gender, d.DateOfBirth, d.Address)
	return err
}

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

// busyDoctors refuses to let a busy doctor go unless his appointments may be cancelled.
type busyDoctors struct {
	mu       sync.Mutex
	busy     map[int64]bool
	released []int64
	returned []int64
}

func (d *busyDoctors) Release(_ context.Context, _ *postgres.Tx, doctorID int64, _ auth.Actor, cancel bool, _ string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.busy[doctorID] && !cancel {
		return errs.New(errs.Conflict, "future_appointments", "The doctor still has appointments.").With("count", 1)
	}
	d.released = append(d.released, doctorID)
	return nil
}

func (d *busyDoctors) Return(_ context.Context, _ *postgres.Tx, doctorID int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.returned = append(d.returned, doctorID)
	return nil
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

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
