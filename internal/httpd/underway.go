package httpd

import "sync"

// Interruptible is work that outlasts its handler or waits for its client, so that a stop must not wait for it.
type Interruptible interface {
	// Interrupt ends the work soon. It may be called from any goroutine and does not wait.
	Interrupt()
}

// underway holds the work that a stop interrupts.
type underway struct {
	mu          sync.Mutex // guards the rest
	all         map[Interruptible]struct{}
	interrupted bool
}

// Track has a stop interrupt x after half of the stop's time, until Untrack is called; at once if that time has
// passed.
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

// interrupt interrupts all tracked work: clients come back to another instance, and resume downloads where they broke
// off.
func (u *underway) interrupt() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.interrupted = true
	for x := range u.all {
		x.Interrupt()
	}
}
