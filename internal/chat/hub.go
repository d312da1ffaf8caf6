package chat

import (
	"context"
	"sync"
	"time"
)

// sink queues frames for one connection without blocking, and deals with slow readers itself.
type sink interface {
	deliver(frames ...wire)
	// end closes the connection with a code of the protocol.
	end(code closeCode, reason string, reconnectAfter time.Duration)
}

// nobody is the user id of subscribers who do not take part: observers get everything and are not present.
const nobody = 0

// hubPorts are what the hub needs from its service. All but fetch are called with locks held, so they must not block
// or call the hub.
type hubPorts struct {
	// fetch reads the events after a seq, in order, at most one page.
	fetch func(ctx context.Context, id, after int64) ([]delivery, error)
	// changed is called when a system event has passed through a conversation.
	changed func(id int64)
	// subscribe subscribes to a conversation on the bus. The channel it returns closes once the bus has confirmed
	// that.
	subscribe func(id int64) <-chan struct{}
	// unsubscribe is called when a conversation has no subscriber left.
	unsubscribe func(id int64)
}

// hub delivers each conversation's events to its local subscribers in order, without gaps or duplicates.
type hub struct {
	ports hubPorts
	ctx   context.Context // canceled to end fetches
	stop  context.CancelFunc
	work  sync.WaitGroup // running fetches

	mu       sync.RWMutex       // guards channels, and who enters and leaves them
	channels map[int64]*channel // by conversation
}

func newHub(ports hubPorts) *hub {
	ctx, stop := context.WithCancel(context.Background())
	return &hub{ports: ports, ctx: ctx, stop: stop, channels: map[int64]*channel{}}
}

// close ends all fetches and waits for them.
func (h *hub) close() {
	h.stop()
	h.mu.Lock()
	for _, ch := range h.channels {
		ch.mu.Lock()
		ch.stopTimer()
		ch.mu.Unlock()
	}
	h.mu.Unlock()
	h.work.Wait()
}

// enter registers a connection that is about to catch up; it misses no event from then on. confirmed closes once the
// bus has confirmed the subscription to the conversation.
func (h *hub) enter(id, user int64, to sink) (s *subscriber, confirmed <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ch := h.channels[id]
	if ch == nil {
		ch = &channel{hub: h, id: id, head: unread, subscribers: map[*subscriber]struct{}{}}
		ch.confirmed = h.ports.subscribe(id)
		h.channels[id] = ch
	}
	s = &subscriber{channel: ch, sink: to, user: user}
	ch.mu.Lock()
	ch.subscribers[s] = struct{}{}
	ch.mu.Unlock()
	return s, ch.confirmed
}

// leave removes a connection, and the channel after the last one.
func (h *hub) leave(s *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ch := s.channel
	ch.mu.Lock()
	delete(ch.subscribers, s)
	empty := len(ch.subscribers) == 0
	if empty {
		ch.stopTimer()
	}
	ch.mu.Unlock()
	if empty && h.channels[ch.id] == ch {
		delete(h.channels, ch.id)
		h.ports.unsubscribe(ch.id)
	}
}

// within runs f with a conversation's channel locked, if the conversation has subscribers here.
func (h *hub) within(id int64, f func(*channel)) {
	h.mu.RLock()
	ch := h.channels[id]
	h.mu.RUnlock()
	if ch != nil {
		ch.mu.Lock()
		defer ch.mu.Unlock()
		f(ch)
	}
}

// deliver delivers a conversation's events, which may arrive in any order and repeatedly.
func (h *hub) deliver(id int64, events ...delivery) {
	h.within(id, func(ch *channel) {
		for _, d := range events {
			ch.accept(d)
		}
		ch.emitEarly()
		ch.expect(ch.known, gapWait)
	})
}

// learn tells the hub the head of a conversation's log. Missing events are read at once.
func (h *hub) learn(id, head int64) {
	h.within(id, func(ch *channel) { ch.expect(head, 0) })
}

// heads returns the last seq delivered in each conversation, except those whose log nobody has read yet.
func (h *hub) heads() map[int64]int64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	out := make(map[int64]int64, len(h.channels))
	for id, ch := range h.channels {
		ch.mu.Lock()
		if ch.head != unread {
			out[id] = ch.head
		}
		ch.mu.Unlock()
	}
	return out
}

// forget makes all subscribers reconnect and start with what PostgreSQL has now. It is for a log that is no longer
// the one that was delivered (after a restore, or a failover that lost its tail).
func (h *hub) forget(id int64) {
	h.within(id, func(ch *channel) {
		ch.dismiss(closeFault, "the history has changed: load it again")
		ch.head, ch.known, ch.early = unread, 0, nil
		ch.history++
	})
}

// tellOthers sends a frame that is not part of the log to a conversation's subscribers, except those of one user.
// Subscribers that are still catching up get it once they are live.
func (h *hub) tellOthers(id, except int64, frame wire) {
	h.tell(id, func(user int64) wire {
		if except != 0 && user == except {
			return nil
		}
		return frame
	})
}

// tell is like tellOthers, but what returns each user's frame; nil for none.
func (h *hub) tell(id int64, what func(user int64) wire) {
	h.within(id, func(ch *channel) {
		for s := range ch.subscribers {
			frame := what(s.user)
			switch {
			case frame == nil:
			case s.live:
				s.sink.deliver(frame)
			case len(s.signals) < maxSignals:
				s.signals = append(s.signals, frame)
			}
		}
	})
}

// expel closes the connections of users who no longer take part in a conversation, but not those of observers.
func (h *hub) expel(id int64, mayRead func(user int64) bool) {
	h.within(id, func(ch *channel) {
		for s := range ch.subscribers {
			if s.user != nobody && !mayRead(s.user) {
				s.sink.end(closeForbidden, "no longer a participant", 0)
			}
		}
	})
}

// present counts each user's connections to a conversation.
func (h *hub) present(id int64) map[int64]int {
	var users map[int64]int
	h.within(id, func(ch *channel) {
		users = make(map[int64]int, 2)
		for s := range ch.subscribers {
			if s.user != nobody {
				users[s.user]++
			}
		}
	})
	return users
}

// has reports whether a conversation has subscribers here.
func (h *hub) has(id int64) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.channels[id] != nil
}

// occupied lists the conversations with subscribers.
func (h *hub) occupied() []int64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	ids := make([]int64, 0, len(h.channels))
	for id := range h.channels {
		ids = append(ids, id)
	}
	return ids
}
