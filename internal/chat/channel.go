package chat

import (
	"sync"
	"time"
)

const (
	// gapWait is how long the bus has to fill a gap in a channel before the missing events are read from PostgreSQL.
	gapWait = 50 * time.Millisecond
	// fetchRetry is how long a channel waits after a failed read of its log.
	fetchRetry = time.Second
	// unread is the head of a channel whose log no subscriber has read yet.
	unread = -1
)

// Bounds on what a channel keeps after a gap, and for each joining subscriber until it is live. Events beyond the
// bound are dropped and later read from the log. Signals beyond theirs are lost; later ones make up for them.
const (
	maxEarly   = 1024
	maxPending = 512
	maxSignals = 64
)

// delivery is one event on its way to connections. system says that the conversation's appointment has changed,
// regroup that its participants have changed.
type delivery struct {
	seq     int64
	frame   wire
	system  bool
	regroup bool
}

// channel is this instance's side of one conversation. head is the last seq delivered and known the highest seq heard
// of, so known > head means a gap. Call its methods with mu held, except fill.
type channel struct {
	hub       *hub
	id        int64           // of the conversation
	confirmed <-chan struct{} // closes once the bus has confirmed the subscription

	mu          sync.Mutex // guards all below
	head        int64
	known       int64
	subscribers map[*subscriber]struct{}
	early       map[int64]delivery
	timer       *time.Timer
	due         time.Time // when timer fires; zero while it does not run
	fetching    bool
	history     int       // increased when the log turns out to be a different one
	told        []receipt // what subscribers have been told of each participant's cursors
}

// subscriber is one connection's place in a channel. cursor is the last seq that went to its sink.
type subscriber struct {
	channel *channel
	sink    sink
	user    int64
	live    bool
	cursor  int64
	pending []delivery
	spilled bool   // pending overflowed: the subscriber must read the log again
	signals []wire // frames outside the log that wait until it is live; receipts are kept in told
	untold  bool   // a cursor has moved since its hello
}

// goLive makes a subscriber live once it has been sent everything up to cursor. It sends the frame live, then what
// has arrived in the meantime. If that would leave a gap it returns false, and the caller must read the log after
// cursor again.
func (s *subscriber) goLive(cursor int64, live wire) bool {
	ch := s.channel
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if _, here := ch.subscribers[s]; !here {
		return true // its connection is being closed
	}
	if ch.head == unread {
		ch.head, ch.known = cursor, max(ch.known, cursor)
		ch.emitEarly()
	}
	next := cursor
	frames := make([]wire, 0, 1+len(s.pending)+len(s.signals))
	frames = append(frames, live)
	for _, d := range s.pending {
		if d.seq <= next {
			continue
		}
		if d.seq != next+1 {
			break
		}
		frames = append(frames, d.frame)
		next = d.seq
	}
	joined := !s.spilled && next >= ch.head
	s.pending, s.spilled = nil, false
	if !joined {
		return false
	}
	s.live, s.cursor = true, next
	frames = append(frames, s.catchUpReceipts()...)
	s.sink.deliver(append(frames, s.signals...)...)
	s.signals = nil
	// This subscriber has read further than the bus has delivered, or there was a gap before anyone was live.
	ch.expect(next, gapWait)
	return true
}

// accept emits the event if it is the next one, and keeps it for later if it is early.
func (ch *channel) accept(d delivery) {
	ch.known = max(ch.known, d.seq)
	switch {
	case ch.head != unread && d.seq <= ch.head:
	case ch.head != unread && d.seq == ch.head+1:
		ch.emit(d)
	case len(ch.early) < maxEarly:
		if ch.early == nil {
			ch.early = map[int64]delivery{}
		}
		ch.early[d.seq] = d
	}
}

// emitEarly emits the early events that are now next.
func (ch *channel) emitEarly() {
	if ch.head == unread || len(ch.early) == 0 {
		return
	}
	for {
		d, ok := ch.early[ch.head+1]
		if !ok {
			break
		}
		ch.emit(d)
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
func (ch *channel) emit(d delivery) {
	ch.head = d.seq
	for s := range ch.subscribers {
		switch {
		case s.live && d.seq > s.cursor:
			s.cursor = d.seq
			s.sink.deliver(d.frame)
		case !s.live && len(s.pending) < maxPending:
			s.pending = append(s.pending, d)
		case !s.live:
			s.pending, s.spilled = nil, true
		}
	}
	if d.regroup {
		ch.dismiss(closeRestart, "the participants have changed: connect again")
	}
	if d.system {
		ch.hub.ports.changed(ch.id)
	}
}

// dismiss closes the connections of all subscribers. They get nothing more; when they reconnect, their right to read
// is checked again.
func (ch *channel) dismiss(code closeCode, reason string) {
	for s := range ch.subscribers {
		s.sink.end(code, reason, 0)
	}
	clear(ch.subscribers)
}

// expect schedules a read of the log if there is a gap before seq. Events that arrive after a gap never postpone that
// read.
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

// fill reads the missing events from the log and delivers them. It locks mu itself.
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
		return // the events read belong to an earlier history
	}
	for _, d := range items {
		ch.accept(d)
	}
	ch.emitEarly()
	switch {
	case err != nil:
		ch.expect(ch.known, fetchRetry)
	case len(items) == 0 && ch.head == after && ch.known == told:
		ch.known, ch.early = ch.head, nil // no events found: the hint was wrong, or the log was truncated
	default:
		ch.expect(ch.known, 0)
	}
}
