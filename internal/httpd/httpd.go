// Package httpd is the HTTP server of an instance: a Fiber app with the middleware that every request passes, typed
// routes through Huma with an OpenAPI 3.1 document, and the one table that turns errors into problem documents
// (RFC 9457). It knows no domain package; these register their routes with Register.
package httpd

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"housecall/internal/wirejson"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"housecall/internal/auth"
	"housecall/internal/text"
)

// APIPrefix precedes the path of every Route.
const APIPrefix = "/api/v1"

// Connection timeouts. They do not affect upgraded sockets. The read timeout also limits how long a shutdown waits for
// a client that connected and never sent a byte: fasthttp does not count it as idle.
const (
	readTimeout  = 10 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = 75 * time.Second
)

// overrun is how far above the body limit a body is still read, so that the client gets its 413 and not a connection
// reset while it is sending. If the body is longer, the connection is closed.
const overrun = 1 << 20

// Authenticator tells whom an access token belongs to, and when it expires. account.Service implements it.
type Authenticator interface {
	Authenticate(ctx context.Context, token string) (a auth.Actor, expires time.Time, err error)
}

// Deps are what a server needs. Log and Registry are required.
type Deps struct {
	Log zerolog.Logger
	// Registry gets the metrics. It must not be the global one: two instances may run in one process.
	Registry *prometheus.Registry
	// Authenticator may be nil; then every token is refused.
	Authenticator Authenticator
	// Idempotency keeps first answers; without it an Idempotency-Key is ignored.
	Idempotency Idempotency
	// Checks are what /readyz asks.
	Checks []Check
	// Now is the clock for durations in logs and metrics; nil means time.Now.
	Now     func() time.Time
	Options Options
}

// Options are the configured values of a server. The zero value means the defaults, no foreign origins and no proxy.
type Options struct {
	// BodyLimit is the size of the largest request body, in bytes; 0 means 1 MiB. A route with a Stream has its own.
	BodyLimit int
	// RequestTimeout is the deadline of one request; 0 means 10 s.
	RequestTimeout time.Duration
	// Origins are those whose pages may call the API and open sockets, such as https://clinic.example.
	Origins []string
	// TrustedProxies are addresses and CIDR ranges of proxies whose X-Forwarded-For is trusted.
	TrustedProxies []string
	// CursorSecrets seal the cursors of lists: the first one seals, all of them open. All instances must have the
	// same; without any, cursors are valid only in this process.
	CursorSecrets [][]byte
	// HTTPS says that clients reach the service only over HTTPS, so that browsers may be told to insist on it.
	HTTPS bool
	// Version is the program's, for the OpenAPI document.
	Version string
}

// The defaults of Options.
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
	// olderRoutes are those of the dialects; they are all there when the first request comes.
	olderRoutes func() []olderRoute
	// naming is the package whose route is being registered; see schemaName.
	naming string
	// document makes the OpenAPI document, and outputs are what Outputs returns.
	document func() ([]byte, error)
	outputs  []Output
	// streamed are the routes whose handlers read the body.
	streamed []pattern
	underway underway
}

// New makes a server with its middleware, /healthz, /readyz, /openapi.json and /docs. It does not listen yet.
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
		if origin, ok := text.Origin(origin); ok {
			s.origins[origin] = true
		}
	}
	if s.metrics, err = newMetrics(d.Registry); err != nil {
		return nil, err
	}
	if s.sealer, err = newSealer(s.opts.CursorSecrets); err != nil {
		return nil, err
	}
	s.app = fiber.New(s.fiberConfig())
	// During a shutdown, a load balancer must not send another request over a connection that is about to close.
	s.app.Server().CloseOnShutdown = true
	s.refuseUnknownMethods()
	s.olderRoutes = sync.OnceValue(s.listOlderRoutes)
	s.app.Server().Handler = s.begin(s.spellOlder(s.takeBody(s.app.Server().Handler)))
	s.app.Use(s.handle)
	replaceHumaErrors()
	s.api = humafiber.New(s.app, s.humaConfig())
	s.describeCommon()
	s.healthRoutes()
	s.docsRoutes()
	return s, nil
}

// fiberConfig returns the configuration of Fiber.
func (s *Server) fiberConfig() fiber.Config {
	return fiber.Config{
		JSONEncoder: wirejson.Marshal,
		// Otherwise a later request would overwrite the strings of this one.
		Immutable:             true,
		CaseSensitive:         true,
		DisableStartupMessage: true,
		BodyLimit:             s.opts.BodyLimit + overrun,
		// takeBody enforces the limit then.
		StreamRequestBody:            true,
		DisablePreParseMultipartForm: true,
		ReadBufferSize:               headBuffer,
		ReadTimeout:                  readTimeout,
		WriteTimeout:                 writeTimeout,
		IdleTimeout:                  idleTimeout,
		// Otherwise Fiber trusts X-Forwarded-Host and -Proto from anyone.
		EnableTrustedProxyCheck: true,
		TrustedProxies:          s.opts.TrustedProxies,
		ErrorHandler:            s.outside,
	}
}

// newSealer seals with secrets that all instances share, so that a cursor is valid on each of them. Without secrets,
// cursors are valid only in this process.
func newSealer(secrets [][]byte) (*auth.Sealer, error) {
	if len(secrets) == 0 {
		secrets = [][]byte{[]byte(rand.Text())}
	}
	return auth.NewSealer(secrets)
}

// unknownMethod is the user value of a request whose method Fiber does not know.
type unknownMethod struct{}

// refuseUnknownMethods has a method that Fiber does not know answered like one that no route has, with 405 and Allow or
// with 404; Fiber would answer it in plain text.
func (s *Server) refuseUnknownMethods() {
	server := s.app.Server()
	known := server.Handler
	server.Handler = func(rc *fasthttp.RequestCtx) {
		if !slices.Contains(fiber.DefaultMethods, string(rc.Method())) {
			rc.SetUserValue(unknownMethod{}, true)
			rc.Request.Header.SetMethod(fiber.MethodTrace)
		}
		known(rc)
	}
}

// Serve answers requests on ln until Shutdown, and closes ln.
func (s *Server) Serve(ln net.Listener) error {
	if err := s.app.Listener(pacedListener{ln, s.most}); err != nil {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// Shutdown stops listening and waits for running requests, at most until ctx ends. It does not know upgraded sockets:
// their owner must close them first. It interrupts tracked work (see Track) after half of the time.
func (s *Server) Shutdown(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok {
		defer time.AfterFunc(time.Until(deadline)/2, s.underway.interrupt).Stop()
	}
	if err := s.app.ShutdownWithContext(ctx); err != nil {
		return fmt.Errorf("stop HTTP: %w", err)
	}
	return nil
}

// SetDraining makes /readyz answer 503, so that load balancers send no new requests. Requests are still served.
func (s *Server) SetDraining() { s.draining.Store(true) }

// Router is for routes that are not typed: sockets, pages, the older APIs. They pass the same middleware, and answer
// errors with Problem or by returning them.
func (s *Server) Router() fiber.Router { return s.app }
