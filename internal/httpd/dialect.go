package httpd

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/errs"
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
// Headers, logs and metrics are as usual. Call it before Serve.
func (s *Server) Dialect(prefix string, envelope Envelope) {
	s.dialects = append(s.dialects, dialect{prefix, envelope})
}

// envelopeOf returns the envelope for a path; nil if errors are problem documents there.
func (s *Server) envelopeOf(path string) Envelope {
	for _, d := range s.dialects {
		if rest, ok := strings.CutPrefix(path, d.prefix); ok && (rest == "" || rest[0] == '/') {
			return d.envelope
		}
	}
	return nil
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
	body, err := encode(content)
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
