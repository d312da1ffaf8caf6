package httpd

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"housecall/internal/errs"
	"housecall/internal/wirejson"
)

// Envelope turns an error into what clients of an older API expect: the status and the body of the answer, which is
// sent as JSON. status is what a problem document would have; e is never nil and has only what the client may see, not
// the cause.
type Envelope func(status int, e *errs.Error) (int, any)

type dialect struct {
	prefix   string
	envelope Envelope
}

// Dialect has errors under a path (without a slash at its end) answered in an older API's envelope instead of problem
// documents. This includes errors that no handler sees, such as unknown routes, bodies that are too large, and panics.
// Headers, logs and metrics are as usual. Paths under it are read as the older servers read them: letter case does not
// matter, except in parameters, nor do doubled slashes. Call it before Serve.
func (s *Server) Dialect(prefix string, envelope Envelope) {
	s.dialects = append(s.dialects, dialect{prefix, envelope})
}

// envelopeOf returns the envelope for a path; nil if errors are problem documents there.
func (s *Server) envelopeOf(path string) Envelope {
	path = squeeze(path)
	for _, d := range s.dialects {
		if under(path, d.prefix) {
			return d.envelope
		}
	}
	return nil
}

// under tells whether a path is a prefix or below it, in any letter case.
func under(path, prefix string) bool {
	n := len(prefix)
	return len(path) >= n && strings.EqualFold(path[:n], prefix) && (len(path) == n || path[n] == '/')
}

// squeeze makes one slash of those that follow each other. A base URL that ends with a slash doubles them.
func squeeze(path string) string {
	if !strings.Contains(path, "//") {
		return path
	}
	return "/" + strings.Join(segmentsOf(path), "/")
}

// segmentsOf returns what is between the slashes of a path.
func segmentsOf(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// spellOlder comes before the router, and gives it the paths of older APIs as their routes spell them.
func (s *Server) spellOlder(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(rc *fasthttp.RequestCtx) {
		path := string(rc.URI().PathOriginal())
		if s.envelopeOf(path) != nil {
			rc.URI().SetPath(s.spelled(string(rc.Method()), path))
		}
		next(rc)
	}
}

// spelled returns a path of an older API in the spelling of its route, with its own parameters. The route of another
// method decides if the method has none, so that it can be refused as such.
func (s *Server) spelled(method, path string) string {
	given := segmentsOf(path)
	var found []string
	for _, r := range s.olderRoutes() {
		if len(r.segments) != len(given) || found != nil && r.method != method {
			continue
		}
		if spelling := r.spell(given); spelling != nil {
			if found = spelling; r.method == method {
				break
			}
		}
	}
	if found == nil {
		found = given
	}
	return "/" + strings.Join(found, "/")
}

// olderRoute is a route of an older API, in Fiber's words: parameters begin with a colon.
type olderRoute struct {
	method   string
	segments []string
}

// spell returns the segments as the route spells them; nil if they are not a path of the route.
func (r olderRoute) spell(given []string) []string {
	out := slices.Clone(given)
	for i, segment := range r.segments {
		switch {
		case strings.HasPrefix(segment, ":"):
		case strings.EqualFold(segment, given[i]):
			out[i] = segment
		default:
			return nil
		}
	}
	return out
}

// listOlderRoutes lists the routes of all older APIs.
func (s *Server) listOlderRoutes() (out []olderRoute) {
	for _, r := range s.app.GetRoutes(true) {
		if s.envelopeOf(r.Path) != nil {
			out = append(out, olderRoute{r.Method, segmentsOf(r.Path)})
		}
	}
	return out
}

// write answers a request with an error, in the form that its path has.
func (s *Server) write(c *fiber.Ctx, err error) error {
	envelope := s.envelopeOf(c.Path())
	if envelope == nil {
		return Problem(c, err)
	}
	p := problemFrom(c.UserContext(), err)
	status, content := envelope(p.Status, p.plain())
	headers := p.GetHeaders()
	if status != http.StatusUnauthorized { // RFC 9110, 11.6.1: a challenge belongs to 401
		headers.Del(fiber.HeaderWWWAuthenticate)
	}
	for name, values := range headers {
		c.Set(name, values[0])
	}
	body, err := wirejson.Marshal(content)
	if err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSONCharsetUTF8)
	return c.Status(status).Send(body)
}

// plain returns the problem as an error of a package. Errors that only frameworks raise have no kind of their own.
func (p *problem) plain() *errs.Error {
	e := &errs.Error{Code: p.Code, Message: p.Detail, Fields: p.Errors, RetryAfter: p.retryAfter, Extra: p.extra}
	for kind, status := range statusOf {
		if status == p.Status {
			e.Kind = errs.Kind(kind)
		}
	}
	return e
}
