package transfer

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/valyala/fasthttp"

	"housecall/internal/httpd"
)

const (
	// lingering is how long the rest of a refused upload is still read, so that the client gets to read the answer.
	lingering = 10 * time.Second
	// generous is how many times its limit of an upload is read and dropped, so that a client whose file is too large
	// gets an answer, instead of a broken connection while it is sending.
	generous = 4
)

// Uploads is the httpd.Streaming of a route whose handler reads the body with UploadOf.
type Uploads struct {
	// Limit is the size of the largest body that the handler accepts, in bytes.
	Limit int64
	// Timeout limits the whole request. The client may not pause for long, either.
	Timeout time.Duration
}

var (
	_ httpd.Streaming = Uploads{}
	_ httpd.Stream    = (*Upload)(nil)
)

// Most implements httpd.Streaming.
func (u Uploads) Most() int64 { return u.Limit * generous }

// Take implements httpd.Streaming.
func (u Uploads) Take(s *httpd.Server, rc *fasthttp.RequestCtx) httpd.Stream {
	return &Upload{
		Length:      int64(max(rc.Request.Header.ContentLength(), -1)),
		ContentType: string(rc.Request.Header.ContentType()),
		of:          u, body: rc.Request.BodyStream(), pace: begin(s, rc.Conn().SetReadDeadline, u.Timeout),
	}
}

// Upload is the body of a request, read from the connection as it arrives; what the handler does not read is dropped.
// Reading fails if the client sends nothing for a while, if the whole takes too long, if the instance stops, and if
// the body ends too early (io.ErrUnexpectedEOF).
type Upload struct {
	// Length is the Content-Length; -1 if the body comes in chunks, the last of which marks its end (RFC 9112, 7.1).
	Length int64
	// ContentType is the header as it came.
	ContentType string

	of    Uploads
	body  io.Reader
	pace  *pace
	n     int64
	ended bool
}

// UploadOf returns the body of the request that is being answered; nil on a route without Uploads.
func UploadOf(ctx context.Context) *Upload {
	u, _ := httpd.StreamOf(ctx).(*Upload)
	return u
}

// Read implements io.Reader.
func (u *Upload) Read(p []byte) (int, error) {
	if u.ended {
		return 0, io.EOF
	}
	if err := u.pace.extend(); err != nil {
		return 0, err
	}
	n, err := u.body.Read(p)
	u.n += int64(n)
	switch {
	case u.Length >= 0 && u.n >= u.Length:
		u.ended = true
		err = nil // the next Read says so
	case errors.Is(err, io.EOF) && u.Length >= 0:
		err = io.ErrUnexpectedEOF // fasthttp mistakes a broken connection for the end
	case errors.Is(err, io.EOF):
		u.ended = true
	}
	return n, err
}

// Timeout implements httpd.Stream.
func (u *Upload) Timeout() time.Duration { return u.of.Timeout }

// Finish implements httpd.Stream: it drops the rest of the body, or else the connection has to end.
func (u *Upload) Finish() (reusable bool) {
	defer u.pace.end()
	u.pace.hurry(lingering)
	_, err := io.CopyN(io.Discard, u, u.of.Most())
	return u.ended && (err == nil || errors.Is(err, io.EOF))
}
