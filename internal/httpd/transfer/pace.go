package transfer

import (
	"errors"
	"sync"
	"time"

	"housecall/internal/httpd"
)

// patience is how long a client may send or take nothing before its connection is given up.
const patience = 15 * time.Second

var (
	errStopping = errors.New("transfer: the instance is stopping")
	errTooLong  = errors.New("transfer: the deadline has passed")
)

// pace moves the deadline of a connection on as long as bytes move, up to a deadline for the whole. It also ends with
// its instance: a transfer may take minutes, which a stop does not have.
type pace struct {
	server *httpd.Server
	set    func(time.Time) error // sets the connection's deadline, for reading or for writing

	mu      sync.Mutex // guards the rest: a stop comes from another goroutine
	last    time.Time  // when the deadline was set
	until   time.Time  // the deadline of the whole
	stopped bool
}

var _ httpd.Interruptible = (*pace)(nil)

// begin paces a transfer that takes no longer than most, until its end is called.
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
	_ = p.set(time.Now()) // a closed connection needs none
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

// hurry leaves the transfer no longer than d.
func (p *pace) hurry(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(d); until.Before(p.until) {
		p.until, p.last = until, time.Time{}
	}
}
