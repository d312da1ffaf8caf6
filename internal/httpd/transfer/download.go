// Package transfer moves bodies that are too large or too slow for a handler's deadline: it reads uploads as they
// arrive, and writes downloads and streams while they are being made. httpd itself reads and writes whole bodies.
package transfer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"

	"housecall/internal/errs"
	"housecall/internal/httpd"
)

// downloadTimeout limits a whole download: it is enough for 10 MiB over a slow line. Clients can resume downloads.
const downloadTimeout = 10 * time.Minute

// Content is a stored answer of a route; it is read while it is sent.
type Content struct {
	// Open returns length bytes from offset. ctx lasts as long as the download, or ends with the request's deadline if
	// there is no first byte by then.
	Open func(ctx context.Context, offset, length int64) (io.ReadCloser, error)
	Size int64
	// ETag is a strong entity tag, with its quotes.
	ETag string
	// Type is the Content-Type; Disposition the Content-Disposition.
	Type, Disposition string
}

// contentPolicy lets a browser only show or save content.
const contentPolicy = "sandbox; default-src 'none'; frame-ancestors 'none'"

// Download is the output of a route that answers with a Content or a Stream.
type Download struct {
	Body func(huma.Context)
}

// NewDownload answers with a content: all of it, the one range that the client asked for (RFC 9110, 14), or the answer
// that the client already has it. Caches must not keep it: it is personal, and may be retracted.
func NewDownload(s *httpd.Server, content Content) *Download {
	return &Download{Body: func(ctx huma.Context) {
		c := humafiber.Unwrap(ctx)
		if err := send(s, c, content); err != nil {
			s.Answer(c, err)
		}
	}}
}

// Stream is an answer of a route that is made while it is sent, so that its length is unknown.
type Stream struct {
	// Body is always closed, perhaps twice; closing it also ends a Read that waits. If it fails before its first byte,
	// the answer is the error; later, the connection is broken off, so that nobody mistakes a part for the whole.
	Body io.ReadCloser
	// Type is the Content-Type, Disposition the Content-Disposition ("" for none), Vary the request header that it
	// depends on.
	Type, Disposition, Vary string
	// Live says that each part is needed as soon as it is made: proxies must not collect them.
	Live bool
	// Timeout limits the whole answer. If a client takes longer, it is broken off.
	Timeout time.Duration
}

// NewStream answers with a stream.
func NewStream(s *httpd.Server, stream Stream) *Download {
	return &Download{Body: func(ctx huma.Context) {
		c := humafiber.Unwrap(ctx)
		body, err := firstByte(c.UserContext(), func() { _ = stream.Body.Close() }, func() (io.ReadCloser, error) {
			return stream.Body, nil
		})
		if err != nil {
			s.Answer(c, err)
			return
		}
		c.Set(fiber.HeaderContentType, stream.Type)
		if stream.Disposition != "" {
			c.Set(fiber.HeaderContentDisposition, stream.Disposition)
		}
		c.Vary(stream.Vary)
		if stream.Live {
			c.Set("X-Accel-Buffering", "no") // nginx would collect it first
		}
		c.Set(fiber.HeaderContentSecurityPolicy, contentPolicy)
		pace := begin(s, c.Context().Conn().SetWriteDeadline, stream.Timeout)
		c.Context().SetBodyStream(&download{inner: body, cancel: func() {}, pace: pace}, -1)
	}}
}

// send writes the header of a download. fasthttp writes the rest once the handler is done.
func send(s *httpd.Server, c *fiber.Ctx, content Content) error {
	p := planOf(c, content)
	if p.status == http.StatusRequestedRangeNotSatisfiable {
		c.Set(fiber.HeaderContentRange, "bytes */"+strconv.FormatInt(content.Size, 10))
		return errUnsatisfiable
	}
	if p.status == http.StatusPreconditionFailed {
		return errs.ErrStale
	}
	var stream io.ReadCloser
	if p.length > 0 && c.Method() == http.MethodGet {
		var err error
		if stream, err = open(s, c, content, p); err != nil {
			return err
		}
	}
	for name := range p.header {
		c.Set(name, p.header.Get(name))
	}
	c.Set(fiber.HeaderContentSecurityPolicy, contentPolicy)
	c.Set(fiber.HeaderCacheControl, "private, no-store")
	c.Status(p.status)
	switch {
	case stream != nil:
		c.Context().SetBodyStream(stream, int(p.length))
	case c.Method() == http.MethodHead:
		c.Response().Header.SetContentLength(int(p.length))
	}
	return nil
}

var errUnsatisfiable = errs.New(errs.OutOfRange, "range_not_satisfiable",
	"The range begins after the end of the content.")

// open opens the planned part. It needs a new context, since the handler's ends before the body is written.
func open(s *httpd.Server, c *fiber.Ctx, content Content, p plan) (io.ReadCloser, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.UserContext()), downloadTimeout)
	inner, err := firstByte(c.UserContext(), cancel, func() (io.ReadCloser, error) {
		return content.Open(ctx, p.offset, p.length)
	})
	if err != nil {
		cancel()
		return nil, err
	}
	pace := begin(s, c.Context().Conn().SetWriteDeadline, downloadTimeout)
	return &download{inner: inner, cancel: cancel, pace: pace}, nil
}

// firstByte opens a body and waits for its beginning, which has to come before the request's deadline: a client cannot
// tell an answer that takes minutes to begin from none. cancel ends what open has begun.
func firstByte(
	request context.Context, cancel func(), open func() (io.ReadCloser, error),
) (io.ReadCloser, error) {
	late := context.AfterFunc(request, cancel)
	body, err := open()
	if err != nil {
		late()
		return nil, err
	}
	begun := bufio.NewReader(body)
	if _, err = begun.Peek(1); errors.Is(err, io.EOF) {
		err = nil // an empty body has begun, too
	}
	if !late() {
		err = errors.Join(request.Err(), err)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("begin to send: %w", err), body.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{begun, body}, nil
}

// download is a content that is being sent. fasthttp reads it as fast as the client does, and always closes it.
type download struct {
	inner  io.ReadCloser
	cancel context.CancelFunc
	pace   *pace
}

// Read implements io.Reader. An error breaks the connection, so that the client sees that something is missing.
func (d *download) Read(p []byte) (int, error) {
	if err := d.pace.extend(); err != nil {
		return 0, err
	}
	return d.inner.Read(p)
}

// Close implements io.Closer.
func (d *download) Close() error {
	d.pace.end()
	defer d.cancel()
	return d.inner.Close()
}

// plan says what a request for a content gets.
type plan struct {
	status         int
	header         http.Header
	offset, length int64
}

// planOf asks the standard library, which knows the rules for conditions and ranges (RFC 9110, 13 and 14). It has it
// write to a recorder, from an empty content: where the library seeks and how much it would write is the plan.
func planOf(c *fiber.Ctx, content Content) plan {
	r := &http.Request{Method: http.MethodHead, Header: http.Header{}}
	for _, name := range []string{fiber.HeaderIfMatch, fiber.HeaderIfNoneMatch, fiber.HeaderIfRange} {
		if value := c.Get(name); value != "" {
			r.Header.Set(name, value)
		}
	}
	if one := singleRange(c.Get(fiber.HeaderRange), content.Size); one != "" && c.Method() == http.MethodGet {
		r.Header.Set(fiber.HeaderRange, one)
	}
	return planFor(r, content)
}

func planFor(r *http.Request, content Content) plan {
	w := recorder{status: http.StatusOK, header: http.Header{}}
	w.header.Set(fiber.HeaderETag, content.ETag)
	w.header.Set(fiber.HeaderContentType, content.Type)
	w.header.Set(fiber.HeaderContentDisposition, content.Disposition)
	at := &seeker{size: content.Size}
	http.ServeContent(&w, r, "", time.Time{}, at)
	p := plan{status: w.status, header: w.header, offset: at.offset}
	if w.status == http.StatusOK || w.status == http.StatusPartialContent {
		p.length, _ = strconv.ParseInt(w.header.Get(fiber.HeaderContentLength), 10, 64)
	}
	w.header.Del(fiber.HeaderContentLength) // fasthttp sets it
	return p
}

// recorder keeps the status and the header that http.ServeContent writes.
type recorder struct {
	status int
	header http.Header
}

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *recorder) WriteHeader(status int) { r.status = status }

// Write implements http.ResponseWriter.
func (r *recorder) Write(p []byte) (int, error) { return len(p), nil }

// seeker is an empty content that claims a size.
type seeker struct{ offset, size int64 }

var errEmpty = errors.New("transfer: there is nothing to read")

// Read implements io.Reader.
func (s *seeker) Read([]byte) (int, error) { return 0, errEmpty }

// Seek implements io.Seeker.
func (s *seeker) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
		s.offset = offset
	case io.SeekCurrent:
		s.offset += offset
	case io.SeekEnd:
		s.offset = s.size + offset
	}
	return s.offset, nil
}

var rangeForm = regexp.MustCompile(`^(?i:bytes)=[ \t]*(\d*)-(\d*)[ \t]*$`)

// singleRange reads a Range header. It returns the one range of bytes in it, in its simplest form, or "" if the header
// is to be ignored (RFC 9110, 14.2): another unit, a malformed value, or several ranges, which no client needs to
// resume a download. A range that cannot be satisfied begins at the size.
func singleRange(header string, size int64) string {
	m := rangeForm.FindStringSubmatch(strings.TrimSpace(header))
	if m == nil || m[1] == "" && m[2] == "" {
		return ""
	}
	first, last := number(m[1]), number(m[2])
	switch {
	case m[1] == "" && last == 0:
		return "bytes=" + strconv.FormatInt(size, 10) + "-"
	case m[1] == "":
		return "bytes=-" + strconv.FormatInt(last, 10)
	case m[2] == "":
		return "bytes=" + strconv.FormatInt(first, 10) + "-"
	case last < first:
		return ""
	}
	return "bytes=" + strconv.FormatInt(first, 10) + "-" + strconv.FormatInt(last, 10)
}

// mostBytes is more than any content has.
const mostBytes = 1 << 60

func number(digits string) int64 {
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil && digits != "" || n > mostBytes {
		return mostBytes
	}
	return n
}
