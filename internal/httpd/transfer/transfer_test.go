package transfer_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/httpd/transfer"
)

const uploadLimit = 8 << 20

type bucketInput struct {
	ID string `path:"id"`
}

type countOutput struct {
	Body struct {
		Bytes  int64 `json:"bytes"`
		Length int64 `json:"length"`
	}
}

// file is the content of downloads.
var file = func() []byte {
	b := make([]byte, 3<<20)
	_, _ = rand.Read(b)
	return b
}()

// closing is a body that tells when it is closed.
type closing struct {
	io.Reader
	closed chan struct{}
}

func (c closing) Close() error { close(c.closed); return nil }

// endless is a body that never ends. It tells when it is closed.
type endless struct{ closed chan<- struct{} }

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func (e endless) Close() error { e.closed <- struct{}{}; return nil }

// streams adds routes that stream bodies. closed is told of every download that is over.
func streams(timeout time.Duration, failed chan<- error, closed chan<- struct{}) func(*httpd.Server) {
	return func(s *httpd.Server) {
		item(s)
		httpd.Register(s, httpd.Route{
			Method: "POST", Path: "/buckets/{id}/files", Tag: "test", Summary: "Upload", Access: httpd.SignedIn, Status: 201,
			Repeatable: true, Stream: transfer.Uploads{Limit: uploadLimit, Timeout: timeout},
		}, func(ctx context.Context, in *bucketInput) (*countOutput, error) {
			if in.ID == "closed" {
				return nil, errs.New(errs.Conflict, "closed", "It is closed.")
			}
			u := transfer.UploadOf(ctx)
			n, err := io.Copy(io.Discard, u)
			if err != nil {
				failed <- err
				return nil, errs.New(errs.BadRequest, "incomplete", "It broke off.")
			}
			out := &countOutput{}
			out.Body.Bytes, out.Body.Length = n, u.Length
			return out, nil
		})
		httpd.Register(
			s, httpd.Route{Method: "GET", Path: "/buckets/{id}/file", Tag: "test", Summary: "Download", Access: httpd.SignedIn},
			func(_ context.Context, in *bucketInput) (*transfer.Download, error) {
				return transfer.NewDownload(s, transfer.Content{
					Open: func(_ context.Context, offset, length int64) (io.ReadCloser, error) {
						if in.ID == "away" {
							return nil, errs.ErrUnavailable
						}
						c := make(chan struct{})
						go func() { <-c; closed <- struct{}{} }()
						return closing{bytes.NewReader(file[offset : offset+length]), c}, nil
					},
					Size: int64(len(file)), ETag: `"sum"`, Type: "image/png", Disposition: "attachment",
				}), nil
			},
		)
		httpd.Register(
			s, httpd.Route{Method: "GET", Path: "/buckets/{id}/stream", Tag: "test", Summary: "Stream", Access: httpd.SignedIn},
			func(_ context.Context, in *bucketInput) (*transfer.Download, error) {
				timeout := time.Hour
				if in.ID == "short" {
					timeout = 300 * time.Millisecond
				}
				return transfer.NewStream(
					s,
					transfer.Stream{
						Body: endless{closed}, Type: "text/plain", Disposition: "attachment", Vary: "Accept", Timeout: timeout,
					},
				), nil
			},
		)
	}
}

func startStreams(t *testing.T) (*house, chan error, chan struct{}) {
	t.Helper()
	return startWithin(t, time.Minute)
}

// startWithin starts a server whose uploads may take as long as timeout.
func startWithin(t *testing.T, timeout time.Duration) (*house, chan error, chan struct{}) {
	t.Helper()
	failed, closed := make(chan error, 64), make(chan struct{}, 64)
	return start(t, streams(timeout, failed, closed)), failed, closed
}

func TestUpload(t *testing.T) {
	t.Parallel()
	h, _, _ := startStreams(t)
	for _, n := range []int{0, 1, 5000, 8 << 10, 1 << 20, uploadLimit} {
		a := h.do(t, "POST", "/api/v1/buckets/x/files", strings.Repeat("x", n), as("patient"))
		require.Equal(t, 201, a.StatusCode, a.body)
		require.JSONEq(t, fmt.Sprintf(`{"bytes":%d,"length":%[1]d}`, n), a.body)
	}
	chunked := h.do(t, "POST", "/api/v1/buckets/x/files/", strings.Repeat("x", 100_000), as("patient"),
		func(r *http.Request) {
			r.ContentLength = -1
			r.Body = io.NopCloser(strings.NewReader(strings.Repeat("y", 200_000)))
		})
	require.Equal(t, 201, chunked.StatusCode, chunked.body)
	require.JSONEq(t, `{"bytes":200000,"length":-1}`, chunked.body)
}

// The rest of a refused upload is not taken for a request, and the client gets to read why it was refused.
func TestUpload_RefusedIsDrained(t *testing.T) {
	t.Parallel()
	h, _, _ := startStreams(t)
	c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	require.NoError(t, err)
	defer c.Close()
	in := bufio.NewReader(c)
	smuggled := "GET /api/v1/admin/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\n\r\n"
	body := strings.Repeat(smuggled, 20_000)
	for _, to := range []struct{ path, token, status string }{
		{"/api/v1/buckets/closed/files", "patient", "409"},
		{"/api/v1/buckets/x/files", "nobody", "401"},
		{"/api/v1/buckets/x/files?%00", "patient", "422"},
		{"/api/v1/buckets/x/files", "patient", "201"},
	} {
		_, err = fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
			to.path, to.token, len(body), body)
		require.NoError(t, err)
		response, err := http.ReadResponse(in, nil)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, to.status, strconv.Itoa(response.StatusCode), to.path)
	}
	require.Zero(t, in.Buffered(), "each request has one answer")
}

func TestUpload_TooLargeIsRefusedUnread(t *testing.T) {
	t.Parallel()
	h, _, _ := startStreams(t)
	for path, length := range map[string]int{
		"/api/v1/buckets/x/files": 4*uploadLimit + 1, "/api/v1/items": 4096 + 1<<20 + 1, "/api/v1/buckets/x/files/more": uploadLimit,
		"/api/v1/buckets//files": uploadLimit,
	} {
		c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
		require.NoError(t, err)
		_, err = fmt.Fprintf(c,
			"POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer patient\r\nX-Housecall-Body-Refused: 1\r\nContent-Length: "+
				"%d\r\n\r\n",
			path, length)
		require.NoError(t, err)
		a, err := readResponse(c) //nolint:bodyclose // the connection is closed
		require.NoError(t, err)
		require.Equal(t, 413, a.StatusCode, path)
		require.True(t, a.Close, "the body would be taken for requests")
		require.NoError(t, c.Close())
	}
	a := h.do(t, "GET", "/api/v1/items", "", header("X-Housecall-Body-Refused", "1"))
	require.Equal(t, 204, a.StatusCode, "nobody can set it")
}

func TestUpload_CutOff(t *testing.T) {
	t.Parallel()
	h, failed, _ := startStreams(t)
	for _, head := range []string{"Content-Length: 100000", "Content-Length: 20000"} {
		c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
		require.NoError(t, err)
		_, err = fmt.Fprintf(c,
			"POST /api/v1/buckets/x/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer patient\r\n%s\r\n\r\n%s", head,
			strings.Repeat("x", 10_000))
		require.NoError(t, err)
		require.NoError(t, c.Close())
		require.Error(t, <-failed)
	}
}

// A client that sends slowly and forever is cut off at the deadline of uploads.
func TestUpload_EndlessEnds(t *testing.T) {
	t.Parallel()
	h, failed, _ := startWithin(t, 300*time.Millisecond)
	c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	require.NoError(t, err)
	defer c.Close()
	_, err = fmt.Fprintf(c,
		"POST /api/v1/buckets/x/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer patient\r\nTransfer-Encoding: "+
			"chunked\r\n\r\n1\r\nx\r\n")
	require.NoError(t, err)
	require.Error(t, <-failed)
	a, err := readResponse(c) //nolint:bodyclose // the connection is closed
	require.NoError(t, err)
	require.Equal(t, 400, a.StatusCode)
	require.True(t, a.Close)
}

// Many large uploads at once take much less memory than their size.
func TestUpload_Memory(t *testing.T) {
	h, failed, _ := startStreams(t)
	const clients = 20
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	conns := make([]net.Conn, clients)
	part := bytes.Repeat([]byte("x"), 64<<10)
	for i := range conns {
		c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		conns[i] = c
		_, err = fmt.Fprintf(c,
			"POST /api/v1/buckets/x/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer patient\r\nContent-Length: %d\r\n\r\n",
			uploadLimit)
		require.NoError(t, err)
		for range (uploadLimit - 1<<20) / len(part) {
			_, err = c.Write(part)
			require.NoError(t, err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&now)
	require.Less(t, int64(now.HeapAlloc)-int64(before.HeapAlloc), int64(16<<20), "of the 140 MiB that have come")
	for _, c := range conns {
		require.NoError(t, c.Close())
	}
	for range conns {
		require.Error(t, <-failed)
	}
}

// A stop waits for what is under way, but not for clients that take their time.
func TestServer_ShutdownCutsStreams(t *testing.T) {
	t.Parallel()
	h, failed, closed := startStreams(t)
	dial := func(request string) net.Conn {
		c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		_, err = io.WriteString(c, request)
		require.NoError(t, err)
		return c
	}
	dial(
		"POST /api/v1/buckets/x/files HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer patient\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat(
			"x", 9000,
		),
	)
	slow := dial("GET /api/v1/buckets/x/file HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer patient\r\n\r\n")
	_, err := io.CopyN(io.Discard, slow, 1000) // it has begun, and is more than buffers hold
	require.NoError(t, err)
	stream := dial("GET /api/v1/buckets/x/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer patient\r\n\r\n")
	_, err = io.CopyN(io.Discard, stream, 1000)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	require.NoError(t, h.Shutdown(ctx))
	require.Error(t, <-failed)
	<-closed
	<-closed
}
