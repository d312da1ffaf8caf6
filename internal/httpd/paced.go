package httpd

import (
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// PacedConn is a connection that the server has accepted. It passes requests on one by one, and lingers when it is
// closed in the middle of one. Whoever takes it over, such as a socket's handler, can limit how fast it is read: the
// rest waits at the sender, where it costs this process nothing.
type PacedConn struct {
	net.Conn

	pace     atomic.Pointer[rate.Limiter] // nil: no limit
	requests *requests                    // nil: bytes pass as they come
	taken    bool                         // no requests come any more
	inside   atomic.Bool                  // bytes of the present request may still come
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
	if c.requests != nil && !c.taken {
		n, err := c.requests.Read(b)
		c.inside.Store(c.requests.inside())
		return n, err
	}
	pace := c.pace.Load()
	if pace == nil {
		return c.readTaken(b)
	}
	if wait := pace.ReserveN(time.Now(), 0).Delay(); wait > 0 { // for what was read before
		<-time.After(wait)
	}
	n, err := c.readTaken(b[:min(len(b), pace.Burst())])
	pace.ReserveN(time.Now(), n)
	return n, err
}

// readTaken reads from a connection that was taken over, first what came right behind the request.
func (c *PacedConn) readTaken(b []byte) (int, error) {
	if c.requests != nil && len(c.requests.rest) > 0 {
		return c.requests.more(b)
	}
	c.requests = nil
	return c.Conn.Read(b)
}

// takeOver says that what follows are no requests.
func (c *PacedConn) takeOver() {
	c.taken = true
	c.inside.Store(false)
}

// Close implements net.Conn.
func (c *PacedConn) Close() error {
	if c.inside.Swap(false) {
		linger(c.Conn)
	}
	return c.Conn.Close()
}

// pacedListener accepts connections that can be paced.
type pacedListener struct {
	net.Listener

	most func(method, target []byte) int64
}

// Accept implements net.Listener.
func (l pacedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // the server checks the kind of the error
	}
	return &PacedConn{Conn: c, requests: &requests{conn: c, most: l.most}}, nil
}
