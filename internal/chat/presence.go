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
	// answerWait is how long other instances have to answer signalWho. After that, silence means that nobody is
	// there.
	answerWait = time.Second
	// returnWait is the same after an outage of the bus. Other instances may reconnect later than this one, but
	// within this time they will have announced all their users, even if one announcement comes a few seconds late:
	// otherwise somebody who is there would be offline for that long.
	returnWait  = announceEvery + 3*time.Second
	typingEvery = 2 * time.Second // between two starts from one connection; receivers forget one after 6 s
)

// presence knows who is connected, on any instance, to the conversations that have connections here. It is soft
// state: announced over the bus, and forgotten unless repeated. It remembers what each conversation was told and
// sends only differences, so that any order of joins, leaves and signals ends with the right result. Unknown is
// better than wrong: while the bus is away, and until others have had time to answer, a user without a connection
// here is null.
type presence struct {
	hub     *hub
	publish func(broadcast, func(bus.Topic))
	now     func() time.Time

	mu            sync.Mutex // guards all below; taken before any lock of the hub
	blind         bool       // the bus is away
	from          time.Time  // when it last went away
	until         time.Time  // until then, users who were not announced may still be present
	conversations map[int64]*presentIn
}

// presentIn holds who is present in one conversation.
type presentIn struct {
	until time.Time // as in presence, for this conversation
	users map[int64]*presentUser
}

// presentUser is one user of a conversation. told is what the conversation was last told about them.
type presentUser struct {
	userID string
	remote map[uint64]time.Time // instances that announced them, and when
	told   online
}

// online is a presence value as in frames.
type online uint8

const (
	onlineUnknown online = iota
	onlineNo
	onlineYes
)

// value returns true, false, or nil for unknown.
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

// ignoreLoss is for signals that need not be sent again: the next announcement makes up for them.
func ignoreLoss(bus.Topic) {}

func (p *presence) signal(id int64, what signal) {
	p.publish(broadcast{kind: broadcastSignal, id: id, signal: &what}, ignoreLoss)
}

// look returns what a hello should say about a user. From then on the conversation is told when that changes. The
// caller's connection must have entered the conversation.
func (p *presence) look(id, user int64, userID string) *bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.user(id, user, userID)
	p.settle(id, user, u)
	return u.told.value()
}

// user (with mu held) finds or creates a user's entry.
func (p *presence) user(id, user int64, userID string) *presentUser {
	in := p.conversations[id]
	if in == nil {
		in = &presentIn{until: p.now().Add(answerWait), users: map[int64]*presentUser{}}
		p.conversations[id] = in
	}
	u := in.users[user]
	if u == nil {
		u = &presentUser{userID: userID, remote: map[uint64]time.Time{}}
		in.users[user] = u
	}
	return u
}

// settle (with mu held) tells the conversation a user's presence if that differs from what it was last told.
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

// joined announces a user's new connection to a conversation and asks who else is there.
func (p *presence) joined(id int64, a auth.Actor) {
	p.moved(id, a)
	p.signal(id, signal{What: signalWho})
}

// ask asks the other instances who is there, without announcing anybody.
func (p *presence) ask(id int64) { p.signal(id, signal{What: signalWho}) }

// left announces that a user's connection has gone.
func (p *presence) left(id int64, a auth.Actor) {
	p.moved(id, a)
	p.forget(id)
}

// forget drops a conversation's presence once it has no connections here.
func (p *presence) forget(id int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.hub.has(id) {
		delete(p.conversations, id)
	}
}

// moved announces, here and over the bus, whether a user is present now. Both happen under mu, so that the last
// announcement is right.
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

// receive handles signals from other instances.
func (p *presence) receive(b broadcast) {
	switch sig := b.signal; sig.What {
	case signalTyping:
		p.hub.tellOthers(b.id, sig.User, encode(typingFrame{UserID: sig.UserID, Active: sig.Active}))
	case signalReceipt:
		p.hub.receipt(b.id, receipt{sig.User, sig.UserID, conversation.Cursors{Delivered: sig.Delivered, Read: sig.Read}})
	case signalWho:
		p.mu.Lock()
		p.announce(b.id)
		p.mu.Unlock()
	case signalOnline, signalOffline:
		p.note(b)
	}
}

// note records what another instance says about a user. While the bus is away it does nothing: signals may have been
// lost, so those that arrive prove nothing.
func (p *presence) note(b broadcast) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.blind || !p.hub.has(b.id) {
		return
	}
	u := p.user(b.id, b.signal.User, b.signal.UserID)
	if b.signal.What == signalOnline {
		u.remote[b.origin] = p.now()
	} else {
		delete(u.remote, b.origin)
	}
	p.settle(b.id, b.signal.User, u)
}

// announce (with mu held) repeats who is in a conversation here, except users who have not got their hello yet: they
// are announced then.
func (p *presence) announce(id int64) {
	for user := range p.hub.present(id) {
		if in := p.conversations[id]; in != nil && in.users[user] != nil {
			p.signal(id, signal{What: signalOnline, User: user, UserID: in.users[user].userID})
		}
	}
}

// refresh checks whether the bus is up, forgets users who have not been announced lately, tells conversations what
// has changed with time alone, and announces everyone if asked to.
func (p *presence) refresh(healthy, announce bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	back, gone := p.follow(healthy, now)
	for id, in := range p.conversations {
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
		for user, u := range in.users {
			for origin, at := range u.remote {
				if gone || now.Sub(at) > forgetAfter {
					delete(u.remote, origin)
				}
			}
			p.settle(id, user, u)
		}
	}
}

// follow (with mu held) records whether the bus is up. If an outage was longer than a start takes, it assumes that
// other instances had it too.
func (p *presence) follow(healthy bool, now time.Time) (back, gone bool) {
	back, gone = p.blind && healthy, !p.blind && !healthy
	p.blind = !healthy
	switch {
	case gone:
		p.from = now.Add(-bus.SilenceLimit) // an outage takes that long to be noticed
	case back && now.Sub(p.from) >= bus.SilenceLimit:
		p.until = now.Add(returnWait)
	case back:
		p.until = now.Add(answerWait)
	}
	return back, gone
}

// missed is called for a conversation whose broadcasts may have been lost. Its users become unknown unless they are
// announced again in time.
func (p *presence) missed(id int64, cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	in := p.conversations[id]
	if p.blind || in == nil || !p.hub.has(id) {
		return // refresh asks once the bus is up, as does every join
	}
	now, wait := p.now(), answerWait
	if cut { // perhaps other instances were cut off too
		wait = returnWait
		p.announce(id)
	}
	if until := now.Add(wait); until.After(in.until) {
		in.until = until
	}
	p.ask(id)
	for user, u := range in.users {
		for origin, at := range u.remote {
			if due := now.Add(2*answerWait - forgetAfter); at.After(due) { // instances check the bus once a second
				u.remote[origin] = due
			}
		}
		p.settle(id, user, u)
	}
}

// typing tells a conversation, on all instances, that a user is typing or has stopped typing.
func (p *presence) typing(id int64, a auth.Actor, active bool) {
	p.hub.tellOthers(id, a.ID, encode(typingFrame{UserID: a.UserID, Active: active}))
	p.signal(id, signal{What: signalTyping, User: a.ID, UserID: a.UserID, Active: active})
}

// presenceLoop keeps presence current: it checks the bus once a second and announces users every 15 s.
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
