package httpd_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/testing/logtest"
	"housecall/internal/testing/pgtest"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { pgtest.Main(m) }

// house is a server on a real listener, with a few routes.
type house struct {
	*httpd.Server
	url      string
	log      *logtest.Buffer
	registry *prometheus.Registry
}

// tokens knows three tokens by name.
type tokens struct{}

func (tokens) Authenticate(_ context.Context, token string) (auth.Actor, time.Time, error) {
	switch token {
	case "patient":
		return auth.Actor{ID: 1, UserID: "PAT1", Role: auth.Patient}, time.Now().Add(time.Minute), nil
	case "admin":
		return auth.Actor{ID: 2, UserID: "ADM1", Role: auth.Admin}, time.Now().Add(time.Minute), nil
	case "broken":
		return auth.Actor{}, time.Time{}, errors.New("the database fell over")
	}
	return auth.Actor{}, time.Time{}, auth.ErrToken
}

// start serves on a free port until the test ends.
func start(t *testing.T, change ...func(*httpd.Deps)) *house {
	t.Helper()
	return startWith(t, routes, change...)
}

// startWith adds more routes than the usual ones: Fiber accepts them only before it serves.
func startWith(t *testing.T, routes func(*httpd.Server), change ...func(*httpd.Deps)) *house {
	t.Helper()
	h := &house{log: &logtest.Buffer{}, registry: prometheus.NewRegistry()}
	d := httpd.Deps{
		Log: zerolog.New(h.log), Registry: h.registry, Authenticator: tokens{},
		Options: httpd.Options{
			BodyLimit: 4096, RequestTimeout: 5 * time.Second, Version: "test",
			Origins: []string{"http://localhost:6001", "https://clinic.example"},
		},
	}
	for _, f := range change {
		f(&d)
	}
	s, err := httpd.New(d)
	require.NoError(t, err)
	h.Server = s
	routes(s)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h.url = "http://" + ln.Addr().String()
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		require.NoError(t, s.Shutdown(ctx))
		require.NoError(t, <-served)
	})
	return h
}

type answer struct {
	*http.Response
	body string
}

type change = func(*http.Request)

func header(name, value string) change {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func as(token string) change { return header("Authorization", "Bearer "+token) }

func (h *house) do(t *testing.T, method, path, body string, changes ...change) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, h.url+path, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, f := range changes {
		f(r)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{response, string(b)}
}

type itemInput struct {
	ID    string `path:"id" maxLength:"20"`
	Count int    `query:"count" minimum:"1" maximum:"9"`
	httpd.PageQuery
}

type itemOutput struct {
	ETag string `header:"ETag"`
	Body struct {
		ID      string       `json:"id"`
		Actor   string       `json:"actor"`
		Client  httpd.Client `json:"client"`
		Request bool         `json:"inDeadline"`
	}
}

type makeInput struct {
	Body struct {
		Name     string   `json:"name" minLength:"2" maxLength:"20"`
		Password string   `json:"password,omitempty" minLength:"10"`
		At       string   `json:"at,omitempty" format:"date-time"`
		Tags     []string `json:"tags,omitempty" maxItems:"3"`
	}
}

type makeOutput struct {
	Body struct {
		Name string `json:"name"`
	}
}

type pageOutput struct{ Body httpd.Page[row] }

type row struct {
	Name string `json:"name"`
}

// failures are the errors of GET /fail/{how}.
var failures = map[string]error{
	"internal":    errors.New("connect to db.internal as root"),
	"bad-request": errs.New(errs.BadRequest, "bad", "It is bad."), "unauthenticated": errs.ErrUnauthenticated,
	"forbidden": errs.ErrForbidden, "missing": errs.Missing("doctor"),
	"method": errs.New(errs.MethodNotAllowed, "method_not_allowed", "Not that."),
	"conflict": errs.New(errs.Conflict, "slot_taken", "Somebody was faster.").
		With("alternatives", []string{"2026-11-23T10:00:00Z"}).With("status", "never replaced"),
	"stale": errs.ErrStale, "no-match": errs.ErrNoMatch, "too-large": errs.New(errs.TooLarge, "too_large", "Too much."),
	"invalid": errs.InvalidFields(errs.Field{Path: "body.email", Message: "is not an address"}),
	"upgrade": errs.New(errs.UpgradeRequired, "upgrade_required", "WebSocket only."),
	"limited": &errs.Error{
		Kind: errs.RateLimited, Code: "rate_limited", Message: "Slow down.", RetryAfter: 1500 * time.Millisecond,
	},
	"unavailable": &errs.Error{
		Kind: errs.Unavailable, Code: "unavailable", Message: "Try again.", Err: errors.New("db.internal is down"),
	},
	"network": &net.OpError{Op: "dial", Err: errors.New("db.internal refused")}, "token": auth.ErrToken,
}

func routes(s *httpd.Server) {
	item := func(ctx context.Context, in *itemInput) (*itemOutput, error) {
		out := &itemOutput{ETag: httpd.ETag(7)}
		out.Body.ID, out.Body.Actor, out.Body.Client = in.ID, httpd.Actor(ctx).UserID, httpd.ClientFrom(ctx)
		_, out.Body.Request = ctx.Deadline()
		return out, nil
	}
	httpd.Register(s, httpd.Route{Method: "GET", Path: "/open/{id}", Tag: "test", Summary: "Open", Access: httpd.Public},
		item)
	httpd.Register(s, httpd.Route{Method: "GET", Path: "/items/{id}", Tag: "test", Summary: "Get", Access: httpd.SignedIn},
		item)
	httpd.Register(s,
		httpd.Route{Method: "GET", Path: "/admin/{id}", Tag: "test", Summary: "Admin", Access: httpd.Only(auth.Admin)}, item)
	httpd.Register(
		s,
		httpd.Route{
			Method: "POST", Path: "/items", Tag: "test", Summary: "Make", Access: httpd.Public, Status: 201, Errors: []int{409},
		},
		func(_ context.Context, in *makeInput) (*makeOutput, error) {
			out := &makeOutput{}
			out.Body.Name = in.Body.Name
			return out, nil
		},
	)
	httpd.Register(s, httpd.Route{Method: "GET", Path: "/items", Tag: "test", Summary: "List", Access: httpd.Public},
		func(context.Context, *httpd.PageQuery) (*pageOutput, error) { return &pageOutput{}, nil })
	httpd.Register(
		s, httpd.Route{Method: "DELETE", Path: "/items/{id}", Tag: "test", Summary: "Remove", Access: httpd.SignedIn},
		func(context.Context, *struct {
			ID string `path:"id"`
		},
		) (*struct{}, error) {
			return nil, nil
		},
	)
	httpd.Register(s, httpd.Route{Method: "GET", Path: "/fail/{how}", Tag: "test", Summary: "Fail", Access: httpd.Public},
		func(ctx context.Context, in *struct {
			How string `path:"how"`
		},
		) (*struct{}, error) {
			switch in.How {
			case "panic":
				panic("the patient's secret")
			case "slow":
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return nil, failures[in.How]
		})
}

var requestIDs = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)

// golden compares an error with its file, and checks what all errors have in common.
func golden(t *testing.T, name string, a answer) {
	t.Helper()
	var p map[string]any
	require.NoError(t, json.Unmarshal([]byte(a.body), &p), a.body)
	require.Equal(t, "application/problem+json", a.Header.Get("Content-Type"))
	require.Equal(t, "no-store", a.Header.Get("Cache-Control"))
	require.Equal(t, "nosniff", a.Header.Get("X-Content-Type-Options"))
	require.EqualValues(t, a.StatusCode, p["status"])
	require.Equal(t, a.Header.Get("X-Request-Id"), p["requestId"])
	require.NotEmpty(t, p["requestId"])
	require.NotEmpty(t, p["code"])
	p["requestId"] = requestIDs.ReplaceAllString(p["requestId"].(string), "REQUEST-ID")
	for _, name := range []string{"Retry-After", "Allow", "Www-Authenticate", "Upgrade", "Sec-Websocket-Version"} {
		if v := a.Header.Get(name); v != "" {
			p["header "+name] = v
		}
	}
	got, err := json.MarshalIndent(p, "", "  ")
	require.NoError(t, err)
	file := filepath.Join("testdata", name+".json")
	if *update {
		require.NoError(t, os.WriteFile(file, append(got, '\n'), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got)+"\n")
}
