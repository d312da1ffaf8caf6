package chat

import (
	"context"
	"sync"
	"time"
)

// sink takes frames for one socket without blocking; it deals with slowness itself.
type sink interface {
	deliver(frames ...wire)
	// end closes the socket with a code of the protocol.
	end(code int, reason string, reconnectAfter time.Duration)
}

// nobody is the user of a member who takes no part in the room: he hears all, and is not there.
const nobody = 0

// hubPorts are what the hub asks of the rest. All but fetch are called with locks held: they must neither block
// nor call back.
type hubPorts struct {
	// fetch reads events after seq in order, at most a page of them.
	fetch func(ctx context.Context, room, after int64) ([]item, error)
	// changed is told that a system event passed through a room.
	changed func(room int64)
	// subscribe asks the bus for a room and gives a channel that closes once it is confirmed.
	subscribe func(room int64) <-chan struct{}
	// unsubscribe is called when a room has no member left.
	unsubscribe func(room int64)
}

// hub delivers each room's events to its local members in order, without hole or duplicate.
type hub struct {
	ports hubPorts
	ctx   context.Context // ends fetches at stop
	stop  context.CancelFunc
	work  sync.WaitGroup // fetches under way

	mu    sync.RWMutex // guards rooms and the coming and going of members
	rooms map[int64]*room
}

func newHub(ports hubPorts) *hub {
	ctx, stop := context.WithCancel(context.Background())
	return &hub{ports: ports, ctx: ctx, stop: stop, rooms: map[int64]*room{}}
}

// close ends all fetches and waits for them.
func (h *hub) close() {
	h.stop()
	h.mu.Lock()
	for _, r := range h.rooms {
		r.mu.Lock()
		r.stopTimer()
		r.mu.Unlock()
	}
	h.mu.Unlock()
	h.work.Wait()
}

// enter registers a socket as catching up: from now on it misses nothing. The channel closes when the bus
// has confirmed the room.
func (h *hub) enter(id, user int64, s sink) (*member, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.rooms[id]
	if r == nil {
		r = &room{hub: h, id: id, head: unread, members: map[*member]struct{}{}}
		r.confirmed = h.ports.subscribe(id)
		h.rooms[id] = r
	}
	m := &member{room: r, sink: s, user: user}
	r.mu.Lock()
	r.members[m] = struct{}{}
	r.mu.Unlock()
	return m, r.confirmed
}

// leave removes a socket; with the last one the room goes.
func (h *hub) leave(m *member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := m.room
	r.mu.Lock()
	delete(r.members, m)
	empty := len(r.members) == 0
	if empty {
		r.stopTimer()
	}
	r.mu.Unlock()
	if empty && h.rooms[r.id] == r {
		delete(h.rooms, r.id)
		h.ports.unsubscribe(r.id)
	}
}

// within runs f with a room locked, if it has members here.
func (h *hub) within(id int64, f func(*room)) {
	h.mu.RLock()
	r := h.rooms[id]
	h.mu.RUnlock()
	if r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		f(r)
	}
}

// deliver takes events of a room, in any order and any number of times.
func (h *hub) deliver(id int64, items ...item) {
	h.within(id, func(r *room) {
		for _, it := range items {
			r.accept(it)
		}
		r.drain()
		r.expect(r.known, gapWait)
	})
}

// learn tells the hub how far a room's log goes; what is missing is read at once.
func (h *hub) learn(id, head int64) {
	h.within(id, func(r *room) { r.expect(head, 0) })
}

// heads gives every room and how far it is; rooms that nobody has read yet are left out.
func (h *hub) heads() map[int64]int64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	out := make(map[int64]int64, len(h.rooms))
	for id, r := range h.rooms {
		r.mu.Lock()
		if r.head != unread {
			out[id] = r.head
		}
		r.mu.Unlock()
	}
	return out
}

// forget is for a log that is no longer the one that was delivered (a restore, a failover that lost its tail):
// everybody has to come back, and joins anew with what PostgreSQL has now.
func (h *hub) forget(id int64) {
	h.within(id, func(r *room) {
		r.dismiss(closeFault, "the history has changed: load it again")
		r.head, r.known, r.early = unread, 0, nil
		r.history++
	})
}

// broadcast sends a frame that is not part of the log to the members of a room, but for one user's. Who is still
// catching up gets it once live.
func (h *hub) broadcast(id, except int64, frame wire) {
	h.tell(id, func(user int64) wire {
		if except != 0 && user == except {
			return nil
		}
		return frame
	})
}

// tell sends each member of a room the frame, if any, that is for its user, like broadcast.
func (h *hub) tell(id int64, what func(user int64) wire) {
	h.within(id, func(r *room) {
		for m := range r.members {
			frame := what(m.user)
			switch {
			case frame == nil:
			case m.live:
				m.sink.deliver(frame)
			case len(m.soft) < maxSoft:
				m.soft = append(m.soft, frame)
			}
		}
	})
}

// expel ends the sockets of users who may no longer take part in a room. Who never did is judged elsewhere.
func (h *hub) expel(id int64, mayRead func(user int64) bool) {
	h.within(id, func(r *room) {
		for m := range r.members {
			if m.user != nobody && !mayRead(m.user) {
				m.sink.end(closeForbidden, "no longer a participant", 0)
			}
		}
	})
}

// present counts the sockets of each user in a room.
func (h *hub) present(id int64) map[int64]int {
	var users map[int64]int
	h.within(id, func(r *room) {
		users = make(map[int64]int, 2)
		for m := range r.members {
			if m.user != nobody {
				users[m.user]++
			}
		}
	})
	return users
}

// has tells whether a room has members here.
func (h *hub) has(id int64) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.rooms[id] != nil
}

// occupied lists the rooms with members.
func (h *hub) occupied() []int64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	ids := make([]int64, 0, len(h.rooms))
	for id := range h.rooms {
		ids = append(ids, id)
	}
	return ids
}
