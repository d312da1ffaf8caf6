package httpd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// firstBuffer is the size of the buffer that a body is first read into; most fit.
const firstBuffer = 4096

// Streaming lets the handler of a route read the body as it arrives; otherwise the server reads it before the handler.
// transfer.Uploads is one.
type Streaming interface {
	// Most is how many bytes of a body are read, whether used or dropped. A longer body is refused unread.
	Most() int64
	// Take takes over the body of a request to s.
	Take(s *Server, rc *fasthttp.RequestCtx) Stream
}

// Stream is the body of one request, taken over.
type Stream interface {
	// Timeout is how long the request may take.
	Timeout() time.Duration
	// Finish is called once the request is answered. It says whether the connection can carry another request: if part
	// of the body is left, it would be mistaken for one.
	Finish() (reusable bool)
}

type streamKey struct{}

// StreamOf returns the body of the request that is being answered; nil if the server has already read it.
func StreamOf(ctx context.Context) Stream {
	if r := requestFrom(ctx); r != nil {
		return r.stream
	}
	return nil
}

// pattern is a method and a path with parameters in braces.
type pattern struct {
	method    string
	segments  []string
	streaming Streaming
}

// matches tells whether the router would match a path, which may also end with a slash.
func (p pattern) matches(method, path string) bool {
	if method != p.method {
		return false
	}
	segments := strings.Split(strings.TrimSuffix(path, "/"), "/")
	if len(segments) != len(p.segments) {
		return false
	}
	for i, s := range p.segments {
		if s != segments[i] && (!strings.HasPrefix(s, "{") || segments[i] == "") {
			return false
		}
	}
	return true
}

// most returns how many bytes a body may have to be read at all, used or dropped.
func (s *Server) most(method, target []byte) int64 {
	most := int64(s.opts.BodyLimit) + overrun
	uri := fasthttp.AcquireURI()
	defer fasthttp.ReleaseURI(uri)
	if uri.Parse(nil, target) == nil {
		if streaming := s.streamingOf(string(method), string(uri.Path())); streaming != nil {
			return max(most, streaming.Most())
		}
	}
	return most
}

// streamingOf returns the Streaming of a route; nil if the server reads its bodies.
func (s *Server) streamingOf(method, path string) Streaming {
	for _, p := range s.streamed {
		if p.matches(method, path) {
			return p.streaming
		}
	}
	return nil
}

// begin comes before everything else. It adds what fasthttp has not seen of a request's head, and answers requests
// that were refused because of it.
func (s *Server) begin(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(rc *fasthttp.RequestCtx) {
		c, ok := rc.Conn().(*PacedConn)
		if !ok || c.requests == nil {
			next(rc)
			return
		}
		if c.requests.aside != nil {
			c.requests.aside.restore(&rc.Request)
			c.requests.aside = nil
		}
		if c.requests.refusal != 0 {
			s.refuse(rc, fiber.NewError(c.requests.refusal))
			return
		}
		next(rc)
		if rc.Hijacked() {
			c.takeOver()
		}
	}
}

// refuse answers a request that no handler sees, and ends its connection.
func (s *Server) refuse(rc *fasthttp.RequestCtx, err error) {
	rc.SetConnectionClose()
	c := s.app.AcquireCtx(rc)
	defer s.app.ReleaseCtx(c)
	_ = s.outside(c, err) // it never fails
}

// takeBody takes the body of a request. fasthttp passes bodies as streams, without a limit of its own. Those of routes
// with a Streaming stay streams; takeBody reads all others, within the body limit. The rest of a body must not be
// mistaken for the next request.
func (s *Server) takeBody(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(rc *fasthttp.RequestCtx) {
		if rc.Request.IsBodyStream() {
			if streaming := s.streamingOf(string(rc.Method()), string(rc.Path())); streaming != nil {
				s.stream(rc, streaming, next)
				return
			}
			if err := s.readBody(rc); err != nil {
				s.refuse(rc, err)
				return
			}
		}
		next(rc)
	}
}

// stream has a handler read the body.
func (s *Server) stream(rc *fasthttp.RequestCtx, streaming Streaming, next fasthttp.RequestHandler) {
	body := streaming.Take(s, rc)
	rc.SetUserValue(streamKey{}, body)
	next(rc)
	rc.RemoveUserValue(streamKey{})
	if !body.Finish() {
		rc.SetConnectionClose()
	}
}

// readBody reads a whole body. The connection's read timeout, which began with the request, limits how long that
// takes.
func (s *Server) readBody(rc *fasthttp.RequestCtx) error {
	limit, length := s.opts.BodyLimit+overrun, rc.Request.Header.ContentLength()
	stream := io.LimitReader(rc.Request.BodyStream(), int64(limit)+1)
	body := make([]byte, 0, firstBuffer)
	for {
		n, err := stream.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return unreadable(err)
		}
		if len(body) == cap(body) {
			body = append(body, 0)[:len(body)]
		}
	}
	switch {
	case len(body) > limit:
		return fiber.ErrRequestEntityTooLarge
	case length >= 0 && len(body) < length:
		return fiber.ErrBadRequest
	}
	rc.Request.SetBodyRaw(body)
	return nil
}

// unreadable returns the error for a body that could not be read, the same as Fiber would.
func unreadable(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fiber.ErrRequestTimeout
	}
	return fiber.ErrBadRequest
}

// withBody passes Huma the body that was already read: Huma would use the stream, which no longer exists.
func withBody(ctx huma.Context, next func(huma.Context)) { next(buffered{ctx}) }

// humaContext renames the type, because an embedded Context would hide the method Context.
type humaContext huma.Context

type buffered struct{ humaContext }

// Unwrap returns the context that humafiber needs.
func (b buffered) Unwrap() huma.Context { return b.humaContext }

// BodyReader implements huma.Context.
func (b buffered) BodyReader() io.Reader {
	return bytes.NewReader(humafiber.Unwrap(b.humaContext).Request().Body())
}

// expectStream notes a route whose body stays a stream.
func (s *Server) expectStream(r Route) {
	if r.Method != http.MethodPost || !r.Repeatable {
		panic(fmt.Sprintf("httpd: %s streams its body, so it cannot take an Idempotency-Key", r.Path)) // a programming error
	}
	s.streamed = append(s.streamed, pattern{r.Method, strings.Split(APIPrefix+r.Path, "/"), r.Stream})
}

// documentStream describes the body in the document. The input type cannot have it, as Huma would read it before the
// handler.
func documentStream(op *huma.Operation) {
	binary := &huma.Schema{Type: huma.TypeString, Format: "binary"}
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"multipart/form-data": {Schema: &huma.Schema{
			Type: huma.TypeObject, Properties: map[string]*huma.Schema{"file": binary}, Required: []string{"file"},
		}},
		"application/octet-stream": {Schema: binary},
	}}
}
