// Package httpd is the HTTP side of an instance: a Fiber app with the middleware every request passes, typed
// routes through Huma with an OpenAPI 3.1 document, and the one table that turns an error into an RFC 9457
// problem. It knows no domain package; these register their routes with Register.
package httpd

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"housecall/internal/auth"
)

// APIPrefix stands before the path of every Route.
const APIPrefix = "/api/v1"

// Connection timeouts. None touches an upgraded socket. The read timeout also bounds how long a shutdown waits
// for a client that connected and never sent a byte: fasthttp does not count that one as idle.
const (
	readTimeout  = 10 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = 75 * time.Second
)

// overrun is how far above the body limit a body is still read, so that the client gets its 413 instead of a
// connection reset while it is sending. Beyond that the connection is closed.
const overrun = 1 << 20

// Authenticator tells whose access token it is; expires is when the token ends. account.Service implements it.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (a auth.Actor, expires time.Time, err error)
}

// Deps are what a server works with. Log and Registry are required.
type Deps struct {
	Log zerolog.Logger
	// Registry takes the metrics. It must not be the global one: two instances may live in one process.
	Registry *prometheus.Registry
	// Authenticator may be nil while nobody can sign in; every token is then refused.
	Authenticator Authenticator
	// Idempotency keeps first answers; without it an Idempotency-Key is ignored.
	Idempotency Idempotency
	// Checks are what /readyz asks.
	Checks []Check
	// Now is the clock of durations in logs and metrics; nil means time.Now.
	Now     func() time.Time
	Options Options
}

// Options are the configured values of a server. The zero value serves with the defaults, to no foreign origin and
// behind no proxy.
type Options struct {
	// BodyLimit is the size of the largest request body, in bytes; 0 means 1 MiB. A route with a Stream has its own.
	BodyLimit int
	// RequestTimeout is the deadline of one request; 0 means 10 s.
	RequestTimeout time.Duration
	// Origins are those whose pages may call the API and open sockets, such as https://clinic.example.
	Origins []string
	// TrustedProxies are addresses and CIDR ranges of proxies whose X-Forwarded-For is believed.
	TrustedProxies []string
	// CursorSecrets seal the cursors of lists: the first seals, all open. They are the same for all instances; without
	// any, a cursor holds in this process only.
	CursorSecrets [][]byte
	// HTTPS says that clients reach the service over HTTPS only, so that browsers may be told to insist on it.
	HTTPS bool
	// Version is the program's, for the OpenAPI document.
	Version string
}

// What Options mean where they say nothing.
const (
	defaultBodyLimit      = 1 << 20
	defaultRequestTimeout = 10 * time.Second
)

// Server is one instance's HTTP server.
type Server struct {
	deps     Deps
	opts     Options
	app      *fiber.App
	api      huma.API
	metrics  *metrics
	sealer   *auth.Sealer // of cursors
	origins  map[string]bool
	proxies  []netip.Prefix
	draining atomic.Bool
	dialects []dialect
	// naming is the package whose route is being registered; see schemaName. Routes are registered before Serve.
	naming string
	// streamed are the routes whose bodies are not read before their handlers.
	streamed []pattern
	underway underway
}

// New makes a server with its middleware, /healthz, /readyz, /openapi.json and /docs. It listens on nothing yet.
func New(d Deps) (*Server, error) {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Registry == nil {
		return nil, fmt.Errorf("httpd: a metrics registry is required")
	}
	if d.Options.BodyLimit == 0 {
		d.Options.BodyLimit = defaultBodyLimit
	}
	if d.Options.RequestTimeout == 0 {
		d.Options.RequestTimeout = defaultRequestTimeout
	}
	proxies, err := parseProxies(d.Options.TrustedProxies)
	if err != nil {
		return nil, err
	}
	s := &Server{deps: d, opts: d.Options, proxies: proxies, origins: map[string]bool{}}
	for _, origin := range s.opts.Origins {
		s.origins[origin] = true
	}
	if s.metrics, err = newMetrics(d.Registry); err != nil {
		return nil, err
	}
	if s.sealer, err = newSealer(s.opts.CursorSecrets); err != nil {
		return nil, err
	}
	s.app = fiber.New(s.fiberConfig())
	// While it stops, a balancer must not send the next request down a connection that is about to close.
	s.app.Server().CloseOnShutdown = true
	s.refuseUnknownMethods()
	s.app.Server().Handler = s.takeBody(s.app.Server().Handler)
	s.app.Server().HeaderReceived = s.refuseLength
	s.app.Use(s.handle)
	replaceHumaErrors()
	s.api = humafiber.New(s.app, s.humaConfig())
	s.healthRoutes()
	s.docsRoutes()
	return s, nil
}

// fiberConfig is the configuration of Fiber.
func (s *Server) fiberConfig() fiber.Config {
	return fiber.Config{
		// Without it strings of a request are overwritten by a later one.
		Immutable:             true,
		CaseSensitive:         true,
		DisableStartupMessage: true,
		BodyLimit:             s.opts.BodyLimit + overrun,
		// See takeBody, which keeps the limit then.
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		ReadBufferSize:               4096,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		// Fiber believes X-Forwarded-Host and -Proto of anyone unless told to check.
		EnableTrustedProxyCheck: true,
		TrustedProxies:          s.opts.TrustedProxies,
		ErrorHandler:            s.outside,
	}
}

// newSealer seals under secrets that all instances share, so that a cursor holds on each of them. Without any, it holds
// in this process only.
func newSealer(secrets [][]byte) (*auth.Sealer, error) {
	if len(secrets) == 0 {
		secrets = [][]byte{[]byte(rand.Text())}
	}
	return auth.NewSealer(secrets)
}

// refuseUnknownMethods answers a method that Fiber does not know with a problem; Fiber itself would write plain text.
func (s *Server) refuseUnknownMethods() {
	server := s.app.Server()
	known := server.Handler
	server.Handler = func(rc *fasthttp.RequestCtx) {
		if slices.Contains(fiber.DefaultMethods, string(rc.Method())) {
			known(rc)
			return
		}
		c := s.app.AcquireCtx(rc)
		defer s.app.ReleaseCtx(c)
		_ = s.outside(c, fiber.ErrNotImplemented) // it never fails
	}
}

// Serve answers requests on ln until Shutdown; it closes ln.
func (s *Server) Serve(ln net.Listener) error {
	if err := s.app.Listener(pacedListener{ln}); err != nil {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// Shutdown stops listening and waits for running requests, at most until ctx ends. It knows nothing of upgraded
// sockets: whoever owns them closes them first. What is tracked is interrupted after half of the time.
func (s *Server) Shutdown(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok {
		defer time.AfterFunc(time.Until(deadline)/2, s.underway.interrupt).Stop()
	}
	if err := s.app.ShutdownWithContext(ctx); err != nil {
		return fmt.Errorf("stop HTTP: %w", err)
	}
	return nil
}

// SetDraining makes /readyz answer 503, so that balancers send nothing new. Requests are still served.
func (s *Server) SetDraining() { s.draining.Store(true) }

// Router takes routes that are not typed: sockets, pages, the older APIs. They pass the same middleware and
// answer errors with Problem or by returning them.
func (s *Server) Router() fiber.Router { return s.app }
