package client

import (
	"net"
	"sync"
	"time"
)

// corkMax is how many bytes a corked wire keeps before it sends them anyway.
const corkMax = 16 << 10

// wire is the network connection below the WebSocket. While corked, it collects frames and sends them in one system
// call, so that the service can also read them in one.
type wire struct {
	net.Conn

	mu       sync.Mutex // guards what follows
	corked   bool
	pending  []byte
	deadline time.Time // of writes, as last set

	dial sync.Mutex // guards kept and dead
	kept bool
	dead bool
}

// keep ends the dialling; false means that it was abandoned before.
func (w *wire) keep() bool {
	w.dial.Lock()
	defer w.dial.Unlock()
	w.kept = true
	return !w.dead
}

// abandon closes the connection if it is still being dialled.
func (w *wire) abandon() {
	w.dial.Lock()
	defer w.dial.Unlock()
	if !w.kept {
		w.dead = true
		_ = w.Conn.Close()
	}
}

// SetWriteDeadline does nothing: the library would set a deadline for each frame, but we rarely need a new one.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }

// Write sends p, or keeps it until uncork.
func (w *wire) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.corked {
		return len(p), w.writeNow(p)
	}
	w.pending = append(w.pending, p...)
	if len(w.pending) < corkMax {
		return len(p), nil
	}
	return len(p), w.flush()
}

func (w *wire) cork() {
	w.mu.Lock()
	w.corked = true
	w.mu.Unlock()
}

func (w *wire) uncork() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.corked = false
	return w.flush()
}

func (w *wire) flush() error {
	if len(w.pending) == 0 {
		return nil
	}
	err := w.writeNow(w.pending)
	w.pending = w.pending[:0]
	return err
}

func (w *wire) writeNow(p []byte) error {
	if now := time.Now(); now.Add(writeTimeout / 2).After(w.deadline) {
		w.deadline = now.Add(writeTimeout)
		if err := w.Conn.SetWriteDeadline(w.deadline); err != nil {
			return err
		}
	}
	_, err := w.Conn.Write(p)
	return err
}
