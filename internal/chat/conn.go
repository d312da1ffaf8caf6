package chat

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/time/rate"

	"housecall/internal/auth"
	"housecall/internal/httpd"
)

const (
	queueBytes   = 2 << 20          // may wait for a slow reader before its connection is closed
	writeTimeout = 10 * time.Second // for one write to a connection
	closeTimeout = 2 * time.Second  // for the peer's answer to a close
	coalesce     = 32 << 10         // small frames are joined into writes of about this size

	// burst is how many seconds' worth of the sustained rate may arrive at once.
	burst = 5
	// readPerMessage is how many bytes a second a connection may send for each message it may send per second: 4,000
	// characters take up to that many in UTF-8. The limit on frames is not enough, because it does not count
	// fragments.
	readPerMessage = 16 << 10
	// readEnded is how many bytes a second are read from a connection being closed, while its client may answer.
	readEnded = MaxFrameBytes
	// readAtOnce is how many bytes are read without a pause.
	readAtOnce = 2 * MaxFrameBytes
)

// closeCode is a WebSocket close code (RFC 6455, 7.4); those from 4000 on are our protocol's own.
type closeCode int

const (
	closeNormal    closeCode = 1000
	closeRestart   closeCode = 1012
	closeSlow      closeCode = 4008
	closeSilent    closeCode = 4009
	closeLimits    closeCode = 4029
	closeProtocol  closeCode = 4400
	closeAuth      closeCode = 4401
	closeForbidden closeCode = 4403
	closeTooBig    closeCode = 4413
	closeFault     closeCode = 4500
)

// closeCodes lists all close codes; asyncapi.json describes each.
var closeCodes = []closeCode{
	closeNormal, closeRestart, closeSlow, closeSilent, closeLimits, closeProtocol, closeAuth, closeForbidden, closeTooBig,
	closeFault,
}

// reader is where a connection reads messages from: contrib's *websocket.Conn.
type reader interface {
	NextReader() (messageType int, r io.Reader, err error)
}

// textMessage is the type that a reader returns for text messages (RFC 6455, 11.8).
const textMessage = 1

// conn is one connection. Reads go through the WebSocket library. Writes go straight to the TCP connection, as whole
// frames: the library's wrappers are pooled and may be reused for another client, the TCP connection is not. A writer
// goroutine runs only while there is something to write. The handler (accept) outlives the reader and the writer.
type conn struct {
	id      string
	raw     net.Conn
	in      reader
	address string
	until   time.Time // when an observer's access ended, as known when they connected; zero for participants
	metrics *metrics
	now     func() time.Time

	lastSeen atomic.Int64 // Unix seconds of the last sign of life
	actor    atomic.Pointer[auth.Actor]
	expires  atomic.Int64 // Unix seconds when the token expires
	warned   atomic.Bool  // authExpiring has been sent for this token, or must not be sent yet
	messages *rate.Limiter
	frames   *rate.Limiter
	within   bool // inside a message; only the reader uses it

	mu      sync.Mutex // guards all below
	queue   []wire
	bytes   int           // queued or being written
	writing bool          // a writer goroutine is running
	closing bool          // bye is queued or the peer has left, so nothing more is queued
	drained chan struct{} // closed when the queue has room, if deliverPaced is waiting
	writer  sync.WaitGroup
}

// connPorts are what every connection needs from the service.
type connPorts struct {
	perSecond int // messages
	metrics   *metrics
	now       func() time.Time
}

func newConn(raw net.Conn, in reader, a *admission, p connPorts) *conn {
	perSecond := p.perSecond
	c := &conn{
		id: uuid.NewString(), raw: raw, in: in, address: a.address, until: a.until, metrics: p.metrics, now: p.now,
		messages: rate.NewLimiter(rate.Limit(perSecond), burst*perSecond),
		frames:   rate.NewLimiter(rate.Limit(frameFlood*perSecond), frameFlood*burst*perSecond),
	}
	actor := a.actor
	c.actor.Store(&actor)
	c.expires.Store(a.expires.Unix())
	c.warned.Store(true) // hello must be first
	c.pace(perSecond * readPerMessage)
	c.sign()
	return c
}

// pace bounds how fast the connection is read, if it supports that.
func (c *conn) pace(bytesPerSecond int) {
	if paced, ok := c.raw.(*httpd.PacedConn); ok {
		paced.Pace(bytesPerSecond, readAtOnce)
	}
}

// deliver queues frames in order and never blocks. A queue over its bound closes the connection with 4008.
func (c *conn) deliver(frames ...wire) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return
	}
	for _, f := range frames {
		c.queue = append(c.queue, f)
		c.bytes += len(f)
	}
	if c.bytes > queueBytes {
		c.queue = nil // the client loses nothing: it resumes on its next connection
		c.endLocked(closeSlow, "the client reads too slowly", 0)
		return
	}
	c.startLocked()
}

// deliverPaced queues frames for a client that is catching up. It waits while the queue is long, because the history
// may exceed the queue's bound. It returns false once the connection is closing.
func (c *conn) deliverPaced(frames ...wire) bool {
	for _, f := range frames {
		c.mu.Lock()
		for c.bytes > queueBytes/4 && !c.closing {
			wait := make(chan struct{})
			c.drained = wait
			c.mu.Unlock()
			<-wait // bounded by the writer's deadline
			c.mu.Lock()
		}
		if c.closing {
			c.mu.Unlock()
			return false
		}
		c.queue = append(c.queue, f)
		c.bytes += len(f)
		c.startLocked()
		c.mu.Unlock()
	}
	return true
}

// end sends bye and the close frame, and gives the peer a moment to answer. Later calls do nothing.
func (c *conn) end(code closeCode, reason string, reconnectAfter time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		c.endLocked(code, reason, reconnectAfter)
	}
}

// overLimit closes the connection for exceeding a limit.
func (c *conn) overLimit(limit, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		c.metrics.limited.WithLabelValues(limit).Inc()
		c.endLocked(closeLimits, reason, 0)
	}
}

func (c *conn) endLocked(code closeCode, reason string, reconnectAfter time.Duration) {
	c.closing = true
	c.metrics.countClose(code)
	c.queue = append(c.queue,
		encode(byeFrame{Code: code, Reason: reason, ReconnectAfterMs: reconnectAfter.Milliseconds()}),
		encodeClose(code, reason))
	deadline := time.Now().Add(closeTimeout)
	c.pace(readEnded)                    // otherwise a flood would be read as fast as it arrives
	_ = c.raw.SetReadDeadline(deadline)  // unblocks the reader
	_ = c.raw.SetWriteDeadline(deadline) // unblocks a writer stuck on a slow peer
	c.startLocked()
}

// startLocked starts a writer unless one is running.
func (c *conn) startLocked() {
	if c.writing || len(c.queue) == 0 {
		return
	}
	c.writing = true
	c.writer.Add(1)
	go c.write()
}

var writeBuffers = sync.Pool{New: func() any { b := make([]byte, 0, coalesce); return &b }}

// write sends what is queued, and ends when the queue is empty.
func (c *conn) write() {
	defer c.writer.Done()
	for {
		c.mu.Lock()
		batch := c.queue
		c.queue = nil
		if c.drained != nil && (c.closing || c.bytes <= queueBytes/4 || len(batch) == 0) {
			close(c.drained)
			c.drained = nil
		}
		if len(batch) == 0 {
			c.writing = false
			c.mu.Unlock()
			return
		}
		if !c.closing {
			_ = c.raw.SetWriteDeadline(time.Now().Add(writeTimeout)) // if this fails, so does the write
		}
		c.mu.Unlock()
		size, err := c.writeAll(batch)
		c.mu.Lock()
		c.bytes -= size
		if err != nil && !c.closing {
			c.closing = true
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.metrics.countClose(closeSlow) // its client cannot be told any more
			}
		}
		c.mu.Unlock()
		if err != nil {
			_ = c.raw.Close() // the reader notices, and the handler returns
		}
		c.metrics.delivered.Add(float64(len(batch)))
	}
}

// writeAll writes frames in few calls, each with whole frames only. size is their share of c.bytes.
func (c *conn) writeAll(batch []wire) (size int, err error) {
	for _, f := range batch {
		size += len(f)
	}
	if len(batch) == 1 {
		_, err = c.raw.Write(batch[0])
		return size, err
	}
	pooled, _ := writeBuffers.Get().(*[]byte) // it holds nothing else
	defer writeBuffers.Put(pooled)
	buf := (*pooled)[:0]
	for _, f := range batch {
		if len(buf)+len(f) > cap(buf) && len(buf) > 0 {
			if _, err = c.raw.Write(buf); err != nil {
				return size, err
			}
			buf = buf[:0]
		}
		if len(f) > cap(buf) {
			if _, err = c.raw.Write(f); err != nil {
				return size, err
			}
			continue
		}
		buf = append(buf, f...)
	}
	if len(buf) > 0 {
		_, err = c.raw.Write(buf)
	}
	return size, err
}

// finish waits for the writer. After it, nothing touches the connection.
func (c *conn) finish() {
	c.mu.Lock()
	c.closing = true
	_ = c.raw.SetWriteDeadline(time.Now().Add(closeTimeout))
	c.mu.Unlock()
	c.writer.Wait()
}

var readBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

var errTooBig = errors.New("frame too big")

// receive passes every text frame to handle until the connection ends. The bytes are valid only during the call. Once
// the connection is closing, receive discards incoming frames: leaving them unread could reset the connection before
// the peer has read bye.
func (c *conn) receive(handle func(frame []byte)) {
	for {
		kind, r, err := c.in.NextReader()
		if err != nil {
			return
		}
		c.sign()
		c.within = true
		switch {
		case c.isClosing():
			_, err = io.Copy(io.Discard, r)
		case kind != textMessage:
			c.end(closeProtocol, "only text frames are accepted", 0)
		default:
			err = readFrame(r, handle)
		}
		c.within = false
		c.sign()
		switch {
		case errors.Is(err, errTooBig):
			c.end(closeTooBig, "a frame has at most 64 KiB", 0)
		case err != nil:
			return
		}
	}
}

func (c *conn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

// readFrame reads one message of at most MaxFrameBytes into a pooled buffer and passes it to handle.
func readFrame(r io.Reader, handle func([]byte)) error {
	pooled, _ := readBuffers.Get().(*[]byte) // it holds nothing else
	buf := (*pooled)[:0]
	defer func() {
		if cap(buf) <= MaxFrameBytes {
			*pooled = buf
		}
		readBuffers.Put(pooled)
	}()
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(buf) > MaxFrameBytes {
			return errTooBig
		}
		if errors.Is(err, io.EOF) {
			handle(buf)
			return nil
		}
		if err != nil {
			return err //nolint:wrapcheck // it only ends the loop
		}
	}
}

// sign records a sign of life from the peer.
func (c *conn) sign() { c.lastSeen.Store(time.Now().Unix()) }

// control handles a ping or a pong. Inside a message it is not a sign of life; otherwise a message that never ends
// would keep its connection alive.
func (c *conn) control() {
	if !c.within {
		c.sign()
	}
}

// expel closes a connection whose user may no longer read.
func (c *conn) expel() { c.end(closeForbidden, "no longer a participant", 0) }

// answerClose answers the peer's close frame (RFC 6455, 5.5.1), unless it was itself an answer.
func (c *conn) answerClose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		c.closing = true
		c.queue = append(c.queue, encodeClose(closeNormal, ""))
		c.startLocked()
	}
}
