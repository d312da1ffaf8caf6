package httpd

import (
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/errs"
)

// Envelope words an error as the clients of an older API expect it. status is what a problem document would have; e
// is never nil, holds what the client may see, and nothing of a cause. It gives the status and the body to answer
// with, as JSON.
type Envelope func(status int, e *errs.Error) (int, any)

type dialect struct {
	prefix   string
	envelope Envelope
}

// Dialect has errors under a path (without a slash at its end) answered in an older API's envelope, not as problem
// documents: those of its handlers, and what no handler sees, such as unknown routes, bodies too large and panics.
// Headers, logs and metrics stay as they are everywhere. Register before serving.
func (s *Server) Dialect(prefix string, envelope Envelope) {
	s.dialects = append(s.dialects, dialect{prefix, envelope})
}

// envelopeOf gives the envelope of a path, nil where errors are problem documents.
func (s *Server) envelopeOf(path string) Envelope {
	for _, d := range s.dialects {
		if rest, ok := strings.CutPrefix(path, d.prefix); ok && (rest == "" || rest[0] == '/') {
			return d.envelope
		}
	}
	return nil
}

// write answers a request with an error, in the way of its path.
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

// plain is the problem as a package would have raised it; what only frameworks raise has no kind of its own.
func (p *problem) plain() *errs.Error {
	e := &errs.Error{Code: p.Code, Message: p.Detail, Fields: p.Errors, RetryAfter: p.retryAfter, Extra: p.extra}
	for kind, status := range statusOf {
		if status == p.Status {
			e.Kind = errs.Kind(kind)
		}
	}
	return e
}
