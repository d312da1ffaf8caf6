package conversation

import (
	"sync"
	"time"
)

// Set collects the ids of conversations for a loop that works on all of them at once.
type Set struct {
	wake chan struct{}
	mu   sync.Mutex // guards ids
	ids  map[int64]struct{}
}

// NewSet returns an empty set.
func NewSet() *Set { return &Set{wake: make(chan struct{}, 1), ids: map[int64]struct{}{}} }

// Wake receives when there may be something to Take.
func (s *Set) Wake() <-chan struct{} { return s.wake }

// Add adds a conversation. It does not block.
func (s *Set) Add(id int64) {
	s.mu.Lock()
	s.ids[id] = struct{}{}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// AddAfter adds a conversation after a delay.
func (s *Set) AddAfter(id int64, wait time.Duration) { time.AfterFunc(wait, func() { s.Add(id) }) }

// Take empties the set and returns what was in it; nil if nothing was.
func (s *Set) Take() []int64 {
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
