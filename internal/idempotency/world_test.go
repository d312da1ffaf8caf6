package idempotency_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/idempotency"
	"housecall/internal/postgres"
	"housecall/internal/testing/apitest"
	"housecall/internal/testing/logtest"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const secret = "an-invitation-nobody-may-read"

// world is a database with two users, and any number of servers that use it to make things.
type world struct {
	t     *testing.T
	pool  *postgres.Pool
	users map[string]auth.Actor // by token
	log   *logtest.Buffer
	clock atomic.Int64 // nanoseconds of Unix time
	// made counts what was carried out, on all servers.
	made atomic.Int64
	// entered receives each attempt that waits, and released lets all of them continue.
	entered  chan struct{}
	released chan struct{}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, pool: pgtest.New(t), users: map[string]auth.Actor{}, entered: make(chan struct{}, 100),
		released: make(chan struct{}), log: &logtest.Buffer{},
	}
	w.clock.Store(time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC).UnixNano())
	for _, token := range []string{"PAT1", "PAT2"} {
		a := auth.Actor{UserID: token, Role: auth.Patient}
		require.NoError(t, w.pool.QueryRow(t.Context(), `
			insert into users (public_id, email, name, role) values ($1::text, lower($1::text) || '@example.test', 'A Name', 'PATIENT') returning id`,
			token).Scan(&a.ID))
		w.users[token] = a
	}
	return w
}

func (w *world) now() time.Time { return time.Unix(0, w.clock.Load()).UTC() }

func (w *world) pass(d time.Duration) { w.clock.Add(int64(d)) }

// Authenticate implements httpd.Authenticator: tokens are public ids.
func (w *world) Authenticate(_ context.Context, token string) (auth.Actor, time.Time, error) {
	a, ok := w.users[token]
	if !ok {
		return auth.Actor{}, time.Time{}, errs.ErrUnauthenticated
	}
	return a, time.Now().Add(time.Hour), nil
}

// server is one instance.
type server struct {
	w   *world
	svc *idempotency.Service
	api *apitest.API
}

// requestTimeout is the deadline of one request.
const requestTimeout = 10 * time.Second

// service is an instance's service without a server. The first secret seals, all open.
func (w *world) service(secrets ...string) *idempotency.Service {
	w.t.Helper()
	if len(secrets) == 0 {
		secrets = []string{"k3J9vQ2xLz8Rr5TnYw1Bd7Hf4Gm6Ps0C"}
	}
	var raw [][]byte
	for _, s := range secrets {
		raw = append(raw, []byte(s))
	}
	sealer, err := auth.NewSealer(raw)
	require.NoError(w.t, err)
	return idempotency.New(idempotency.Deps{
		Pool: w.pool, Sealer: sealer, Now: w.now, Options: idempotency.Options{RequestTimeout: requestTimeout},
	})
}

// serve starts an instance.
func (w *world) serve(secrets ...string) *server {
	w.t.Helper()
	s := &server{w: w, svc: w.service(secrets...)}
	s.api = apitest.Serve(w.t, apitest.Options{
		Routes: w.routes, Authenticator: w, Idempotency: s.svc, Log: zerolog.New(w.log),
		RequestTimeout: requestTimeout, BodyLimit: 4096,
	})
	return s
}

type makeInput struct {
	Body struct {
		How string `json:"how" maxLength:"20"`
	}
}

type partInput struct {
	ID   string `path:"id" maxLength:"20"`
	Part string `query:"part" maxLength:"20"`
	Body struct {
		How string `json:"how" maxLength:"20"`
	}
}

type thing struct {
	Number int64  `json:"number"`
	Secret string `json:"secret"`
}

type makeOutput struct {
	ETag     string `header:"ETag"`
	Location string `header:"Location"`
	Body     thing
}

// failures are the errors with which making a thing can fail. All but the last three are final.
var failures = map[string]error{
	"conflict": errs.New(errs.Conflict, "slot_taken", "Somebody was faster.").
		With("alternatives", []string{"2026-11-23T10:00:00Z"}),
	"invalid":         errs.InvalidField("body.how", "is not the way"),
	"missing":         errs.Missing("doctor"),
	"forbidden":       errs.ErrForbidden,
	"stale":           errs.ErrStale,
	"unauthenticated": errs.ErrUnauthenticated,
	"large":           errs.New(errs.TooLarge, "too_large", "Too much."),
	"limited": &errs.Error{
		Kind: errs.RateLimited, Code: "rate_limited", Message: "Slow down.", RetryAfter: time.Second,
	},
	"later":       &errs.Error{Kind: errs.Conflict, Code: "later", Message: "Come back.", RetryAfter: time.Second},
	"unavailable": errs.ErrUnavailable, "broken": fmt.Errorf("a bug"),
}

// make carries out a request: it counts, perhaps waits, and makes a thing or fails.
func (w *world) make(how string) (*makeOutput, error) {
	n := w.made.Add(1)
	switch how {
	case "panic":
		panic("a bug")
	case "wait":
		w.entered <- struct{}{}
		<-w.released
	}
	if err := failures[how]; err != nil {
		return nil, err
	}
	return &makeOutput{
		ETag: httpd.ETag(1), Location: httpd.APIPrefix + "/things/1", Body: thing{Number: n, Secret: secret},
	}, nil
}

func (w *world) routes(h *httpd.Server) {
	create := func(_ context.Context, in *makeInput) (*makeOutput, error) { return w.make(in.Body.How) }
	part := func(_ context.Context, in *partInput) (*makeOutput, error) { return w.make(in.Body.How) }
	route := httpd.Route{
		Method: "POST", Path: "/things", Tag: "test", Summary: "Make", Status: 201, Access: httpd.SignedIn,
		Errors: []int{404, 409, 412, 429},
	}
	httpd.Register(h, route, create)
	route.Path = "/others"
	httpd.Register(h, route, create)
	route.Path = "/things/{id}/parts"
	httpd.Register(h, route, part)
	route.Path, route.Repeatable = "/messages", true
	httpd.Register(h, route, create)
	route.Path, route.Repeatable, route.Access = "/register", false, httpd.Public
	httpd.Register(h, route, create)
	httpd.Register(h,
		httpd.Route{Method: "POST", Path: "/confirm", Tag: "test", Summary: "Confirm", Access: httpd.SignedIn}, create)
}

type answer struct {
	apitest.Answer
	replayed bool
}

func (s *server) post(token, path, key, body string) answer {
	s.w.t.Helper()
	a, err := s.try(token, path, []string{key}, body)
	require.NoError(s.w.t, err)
	return a
}

// try is post for goroutines other than the test's own.
func (s *server) try(token, path string, keys []string, body string) (answer, error) {
	req, err := s.api.Request(http.MethodPost, path, token, body)
	if err != nil {
		return answer{}, err
	}
	req.Header["Idempotency-Key"] = keys
	a, err := s.api.Send(req)
	return answer{a, a.Header.Get("Idempotent-Replayed") == "true"}, err
}

// all sends requests at the same time and returns the answers in order.
func (w *world) all(n int, send func(i int) (answer, error)) []answer {
	w.t.Helper()
	answers, failed := make([]answer, n), make([]error, n)
	var together sync.WaitGroup
	for i := range n {
		together.Go(func() { answers[i], failed[i] = send(i) })
	}
	together.Wait()
	for _, err := range failed {
		require.NoError(w.t, err)
	}
	return answers
}

// dump is the whole table, as text.
func (w *world) dump() string {
	w.t.Helper()
	var all string
	require.NoError(w.t,
		w.pool.QueryRow(w.t.Context(), `select coalesce(string_agg(k::text, E'\n'), '') from idempotency_keys k`).Scan(&all))
	return all
}

func (w *world) rows() (n int) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), `select count(*) from idempotency_keys`).Scan(&n))
	return n
}

// golden compares an answer with its file: the status, the headers that clients act on, and the body.
func golden(t *testing.T, name string, a answer) {
	t.Helper()
	out := map[string]any{"status": a.Status, "body": json.RawMessage(a.Raw)}
	for _, h := range []string{"Content-Type", "Location", "ETag", "Retry-After", "Idempotent-Replayed"} {
		if v := a.Header.Get(h); v != "" {
			out["header "+h] = v
		}
	}
	whole, err := json.Marshal(out)
	require.NoError(t, err)
	apitest.Golden(t, name, apitest.Answer{Raw: whole}, apitest.MaskMember("requestId"))
}
