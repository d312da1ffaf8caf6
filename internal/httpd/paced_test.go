package httpd

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestPacedConn: a burst passes at once, the rest at the set pace, and nothing is lost.
func TestPacedConn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pace, burst int
		least, most time.Duration // how long 100,000 bytes take
	}{
		"not paced":         {0, 0, 0, 0},
		"more than comes":   {1, 100_000, 0, 0},
		"a burst, then":     {10_000, 50_000, 4 * time.Second, 5 * time.Second},
		"hardly at once":    {50_000, 100, 1900 * time.Millisecond, 2 * time.Second},
		"faster than comes": {1 << 40, 4096, 0, time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				in, out := net.Pipe()
				paced := &PacedConn{Conn: in}
				if c.pace > 0 {
					paced.Pace(c.pace, c.burst)
				}
				go func() {
					_, _ = out.Write(make([]byte, 100_000)) // the reader below notices lost bytes
					_ = out.Close()
				}()
				started := time.Now()
				got, err := io.ReadAll(paced)
				require.NoError(t, err)
				require.Len(t, got, 100_000)
				require.GreaterOrEqual(t, time.Since(started), c.least)
				require.LessOrEqual(t, time.Since(started), c.most)
			})
		})
	}
}
