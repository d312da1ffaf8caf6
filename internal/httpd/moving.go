package httpd

import (
	"errors"
	"sync"
	"time"
)

// errStopping is what a stream reads while its instance stops.
var errStopping = errors.New("httpd: the instance stops")

// errTooLong is what a stream reads that has taken longer than any may.
var errTooLong = errors.New("httpd: this took too long")

// movings are the bodies, of requests and answers, that are on their way now. They may take minutes, which a stop does
// not have.
type movings struct {
	mu      sync.Mutex // guards the rest
	all     map[*moving]struct{}
	stopped bool
}

// moving is one of them. It has the deadline of its connection move on as long as bytes do.
type moving struct {
	set func(time.Time) error // the deadline of the connection, reading or writing
	of  *movings

	mu      sync.Mutex // guards the rest: a stop comes from elsewhere
	last    time.Time  // when it was set
	until   time.Time  // no later than this
	stopped bool
}

// begin adds one that takes no longer than at most.
func (m *movings) begin(set func(time.Time) error, most time.Duration) *moving {
	one := &moving{set: set, of: m, until: time.Now().Add(most)}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.all == nil {
		m.all = map[*moving]struct{}{}
	}
	m.all[one] = struct{}{}
	one.stopped = m.stopped
	return one
}

// cut ends all: clients come back elsewhere, a download where it broke off.
func (m *movings) cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = true
	for one := range m.all {
		one.stop()
	}
}

func (o *moving) end() {
	o.of.mu.Lock()
	defer o.of.mu.Unlock()
	delete(o.of.all, o)
}

func (o *moving) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stopped = true
	_ = o.set(time.Now()) // a connection that is closed needs none
}

// extend gives the peer time for the next bytes.
func (o *moving) extend() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	switch {
	case o.stopped:
		return errStopping
	case !now.Before(o.until):
		return errTooLong
	case now.Sub(o.last) < time.Second:
		return nil
	}
	o.last = now
	deadline := now.Add(patience)
	if deadline.After(o.until) {
		deadline = o.until
	}
	return o.set(deadline)
}

// hurry leaves it no longer than d.
func (o *moving) hurry(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if until := time.Now().Add(d); until.Before(o.until) {
		o.until, o.last = until, time.Time{}
	}
}
