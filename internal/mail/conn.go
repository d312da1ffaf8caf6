package mail

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// How long the server may take to answer (RFC 5321, 4.5.3.2). The last is so long because a server that has the
// message may still be checking it: who goes too early sends it again, and it arrives twice.
const (
	dialTimeout   = 30 * time.Second // RFC 5321 says nothing of it
	answerTimeout = 5 * time.Minute  // the greeting, MAIL, RCPT, and what comes before MAIL
	dataTimeout   = 2 * time.Minute  // DATA
	blockTimeout  = 3 * time.Minute  // each piece of the message that is written
	finalTimeout  = 10 * time.Minute // the final dot
	quitTimeout   = 10 * time.Second // QUIT: the message is delivered, so there is nothing to wait for
)

// SendTimeout bounds Send of an SMTP, whatever the server does.
const SendTimeout = 20 * time.Minute

// conn is a connection that gives each answer of the server its time, and closes when its caller's context ends.
type conn struct {
	net.Conn
	stop    func() bool
	patient atomic.Int64 // how long a read may take, in nanoseconds
}

// newConn wraps an open connection.
func newConn(caller context.Context, inner net.Conn) *conn {
	c := &conn{Conn: inner, stop: context.AfterFunc(caller, func() { _ = inner.Close() })}
	c.wait(answerTimeout)
	return c
}

// wait sets how long the next answers may take.
func (c *conn) wait(t time.Duration) { c.patient.Store(int64(t)) }

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(time.Duration(c.patient.Load()))); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

// Write implements net.Conn.
func (c *conn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(blockTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// SetDeadline implements net.Conn. It does nothing: the library would set one for all that follows.
func (c *conn) SetDeadline(time.Time) error { return nil }

// Close implements net.Conn.
func (c *conn) Close() error {
	c.stop()
	return c.Conn.Close()
}
