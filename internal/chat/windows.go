package chat

import (
	"sync"
	"time"
)

// windows knows when the clock will close conversations.
type windows struct {
	mu    sync.Mutex          // guards until
	until map[int64]time.Time // by conversation
}

func newWindows() *windows { return &windows{until: map[int64]time.Time{}} }

// set records when the clock will close a conversation; the zero time means never.
func (w *windows) set(id int64, until time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if until.IsZero() {
		delete(w.until, id)
		return
	}
	w.until[id] = until
}

// over returns, and forgets, the conversations that the clock has closed.
func (w *windows) over(now time.Time) []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []int64
	for id, until := range w.until {
		if !now.Before(until) {
			out = append(out, id)
			delete(w.until, id)
		}
	}
	return out
}
