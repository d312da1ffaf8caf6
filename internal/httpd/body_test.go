package httpd_test

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Bodies are limited, however they are sent.
func TestServer_BodyLimitHoldsForChunks(t *testing.T) {
	t.Parallel()
	h := start(t)
	for _, n := range []int{5000, 1 << 20, 3 << 20} {
		c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
		require.NoError(t, err)
		_, err = fmt.Fprintf(c, "POST /api/v1/items HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
		require.NoError(t, err)
		var sending sync.WaitGroup
		sending.Go(func() { // it may fail
			_, _ = fmt.Fprintf(c, "%x\r\n%s\r\n0\r\n\r\n", n, strings.Repeat("x", n))
		})
		a, err := readResponse(c)
		require.NoError(t, err)
		require.Equal(t, 413, a.StatusCode, n)
		require.NoError(t, c.Close())
		sending.Wait()
	}
}
