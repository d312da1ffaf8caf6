package chat

import (
	"sync"
	"time"

	"housecall/internal/auth"
	"housecall/internal/bus"
	"housecall/internal/conversation"
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

// presence knows who has a connection in the conversations of this instance, here or elsewhere, as soft state: it is
// announced over the bus and forgotten when it is not repeated. It keeps what each conversation was told and tells what
// differs, so that no order of joins, leaves and notes can leave a conversation with something else. Unknown is better
// than wrong: while the bus is away, and until others had time to answer, an absent user is null.
type presence struct {
	hub     *hub
	publish func(broadcast, func(bus.Topic))
	now     func() time.Time

	mu            sync.Mutex // guards all below; taken before any lock of the hub
	blind         bool       // the bus is away
	from          time.Time  // since when it is, or was
	until         time.Time  // before it, who was not announced may be there all the same
	conversations map[int64]*presentIn
}

type presentIn struct {
	until time.Time // the same of this conversation
	users map[int64]*presentUser
}

// presentUser is one user of a conversation. told is what the conversation was told last.
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

func newPresence(h *hub, publish func(broadcast, func(bus.Topic)), now func() time.Time) *presence {
	return &presence{hub: h, publish: publish, now: now, blind: true, from: now(), conversations: map[int64]*presentIn{}}
}

// ignoreLoss is for signals that nobody repeats: the next announcement does.
func ignoreLoss(bus.Topic) {}

func (p *presence) signal(id int64, n signal) {
	p.publish(broadcast{kind: broadcastSignal, id: id, signal: &n}, ignoreLoss)
}

// look gives what a hello says of a user, and from now on his conversation is told when that changes. The caller's
// connection has entered the conversation.
func (p *presence) look(id, user int64, userID string) *bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.user(id, user, userID)
	p.settle(id, user, u)
	return u.told.value()
}

// user (with mu held) finds or makes what is known of a user.
func (p *presence) user(id, user int64, userID string) *presentUser {
	r := p.conversations[id]
	if r == nil {
		r = &presentIn{until: p.now().Add(answerWait), users: map[int64]*presentUser{}}
		p.conversations[id] = r
	}
	u := r.users[user]
	if u == nil {
		u = &presentUser{userID: userID, remote: map[uint64]time.Time{}}
		r.users[user] = u
	}
	return u
}

// settle (with mu held) tells the conversation when a user's state is not what it was told.
func (p *presence) settle(id, user int64, u *presentUser) {
	state := onlineNo
	switch now := p.now(); {
	case p.hub.present(id)[user] > 0, len(u.remote) > 0:
		state = onlineYes
	case p.blind, now.Before(p.until), now.Before(p.conversations[id].until):
		state = onlineUnknown
	}
	if state != u.told {
		u.told = state
		p.hub.tellOthers(id, user, encode(presenceFrame{UserID: u.userID, Online: state.value()}))
	}
}

// joined announces a user's connection in a conversation and asks who else is there.
func (p *presence) joined(id int64, a auth.Actor) {
	p.moved(id, a)
	p.signal(id, signal{What: signalWho})
}

// ask asks who is there, and announces nobody.
func (p *presence) ask(id int64) { p.signal(id, signal{What: signalWho}) }

// left announces that a user's connection has gone.
func (p *presence) left(id int64, a auth.Actor) {
	p.moved(id, a)
	p.forget(id)
}

// forget drops what is known of a conversation without connections.
func (p *presence) forget(id int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.hub.has(id) {
		delete(p.conversations, id)
	}
}

// moved says what is true of a user now, here and over the bus. Both happen under mu, so the last word is the truth.
func (p *presence) moved(id int64, a auth.Actor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle(id, a.ID, p.user(id, a.ID, a.UserID))
	what := signalOffline
	if p.hub.present(id)[a.ID] > 0 {
		what = signalOnline
	}
	p.signal(id, signal{What: what, User: a.ID, UserID: a.UserID})
}

// receive takes signals of other instances.
func (p *presence) receive(n broadcast) {
	note := n.signal
	switch note.What {
	case signalTyping:
		p.hub.tellOthers(n.id, note.User, encode(typingFrame{UserID: note.UserID, Active: note.Active}))
	case signalReceipt:
		p.hub.receipt(n.id, receipt{note.User, note.UserID, conversation.Cursors{Delivered: note.Delivered, Read: note.Read}})
	case signalWho:
		p.mu.Lock()
		p.announce(n.id)
		p.mu.Unlock()
	case signalOnline, signalOffline:
		p.note(n)
	}
}

// note remembers what another instance says of a user. While the bus is away it may have said, or may say, more than
// comes through: that is no knowledge.
func (p *presence) note(n broadcast) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.blind || !p.hub.has(n.id) {
		return
	}
	u := p.user(n.id, n.signal.User, n.signal.UserID)
	if n.signal.What == signalOnline {
		u.remote[n.origin] = p.now()
	} else {
		delete(u.remote, n.origin)
	}
	p.settle(n.id, n.signal.User, u)
}

// announce (with mu held) repeats who is in a conversation here. Who has not been greeted yet announces himself then.
func (p *presence) announce(id int64) {
	for user := range p.hub.present(id) {
		if r := p.conversations[id]; r != nil && r.users[user] != nil {
			p.signal(id, signal{What: signalOnline, User: user, UserID: r.users[user].userID})
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
	for id, r := range p.conversations {
		if !p.hub.has(id) {
			delete(p.conversations, id)
			continue
		}
		if announce || back {
			p.announce(id)
		}
		if back {
			p.ask(id)
		}
		for user, u := range r.users {
			for origin, at := range u.remote {
				if gone || now.Sub(at) > forgetAfter {
					delete(u.remote, origin)
				}
			}
			p.settle(id, user, u)
		}
	}
}

// follow (with mu held) notes whether the bus is up. Where it was missing for longer than a start takes, it was so for
// others too.
func (p *presence) follow(healthy bool, now time.Time) (back, gone bool) {
	back, gone = p.blind && healthy, !p.blind && !healthy
	p.blind = !healthy
	switch {
	case gone:
		p.from = now.Add(-bus.SilenceLimit) // it takes that long to broadcast
	case back && now.Sub(p.from) >= bus.SilenceLimit:
		p.until = now.Add(returnWait)
	case back:
		p.until = now.Add(answerWait)
	}
	return back, gone
}

// missed is for a conversation of which broadcasts may have been lost: everybody there has to be announced anew, in
// time.
func (p *presence) missed(id int64, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.conversations[id]
	if p.blind || r == nil || !p.hub.has(id) {
		return // refresh asks once the bus is up, and a join asks
	}
	now, wait := p.now(), answerWait
	if cut { // perhaps for others too
		wait = returnWait
		p.announce(id)
	}
	if until := now.Add(wait); until.After(r.until) {
		r.until = until
	}
	p.ask(id)
	for user, u := range r.users {
		for origin, at := range u.remote {
			if due := now.Add(2*answerWait - forgetAfter); at.After(due) { // they look at the bus once a second
				u.remote[origin] = due
			}
		}
		p.settle(id, user, u)
	}
}

// typing tells a conversation, here and elsewhere, that a user types or has stopped.
func (p *presence) typing(id int64, a auth.Actor, active bool) {
	p.hub.tellOthers(id, a.ID, encode(typingFrame{UserID: a.UserID, Active: active}))
	p.signal(id, signal{What: signalTyping, User: a.ID, UserID: a.UserID, Active: active})
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
