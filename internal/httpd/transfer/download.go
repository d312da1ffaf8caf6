// Package transfer moves bodies that are too large or too slow for a handler's deadline: uploads that are read as they
// come, and downloads and streams that are written while they are made. It is the server's face to them; httpd itself
// reads and writes whole bodies.
package transfer

import (
	"context"
	"errors"
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

// downloadTimeout bounds a download as a whole: enough for 10 MiB over a bad line. Clients can continue one.
const downloadTimeout = 10 * time.Minute

// Content is what a route answers with, read from where it is stored while it is sent.
type Content struct {
	// Open returns length bytes from offset on. ctx lasts as long as the download.
	Open func(ctx context.Context, offset, length int64) (io.ReadCloser, error)
	Size int64
	// ETag is a strong entity tag, with its quotes.
	ETag string
	// Type is the Content-Type; Disposition the Content-Disposition.
	Type, Disposition string
}

// contentPolicy keeps a browser from doing anything with content but show it or save it.
const contentPolicy = "sandbox; default-src 'none'; frame-ancestors 'none'"

// Download is the output of a route that answers with Content.
type Download struct {
	Body func(huma.Context)
}

// NewDownload answers with a content: all of it, the one range that the client asked for (RFC 9110, 14), or that the
// client has it already. No cache may keep it: it is personal, and may be retracted.
func NewDownload(s *httpd.Server, content Content) *Download {
	return &Download{Body: func(ctx huma.Context) {
		c := humafiber.Unwrap(ctx)
		if err := send(s, c, content); err != nil {
			s.Answer(c, err)
		}
	}}
}

// Stream is what a route answers with that is made while it is sent, so that its length is not known.
type Stream struct {
	// Body is closed in any case. Its error breaks the connection, so that nobody takes a part for the whole.
	Body io.ReadCloser
	// Type is the Content-Type, Disposition the Content-Disposition, Vary the request header that it depends on.
	Type, Disposition, Vary string
	// Timeout bounds the whole. A client that takes longer sees it break off.
	Timeout time.Duration
}

// NewStream answers with a stream.
func NewStream(s *httpd.Server, stream Stream) *Download {
	return &Download{Body: func(ctx huma.Context) {
		c := humafiber.Unwrap(ctx)
		c.Set(fiber.HeaderContentType, stream.Type)
		c.Set(fiber.HeaderContentDisposition, stream.Disposition)
		c.Vary(stream.Vary)
		c.Set(fiber.HeaderContentSecurityPolicy, contentPolicy)
		pace := begin(s, c.Context().Conn().SetWriteDeadline, stream.Timeout)
		c.Context().SetBodyStream(&download{inner: stream.Body, cancel: func() {}, pace: pace}, -1)
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

// open opens what is planned. The handler's context ends before the body is written.
func open(s *httpd.Server, c *fiber.Ctx, content Content, p plan) (io.ReadCloser, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.UserContext()), downloadTimeout)
	inner, err := content.Open(ctx, p.offset, p.length)
	if err != nil {
		cancel()
		return nil, err
	}
	pace := begin(s, c.Context().Conn().SetWriteDeadline, downloadTimeout)
	return &download{inner: inner, cancel: cancel, pace: pace}, nil
}

// download is a content on its way. fasthttp reads it as the client takes it, and closes it in any case.
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

// plan is what a request for a content gets.
type plan struct {
	status         int
	header         http.Header
	offset, length int64
}

// planOf asks the standard library, which knows the rules of conditions and ranges (RFC 9110, 13 and 14). It lets it
// write to a recorder and seek in nothing: where it seeks to and how much it would write is the plan.
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

// recorder keeps what http.ServeContent says.
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

// seeker is a content of a size with nothing in it.
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

// singleRange reads a Range header. It returns the one range of bytes that it asks for, written plainly, and "" where
// the header is to be ignored (RFC 9110, 14.2): another unit, not the right form, or several ranges, which nobody needs
// who resumes a download. A range that cannot be satisfied begins at the size.
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
