package doctor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/doctor"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
	"housecall/internal/testing/pgtest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { pgtest.Main(m) }

// world is a served room on a database of its own. It authenticates by public id: the token is the id.
type world struct {
	t    *testing.T
	pool *postgres.Pool
	svc  *doctor.Service
	url  string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	pool := pgtest.New(t)
	cfg := config.Default()
	cfg.ClinicZone = "Asia/Kathmandu"
	schedules, err := schedule.New(cfg)
	require.NoError(t, err)
	w := &world{t: t, pool: pool}
	w.svc = doctor.New(pool, schedules, inviter{})
	server, err := httpd.New(httpd.Deps{
		Log: zerolog.Nop(), Registry: prometheus.NewRegistry(), Authenticator: w,
		Options: httpd.Options{
			BodyLimit: cfg.BodyLimit, RequestTimeout: cfg.RequestTimeout, Origins: cfg.Origins(), CursorSecrets: cfg.Secrets(),
		},
	})
	require.NoError(t, err)
	doctor.Routes(server, w.svc)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		require.NoError(t, server.Shutdown(context.Background()))
		require.NoError(t, <-served)
	})
	w.url = "http://" + ln.Addr().String() + httpd.APIPrefix
	return w
}

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

// inviter stands in for account: it makes the bare user.
type inviter struct{}

func (inviter) Invite(ctx context.Context, tx *postgres.Tx, _ auth.Actor, name, email string, role auth.Role) (int64, string, string, time.Time, error) {
	if email == "taken@example.test" {
		return 0, "", "", time.Time{}, errs.New(errs.Conflict, "email_taken", "Taken.")
	}
	var id int64
	err := tx.QueryRow(ctx, `insert into users (public_id, email, name, role) values ('DOCNEWDOCTOR0', $1, $2, $3) returning id`,
		email, name, role).Scan(&id)
	return id, "DOCNEWDOCTOR0", "secret", time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), err
}

// Enroll makes the bare user, too.
func (i inviter) Enroll(ctx context.Context, tx *postgres.Tx, by auth.Actor, name, email string, role auth.Role) (int64, string, string, error) {
	id, publicID, _, _, err := i.Invite(ctx, tx, by, name, email, role)
	return id, publicID, "made up", err
}

// user inserts a user, with a profile if he is a doctor.
func (w *world) user(publicID, name string, role auth.Role, specialization string) int64 {
	w.t.Helper()
	var id int64
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), `
		insert into users (public_id, email, name, role) values ($1::text, lower($1::text) || '@example.test', $2, $3) returning id`,
		publicID, name, role).Scan(&id))
	if role == auth.Doctor {
		w.exec(`insert into doctors (user_id, specialization, qualification, experience, phone) values ($1, $2, 'MBBS', 7, '+977 1 555')`,
			id, specialization)
	}
	return id
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.pool.Exec(w.t.Context(), sql, args...)
	require.NoError(w.t, err)
}

type answer struct {
	status int
	etag   string
	header http.Header
	raw    []byte
	body   map[string]any
}

// call sends a request; token "" is nobody, ifMatch "" is none, body "" is none.
func (w *world) call(method, path, token, ifMatch, body string) answer {
	w.t.Helper()
	a, err := w.send(method, path, token, ifMatch, body)
	require.NoError(w.t, err)
	return a
}

// send is call for other goroutines than the test's own.
func (w *world) send(method, path, token, ifMatch, body string) (a answer, err error) {
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, strings.NewReader(body))
	if err != nil {
		return a, err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if ifMatch != "" {
		req.Header.Set("If-Match", ifMatch)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	a = answer{status: resp.StatusCode, etag: resp.Header.Get("ETag"), header: resp.Header}
	if a.raw, err = io.ReadAll(resp.Body); err != nil {
		return a, err
	}
	if a.status >= 400 && resp.Header.Get("Content-Type") != httpd.ProblemType {
		return a, fmt.Errorf("status %d without a problem document", a.status)
	}
	if len(a.raw) == 0 {
		return a, nil
	}
	return a, json.Unmarshal(a.raw, &a.body)
}

func (a answer) code() string { c, _ := a.body["code"].(string); return c }

// field gives the path of the first bad field.
func (a answer) field() string {
	list, _ := a.body["errors"].([]any)
	if len(list) == 0 {
		return ""
	}
	return list[0].(map[string]any)["path"].(string)
}

func (a answer) ids() []string {
	out := []string{}
	for _, i := range a.body["items"].([]any) {
		out = append(out, i.(map[string]any)["userId"].(string))
	}
	return out
}

// idsOf gives the ids of a list's items.
func idsOf(a answer) []string {
	out := []string{}
	for _, i := range a.body["items"].([]any) {
		out = append(out, i.(map[string]any)["id"].(string))
	}
	return out
}

// exceptionIDs gives the ids of the exceptions that anyone sees.
func (w *world) exceptionIDs(path string) []string {
	w.t.Helper()
	list := w.call("GET", path, "", "", "")
	require.Equal(w.t, http.StatusOK, list.status, string(list.raw))
	return idsOf(list)
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	return raw
}

// goldenWithout is golden for an answer with ids that are drawn: each is written as its place among them.
func goldenWithout(t *testing.T, name string, a answer, ids ...string) {
	t.Helper()
	for i, id := range ids {
		a.raw = bytes.ReplaceAll(a.raw, []byte(id), fmt.Appendf(nil, "id %d", i+1))
	}
	golden(t, name, a)
}

// golden compares an answer's body with testdata/NAME.json.
func golden(t *testing.T, name string, a answer) {
	t.Helper()
	var pretty bytes.Buffer
	require.NoError(t, json.Indent(&pretty, a.raw, "", "  "))
	file := filepath.Join("testdata", name+".json")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, append(bytes.TrimSpace(pretty.Bytes()), '\n'), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, strings.TrimSpace(string(want)), strings.TrimSpace(pretty.String()))
}
