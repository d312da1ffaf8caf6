package httpd

import (
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// PacedConn is a connection that the server has accepted. Whoever takes it over, such as a socket's handler, can limit
// how fast it is read: the rest waits at the sender, where it costs this process nothing.
type PacedConn struct {
	net.Conn

	pace atomic.Pointer[rate.Limiter] // nil: no limit
}

// Pace limits reading from now on to a number of bytes per second, after a burst. Both must be positive. The system
// buffers about one burst of what waits.
func (c *PacedConn) Pace(bytesPerSecond, burst int) {
	if tcp, ok := c.Conn.(interface{ SetReadBuffer(bytes int) error }); ok {
		_ = tcp.SetReadBuffer(burst) // otherwise the system buffers megabytes
	}
	c.pace.Store(rate.NewLimiter(rate.Limit(bytesPerSecond), burst))
}

// Read implements net.Conn.
func (c *PacedConn) Read(b []byte) (int, error) {
	pace := c.pace.Load()
	if pace == nil {
		return c.Conn.Read(b)
	}
	if wait := pace.ReserveN(time.Now(), 0).Delay(); wait > 0 { // for what was read before
		<-time.After(wait)
	}
	n, err := c.Conn.Read(b[:min(len(b), pace.Burst())])
	pace.ReserveN(time.Now(), n)
	return n, err
}

// pacedListener accepts connections that can be paced.
type pacedListener struct{ net.Listener }

// Accept implements net.Listener.
func (l pacedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // the server checks the kind of the error
	}
	return &PacedConn{Conn: c}, nil
}
