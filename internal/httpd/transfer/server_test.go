package transfer_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/httpd"
	"housecall/internal/testing/logtest"
)

// house is a server on a real listener.
type house struct {
	*httpd.Server
	url string
	log *logtest.Buffer
}

// tokens knows one token by name.
type tokens struct{}

func (tokens) Authenticate(_ context.Context, token string) (auth.Actor, time.Time, error) {
	if token != "patient" {
		return auth.Actor{}, time.Time{}, auth.ErrToken
	}
	return auth.Actor{ID: 1, UserID: "PAT1", Role: auth.Patient}, time.Now().Add(time.Minute), nil
}

// start serves routes on a free port until the test ends.
func start(t *testing.T, routes func(*httpd.Server)) *house {
	t.Helper()
	return startImpatient(t, 5*time.Second, routes)
}

// startImpatient is start with another request time-out.
func startImpatient(t *testing.T, timeout time.Duration, routes func(*httpd.Server)) *house {
	t.Helper()
	h := &house{log: &logtest.Buffer{}}
	s, err := httpd.New(httpd.Deps{
		Log: zerolog.New(h.log), Registry: prometheus.NewRegistry(), Authenticator: tokens{},
		Options: httpd.Options{BodyLimit: 4096, RequestTimeout: timeout},
	})
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

// item is a route whose body the server reads.
func item(s *httpd.Server) {
	httpd.Register(s, httpd.Route{Method: "POST", Path: "/items", Tag: "test", Summary: "Make", Access: httpd.Public},
		func(context.Context, *struct {
			Body struct {
				Name string `json:"name"`
			}
		},
		) (*struct{}, error) {
			return nil, nil
		})
	httpd.Register(s, httpd.Route{Method: "GET", Path: "/items", Tag: "test", Summary: "List", Access: httpd.Public},
		func(context.Context, *struct{}) (*struct{}, error) { return nil, nil })
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

func readResponse(c net.Conn) (*http.Response, error) {
	return http.ReadResponse(bufio.NewReader(c), nil)
}
