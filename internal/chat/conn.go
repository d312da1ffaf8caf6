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
	queueBytes   = 2 << 20          // queued for a slow reader, before its connection is closed
	writeTimeout = 10 * time.Second // of one write to a connection
	closeTimeout = 2 * time.Second  // for the peer's answer to a close
	coalesce     = 32 << 10         // small frames are joined into writes of about this size

	// burst is how many seconds' worth of the sustained rate may come at once.
	burst = 5
	// readPerMessage is how many bytes a second are read for each message a connection may send per second: 4,000
	// characters take up to that many in UTF-8. It is needed because the limit on frames does not count fragments.
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

// closeCodes are all of them; asyncapi.json describes each.
var closeCodes = []closeCode{
	closeNormal, closeRestart, closeSlow, closeSilent, closeLimits, closeProtocol, closeAuth, closeForbidden, closeTooBig,
	closeFault,
}

// reader is what a connection reads messages from: contrib's *websocket.Conn.
type reader interface {
	NextReader() (messageType int, r io.Reader, err error)
}

// textMessage is the message type that a reader gives for text (RFC 6455, 11.8).
const textMessage = 1

// conn is one connection. Reads go through the WebSocket library, writes as whole frames straight to the TCP
// connection, which unlike the library's wrappers is never pooled and so never becomes somebody else's. A
// writer goroutine runs only while there is something to write. The handler (accept) outlives both.
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
	expires  atomic.Int64 // Unix seconds of the token's end
	warned   atomic.Bool  // authExpiring was sent for this token, or must not be sent yet
	messages *rate.Limiter
	frames   *rate.Limiter
	within   bool // inside a message; touched by the reader only

	mu      sync.Mutex // guards all below
	queue   []wire
	bytes   int           // queued or being written
	writing bool          // a writer goroutine runs
	closing bool          // bye is queued or the peer has left: nothing more is accepted
	drained chan struct{} // closes when the queue has room for deliverPaced, if it waits
	writer  sync.WaitGroup
}

// connPorts are what every connection needs of the service.
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
	c.warned.Store(true) // hello comes first
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
		c.queue = nil // lost to this connection, not to the client: it resumes
		c.endLocked(closeSlow, "the client reads too slowly", 0)
		return
	}
	c.startLocked()
}

// deliverPaced queues frames for a client that is catching up, and waits while the queue is long: history may exceed
// the queue's bound. It returns false once the connection is closing.
func (c *conn) deliverPaced(frames ...wire) bool {
	for _, f := range frames {
		c.mu.Lock()
		for c.bytes > queueBytes/4 && !c.closing {
			wait := make(chan struct{})
			c.drained = wait
			c.mu.Unlock()
			<-wait // the writer's deadline bounds this
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

// end sends bye and the close frame, and gives the peer a moment to answer. Calls after the first do nothing.
func (c *conn) end(code closeCode, reason string, reconnectAfter time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		c.endLocked(code, reason, reconnectAfter)
	}
}

// overLimit ends the connection because it is over a limit.
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
	c.pace(readEnded)                    // or a flood would be read as fast as it arrives
	_ = c.raw.SetReadDeadline(deadline)  // frees the reader
	_ = c.raw.SetWriteDeadline(deadline) // frees a writer that is stuck on a slow peer
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
			_ = c.raw.SetWriteDeadline(time.Now().Add(writeTimeout)) // an error shows in the write
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
			_ = c.raw.Close() // the reader notices, and the handler ends
		}
		c.metrics.delivered.Add(float64(len(batch)))
	}
}

// writeAll writes frames in few calls, each of whole frames only. size is what they counted for in c.bytes.
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

// receive hands every text frame to handle until the connection ends. The bytes are valid only during the call. Once
// the connection is closing it discards what comes, so that the peer can read bye before a reset kills it.
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
			c.end(closeProtocol, "only text frames are understood", 0)
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

// readFrame reads one message of at most MaxFrameBytes into a pooled buffer and hands it over.
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
			return err //nolint:wrapcheck // it just ends the loop
		}
	}
}

// sign notes a sign of life from the peer.
func (c *conn) sign() { c.lastSeen.Store(time.Now().Unix()) }

// control notes a ping or a pong. Inside a message it is no sign of life, or a message that never ends would keep its
// connection alive.
func (c *conn) control() {
	if !c.within {
		c.sign()
	}
}

// expel ends a connection whose user may no longer read.
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
