package chat

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

const testConversation = int64(7)

// recorder is a sink that keeps what it gets.
type recorder struct {
	mu     sync.Mutex // guards all below
	frames []string
	code   closeCode // with which it was ended
}

func (r *recorder) deliver(frames ...wire) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range frames {
		r.frames = append(r.frames, string(f))
	}
}

func (r *recorder) end(code closeCode, _ string, _ time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.code = code
}

// take returns what has arrived since the last call.
func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.frames
	r.frames = nil
	return out
}

func endedWith(r *recorder) closeCode {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.code
}

func event(seq int64) delivery { return delivery{seq: seq, frame: wire(strconv.FormatInt(seq, 10))} }

func events(from, to int64) (out []delivery) {
	for seq := from; seq <= to; seq++ {
		out = append(out, event(seq))
	}
	return out
}

func liveAt(head int64) wire { return wire("live " + strconv.FormatInt(head, 10)) }

// logStub is the log behind a hub.
type logStub struct {
	mu      sync.Mutex // guards all below
	head    int64
	fetches int
	err     error
	gate    chan struct{} // when set, a fetch waits for it after it has read
	changes []int64
	subs    map[int64]int
}

func (l *logStub) grow(to int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.head = to
}

func (l *logStub) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fetches
}

func (l *logStub) fetch(ctx context.Context, _, after int64) ([]delivery, error) {
	l.mu.Lock()
	l.fetches++
	head, err, gate := l.head, l.err, l.gate
	l.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	return events(after+1, min(head, after+catchUpLimit)), nil
}

func (l *logStub) subscribe(id int64) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.subs[id]++
	done := make(chan struct{})
	close(done)
	return done
}

func (l *logStub) unsubscribe(id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.subs[id]--
}

func (l *logStub) changed(id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changes = append(l.changes, id)
}

func hubOn(l *logStub) *hub {
	l.subs = map[int64]int{}
	return newHub(hubPorts{fetch: l.fetch, changed: l.changed, subscribe: l.subscribe, unsubscribe: l.unsubscribe})
}

// inBubble runs f with a hub over a log, in a bubble whose time is fake; it fails if a goroutine is left.
func inBubble(t *testing.T, f func(t *testing.T, h *hub, l *logStub)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &logStub{}
		h := hubOn(l)
		defer h.close()
		f(t, h, l)
	})
}

// pass lets time go by, and everything that happens in it happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// joinAt enters a subscriber that is live at a cursor.
func joinAt(t *testing.T, h *hub, user, cursor int64) (*subscriber, *recorder) {
	t.Helper()
	r := &recorder{}
	m, _ := h.enter(testConversation, user, r)
	require.True(t, m.goLive(cursor, liveAt(cursor)))
	require.Equal(t, string(liveAt(cursor)), r.take()[0])
	return m, r
}

func keptEarly(r *channel) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.early)
}
