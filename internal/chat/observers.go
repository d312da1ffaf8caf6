package chat

import (
	"context"
	"maps"
	"sync"
	"time"

	"housecall/internal/conversation"
)

const (
	// observerPoll is how often observers' access is checked, so that they are out within a second, bus or no bus.
	observerPoll = 500 * time.Millisecond
	// observerBudget is how long that may take; if PostgreSQL takes longer, the clock alone decides.
	observerBudget = 400 * time.Millisecond
)

// observers are the connections of administrators with break-glass access. Each ends when the access does.
type observers struct {
	mu   sync.Mutex // guards open
	open map[*conn]watching
}

// watching is what an observer reads, and until when they may, as far as this instance knows.
type watching struct {
	conversation.Observer
	until time.Time
}

func newObservers() *observers { return &observers{open: map[*conn]watching{}} }

// set notes what a connection reads.
func (o *observers) set(c *conn, w watching) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open[c] = w
}

func (o *observers) remove(c *conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.open, c)
}

// extend moves the end of a connection's access, if the connection is still open.
func (o *observers) extend(c *conn, until time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if w, ok := o.open[c]; ok {
		w.until = until
		o.open[c] = w
	}
}

func (o *observers) all() map[*conn]watching {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.open)
}

// observerLoop ends the connections of observers whose access has run out or was ended by somebody.
func (s *Service) observerLoop() { s.every(observerPoll, s.judgeObservers) }

func (s *Service) judgeObservers() {
	open := s.observers.all()
	if len(open) == 0 {
		return
	}
	who := make([]conversation.Observer, 0, len(open))
	for _, w := range open {
		who = append(who, w.Observer)
	}
	ctx, cancel := context.WithTimeout(s.ctx, observerBudget)
	defer cancel()
	access, err := s.d.Conversations.Access(ctx, who)
	now := s.d.Now()
	for c, w := range open {
		if err == nil {
			w.until = access[w.Observer] // zero if there is none any more
			s.observers.extend(c, w.until)
		}
		if !now.Before(w.until) {
			c.end(closeForbidden, "the right to read this conversation has ended", 0)
		}
	}
}
