package chat

import (
	"context"
	"sync"
	"time"
)

// sink takes frames for one connection without blocking; it deals with slowness itself.
type sink interface {
	deliver(frames ...wire)
	// end closes the connection with a code of the protocol.
	end(code closeCode, reason string, reconnectAfter time.Duration)
}

// nobody is the user of a subscriber who takes no part in the conversation: an observer hears everything, and is not
// present.
const nobody = 0

// hubPorts are what the hub asks of the rest. All but fetch are called with locks held: they must neither block
// nor call back.
type hubPorts struct {
	// fetch reads events after seq in order, at most a page of them.
	fetch func(ctx context.Context, id, after int64) ([]delivery, error)
	// changed is told that a system event passed through a conversation.
	changed func(id int64)
	// subscribe asks the bus for a conversation and gives a channel that closes once it is confirmed.
	subscribe func(id int64) <-chan struct{}
	// unsubscribe is called when a conversation has no subscriber left.
	unsubscribe func(id int64)
}

// hub delivers each conversation's events to its local subscribers in order, without hole or duplicate.
type hub struct {
	ports hubPorts
	ctx   context.Context // ends fetches at stop
	stop  context.CancelFunc
	work  sync.WaitGroup // fetches under way

	mu       sync.RWMutex // guards conversations and the coming and going of subscribers
	channels map[int64]*channel
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

// enter registers a connection as catching up: from now on it misses nothing. The channel closes when the bus
// has confirmed the conversation.
func (h *hub) enter(id, user int64, s sink) (*subscriber, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ch := h.channels[id]
	if ch == nil {
		ch = &channel{hub: h, id: id, head: unread, subscribers: map[*subscriber]struct{}{}}
		ch.confirmed = h.ports.subscribe(id)
		h.channels[id] = ch
	}
	m := &subscriber{channel: ch, sink: s, user: user}
	ch.mu.Lock()
	ch.subscribers[m] = struct{}{}
	ch.mu.Unlock()
	return m, ch.confirmed
}

// leave removes a connection; with the last one the conversation goes.
func (h *hub) leave(m *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ch := m.channel
	ch.mu.Lock()
	delete(ch.subscribers, m)
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

// within runs f with a conversation locked, if it has subscribers here.
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

// deliver takes events of a conversation, in any order and any number of times.
func (h *hub) deliver(id int64, items ...delivery) {
	h.within(id, func(ch *channel) {
		for _, it := range items {
			ch.accept(it)
		}
		ch.drain()
		ch.expect(ch.known, gapWait)
	})
}

// learn tells the hub how far a conversation's log goes; what is missing is read at once.
func (h *hub) learn(id, head int64) {
	h.within(id, func(ch *channel) { ch.expect(head, 0) })
}

// heads gives every conversation and how far it is; conversations that nobody has read yet are left out.
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

// forget is for a log that is no longer the one that was delivered (a restore, a failover that lost its tail):
// everybody has to come back, and joins anew with what PostgreSQL has now.
func (h *hub) forget(id int64) {
	h.within(id, func(ch *channel) {
		ch.dismiss(closeFault, "the history has changed: load it again")
		ch.head, ch.known, ch.early = unread, 0, nil
		ch.history++
	})
}

// broadcast sends a frame that is not part of the log to the subscribers of a conversation, but for one user's. Who is
// still catching up gets it once live.
func (h *hub) tellOthers(id, except int64, frame wire) {
	h.tell(id, func(user int64) wire {
		if except != 0 && user == except {
			return nil
		}
		return frame
	})
}

// tell sends each subscriber of a conversation the frame, if any, that is for its user, like broadcast.
func (h *hub) tell(id int64, what func(user int64) wire) {
	h.within(id, func(ch *channel) {
		for m := range ch.subscribers {
			frame := what(m.user)
			switch {
			case frame == nil:
			case m.live:
				m.sink.deliver(frame)
			case len(m.signals) < maxSignals:
				m.signals = append(m.signals, frame)
			}
		}
	})
}

// expel ends the connections of users who may no longer take part in a conversation. Who never did is judged elsewhere.
func (h *hub) expel(id int64, mayRead func(user int64) bool) {
	h.within(id, func(ch *channel) {
		for m := range ch.subscribers {
			if m.user != nobody && !mayRead(m.user) {
				m.sink.end(closeForbidden, "no longer a participant", 0)
			}
		}
	})
}

// present counts the connections of each user in a conversation.
func (h *hub) present(id int64) map[int64]int {
	var users map[int64]int
	h.within(id, func(ch *channel) {
		users = make(map[int64]int, 2)
		for m := range ch.subscribers {
			if m.user != nobody {
				users[m.user]++
			}
		}
	})
	return users
}

// has tells whether a conversation has subscribers here.
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
