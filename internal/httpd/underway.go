package httpd

import "sync"

// Interruptible is work that outlasts its handler or waits for its client, and that a stop must not wait for.
type Interruptible interface {
	// Interrupt ends the work soon. It may be called from any goroutine and does not wait.
	Interrupt()
}

// underway is what a stop interrupts.
type underway struct {
	mu          sync.Mutex // guards the rest
	all         map[Interruptible]struct{}
	interrupted bool
}

// Track has a stop interrupt x, from half of the stop's time on, until Untrack; at once if that has passed.
func (s *Server) Track(x Interruptible) {
	u := &s.underway
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all == nil {
		u.all = map[Interruptible]struct{}{}
	}
	u.all[x] = struct{}{}
	if u.interrupted {
		x.Interrupt()
	}
}

// Untrack says that x is over.
func (s *Server) Untrack(x Interruptible) {
	s.underway.mu.Lock()
	defer s.underway.mu.Unlock()
	delete(s.underway.all, x)
}

// interrupt ends all: clients come back elsewhere, and continue a download where it broke off.
func (u *underway) interrupt() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.interrupted = true
	for x := range u.all {
		x.Interrupt()
	}
}
