package chat

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unique"
)

const (
	// inboxEvery is the shortest time between two queries for what has changed in inboxes, and between two broadcasts
	// about it to other instances.
	inboxEvery = 200 * time.Millisecond
	// inboxLimit is how many conversations an inbox's hello lists.
	inboxLimit = 200
)

// touch says why a conversation has to be read again for inboxes.
type touch byte

const (
	// touchedParticipants is set when the participants may have changed or the conversation may be new.
	touchedParticipants touch = 1 << iota
	// touchedHere is set when this instance knew first and must tell the others.
	touchedHere
)

// inboxes are the open inbox connections to this instance, and the conversations that have changed since the last
// look. A change only marks its conversation as touched, so that it adds almost nothing to the cost of sending a
// message; one query for all inboxes then reads each user's standing there.
type inboxes struct {
	listening atomic.Int64 // how many boxes are open or being opened

	touching sync.Mutex // guards touched; taken after mu
	touched  map[int64]touch

	mu       sync.Mutex // guards all below, and all boxes
	boxes    map[int64][]*box
	watchers map[int64][]*box // by conversation
	loading  int              // how many boxes are being opened
	missed   map[int64]touch  // what was touched in the meantime
}

// box is one inbox connection, with what it was last told about each of its user's conversations.
type box struct {
	user  int64
	sink  sink
	marks map[int64]mark
	total int64 // unread messages in all conversations
	open  bool
}

// mark is the part of a user's standing in a conversation that is compared to find changes.
type mark struct {
	head, read int64
	unread     int32
	version    int32
	whyNot     unique.Handle[string] // "" when they can reply
}

func newInboxes() *inboxes {
	return &inboxes{
		boxes: map[int64][]*box{}, watchers: map[int64][]*box{}, touched: map[int64]touch{}, missed: map[int64]touch{},
	}
}

// touch marks conversations as changed, to be read at the next look.
func (i *inboxes) touch(why touch, ids ...int64) {
	if why&touchedHere == 0 && i.listening.Load() == 0 {
		return // other instances already know, and no inbox is open here
	}
	i.touching.Lock()
	defer i.touching.Unlock()
	for _, id := range ids {
		i.touched[id] |= why
	}
}

// settle moves the touched conversations into the next look.
func (i *inboxes) settle() map[int64]touch {
	i.touching.Lock()
	defer i.touching.Unlock()
	if len(i.touched) == 0 {
		return nil
	}
	out := i.touched
	i.touched = make(map[int64]touch, min(len(out), 1024))
	return out
}

// load starts opening a box, which misses nothing from then on. The caller must call loaded once the box is open or
// has failed to open.
func (i *inboxes) load() {
	i.listening.Add(1)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.loading++
}

func (i *inboxes) loaded() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.listening.Add(-1)
	if i.loading--; i.loading == 0 {
		clear(i.missed)
	}
}

// open registers a box, filled with what was read after load, and sends its first frame. Conversations touched in the
// meantime are read again.
func (i *inboxes) open(b *box, first func(total int64) wire) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for id, m := range b.marks {
		i.watchers[id] = append(i.watchers[id], b)
		b.total += int64(m.unread)
	}
	i.boxes[b.user] = append(i.boxes[b.user], b)
	i.listening.Add(1)
	b.open = true
	for id, why := range i.missed {
		if _, mine := b.marks[id]; mine || why&touchedParticipants != 0 {
			i.touch(why&^touchedHere, id)
		}
	}
	b.sink.deliver(first(b.total))
}

// close removes a box.
func (i *inboxes) close(b *box) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !b.open {
		return
	}
	b.open = false
	i.listening.Add(-1)
	for id := range b.marks {
		drop(i.watchers, id, b)
	}
	drop(i.boxes, b.user, b)
}

// drop returns a list without a box. It copies the list, because a glance may still be reading the old one.
func drop(from map[int64][]*box, key int64, b *box) {
	left := slices.DeleteFunc(slices.Clone(from[key]), func(other *box) bool { return other == b })
	if len(left) == 0 {
		delete(from, key)
		return
	}
	from[key] = left
}

// glance is one look at the touched conversations: which ones and which users to read, and which boxes to tell.
// Slices of boxes are never changed in place, so a glance can keep them.
type glance struct {
	ids      []int64 // of the conversations
	known    seats
	why      map[int64]touch
	users    []int64
	boxes    map[int64][]*box // by user
	watchers map[int64][]*box // by conversation
}

// take starts a glance. tell has the conversations that other instances must hear about.
func (i *inboxes) take() (g glance, tell map[int64]touch) {
	i.mu.Lock()
	defer i.mu.Unlock()
	touched := i.settle()
	if len(touched) == 0 {
		return glance{}, nil
	}
	g = glance{why: map[int64]touch{}, boxes: map[int64][]*box{}, watchers: map[int64][]*box{}}
	tell = map[int64]touch{}
	newcomers := false
	for id, why := range touched {
		if why&touchedHere != 0 {
			tell[id] = why &^ touchedHere
		}
		if i.loading > 0 {
			i.missed[id] |= why
		}
		watching := i.watchers[id]
		if len(watching) == 0 && (why&touchedParticipants == 0 || len(i.boxes) == 0) {
			continue
		}
		g.ids, g.why[id], g.watchers[id] = append(g.ids, id), why&^touchedHere, watching
		for _, b := range watching {
			g.boxes[b.user] = i.boxes[b.user]
			g.known.add(seat{id, b.user}, b.marks[id])
		}
		newcomers = newcomers || why&touchedParticipants != 0
	}
	if newcomers {
		maps.Copy(g.boxes, i.boxes) // any of these may be a new participant's
	}
	g.users = slices.Collect(maps.Keys(g.boxes))
	return g, tell
}

// again marks the conversations of a failed glance as touched again.
func (i *inboxes) again(g glance) {
	for id, why := range g.why {
		i.touch(why, id)
	}
}

// add records the mark of a seat unless it already has one; any one will do. A conversation's seats are added one
// after another.
func (k *seats) add(s seat, m mark) {
	for n := len(k.ids) - 1; n >= 0 && k.ids[n] == s.id; n-- {
		if k.users[n] == s.user {
			return
		}
	}
	k.ids, k.users = append(k.ids, s.id), append(k.users, s.user)
	k.heads, k.reads, k.unread = append(k.heads, m.head), append(k.reads, m.read), append(k.unread, int64(m.unread))
}

// seat is a participant's place in a conversation.
type seat struct{ id, user int64 }

// lost is a box and a conversation in which its user no longer takes part.
type lost struct {
	id  int64
	box *box
}

// tell sends each box of the glance what has changed since it was last told. It returns the conversations in which
// boxes' users no longer take part.
func (i *inboxes) tell(g glance, now []news) (left []lost) {
	i.mu.Lock()
	defer i.mu.Unlock()
	seated := make(map[seat]struct{}, len(now))
	for _, n := range now {
		seated[seat{n.ID, n.UserID}] = struct{}{}
		for _, b := range g.boxes[n.UserID] {
			if b.open {
				i.update(b, n)
			}
		}
	}
	for id, watching := range g.watchers {
		for _, b := range watching {
			if _, still := seated[seat{id, b.user}]; !still && b.open {
				b.total -= int64(b.marks[id].unread)
				delete(b.marks, id)
				drop(i.watchers, id, b)
				left = append(left, lost{id, b})
			}
		}
	}
	return left
}

// news is a user's current standing in a conversation, and whether they can reply.
type news struct {
	standing
	mark
	canReply bool
}

// update (with mu held) tells a box about changes in a conversation.
func (i *inboxes) update(b *box, n news) {
	old, known := b.marks[n.ID]
	if known && old == n.mark {
		return
	}
	b.marks[n.ID] = n.mark
	b.total += int64(n.unread - old.unread)
	if !known {
		i.watchers[n.ID] = append(slices.Clone(i.watchers[n.ID]), b)
	}
	if !known || old.version != n.version || old.whyNot != n.whyNot {
		b.sink.deliver(encode(n.appointmentFrame()))
	}
	if !known || old.unread != n.unread || old.head != n.head {
		b.sink.deliver(encode(unreadFrame{UnreadItem: n.unreadItem(), Total: b.total}))
	}
}

// lose tells a box that its user no longer takes part in a conversation.
func (i *inboxes) lose(b *box, appointmentID string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	b.sink.deliver(encode(goneFrame{AppointmentID: appointmentID, Total: b.total}))
}

// follow touches those conversations found by a sweep for which some box is behind.
func (i *inboxes) follow(leads []lead) (behind int) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, l := range leads {
		boxes := i.boxes[l.UserID]
		if l.UserID == 0 {
			boxes = i.watchers[l.ID]
		}
		if slices.ContainsFunc(boxes, func(b *box) bool {
			m, known := b.marks[l.ID]
			return !known || l.HeadSeq == 0 || m.head < l.HeadSeq
		}) {
			i.touch(touchedParticipants, l.ID)
			behind++
		}
	}
	return behind
}

// waiting returns the users with open boxes, and the conversations in which they have something unread.
func (i *inboxes) waiting() (users []int64, r readers) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for user, boxes := range i.boxes {
		users = append(users, user)
		for _, b := range boxes {
			for id, m := range b.marks {
				if m.unread > 0 {
					r.ids, r.users, r.reads = append(r.ids, id), append(r.users, user), append(r.reads, m.read)
				}
			}
		}
	}
	return users, r
}

// dismiss closes all boxes, because the log is no longer the one they were told about.
func (i *inboxes) dismiss() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, boxes := range i.boxes {
		for _, b := range boxes {
			b.sink.end(closeFault, "the history has changed: connect again", 0)
		}
	}
}
