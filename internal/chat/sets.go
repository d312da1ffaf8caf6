package chat

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// burst is how many times the sustained rate may come at once.
const burst = 5

// roomSet collects rooms for a loop; wake has a token while it is not empty.
type roomSet struct {
	wake chan struct{}
	mu   sync.Mutex // guards ids
	ids  map[int64]struct{}
}

func newRoomSet() *roomSet { return &roomSet{wake: make(chan struct{}, 1), ids: map[int64]struct{}{}} }

func (s *roomSet) add(id int64) {
	s.mu.Lock()
	s.ids[id] = struct{}{}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// later adds a room after a while.
func (s *roomSet) later(id int64, wait time.Duration) { time.AfterFunc(wait, func() { s.add(id) }) }

// take empties the set.
func (s *roomSet) take() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ids) == 0 {
		return nil
	}
	out := make([]int64, 0, len(s.ids))
	for id := range s.ids {
		out = append(out, id)
	}
	clear(s.ids)
	return out
}

// windows knows when conversations close by the clock.
type windows struct {
	mu    sync.Mutex // guards until
	until map[int64]time.Time
}

func newWindows() *windows { return &windows{until: map[int64]time.Time{}} }

// set notes when a room's window ends; the zero time means that the clock does not close it.
func (w *windows) set(room int64, until time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if until.IsZero() {
		delete(w.until, room)
		return
	}
	w.until[room] = until
}

// over takes out the rooms whose window has ended.
func (w *windows) over(now time.Time) []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []int64
	for room, until := range w.until {
		if !now.Before(until) {
			out = append(out, room)
			delete(w.until, room)
		}
	}
	return out
}

// rates bounds how many messages come a second, for each user or for each room, over all connections to this instance.
type rates struct {
	perSecond int
	mu        sync.Mutex // guards buckets
	buckets   map[int64]*rate.Limiter
}

func newRates(perSecond int) *rates {
	return &rates{perSecond: perSecond, buckets: map[int64]*rate.Limiter{}}
}

func (r *rates) allow(id int64) bool {
	r.mu.Lock()
	b := r.buckets[id]
	if b == nil {
		b = rate.NewLimiter(rate.Limit(r.perSecond), burst*r.perSecond)
		r.buckets[id] = b
	}
	r.mu.Unlock()
	return b.Allow()
}

// forget drops buckets that are full again: they say no more than a new one would.
func (r *rates) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, b := range r.buckets {
		if b.Tokens() >= float64(b.Burst()) {
			delete(r.buckets, id)
		}
	}
}
