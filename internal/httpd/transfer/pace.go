package transfer

import (
	"errors"
	"sync"
	"time"

	"housecall/internal/httpd"
)

// patience is how long a client may send or receive nothing before its connection is closed.
const patience = 15 * time.Second

var (
	errStopping = errors.New("transfer: the instance is stopping")
	errTooLong  = errors.New("transfer: the deadline has passed")
)

// pace extends the deadline of a connection as long as bytes move, up to a deadline for the whole transfer. When the
// instance stops, it ends the transfer, which might take minutes more.
type pace struct {
	server *httpd.Server
	set    func(time.Time) error // sets the connection's deadline, for reading or for writing

	mu      sync.Mutex // guards the rest, since Interrupt comes from another goroutine
	last    time.Time  // when the deadline was set
	until   time.Time  // the deadline of the whole transfer
	stopped bool
}

var _ httpd.Interruptible = (*pace)(nil)

// begin paces a transfer that may take no longer than most, until end is called.
func begin(s *httpd.Server, set func(time.Time) error, most time.Duration) *pace {
	p := &pace{server: s, set: set, until: time.Now().Add(most)}
	s.Track(p)
	return p
}

func (p *pace) end() { p.server.Untrack(p) }

// Interrupt implements httpd.Interruptible.
func (p *pace) Interrupt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	_ = p.set(time.Now()) // fails only on a closed connection, which does not matter
}

// extend gives the peer time for the next bytes.
func (p *pace) extend() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	switch {
	case p.stopped:
		return errStopping
	case !now.Before(p.until):
		return errTooLong
	case now.Sub(p.last) < time.Second:
		return nil
	}
	p.last = now
	deadline := now.Add(patience)
	if deadline.After(p.until) {
		deadline = p.until
	}
	return p.set(deadline)
}

// hurry limits the rest of the transfer to d.
func (p *pace) hurry(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(d); until.Before(p.until) {
		p.until, p.last = until, time.Time{}
	}
}
