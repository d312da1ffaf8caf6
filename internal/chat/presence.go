package chat

import (
	"sync"
	"time"

	"housecall/internal/auth"
)

const (
	announceEvery = 15 * time.Second
	forgetAfter   = 40 * time.Second
	// answerWait is how long others have to answer who before silence means that they are not there.
	answerWait = time.Second
	// returnWait is the same after the bus was away: others come back to it later than this instance, but whoever is back
	// announces everybody within this time.
	returnWait  = announceEvery
	typingEvery = 2 * time.Second // of one connection: more do not count; receivers forget after 6 s
)

// Words of soft notes on the bus.
const (
	softTyping  = "typing"
	softOnline  = "online"
	softOffline = "offline"
	softWho     = "who"
	softReceipt = "receipt"
)

// presence knows who has a socket in the rooms of this instance, here or elsewhere, as soft state: it is announced
// over the bus and forgotten when it is not repeated. It keeps what each room was told and tells what differs,
// so that no order of joins, leaves and notes can leave a room with something else. Unknown is better than wrong:
// while the bus is away, and until others had time to answer, an absent user is null.
type presence struct {
	hub *hub
	bus bus
	now func() time.Time

	mu    sync.Mutex // guards all below; taken before any lock of the hub
	blind bool       // the bus is away
	from  time.Time  // since when it is, or was
	until time.Time  // before it, who was not announced may be there all the same
	rooms map[int64]*presentRoom
}

type presentRoom struct {
	until time.Time // the same of this room
	users map[int64]*presentUser
}

// presentUser is one user of a room. told is what the room was told last.
type presentUser struct {
	userID string
	remote map[uint64]time.Time // instances that announced him, and when
	told   online
}

// online is a presence value as frames have it.
type online uint8

const (
	onlineUnknown online = iota
	onlineNo
	onlineYes
)

// value gives true, false, or nil for unknown.
func (o online) value() *bool {
	if o == onlineUnknown {
		return nil
	}
	yes := o == onlineYes
	return &yes
}

func newPresence(h *hub, b bus, now func() time.Time) *presence {
	return &presence{hub: h, bus: b, now: now, blind: true, from: now(), rooms: map[int64]*presentRoom{}}
}

// softLoss is for notices nobody repeats: the next announcement does.
func softLoss(int64) {}

func (p *presence) publish(room int64, n softNote) {
	p.bus.Publish(notice{kind: noticeSoft, room: room, soft: &n}, softLoss)
}

// look gives what a hello says of a user, and from now on his room is told when that changes. The caller's socket
// has entered the room.
func (p *presence) look(room, user int64, userID string) *bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.user(room, user, userID)
	p.settle(room, user, u)
	return u.told.value()
}

// user (with mu held) finds or makes what is known of a user.
func (p *presence) user(room, user int64, userID string) *presentUser {
	r := p.rooms[room]
	if r == nil {
		r = &presentRoom{until: p.now().Add(answerWait), users: map[int64]*presentUser{}}
		p.rooms[room] = r
	}
	u := r.users[user]
	if u == nil {
		u = &presentUser{userID: userID, remote: map[uint64]time.Time{}}
		r.users[user] = u
	}
	return u
}

// settle (with mu held) tells the room when a user's state is not what it was told.
func (p *presence) settle(room, user int64, u *presentUser) {
	state := onlineNo
	switch now := p.now(); {
	case p.hub.present(room)[user] > 0, len(u.remote) > 0:
		state = onlineYes
	case p.blind, now.Before(p.until), now.Before(p.rooms[room].until):
		state = onlineUnknown
	}
	if state != u.told {
		u.told = state
		p.hub.broadcast(room, user, encode(presenceFrame{Type: "presence", UserID: u.userID, Online: state.value()}))
	}
}

// joined announces a user's socket in a room and asks who else is there.
func (p *presence) joined(room int64, a auth.Actor) {
	p.moved(room, a)
	p.publish(room, softNote{What: softWho})
}

// ask asks who is there, and announces nobody.
func (p *presence) ask(room int64) { p.publish(room, softNote{What: softWho}) }

// left announces that a user's socket has gone.
func (p *presence) left(room int64, a auth.Actor) {
	p.moved(room, a)
	p.forget(room)
}

// forget drops what is known of a room without sockets.
func (p *presence) forget(room int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.hub.has(room) {
		delete(p.rooms, room)
	}
}

// moved says what is true of a user now, here and over the bus. Both happen under mu, so the last word is the truth.
func (p *presence) moved(room int64, a auth.Actor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle(room, a.ID, p.user(room, a.ID, a.UserID))
	what := softOffline
	if p.hub.present(room)[a.ID] > 0 {
		what = softOnline
	}
	p.publish(room, softNote{What: what, User: a.ID, UserID: a.UserID})
}

// receive takes soft notes of other instances.
func (p *presence) receive(n notice) {
	note := n.soft
	switch note.What {
	case softTyping:
		p.hub.broadcast(n.room, note.User, encode(typingFrame{Type: "typing", UserID: note.UserID, Active: note.Active}))
	case softReceipt:
		p.hub.receipt(n.room, reached{note.User, note.UserID, cursors{delivered: note.Delivered, read: note.Read}})
	case softWho:
		p.mu.Lock()
		p.announce(n.room)
		p.mu.Unlock()
	case softOnline, softOffline:
		p.note(n)
	}
}

// note remembers what another instance says of a user. While the bus is away it may have said, or may say, more than comes
// through: that is no knowledge.
func (p *presence) note(n notice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.blind || !p.hub.has(n.room) {
		return
	}
	u := p.user(n.room, n.soft.User, n.soft.UserID)
	if n.soft.What == softOnline {
		u.remote[n.origin] = p.now()
	} else {
		delete(u.remote, n.origin)
	}
	p.settle(n.room, n.soft.User, u)
}

// announce (with mu held) repeats who is in a room here. Who has not been greeted yet announces himself then.
func (p *presence) announce(room int64) {
	for user := range p.hub.present(room) {
		if r := p.rooms[room]; r != nil && r.users[user] != nil {
			p.publish(room, softNote{What: softOnline, User: user, UserID: r.users[user].userID})
		}
	}
}

// refresh follows the bus into and out of blindness, forgets those whom nobody announced lately, settles what time
// alone has changed, and, when asked, announces everyone.
func (p *presence) refresh(healthy, announce bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	back, gone := p.follow(healthy, now)
	for room, r := range p.rooms {
		if !p.hub.has(room) {
			delete(p.rooms, room)
			continue
		}
		if announce || back {
			p.announce(room)
		}
		if back {
			p.ask(room)
		}
		for user, u := range r.users {
			for origin, at := range u.remote {
				if gone || now.Sub(at) > forgetAfter {
					delete(u.remote, origin)
				}
			}
			p.settle(room, user, u)
		}
	}
}

// follow (with mu held) notes whether the bus is up. Where it was missing for longer than a start takes, it was so for others
// too.
func (p *presence) follow(healthy bool, now time.Time) (back, gone bool) {
	back, gone = p.blind && healthy, !p.blind && !healthy
	p.blind = !healthy
	switch {
	case gone:
		p.from = now.Add(-beatLimit) // it takes that long to notice
	case back && now.Sub(p.from) >= beatLimit:
		p.until = now.Add(returnWait)
	case back:
		p.until = now.Add(answerWait)
	}
	return back, gone
}

// missed is for a room of which notices may have been lost: everybody there has to be announced anew, in time.
func (p *presence) missed(room int64, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.rooms[room]
	if p.blind || r == nil || !p.hub.has(room) {
		return // refresh asks once the bus is up, and a join asks
	}
	now, wait := p.now(), answerWait
	if cut { // perhaps for others too
		wait = returnWait
		p.announce(room)
	}
	if until := now.Add(wait); until.After(r.until) {
		r.until = until
	}
	p.ask(room)
	for user, u := range r.users {
		for origin, at := range u.remote {
			if due := now.Add(2*answerWait - forgetAfter); at.After(due) { // they look at the bus once a second
				u.remote[origin] = due
			}
		}
		p.settle(room, user, u)
	}
}

// typing tells a room, here and elsewhere, that a user types or has stopped.
func (p *presence) typing(room int64, a auth.Actor, active bool) {
	p.hub.broadcast(room, a.ID, encode(typingFrame{Type: "typing", UserID: a.UserID, Active: active}))
	p.publish(room, softNote{What: softTyping, User: a.ID, UserID: a.UserID, Active: active})
}

// presenceLoop keeps presence true: once a second it looks at the bus, every 15 s it announces.
func (s *Service) presenceLoop() {
	last := time.Time{}
	s.every(time.Second, func() {
		announce := s.d.Now().Sub(last) >= announceEvery
		if announce {
			last = s.d.Now()
		}
		s.presence.refresh(s.bus.Healthy(), announce)
	})
}
