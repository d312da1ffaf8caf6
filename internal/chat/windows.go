package chat

import (
	"sync"
	"time"
)

// windows knows when conversations close by the clock.
type windows struct {
	mu    sync.Mutex // guards until
	until map[int64]time.Time
}

func newWindows() *windows { return &windows{until: map[int64]time.Time{}} }

// set notes when a conversation's window ends; the zero time means that the clock does not close it.
func (w *windows) set(conversationID int64, until time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if until.IsZero() {
		delete(w.until, conversationID)
		return
	}
	w.until[conversationID] = until
}

// over takes out the conversations whose window has ended.
func (w *windows) over(now time.Time) []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []int64
	for conversationID, until := range w.until {
		if !now.Before(until) {
			out = append(out, conversationID)
			delete(w.until, conversationID)
		}
	}
	return out
}
