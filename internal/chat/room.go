package chat

import (
	"sync"
	"time"
)

const (
	// gapWait is how long a hole in a room's sequence may wait for the bus before it is read from PostgreSQL.
	gapWait = 50 * time.Millisecond
	// fetchRetry is how long a room waits after a failed read of its log.
	fetchRetry = time.Second
	// unread is the head of a room whose log no member has read yet.
	unread = -1
)

// Bounds on what a room keeps past a hole, and for a joining member until it is live. Beyond them events are
// dropped and read from the log again: the log is the truth, these are shortcuts. Of soft frames, of which later
// ones repeat what earlier ones said, the rest is lost.
const (
	maxEarly   = 1024
	maxPending = 512
	maxSoft    = 64
)

// item is one event on its way to sockets. system says that the appointment behind the room has changed, regroup that
// others take part in it from now on.
type item struct {
	seq     int64
	frame   wire
	system  bool
	regroup bool
}

// room is the local side of one conversation. head is the last seq delivered; known is the highest seq anybody has
// told of: known > head is a hole. Its methods are called with mu held, but for goLive and fill.
type room struct {
	hub       *hub
	id        int64
	confirmed <-chan struct{}

	mu       sync.Mutex // guards all below
	head     int64
	known    int64
	members  map[*member]struct{}
	early    map[int64]item
	timer    *time.Timer
	due      time.Time // when timer fires; zero while it does not run
	fetching bool
	history  int // grows when the log turns out to be another one
	told     []reached
}

// member is one socket's place in a room. cursor is the last seq that went to its sink.
type member struct {
	room    *room
	sink    sink
	user    int64
	live    bool
	cursor  int64
	pending []item
	spilled bool   // pending overflowed: the member must read the log again
	soft    []wire // what is not part of the log, but for receipts
	untold  bool   // cursors have moved since its hello
}

// goLive ends a member's catching up after it was sent everything up to cursor. live is the frame that says so; what
// came meanwhile follows it. It returns false when that does not join on: the caller then reads the log after
// cursor once more.
func (m *member) goLive(cursor int64, live wire) bool {
	r := m.room
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, here := r.members[m]; !here {
		return true // its socket is being closed
	}
	if r.head == unread {
		r.head, r.known = cursor, max(r.known, cursor)
		r.drain()
	}
	next := cursor
	frames := make([]wire, 0, 1+len(m.pending)+len(m.soft))
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
	joined := !m.spilled && next >= r.head
	m.pending, m.spilled = nil, false
	if !joined {
		return false
	}
	m.live, m.cursor = true, next
	frames = append(frames, m.catchUpReceipts()...)
	m.sink.deliver(append(frames, m.soft...)...)
	m.soft = nil
	// This member's read may be ahead of the bus; or what came before anyone was live has a hole.
	r.expect(next, gapWait)
	return true
}

// accept emits an event that is next and keeps one that is early.
func (r *room) accept(it item) {
	r.known = max(r.known, it.seq)
	switch {
	case r.head != unread && it.seq <= r.head:
	case r.head != unread && it.seq == r.head+1:
		r.emit(it)
	case len(r.early) < maxEarly:
		if r.early == nil {
			r.early = map[int64]item{}
		}
		r.early[it.seq] = it
	}
}

// drain emits what was early and is next now.
func (r *room) drain() {
	if r.head == unread || len(r.early) == 0 {
		return
	}
	for {
		it, ok := r.early[r.head+1]
		if !ok {
			break
		}
		r.emit(it)
	}
	for seq := range r.early {
		if seq <= r.head {
			delete(r.early, seq)
		}
	}
	if len(r.early) == 0 {
		r.early = nil
	}
}

// emit sends the next event to every member.
func (r *room) emit(it item) {
	r.head = it.seq
	for m := range r.members {
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
		r.dismiss(closeRestart, "the participants have changed: connect again")
	}
	if it.system {
		r.hub.ports.changed(r.id)
	}
}

// dismiss ends the sockets of all members: nothing reaches them any more, and who comes back is asked for his right.
func (r *room) dismiss(code int, reason string) {
	for m := range r.members {
		m.sink.end(code, reason, 0)
	}
	clear(r.members)
}

// expect has a hole up to seq, if there is one, read from the log after a while. What comes past a hole never puts
// its reading off.
func (r *room) expect(seq int64, wait time.Duration) {
	r.known = max(r.known, seq)
	if r.head == unread || r.known <= r.head || r.fetching {
		return
	}
	due := time.Now().Add(wait)
	if !r.due.IsZero() && !due.Before(r.due) {
		return
	}
	r.due = due
	if r.timer == nil {
		r.timer = time.AfterFunc(wait, r.fill)
		return
	}
	r.timer.Reset(wait)
}

func (r *room) stopTimer() {
	if r.timer != nil {
		r.timer.Stop()
	}
	r.due = time.Time{}
}

// fill reads what a room misses and delivers it.
func (r *room) fill() {
	h := r.hub
	r.mu.Lock()
	r.due = time.Time{}
	if r.fetching || r.known <= r.head || r.head == unread || len(r.members) == 0 || h.ctx.Err() != nil {
		r.mu.Unlock()
		return
	}
	r.fetching = true
	after, told, history := r.head, r.known, r.history
	h.work.Add(1)
	r.mu.Unlock()
	defer h.work.Done()

	items, err := h.ports.fetch(h.ctx, r.id, after)

	r.mu.Lock()
	defer r.mu.Unlock()
	r.fetching = false
	if r.history != history {
		r.expect(r.known, gapWait)
		return // what was read is of another history
	}
	for _, it := range items {
		r.accept(it)
	}
	r.drain()
	switch {
	case err != nil:
		r.expect(r.known, fetchRetry)
	case len(items) == 0 && r.head == after && r.known == told:
		r.known, r.early = r.head, nil // nothing there: whoever told of more was wrong, or the log went back
	default:
		r.expect(r.known, 0)
	}
}
