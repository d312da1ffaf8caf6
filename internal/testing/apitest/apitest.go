// Package apitest serves the routes of one package on a port of their own, and calls them over real HTTP.
//
// A test starts a server with the routes that it tests, and sends requests:
//
//	api := apitest.Serve(t, apitest.Options{
//		Routes:        func(s *httpd.Server) { doctor.Routes(s, svc) },
//		Authenticator: apitest.ByPublicID(pool),
//	})
//	a := api.Ask("POST", "/doctors", "ADM0000000001", map[string]any{"name": "Cara Lim"}, "If-Match", `"1"`)
//	require.Equal(t, http.StatusCreated, a.Status, "%s", a.Raw)
//	require.Equal(t, "Cara Lim", a.Text("name"))
//	apitest.Golden(t, "doctor", a)
//
// Every answer is held to the server's OpenAPI document. The server stops when the test ends. `go test -update` writes
// golden files; this package declares the flag, so packages that use it must not.
package apitest

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
)

// patience is how long a server may take to stop, and the default time limit of a request: tests queue hundreds of
// them on one row.
const patience = time.Minute

// Options say what a server serves. Only Routes is required.
type Options struct {
	// Routes registers what is served, before the server starts.
	Routes func(*httpd.Server)
	// Authenticator authenticates tokens, such as ByPublicID. Without it nobody can sign in.
	Authenticator httpd.Authenticator
	// Idempotency keeps first answers; without it an Idempotency-Key is ignored.
	Idempotency httpd.Idempotency
	// Log and Registry take the server's log and metrics. By default it logs nothing and has a registry of its own.
	Log      zerolog.Logger
	Registry *prometheus.Registry
	// RequestTimeout and BodyLimit (in bytes) limit a request; zero means a minute and the service's default.
	RequestTimeout time.Duration
	BodyLimit      int
	// Through wraps the listener, for tests of bad networks; without it clients connect directly.
	Through func(net.Listener) net.Listener
	// PublicURL is where clients reach the service; "" means the default of its configuration.
	PublicURL string
	// Origins are those of other pages and apps that may call it.
	Origins []string
}

// Serve starts a server on a free port until the test ends, and returns a client for its REST API.
func Serve(t testing.TB, o Options) *API {
	t.Helper()
	server := newServer(t, o)
	o.Routes(server)
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	root := "http://" + ln.Addr().String()
	if o.Through != nil {
		ln = o.Through(ln)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, server.Shutdown(ctx))
		_ = ln.Close() // otherwise a server that has not begun to serve would begin now, and never end
		require.NoError(t, <-served)
	})
	return &API{
		Server: server, Root: root, Prefix: httpd.APIPrefix, t: t,
		described: sync.OnceValues(func() (*Description, error) {
			document, err := server.Document()
			if err != nil {
				return nil, err
			}
			return Describe(document)
		}),
	}
}

// newServer is the only place where tests of packages other than httpd make a server.
func newServer(t testing.TB, o Options) *httpd.Server {
	t.Helper()
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	if o.RequestTimeout == 0 {
		o.RequestTimeout = patience
	}
	if o.PublicURL == "" {
		o.PublicURL = "http://localhost:6001"
	}
	server, err := httpd.New(httpd.Deps{
		Log: o.Log, Registry: o.Registry, Authenticator: o.Authenticator, Idempotency: o.Idempotency,
		Options: httpd.Options{
			RequestTimeout: o.RequestTimeout, BodyLimit: o.BodyLimit, Origins: append([]string{o.PublicURL}, o.Origins...),
			HTTPS: strings.HasPrefix(o.PublicURL, "https://"),
		},
	})
	require.NoError(t, err)
	return server
}

// ByPublicID authenticates the users of a database: a user's token is their public id, unless they are disabled.
func ByPublicID(db postgres.DB) httpd.Authenticator { return byPublicID{db} }

type byPublicID struct{ db postgres.DB }

// Authenticate implements httpd.Authenticator.
func (b byPublicID) Authenticate(ctx context.Context, token string) (auth.Actor, time.Time, error) {
	var a auth.Actor
	err := b.db.QueryRow(ctx,
		`select id, public_id, name, role from users where public_id = $1 and disabled_at is null`, token,
	).Scan(&a.ID, &a.UserID, &a.Name, &a.Role)
	if err != nil {
		return auth.Actor{}, time.Time{}, errs.ErrUnauthenticated
	}
	return a, time.Now().Add(time.Hour), nil
}
