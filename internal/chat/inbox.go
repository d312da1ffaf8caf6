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
	// inboxEvery is the least time between two looks at what has changed for inboxes, and between two broadcasts to other
	// instances.
	inboxEvery = 200 * time.Millisecond
	// inboxLimit is how many conversations a hello of an inbox lists.
	inboxLimit = 200
)

// touch says why a conversation is looked at.
type touch byte

const (
	// touchedParticipants is set when others may take part than did before, or when the conversation may be new.
	touchedParticipants touch = 1 << iota
	// touchedHere is set when this instance was the first to know, so that others have to be told.
	touchedHere
)

// inboxes are the open inbox connections of this instance, and the conversations that have changed since they were
// told. What changed only marks a conversation, and one look for all tells how everybody stands in it now: the hot path
// pays for a mark.
type inboxes struct {
	listening atomic.Int64 // boxes that are open or being opened

	touching sync.Mutex // guards touched; taken after mu
	touched  map[int64]touch

	mu       sync.Mutex // guards all below, and all boxes
	boxes    map[int64][]*box
	watchers map[int64][]*box // by conversation
	loading  int              // boxes that are being opened
	missed   map[int64]touch  // what came while some were
}

// box is one inbox connection: what it was told of each conversation of its user.
type box struct {
	user  int64
	sink  sink
	marks map[int64]mark
	total int64 // unread in all of them
	open  bool
}

// mark is how a user stands in a conversation, as far as it has to be compared.
type mark struct {
	head, read int64
	unread     int32
	version    int32
	whyNot     unique.Handle[string] // of "" when he may reply
}

func newInboxes() *inboxes {
	return &inboxes{
		boxes: map[int64][]*box{}, watchers: map[int64][]*box{}, touched: map[int64]touch{}, missed: map[int64]touch{},
	}
}

// touch marks conversations as changed.
func (i *inboxes) touch(why touch, ids ...int64) {
	if why&touchedHere == 0 && i.listening.Load() == 0 {
		return // others know, and nobody here wants to
	}
	i.touching.Lock()
	defer i.touching.Unlock()
	for _, id := range ids {
		i.touched[id] |= why
	}
}

// settle empties the marks.
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

// load begins the opening of a box: from now on nothing is missed for it. Whoever called it calls loaded, once it is
// open or cannot be opened.
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

// open makes a box of what was read after load, and sends the first frame before any other. What has changed meanwhile
// is looked at again.
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

// close forgets a box.
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

// drop takes a box out of a list, which others may still be reading.
func drop(from map[int64][]*box, key int64, b *box) {
	left := slices.DeleteFunc(slices.Clone(from[key]), func(other *box) bool { return other == b })
	if len(left) == 0 {
		delete(from, key)
		return
	}
	from[key] = left
}

// glance is what one look asks for, and for whom. Slices of boxes are never changed in place, so it may keep them.
type glance struct {
	ids      []int64
	known    seats
	why      map[int64]touch
	users    []int64
	boxes    map[int64][]*box // by user
	watchers map[int64][]*box // by conversation
}

// take gives the conversations to look at, and those that other instances have to be told of.
func (i *inboxes) take() (g glance, tell map[int64]touch) {
	i.mu.Lock()
	defer i.mu.Unlock()
	touched := i.settle()
	if len(touched) == 0 {
		return glance{}, nil
	}
	g = glance{why: map[int64]touch{}, boxes: map[int64][]*box{}, watchers: map[int64][]*box{}}
	tell = map[int64]touch{}
	anybody := false
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
		anybody = anybody || why&touchedParticipants != 0
	}
	if anybody {
		maps.Copy(g.boxes, i.boxes) // any of them may be a new participant's
	}
	g.users = slices.Collect(maps.Keys(g.boxes))
	return g, tell
}

// again is for a glance that failed.
func (i *inboxes) again(g glance) {
	for id, why := range g.why {
		i.touch(why, id)
	}
}

// add notes a mark, unless there is one of that seat: any will do, and they come one after the other.
func (k *seats) add(s seat, m mark) {
	for n := len(k.ids) - 1; n >= 0 && k.ids[n] == s.id; n-- {
		if k.users[n] == s.user {
			return
		}
	}
	k.ids, k.users = append(k.ids, s.id), append(k.users, s.user)
	k.heads, k.reads, k.unread = append(k.heads, m.head), append(k.reads, m.read), append(k.unread, int64(m.unread))
}

// seat names a participant's place in a conversation.
type seat struct{ id, user int64 }

// lost is a conversation that is not a box's user's any more.
type lost struct {
	id  int64
	box *box
}

// tell sends each box that was there when the glance was taken what differs from what it was told, and gives what went
// to others.
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

// news is how a user stands in a conversation now.
type news struct {
	standing
	mark
	canReply bool
}

// update (with mu held) tells a box what is new.
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

// lose tells a box that a conversation is not its user's any more.
func (i *inboxes) lose(b *box, appointmentID string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	b.sink.deliver(encode(goneFrame{AppointmentID: appointmentID, Total: b.total}))
}

// follow marks, of what a sweep found, the conversations of which boxes know less.
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

// waiting gives the users with open boxes, and where something is unread for them.
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

// dismiss ends all boxes: the log is no longer the one that they were told of.
func (i *inboxes) dismiss() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, boxes := range i.boxes {
		for _, b := range boxes {
			b.sink.end(closeFault, "the history has changed: connect again", 0)
		}
	}
}
