package httpd

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

// FuzzHead: whatever is taken, net/http and fasthttp read in the same way, fasthttp also after it was made compact.
func FuzzHead(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /a?b=c HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 5\r\nConnection: a\r\nConnection:  b \r\n\r\n",
		"POST / HTTP/1.1\r\nhost:\r\nTransfer-Encoding: chunked\r\nUpgrade: x\r\n\r\n",
		"HEAD http://a/b HTTP/1.0\r\nX-Long: " + strings.Repeat("x", 3000) + "\r\n\r\n",
		"GET /" + strings.Repeat("y", 3000) + " HTTP/1.1\r\nHost: x\r\nCookie: a=b; c=d\r\nA: 1\r\nA: 2\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nConnection: x, Close\r\n\r\n",
		"BREW / HTTP/1.1\r\nHost: x\r\nTrailer: Content-Length\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var scan headScan
		end, bad := scan.next(b)
		if bad || end == 0 {
			return
		}
		h, status := parseHead(b[:end])
		if status != 0 {
			return
		}
		theirs, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b[:end])))
		if err != nil { // net/url and others refuse more
			return
		}
		require.Equal(t, theirs.Method, string(h.method))
		require.Equal(t, theirs.RequestURI, string(h.target))
		require.Equal(t, len(theirs.TransferEncoding) > 0, h.chunked)
		if !h.chunked {
			require.Equal(t, theirs.ContentLength, h.length)
		}
		compact, rest := h.compact(end)
		var seen fasthttp.Request
		if seen.Header.Read(bufio.NewReaderSize(bytes.NewReader(compact), maxHead)) != nil {
			return
		}
		if rest != nil {
			rest.restore(&seen)
		}
		require.Equal(t, theirs.Method, string(seen.Header.Method()))
		require.Equal(t, theirs.RequestURI, string(seen.Header.RequestURI()))
		for name, values := range theirs.Header {
			if name == "Connection" || name == "Upgrade" || name == "Cookie" || name == "Trailer" {
				continue
			}
			got := seen.Header.PeekAll(name)
			if len(got) == 1 { // fasthttp keeps the last one of some
				require.Equal(t, values[len(values)-1], string(got[0]), name)
				continue
			}
			require.Len(t, got, len(values), name)
			for i := range got {
				require.Equal(t, values[i], string(got[i]), name)
			}
		}
		require.Equal(t, h.chunked, seen.Header.ContentLength() == -1)
		if string(h.version) == "HTTP/1.1" {
			require.Equal(t, h.chunked || theirs.Close, seen.Header.ConnectionClose())
		}
		if h.length > 0 {
			require.EqualValues(t, h.length, seen.Header.ContentLength())
		}
	})
}

func TestHeadScan_bitByBit(t *testing.T) {
	t.Parallel()
	const text = "GET / HTTP/1.1\r\nHost: x\r\n\r\nbody"
	for n := range len(text) + 1 {
		var scan headScan
		for i := range n {
			end, bad := scan.next([]byte(text[:i+1]))
			require.False(t, bad)
			require.Equal(t, i+1 >= len(text)-4, end > 0)
		}
	}
}

// TestRequests_oneByOne: fasthttp sees one request after the other, however they arrive.
func TestRequests_oneByOne(t *testing.T) {
	t.Parallel()
	long := "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 5000) + "\r\n\r\n"
	all := []string{
		"GET /a HTTP/1.1\r\nHost: x\r\n\r\n", "POST /b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nGET ", long,
		"GET /c HTTP/1.1\r\nHost: x\r\n\r\n",
	}
	for _, size := range []int{1, 7, 1000, 100_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			in, out := net.Pipe()
			go func() {
				_, _ = io.WriteString(out, strings.Join(all, "\r\n")+"\r\n\r\n") // the reader below notices lost bytes
				_ = out.Close()
			}()
			r := &requests{conn: bits{in, size}, most: func([]byte, []byte) int64 { return 10 }}
			for _, want := range all {
				var got []byte
				p := make([]byte, headBuffer)
				for first := true; first || r.inside() || len(r.out) > 0; first = false {
					n, err := r.Read(p)
					require.NoError(t, err)
					got = append(got, p[:n]...)
				}
				if want == long {
					require.Equal(t, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", string(got))
					require.Len(t, r.aside.fields, 1)
					continue
				}
				require.Equal(t, want, string(got))
			}
			n, err := r.Read(make([]byte, headBuffer))
			require.ErrorIs(t, err, io.EOF)
			require.Zero(t, n)
		})
	}
}

// bits is a connection that gives only a few bytes at a time.
type bits struct {
	net.Conn

	most int
}

func (b bits) Read(p []byte) (int, error) { return b.Conn.Read(p[:min(len(p), b.most)]) }
