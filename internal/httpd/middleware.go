package httpd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"housecall/internal/audit"
	"housecall/internal/errs"
	"housecall/internal/text"
)

// unmatched is the route of requests that match none, so that logs and metrics contain no paths.
const unmatched = "unmatched"

// handle is the middleware of every request. A socket passes it once, at its upgrade.
func (s *Server) handle(c *fiber.Ctx) error {
	start := s.deps.Now()
	r := s.newRequest(c)
	r.stream, _ = c.Context().UserValue(streamKey{}).(Stream)
	self := c.Route()
	ctx := audit.WithRequestID(context.WithValue(context.Background(), requestKey{}, r), r.client.RequestID)
	if !strings.HasPrefix(c.Path(), "/ws/") {
		// Nothing else cancels this context. A socket outlives its request, so routes under /ws/ set their own
		// deadlines.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.timeoutOf(r))
		defer cancel()
	}
	c.SetUserContext(ctx)
	s.setHeaders(c, r)
	s.metrics.inFlight.Inc()
	defer s.metrics.inFlight.Dec()
	if err := s.guarded(c); err != nil {
		s.Answer(c, err)
	}
	route := unmatched
	if c.Route() != self {
		route = c.Route().Path
	}
	s.finish(c, r, route, s.deps.Now().Sub(start))
	return nil
}

// timeoutOf returns how long a request may take. If its body is streamed, it mostly waits for its client.
func (s *Server) timeoutOf(r *request) time.Duration {
	if r.stream != nil {
		return r.stream.Timeout()
	}
	return s.opts.RequestTimeout
}

// thrown describes a panic's value for the log. Only the runtime's own values say what happened without quoting what
// people have written.
func thrown(v any) string {
	if own, ok := v.(runtime.Error); ok {
		return own.Error()
	}
	return fmt.Sprintf("%T", v)
}

// guarded runs the rest of the chain and turns a panic into an error.
func (s *Server) guarded(c *fiber.Ctx) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %s\n%s", thrown(v), debug.Stack())
		}
	}()
	if s.preflight(c) {
		return c.SendStatus(http.StatusNoContent)
	}
	if !c.Request().IsBodyStream() && len(c.Request().Body()) > s.opts.BodyLimit {
		return fiber.ErrRequestEntityTooLarge
	}
	if compressed(c) {
		return fiber.ErrUnsupportedMediaType
	}
	if err := checkAddress(c); err != nil {
		return err
	}
	restorePlus(c.Request().URI().QueryArgs())
	return c.Next()
}

// compressed tells whether a request has a body that Fiber would decompress, without a limit. Some clients say so of
// requests without a body, too.
func compressed(c *fiber.Ctx) bool {
	h := &c.Request().Header
	coding := c.Get(fiber.HeaderContentEncoding)
	if length := h.ContentLength(); length > 0 || length == -1 {
		return coding != "" && !strings.EqualFold(coding, "identity")
	}
	h.Del(fiber.HeaderContentEncoding)
	return false
}

// Answer answers a request with an error, in the form that its path has. It drops whatever a handler has already
// written.
func (s *Server) Answer(c *fiber.Ctx, err error) {
	c.Response().ResetBody()
	if failed := s.write(c, err); failed != nil {
		c.Status(http.StatusInternalServerError)
		if r := requestFrom(c.UserContext()); r != nil {
			r.cause = fmt.Errorf("encode problem: %w", failed)
		}
	}
}

// outside answers errors that never reached the middleware, because fasthttp refused the request while reading it. It
// always returns nil, as Fiber's ErrorHandler should.
func (s *Server) outside(c *fiber.Ctx, err error) error {
	if errors.Is(err, fiber.ErrBadGateway) {
		err = fiber.ErrBadRequest // Fiber reports a client that disconnects in the middle of a request like this
	}
	r := s.newRequest(c)
	c.SetUserContext(context.WithValue(context.Background(), requestKey{}, r))
	s.setHeaders(c, r)
	s.Answer(c, err)
	s.finish(c, r, unmatched, 0)
	return nil
}

func (s *Server) setHeaders(c *fiber.Ctx, r *request) {
	c.Set(fiber.HeaderXRequestID, r.client.RequestID)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderXFrameOptions, "DENY")
	c.Set(fiber.HeaderReferrerPolicy, "no-referrer")
	c.Set(fiber.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
	// Answers contain personal data; routes whose answers may be cached (the pages' assets) set their own header.
	c.Set(fiber.HeaderCacheControl, "no-store")
	if s.opts.HTTPS {
		c.Set(fiber.HeaderStrictTransportSecurity, "max-age=31536000")
	}
	s.allowOrigin(c)
}

// Timeout gives ctx the deadline of one request unless it has one. It is for work on behalf of a socket.
func (s *Server) Timeout(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, s.opts.RequestTimeout)
}

// withPlus is a time with an offset, or the name of a zone, in which a plus sign became a space.
var withPlus = regexp.MustCompile(
	`^(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d(?::\d\d(?:\.\d+)?)?|(?:Etc/)?GMT) (\d{1,2}(?::?\d\d)?)$`)

// restorePlus puts back the plus signs that clients forget to write as %2B: in a query, + is a space (WHATWG URL,
// application/x-www-form-urlencoded).
func restorePlus(args *fasthttp.Args) {
	var meant []func()
	for key, value := range args.All() {
		if parts := withPlus.FindSubmatch(value); parts != nil {
			name, whole := string(key), string(parts[1])+"+"+string(parts[2])
			if len(args.PeekMultiBytes(key)) == 1 {
				meant = append(meant, func() { args.Set(name, whole) })
			}
		}
	}
	for _, set := range meant {
		set()
	}
}

const notStorable = "must be valid UTF-8 without the character U+0000"

// checkAddress refuses path and query text that PostgreSQL could not store.
func checkAddress(c *fiber.Ctx) error {
	uri := c.Request().URI()
	if !text.Storable(uri.Path()) {
		return errs.InvalidField("path", notStorable)
	}
	var bad []errs.Field
	for key, value := range uri.QueryArgs().All() {
		switch {
		case !text.Storable(key):
			bad = append(bad, errs.Field{Path: "query", Message: notStorable})
		case !text.Storable(value) && len(key) <= maxFieldName:
			bad = append(bad, errs.Field{Path: "query." + string(key), Message: notStorable})
		case !text.Storable(value):
			bad = append(bad, errs.Field{Path: "query", Message: notStorable})
		}
	}
	if len(bad) > 0 {
		return errs.InvalidFields(bad...)
	}
	return nil
}
