// Package httpd is the HTTP side of an instance: a Fiber app with the middleware every request passes, typed
// routes through Huma with an OpenAPI 3.1 document, and the one table that turns an error into an RFC 9457
// problem. It knows no domain room; rooms register their routes with Register.
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
	"housecall/internal/config"
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

// Authenticator tells who is behind an access token; expires is when the token ends. account.Service does it.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (a auth.Actor, expires time.Time, err error)
}

// Options are what a server is made of. Config, Log and Registry are required.
type Options struct {
	Config config.Config
	Log    zerolog.Logger
	// Registry takes the metrics. It must not be the global one: two instances may live in one process.
	Registry *prometheus.Registry
	// Authenticator may be nil while nobody can sign in; every token is then refused.
	Authenticator Authenticator
	// Idempotency keeps first answers; without it an Idempotency-Key is not heeded.
	Idempotency Idempotency
	// Checks are what /readyz asks.
	Checks  []Check
	Version string
	// Now is the clock of durations in logs and metrics; nil means time.Now.
	Now func() time.Time
}

// Server is one instance's HTTP server.
type Server struct {
	opts     Options
	app      *fiber.App
	api      huma.API
	metrics  *metrics
	sealer   *auth.Sealer // of cursors
	origins  map[string]bool
	proxies  []netip.Prefix
	draining atomic.Bool
	dialects []dialect
	// naming is the room whose route is being registered; see schemaName. Routes are registered before Serve.
	naming string
	// uploads are the routes whose bodies are not read before their handlers.
	uploads []pattern
	moving  movings
}

// New makes a server with its middleware, /healthz, /readyz, /openapi.json and /docs. It listens on nothing yet.
func New(o Options) (*Server, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Registry == nil {
		return nil, fmt.Errorf("httpd: a metrics registry is required")
	}
	proxies, err := parseProxies(o.Config.TrustedProxies)
	if err != nil {
		return nil, err
	}
	s := &Server{opts: o, proxies: proxies, origins: map[string]bool{}}
	for _, origin := range o.Config.Origins() {
		s.origins[origin] = true
	}
	if s.metrics, err = newMetrics(o.Registry); err != nil {
		return nil, err
	}
	if s.sealer, err = newSealer(o.Config.Secrets()); err != nil {
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

// fiberConfig is how Fiber is told to behave.
func (s *Server) fiberConfig() fiber.Config {
	return fiber.Config{
		// Without it strings of a request are overwritten by a later one.
		Immutable:             true,
		CaseSensitive:         true,
		DisableStartupMessage: true,
		BodyLimit:             s.opts.Config.BodyLimit + overrun,
		// See takeBody, which keeps the limit then.
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		ReadBufferSize:               4096,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		// Fiber believes X-Forwarded-Host and -Proto of anyone unless told to check.
		EnableTrustedProxyCheck: true,
		TrustedProxies:          s.opts.Config.TrustedProxies,
		ErrorHandler:            s.outside,
	}
}

// newSealer seals under the token secrets, so that a cursor holds on every instance. Without any, which no valid
// configuration is, it holds in this process only.
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
// sockets: whoever owns them closes them first. Uploads and downloads that are not through after half of the time are cut.
func (s *Server) Shutdown(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok {
		defer time.AfterFunc(time.Until(deadline)/2, s.moving.cut).Stop()
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
