package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fasthttp/websocket"
)

// Cursor is a place in a conversation's log: the last event processed, and its epoch, as hello named it. The zero
// value asks for the last 50 events and what follows.
type Cursor struct {
	Seq   int64
	Epoch string
	Set   bool // Seq applies, even if it is 0: then everything from the first event on
}

func (c Cursor) query() url.Values {
	q := url.Values{}
	if c.Set {
		q.Set("after", strconv.FormatInt(c.Seq, 10))
	}
	if c.Set && c.Epoch != "" {
		q.Set("epoch", c.Epoch)
	}
	return q
}

// CloseError says how the service ended a connection: a close code of PROTOCOL.md (or of RFC 6455, section 7.4).
type CloseError struct {
	Code   int
	Reason string
}

// Error implements error.
func (e *CloseError) Error() string {
	return fmt.Sprintf("the service closed the connection: %d %s", e.Code, e.Reason)
}

const (
	dialTimeout   = 10 * time.Second
	writeTimeout  = 10 * time.Second
	closeTimeout  = 500 * time.Millisecond
	frameBytesMax = 1 << 20 // far above what the service sends
)

// writeBuffers is shared: a connection needs a buffer only while it writes a frame.
var writeBuffers sync.Pool

// Conn is one WebSocket connection that does not reconnect, for tests and for idle load. One goroutine may read while
// others write; any may call Close.
type Conn struct {
	ws   *websocket.Conn
	wire *wire
	buf  []byte // the reader's, reused

	writing sync.Mutex // one frame at a time

	deadline sync.Mutex // guards touched and closing
	idle     atomic.Int64
	touched  time.Time
	closing  bool
}

// Dial opens an appointment's socket. A refusal before the upgrade is a *Problem. Cancelling ctx stops the dialling,
// not the connection.
func Dial(ctx context.Context, a *API, appointmentID string, from Cursor) (*Conn, error) {
	token, err := a.Token(ctx)
	if err != nil {
		return nil, err
	}
	return dial(ctx, a, token, appointmentID, from)
}

func dial(ctx context.Context, a *API, token, appointmentID string, from Cursor) (*Conn, error) {
	u := a.base.JoinPath("/ws/appointments", appointmentID)
	u.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
	u.RawQuery = from.query().Encode()
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var w *wire
	dialer := websocket.Dialer{
		ReadBufferSize: 2 << 10, WriteBufferSize: 4 << 10, WriteBufferPool: &writeBuffers,
		Subprotocols: []string{"housecall.v1"},
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			raw, err := (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			w = &wire{Conn: raw}
			context.AfterFunc(ctx, w.abandon) // the library heeds only ctx's deadline
			return w, nil
		},
	}
	header := http.Header{"Authorization": {"Bearer " + token}, "User-Agent": {a.agent}}
	ws, resp, err := dialer.DialContext(ctx, u.String(), header)
	if resp != nil {
		defer func() { _ = resp.Body.Close() }()
	}
	switch {
	case err != nil && resp != nil:
		return nil, fmt.Errorf("open the conversation: %w", problemOf(resp))
	case err != nil:
		return nil, fmt.Errorf("open the conversation: %w", err)
	case !w.keep():
		return nil, fmt.Errorf("open the conversation: %w", ctx.Err())
	}
	ws.SetReadLimit(frameBytesMax)
	c := &Conn{ws: ws, wire: w}
	ws.SetPingHandler(func(data string) error {
		c.touch()
		err := ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
		if errors.Is(err, websocket.ErrCloseSent) {
			return nil // the answer to our close has yet to come
		}
		return err
	})
	return c, nil
}

// SetIdleTimeout makes a read fail after that long without any frame, pings included; 0 waits forever.
func (c *Conn) SetIdleTimeout(d time.Duration) {
	c.idle.Store(int64(d))
	c.deadline.Lock()
	c.touched = time.Time{}
	c.deadline.Unlock()
	c.touch()
}

// touch extends the read deadline, but not for every frame: that would cost more than reading it.
func (c *Conn) touch() {
	idle := time.Duration(c.idle.Load())
	if idle == 0 {
		return
	}
	now := time.Now()
	c.deadline.Lock()
	defer c.deadline.Unlock()
	if c.closing || now.Sub(c.touched) < idle/8 {
		return
	}
	c.touched = now
	_ = c.ws.SetReadDeadline(now.Add(idle)) // fails only on a closed connection, and so will the read
}

// ReadFrame waits for the next frame. A close by the service is a *CloseError.
func (c *Conn) ReadFrame(f *Frame) error {
	raw, err := c.ReadRaw()
	if err != nil {
		return err
	}
	return decode(raw, f)
}

// ReadRaw is ReadFrame without decoding; the bytes are valid until the next read.
func (c *Conn) ReadRaw() ([]byte, error) {
	_, r, err := c.ws.NextReader()
	if err != nil {
		return nil, readError(err)
	}
	if c.buf == nil {
		c.buf = make([]byte, 0, 512)
	}
	buf := c.buf[:0]
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, readError(err)
		}
	}
	c.buf = buf
	c.touch()
	return buf, nil
}

func readError(err error) error {
	var closed *websocket.CloseError
	if errors.As(err, &closed) {
		return &CloseError{Code: closed.Code, Reason: closed.Text}
	}
	return fmt.Errorf("read from the conversation: %w", err)
}

// WriteFrame sends one frame, a JSON object.
func (c *Conn) WriteFrame(raw []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.ws.WriteMessage(websocket.TextMessage, raw); err != nil {
		return fmt.Errorf("write to the conversation: %w", err)
	}
	return nil
}

// leave says goodbye with code 1000 and lets the reader wait a moment for the answer.
func (c *Conn) leave() {
	now := time.Now()
	_ = c.wire.Conn.SetWriteDeadline(now.Add(closeTimeout)) // also releases a stuck writer
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = c.ws.WriteControl(websocket.CloseMessage, bye, now.Add(closeTimeout)) // best effort: we leave anyway
	c.deadline.Lock()
	defer c.deadline.Unlock()
	c.closing = true
	_ = c.ws.SetReadDeadline(time.Now().Add(closeTimeout))
}

// Close ends the connection. It tries to say goodbye, but does not wait for the answer.
func (c *Conn) Close() error {
	c.leave()
	return c.wire.Close()
}

// Cut ends the connection as a broken network would: without a goodbye.
func (c *Conn) Cut() error { return c.wire.Close() }
