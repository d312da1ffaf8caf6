package chat

import (
	"context"
	"maps"
	"sync"
	"time"

	"housecall/internal/conversation"
)

const (
	// observerPoll is how often observers' access is checked, so that their connections end within a second of it,
	// with or without the bus.
	observerPoll = 500 * time.Millisecond
	// observerBudget is how long the check may take. If PostgreSQL is slower, only the clock decides.
	observerBudget = 400 * time.Millisecond
)

// observers are the connections of administrators with break-glass access. Each is closed when the access ends.
type observers struct {
	mu   sync.Mutex // guards open
	open map[*conn]watching
}

// watching is the conversation an observer reads, and when this instance thinks their access ends.
type watching struct {
	conversation.Observer
	until time.Time
}

func newObservers() *observers { return &observers{open: map[*conn]watching{}} }

// set records what a connection reads.
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

// extend changes when a connection's access ends, if the connection is still open.
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

// observerLoop closes the connections of observers whose access has expired or was ended.
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
			w.until = access[w.Observer] // zero if there is none left
			s.observers.extend(c, w.until)
		}
		if !now.Before(w.until) {
			c.end(closeForbidden, "your access to this conversation has ended", 0)
		}
	}
}
