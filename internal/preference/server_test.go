package preference_test

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
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
	"housecall/internal/preference"
	"housecall/internal/testing/pgtest"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { pgtest.Main(m) }

// world is a served room on a database of its own. It authenticates by public id: the token is the id.
type world struct {
	t    *testing.T
	pool *postgres.Pool
	svc  *preference.Service
	url  string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	pool := pgtest.New(t)
	cfg := config.Default()
	cfg.ClinicZone = "Asia/Kathmandu"
	w := &world{t: t, pool: pool}
	var err error
	w.svc, err = preference.New(pool, cfg)
	require.NoError(t, err)
	server, err := httpd.New(httpd.Deps{
		Log: zerolog.Nop(), Registry: prometheus.NewRegistry(), Authenticator: w,
		Options: httpd.Options{
			BodyLimit: cfg.BodyLimit, RequestTimeout: cfg.RequestTimeout, Origins: cfg.Origins(), CursorSecrets: cfg.Secrets(),
		},
	})
	require.NoError(t, err)
	preference.Routes(server, w.svc)
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
	return a, json.Unmarshal(a.raw, &a.body)
}

// fields gives the paths of the bad fields.
func (a answer) fields() []string {
	out := []string{}
	list, _ := a.body["errors"].([]any)
	for _, f := range list {
		out = append(out, f.(map[string]any)["path"].(string))
	}
	return out
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
