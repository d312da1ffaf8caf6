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

const (
	// patience is how long an upload may send nothing, and a download take nothing, before its connection is given up.
	patience = 15 * time.Second
	// lingering bounds how long the rest of an upload that was refused is still read, so that the client reads the answer.
	lingering = 10 * time.Second
	// generous is how many times its limit of an upload is read, and dropped, so that a client who sends a file that is too
	// large reads so, instead of a connection that breaks while it sends.
	generous = 4
	// firstBuffer is what a body is read into; most fit.
	firstBuffer = 4096
)

// Upload is the body of a request to a route with an Upload limit. It is read as it comes, from the connection: what the
// handler leaves is dropped. Reading fails when the client sends nothing for a while, when the whole takes too long, when
// the instance stops, and when the body ends before its length (io.ErrUnexpectedEOF).
type Upload struct {
	// Length is the Content-Length; -1 if the client did not say: then a connection that breaks looks like the end, so
	// that the content has to tell where it ends.
	Length int64
	// ContentType is the header as it came.
	ContentType string

	body   io.Reader
	moving *moving
	n      int64
	ended  bool
}

// Read implements io.Reader.
func (u *Upload) Read(p []byte) (int, error) {
	if u.ended {
		return 0, io.EOF
	}
	if err := u.moving.extend(); err != nil {
		return 0, err
	}
	n, err := u.body.Read(p)
	u.n += int64(n)
	switch {
	case u.Length >= 0 && u.n >= u.Length:
		u.ended = true
		err = nil // the next Read says so
	case errors.Is(err, io.EOF) && u.Length >= 0:
		err = io.ErrUnexpectedEOF // fasthttp takes a broken connection for the end
	case errors.Is(err, io.EOF):
		u.ended = true
	}
	return n, err
}

type uploadKey struct{}

// UploadOf is the body of the request that is being answered, nil if it was read before the handler.
func UploadOf(ctx context.Context) *Upload {
	if r := requestFrom(ctx); r != nil {
		return r.upload
	}
	return nil
}

// pattern is a path with parameters in braces.
type pattern struct {
	method   string
	segments []string
	limit    int64
}

func newPattern(method, path string, limit int64) pattern {
	return pattern{method: method, segments: strings.Split(path, "/"), limit: limit}
}

// matches a path as the router does, which takes a slash at the end too.
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

// refused marks a request whose body is larger than is ever read. Clients cannot set it.
const refused = "X-Housecall-Body-Refused"

// refuseLength looks at the length of a body before any of it is read: fasthttp would wait for its first bytes. The
// connection ends with the answer, so the body is never taken for a request.
func (s *Server) refuseLength(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	h.Del(refused)
	length := int64(h.ContentLength())
	if length <= int64(s.opts.Config.BodyLimit)+overrun {
		return fasthttp.RequestConfig{}
	}
	uri := fasthttp.AcquireURI()
	defer fasthttp.ReleaseURI(uri)
	if uri.Parse(nil, h.RequestURI()) != nil || length > s.uploadLimit(string(h.Method()), string(uri.Path()))*generous {
		h.SetContentLength(0)
		h.SetConnectionClose()
		h.Set(refused, "1")
	}
	return fasthttp.RequestConfig{}
}

// uploadLimit is 0 for routes that take none.
func (s *Server) uploadLimit(method, path string) int64 {
	for _, p := range s.uploads {
		if p.matches(method, path) {
			return p.limit
		}
	}
	return 0
}

// takeBody is in front of everything: fasthttp gives bodies as streams, without a limit of its own. Those of uploads stay
// streams, all others are read here, within the body limit. What is left of a body must not be taken for the next request.
func (s *Server) takeBody(next fasthttp.RequestHandler) fasthttp.RequestHandler {
	return func(rc *fasthttp.RequestCtx) {
		var err error
		switch {
		case len(rc.Request.Header.Peek(refused)) > 0:
			err = fiber.ErrRequestEntityTooLarge
		case !rc.Request.IsBodyStream():
		default:
			if limit := s.uploadLimit(string(rc.Method()), string(rc.Path())); limit > 0 {
				s.takeUpload(rc, limit, next)
				return
			}
			err = s.readBody(rc)
		}
		if err == nil {
			next(rc)
			return
		}
		rc.SetConnectionClose()
		c := s.app.AcquireCtx(rc)
		defer s.app.ReleaseCtx(c)
		_ = s.outside(c, err) // it never fails
	}
}

// readBody reads a whole body. The read timeout of the connection, which began with the request, bounds how long it takes.
func (s *Server) readBody(rc *fasthttp.RequestCtx) error {
	limit, length := s.opts.Config.BodyLimit+overrun, rc.Request.Header.ContentLength()
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

// unreadable is what a client gets whose body could not be read: as Fiber judges it.
func unreadable(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fiber.ErrRequestTimeout
	}
	return fiber.ErrBadRequest
}

// takeUpload has a handler read the body, and then either the rest of it is dropped or the connection ends.
func (s *Server) takeUpload(rc *fasthttp.RequestCtx, limit int64, next fasthttp.RequestHandler) {
	u := &Upload{
		Length: int64(max(rc.Request.Header.ContentLength(), -1)), ContentType: string(rc.Request.Header.ContentType()),
		body: rc.Request.BodyStream(),
	}
	u.moving = s.moving.begin(rc.Conn().SetReadDeadline, s.opts.Config.UploadTimeout)
	defer u.moving.end()
	rc.SetUserValue(uploadKey{}, u)
	next(rc)
	rc.RemoveUserValue(uploadKey{})
	u.moving.hurry(lingering)
	if _, err := io.CopyN(io.Discard, u, limit*generous); !u.ended || err != nil && !errors.Is(err, io.EOF) {
		rc.SetConnectionClose()
	}
}

// withBody gives Huma the body that was read before: it would ask for the stream, which is none any more.
func withBody(ctx huma.Context, next func(huma.Context)) { next(buffered{ctx}) }

// humaContext has another name than its method Context.
type humaContext huma.Context

type buffered struct{ humaContext }

// Unwrap gives what humafiber looks for.
func (b buffered) Unwrap() huma.Context { return b.humaContext }

// BodyReader implements huma.Context.
func (b buffered) BodyReader() io.Reader {
	return bytes.NewReader(humafiber.Unwrap(b.humaContext).Request().Body())
}

// expectUpload registers a route whose body stays a stream.
func (s *Server) expectUpload(r Route) {
	if r.Method != http.MethodPost || !r.Repeatable {
		panic(fmt.Sprintf("httpd: %s takes an upload, which no Idempotency-Key could be for", r.Path)) // a programming error
	}
	s.uploads = append(s.uploads, newPattern(r.Method, APIPrefix+r.Path, r.Upload))
}

// documentUpload describes the body, which no type does: Huma would read one that it knows of before the handler.
func documentUpload(op *huma.Operation) {
	binary := &huma.Schema{Type: huma.TypeString, Format: "binary"}
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
		"multipart/form-data": {Schema: &huma.Schema{
			Type: huma.TypeObject, Properties: map[string]*huma.Schema{"file": binary}, Required: []string{"file"},
		}},
		"application/octet-stream": {Schema: binary},
	}}
}
