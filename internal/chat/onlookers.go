package chat

import (
	"context"
	"maps"
	"sync"
	"time"
)

const (
	// onlookerPoll is how often the rights of onlookers are judged: within a second they are out, whatever the bus does.
	onlookerPoll = 500 * time.Millisecond
	// onlookerBudget is what that may take; where PostgreSQL takes longer, the clock alone decides.
	onlookerBudget = 400 * time.Millisecond
)

// onlookers are the sockets of administrators who broke the glass: each ends with the right to it.
type onlookers struct {
	mu   sync.Mutex // guards open
	open map[*conn]watching
}

// watching is what an onlooker reads, and until when he may, as far as is known.
type watching struct {
	onlooker
	until time.Time
}

func newOnlookers() *onlookers { return &onlookers{open: map[*conn]watching{}} }

// set notes what a socket reads.
func (o *onlookers) set(c *conn, w watching) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open[c] = w
}

func (o *onlookers) remove(c *conn) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.open, c)
}

// extend moves the end of a socket's right, if it is still open.
func (o *onlookers) extend(c *conn, until time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if w, ok := o.open[c]; ok {
		w.until = until
		o.open[c] = w
	}
}

func (o *onlookers) all() map[*conn]watching {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.open)
}

// onlookerLoop ends the sockets of onlookers whose right has ended, by the clock or by anybody.
func (s *Service) onlookerLoop() {
	s.every(onlookerPoll, s.judgeOnlookers)
}

func (s *Service) judgeOnlookers() {
	open := s.onlookers.all()
	if len(open) == 0 {
		return
	}
	who := make([]onlooker, 0, len(open))
	for _, w := range open {
		who = append(who, w.onlooker)
	}
	ctx, cancel := context.WithTimeout(s.ctx, onlookerBudget)
	defer cancel()
	rights, err := glassRights(ctx, s.d.Pool, who, s.d.Now())
	now := s.d.Now()
	for c, w := range open {
		if err == nil {
			w.until = rights[w.onlooker].until // zero where there is none any more
			s.onlookers.extend(c, w.until)
		}
		if !now.Before(w.until) {
			c.end(closeForbidden, "the right to read this conversation has ended", 0)
		}
	}
}
