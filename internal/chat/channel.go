package chat

import (
	"sync"
	"time"
)

const (
	// gapWait is how long a hole in a conversation's sequence may wait for the bus before it is read from PostgreSQL.
	gapWait = 50 * time.Millisecond
	// fetchRetry is how long a conversation waits after a failed read of its log.
	fetchRetry = time.Second
	// unread is the head of a conversation whose log no subscriber has read yet.
	unread = -1
)

// Bounds on what a conversation keeps past a hole, and for a joining subscriber until it is live. Beyond them events
// are dropped and read from the log again: the log is the truth, these are shortcuts. Of soft frames, of which later
// ones repeat what earlier ones said, the rest is lost.
const (
	maxEarly   = 1024
	maxPending = 512
	maxSignals = 64
)

// event is one event on its way to connections. system says that the appointment behind the conversation has changed,
// regroup that others take part in it from now on.
type delivery struct {
	seq     int64
	frame   wire
	system  bool
	regroup bool
}

// conversation is the local side of one conversation. head is the last seq delivered; known is the highest seq anybody
// has told of: known > head is a hole. Its methods are called with mu held, but for goLive and fill.
type channel struct {
	hub       *hub
	id        int64
	confirmed <-chan struct{}

	mu          sync.Mutex // guards all below
	head        int64
	known       int64
	subscribers map[*subscriber]struct{}
	early       map[int64]delivery
	timer       *time.Timer
	due         time.Time // when timer fires; zero while it does not run
	fetching    bool
	history     int // grows when the log turns out to be another one
	told        []receipt
}

// subscriber is one connection's place in a conversation. cursor is the last seq that went to its sink.
type subscriber struct {
	channel *channel
	sink    sink
	user    int64
	live    bool
	cursor  int64
	pending []delivery
	spilled bool   // pending overflowed: the subscriber must read the log again
	signals []wire // what is not part of the log, but for receipts
	untold  bool   // cursors have moved since its hello
}

// goLive ends a subscriber's catching up after it was sent everything up to cursor. live is the frame that says so;
// what came meanwhile follows it. It returns false when that does not join on: the caller then reads the log after
// cursor once more.
func (m *subscriber) goLive(cursor int64, live wire) bool {
	ch := m.channel
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if _, here := ch.subscribers[m]; !here {
		return true // its connection is being closed
	}
	if ch.head == unread {
		ch.head, ch.known = cursor, max(ch.known, cursor)
		ch.drain()
	}
	next := cursor
	frames := make([]wire, 0, 1+len(m.pending)+len(m.signals))
	frames = append(frames, live)
	for _, it := range m.pending {
		if it.seq <= next {
			continue
		}
		if it.seq != next+1 {
			break
		}
		frames = append(frames, it.frame)
		next = it.seq
	}
	joined := !m.spilled && next >= ch.head
	m.pending, m.spilled = nil, false
	if !joined {
		return false
	}
	m.live, m.cursor = true, next
	frames = append(frames, m.catchUpReceipts()...)
	m.sink.deliver(append(frames, m.signals...)...)
	m.signals = nil
	// This subscriber's read may be ahead of the bus; or what came before anyone was live has a hole.
	ch.expect(next, gapWait)
	return true
}

// accept emits an event that is next and keeps one that is early.
func (ch *channel) accept(it delivery) {
	ch.known = max(ch.known, it.seq)
	switch {
	case ch.head != unread && it.seq <= ch.head:
	case ch.head != unread && it.seq == ch.head+1:
		ch.emit(it)
	case len(ch.early) < maxEarly:
		if ch.early == nil {
			ch.early = map[int64]delivery{}
		}
		ch.early[it.seq] = it
	}
}

// drain emits what was early and is next now.
func (ch *channel) drain() {
	if ch.head == unread || len(ch.early) == 0 {
		return
	}
	for {
		it, ok := ch.early[ch.head+1]
		if !ok {
			break
		}
		ch.emit(it)
	}
	for seq := range ch.early {
		if seq <= ch.head {
			delete(ch.early, seq)
		}
	}
	if len(ch.early) == 0 {
		ch.early = nil
	}
}

// emit sends the next event to every subscriber.
func (ch *channel) emit(it delivery) {
	ch.head = it.seq
	for m := range ch.subscribers {
		switch {
		case m.live && it.seq > m.cursor:
			m.cursor = it.seq
			m.sink.deliver(it.frame)
		case !m.live && len(m.pending) < maxPending:
			m.pending = append(m.pending, it)
		case !m.live:
			m.pending, m.spilled = nil, true
		}
	}
	if it.regroup {
		ch.dismiss(closeRestart, "the participants have changed: connect again")
	}
	if it.system {
		ch.hub.ports.changed(ch.id)
	}
}

// dismiss ends the connections of all subscribers: nothing reaches them any more, and who comes back is asked for his
// right.
func (ch *channel) dismiss(code closeCode, reason string) {
	for m := range ch.subscribers {
		m.sink.end(code, reason, 0)
	}
	clear(ch.subscribers)
}

// expect has a hole up to seq, if there is one, read from the log after a while. What comes past a hole never puts
// its reading off.
func (ch *channel) expect(seq int64, wait time.Duration) {
	ch.known = max(ch.known, seq)
	if ch.head == unread || ch.known <= ch.head || ch.fetching {
		return
	}
	due := time.Now().Add(wait)
	if !ch.due.IsZero() && !due.Before(ch.due) {
		return
	}
	ch.due = due
	if ch.timer == nil {
		ch.timer = time.AfterFunc(wait, ch.fill)
		return
	}
	ch.timer.Reset(wait)
}

func (ch *channel) stopTimer() {
	if ch.timer != nil {
		ch.timer.Stop()
	}
	ch.due = time.Time{}
}

// fill reads what a conversation misses and delivers it.
func (ch *channel) fill() {
	h := ch.hub
	ch.mu.Lock()
	ch.due = time.Time{}
	if ch.fetching || ch.known <= ch.head || ch.head == unread || len(ch.subscribers) == 0 || h.ctx.Err() != nil {
		ch.mu.Unlock()
		return
	}
	ch.fetching = true
	after, told, history := ch.head, ch.known, ch.history
	h.work.Add(1)
	ch.mu.Unlock()
	defer h.work.Done()

	items, err := h.ports.fetch(h.ctx, ch.id, after)

	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.fetching = false
	if ch.history != history {
		ch.expect(ch.known, gapWait)
		return // what was read is of another history
	}
	for _, it := range items {
		ch.accept(it)
	}
	ch.drain()
	switch {
	case err != nil:
		ch.expect(ch.known, fetchRetry)
	case len(items) == 0 && ch.head == after && ch.known == told:
		ch.known, ch.early = ch.head, nil // nothing there: whoever told of more was wrong, or the log went back
	default:
		ch.expect(ch.known, 0)
	}
}
