package transfer_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/httpd"
	"housecall/internal/httpd/transfer"
)

func TestDownload(t *testing.T) {
	t.Parallel()
	h, _, closed := startStreams(t)
	size := len(file)
	whole := h.do(t, "GET", "/api/v1/buckets/x/file", "", as("patient"))
	<-closed
	require.Equal(t, 200, whole.StatusCode)
	require.Equal(t, string(file), whole.body)
	require.Equal(t, strconv.Itoa(size), whole.Header.Get("Content-Length"))
	for name, value := range map[string]string{
		"Content-Type": "image/png", "Etag": `"sum"`, "Accept-Ranges": "bytes", "Content-Disposition": "attachment",
		"X-Content-Type-Options": "nosniff", "Cache-Control": "private, no-store",
		"Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
	} {
		require.Equal(t, value, whole.Header.Get(name), name)
	}
	for asked, want := range map[string]struct {
		status, first, last int
	}{
		"bytes=0-0": {206, 0, 0}, "bytes=0-99": {206, 0, 99}, "Bytes=100-": {206, 100, size - 1}, "bytes=-5": {206, size - 5, size - 1},
		"bytes=5-99999999999999999999": {206, 5, size - 1}, "bytes=-99999999999": {206, 0, size - 1},
		fmt.Sprintf("bytes=%d-", size): {416, 0, 0}, "bytes=-0": {416, 0, 0}, "bytes=99999999999999999999-": {416, 0, 0},
		"bytes=5-4": {200, 0, size - 1}, "bytes=x": {200, 0, size - 1}, "lines=1-2": {200, 0, size - 1}, "bytes=0-1,5-6": {200, 0, size - 1},
		"bytes=-": {200, 0, size - 1}, "": {200, 0, size - 1},
	} {
		a := h.do(t, "GET", "/api/v1/buckets/x/file", "", as("patient"), header("Range", asked))
		require.Equal(t, want.status, a.StatusCode, asked)
		switch want.status {
		case 416:
			require.Equal(t, fmt.Sprintf("bytes */%d", size), a.Header.Get("Content-Range"))
			require.Contains(t, a.body, `"code":"range_not_satisfiable"`)
			continue
		case 206:
			require.Equal(t, fmt.Sprintf("bytes %d-%d/%d", want.first, want.last, size), a.Header.Get("Content-Range"))
		}
		<-closed
		require.Equal(t, string(file[want.first:want.last+1]), a.body, asked)
	}
}

func TestDownload_Conditions(t *testing.T) {
	t.Parallel()
	h, _, closed := startStreams(t)
	for name, c := range map[string]struct {
		header, value string
		status        int
	}{
		"resumed":         {"If-Range", `"sum"`, 206},
		"changed":         {"If-Range", `"other"`, 200},
		"weak":            {"If-Range", `W/"sum"`, 200},
		"by date":         {"If-Range", "Tue, 24 Nov 2026 10:00:00 GMT", 200},
		"there already":   {"If-None-Match", `"a", W/"sum"`, 304},
		"not there":       {"If-None-Match", `"a"`, 206},
		"another":         {"If-Match", `"a"`, 412},
		"the same":        {"If-Match", `"sum"`, 206},
		"any that exists": {"If-None-Match", `*`, 304},
	} {
		t.Run(name, func(t *testing.T) {
			a := h.do(t, "GET", "/api/v1/buckets/x/file", "", as("patient"), header("Range", "bytes=0-9"),
				header(c.header, c.value))
			require.Equal(t, c.status, a.StatusCode)
			switch c.status {
			case 200, 206:
				<-closed
			case 304:
				require.Empty(t, a.body)
				require.Equal(t, `"sum"`, a.Header.Get("Etag"))
			}
		})
	}
}

func TestDownload_Head(t *testing.T) {
	t.Parallel()
	h, _, _ := startStreams(t)
	a := h.do(t, "HEAD", "/api/v1/buckets/x/file", "", as("patient"), header("Range", "bytes=0-9"))
	require.Equal(t, 200, a.StatusCode, "ranges are for GET")
	require.Empty(t, a.body)
	require.EqualValues(t, len(file), a.ContentLength)
	require.Equal(t, "bytes", a.Header.Get("Accept-Ranges"))
	away := h.do(t, "GET", "/api/v1/buckets/away/file", "", as("patient"))
	require.Equal(t, 503, away.StatusCode)
	require.Equal(t, httpd.ProblemType, away.Header.Get("Content-Type"))
	require.Empty(t, away.Header.Get("Content-Disposition"))
	require.Contains(t, h.log.String(), `"route":"/api/v1/buckets/:id/file"`)
}

// stuck is a body that says nothing until it is closed.
type stuck chan struct{}

func (s stuck) Read([]byte) (int, error) {
	<-s
	return 0, errors.New("closed")
}

func (s stuck) Close() error {
	select {
	case <-s:
	default:
		close(s)
	}
	return nil
}

// Whatever has no first byte by the request's deadline is answered with 503, and let go: a store that does not answer, one
// that answers without content, a stream that does not begin. What has begun goes on after the deadline.
func TestDownload_FirstByte(t *testing.T) {
	t.Parallel()
	const timeout = 200 * time.Millisecond
	release := make(chan struct{})
	late := func(ctx context.Context) (io.ReadCloser, error) {
		r, w := io.Pipe()
		go func() {
			_, _ = io.WriteString(w, "begin")
			<-release
			_, _ = io.WriteString(w, " end")
			_ = w.CloseWithError(ctx.Err())
		}()
		return r, nil
	}
	contents := map[string]func(ctx context.Context) (io.ReadCloser, error){
		"silent": func(ctx context.Context) (io.ReadCloser, error) { <-ctx.Done(); return nil, ctx.Err() },
		"empty": func(ctx context.Context) (io.ReadCloser, error) {
			body := make(stuck)
			context.AfterFunc(ctx, func() { _ = body.Close() })
			return body, nil
		},
		"late": late,
	}
	h := startImpatient(t, timeout, func(s *httpd.Server) {
		for name, open := range contents {
			httpd.Register(s, httpd.Route{Method: "GET", Path: "/" + name, Tag: "test", Summary: "Get", Access: httpd.Public},
				func(context.Context, *struct{}) (*transfer.Download, error) {
					return transfer.NewDownload(s, transfer.Content{
						Open: func(ctx context.Context, _, _ int64) (io.ReadCloser, error) { return open(ctx) },
						Size: int64(len("begin end")), ETag: `"x"`, Type: "text/plain", Disposition: "attachment",
					}), nil
				})
		}
		httpd.Register(s, httpd.Route{Method: "GET", Path: "/stream", Tag: "test", Summary: "Get", Access: httpd.Public},
			func(context.Context, *struct{}) (*transfer.Download, error) {
				return transfer.NewStream(s, transfer.Stream{
					Body: make(stuck), Type: "text/plain", Disposition: "attachment", Vary: "Accept", Timeout: time.Hour,
				}), nil
			})
	})
	for _, path := range []string{"silent", "empty", "stream"} {
		a := h.do(t, "GET", "/api/v1/"+path, "")
		require.Equal(t, 503, a.StatusCode, path)
		require.Contains(t, a.body, `"code":"timeout"`, path)
		require.Empty(t, a.Header.Get("Content-Disposition"), path)
	}
	time.AfterFunc(2*timeout, func() { close(release) })
	require.Equal(t, "begin end", h.do(t, "GET", "/api/v1/late", "").body)
}

// If a client goes away in the middle of a download, nothing stays open.
func TestDownload_ClientGoes(t *testing.T) {
	t.Parallel()
	h, _, closed := startStreams(t)
	for range 3 {
		c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
		require.NoError(t, err)
		_, err = fmt.Fprintf(c, "GET /api/v1/buckets/x/file HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer patient\r\n\r\n")
		require.NoError(t, err)
		_, err = io.CopyN(io.Discard, c, 1000)
		require.NoError(t, err)
		require.NoError(t, c.Close())
		<-closed
	}
}

// A stream breaks off at its time limit, however fast or slowly a client reads it.
func TestStream_TooLong(t *testing.T) {
	t.Parallel()
	h, _, closed := startStreams(t)
	for name, read := range map[string]func(io.Reader) error{
		"eager": func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err },
		"slow":  func(r io.Reader) error { <-closed; _, err := io.Copy(io.Discard, r); closed <- struct{}{}; return err },
	} {
		c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
		require.NoError(t, err)
		_, err = fmt.Fprintf(c,
			"GET /api/v1/buckets/short/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer patient\r\n\r\n")
		require.NoError(t, err)
		a, err := http.ReadResponse(bufio.NewReader(c), nil)
		require.NoError(t, err)
		require.Equal(t, []string{"text/plain", "attachment", "Origin, Accept"},
			[]string{a.Header.Get("Content-Type"), a.Header.Get("Content-Disposition"), a.Header.Get("Vary")})
		require.Error(t, read(a.Body), name)
		<-closed
		_ = a.Body.Close() // it is broken already
		require.NoError(t, c.Close())
	}
}
