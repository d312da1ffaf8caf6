package chat

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/errs"
)

// confirmWait is how long a join waits for the bus to confirm the room; then the sweep has to do.
const confirmWait = 300 * time.Millisecond

// joinAttempts bounds how often a join reads the log again because live events outran it.
const joinAttempts = 50

// pageSize is how many events are read from the log at once. Even the longest ones of a page fit a socket's queue.
const pageSize = 40

// session is one socket in one conversation.
type session struct {
	svc    *Service
	conn   *conn
	room   int64
	member *member
	typed  time.Time // when typing last counted
	types  bool      // that was not taken back
}

// cursor is where a client wants to go on: after is the last seq it has processed, -1 without one; epoch is the
// history it saw.
type cursor struct {
	after int64
	epoch string
}

// serve runs a socket from hello to its end. The connection is already among the service's sockets.
func (s *Service) serve(c *conn, room int64, at cursor) {
	ses := &session{svc: s, conn: c, room: room}
	var confirmed <-chan struct{}
	user := c.actor.Load().ID
	if ses.looksOn() {
		s.onlookers.set(c, watching{onlooker{room, user}, c.glass})
		defer s.onlookers.remove(c)
		user = nobody
	}
	ses.member, confirmed = s.hub.enter(room, user, c)
	defer ses.leave()
	joined := make(chan struct{})
	// On a goroutine of its own: its deep calls would leave this one a large stack for as long as the socket lives.
	go func() {
		defer close(joined)
		defer s.guard(c)
		if err := ses.join(at, confirmed); err != nil && !errors.Is(err, errConnGone) {
			c.end(closeFault, "the conversation could not be loaded", 0)
		}
	}()
	<-joined
	c.read(ses.handle)
}

func (ses *session) leave() {
	ses.svc.hub.leave(ses.member)
	if ses.looksOn() {
		ses.svc.presence.forget(ses.room)
		return
	}
	actor := *ses.conn.actor.Load()
	if ses.types { // whose device is gone does not type: nobody has to wait for it to run out
		ses.svc.presence.typing(ses.room, actor, false)
	}
	ses.svc.presence.left(ses.room, actor)
}

// looksOn tells whether the socket is that of an administrator who broke the glass: he only reads, and is not there.
func (ses *session) looksOn() bool { return !ses.conn.glass.IsZero() }

// mayRead asks again for the right to the room.
func (ses *session) mayRead(ctx context.Context, a appointment.Appointment, actor auth.Actor) (bool, error) {
	if !ses.looksOn() {
		return a.IsParticipant(actor.ID), nil
	}
	_, err := ses.svc.glassRight(ctx, a.ID, actor)
	if errs.KindOf(err) == errs.NotFound {
		return false, nil
	}
	return err == nil, err
}

var errConnGone = errors.New("the connection is closing")

// join sends hello and what the client has missed, and goes live. The member is registered before anything is
// read, so what is committed meanwhile waits in it, and hello is not older than what will follow.
func (ses *session) join(at cursor, confirmed <-chan struct{}) error {
	s, c := ses.svc, ses.conn
	t := time.NewTimer(confirmWait)
	defer t.Stop()
	select {
	case <-confirmed:
	case <-t.C:
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.d.Config.RequestTimeout)
	defer cancel()
	// The room before the right to it: whoever loses it after this finds out by an event beyond the head.
	snap, err := readSnapshot(ctx, s.d.Pool, ses.room)
	if err != nil {
		return err
	}
	a, err := s.d.Appointments.ByID(ctx, ses.room)
	if err != nil {
		return err
	}
	actor := *c.actor.Load()
	if may, err := ses.mayRead(ctx, a, actor); err != nil {
		return err
	} else if !may {
		c.expel()
		return errConnGone
	}
	s.hub.greet(ses.member, reached{a.Patient.ID, a.Patient.UserID, snap.receipts[a.Patient.ID]}, reached{a.Doctor.ID, a.Doctor.UserID, snap.receipts[a.Doctor.ID]})
	c.deliver(encode(ses.hello(a, snap)))
	c.warned.Store(false) // hello is the first frame, always
	sent, reset := at.resume(snap)
	if reset != "" {
		c.deliver(encode(resetFrame{Type: "reset", HeadSeq: snap.head, Reason: reset}))
	}
	if err := ses.catchUp(sent, snap); err != nil {
		return err
	}
	if ses.looksOn() {
		s.presence.ask(ses.room)
	} else {
		s.presence.joined(ses.room, actor)
	}
	return nil
}

// resume tells from where a client goes on, and why not from where it left.
func (at cursor) resume(snap snapshot) (from int64, reset string) {
	switch {
	case at.after < 0:
		return max(0, snap.head-recentLimit), ""
	case at.after > snap.head, at.epoch != "" && at.epoch != snap.epoch:
		return snap.head, "history"
	case snap.head-at.after > catchUpLimit:
		return snap.head, "gap"
	}
	return at.after, ""
}

// catchUp sends the log after sent, page by page and no faster than the client reads, until it has at least what it had
// when the right to it was looked at, and joins on to what is live.
func (ses *session) catchUp(sent int64, seen snapshot) error {
	s, head := ses.svc, seen.head
	for range joinAttempts {
		if sent >= head && ses.member.goLive(sent, encode(liveFrame{Type: "live", HeadSeq: sent})) {
			return nil
		}
		ctx, cancel := context.WithTimeout(s.ctx, s.d.Config.RequestTimeout)
		events, err := eventsAfter(ctx, s.d.Pool, ses.room, sent, pageSize)
		cancel()
		if err != nil {
			return err
		}
		if slices.ContainsFunc(events, func(e Event) bool { return e.Regroup && e.Seq > seen.head }) {
			ses.conn.end(closeRestart, "the participants have changed: connect again", 0)
			return errConnGone
		}
		if !ses.conn.deliverPaced(encodeAll(events)...) {
			return errConnGone
		}
		if n := len(events); n > 0 {
			sent = events[n-1].Seq
			continue
		}
		head = sent
		s.sweepSoon() // the hub is ahead of the log: the sweep decides
	}
	return errors.New("the room outran the join")
}

func encodeAll(events []Event) []wire {
	frames := make([]wire, len(events))
	for i, e := range events {
		frames[i] = encodeEvent(e)
	}
	return frames
}

func (ses *session) hello(a appointment.Appointment, snap snapshot) helloFrame {
	s := ses.svc
	actor := *ses.conn.actor.Load()
	can, why := s.reply(a, snap.closing)
	participant := func(p appointment.Person, role auth.Role) Participant {
		at := snap.receipts[p.ID]
		return Participant{
			Person: Person{UserID: p.UserID, Role: string(role), Name: p.Name}, Online: s.presence.look(a.ID, p.ID, p.UserID),
			DeliveredSeq: at.delivered, ReadSeq: at.read,
		}
	}
	participants := []Participant{participant(a.Patient, auth.Patient), participant(a.Doctor, auth.Doctor)}
	you := participants[0].Person
	switch {
	case ses.looksOn():
		you = Person{UserID: actor.UserID, Role: string(actor.Role), Name: actor.Name}
		can, why = readOnly(can, why)
	case actor.ID == a.Doctor.ID:
		you = participants[1].Person
	}
	return helloFrame{
		Type: "hello", Connection: ses.conn.id, You: you, Appointment: stateOf(a), Participants: participants,
		HeadSeq: snap.head, Epoch: snap.epoch, CanReply: can, WhyNot: why,
		Limits:           limitsOf(s.d.Config),
		HeartbeatSeconds: int(heartbeat.Seconds()), Notice: s.d.Config.Notice(),
	}
}

func limitsOf(c config.Config) Limits {
	return Limits{
		MessageChars: MaxChars, FrameBytes: MaxFrameBytes, PerSecond: c.MessagesPerSecond, UserPerSecond: c.UserMessagesPerSecond,
		RoomPerSecond: c.RoomMessagesPerSecond, FramesPerSecond: frameFlood * c.MessagesPerSecond,
		SocketsPerUser: c.SocketsPerUser, SocketsPerAddress: c.SocketsPerAddress,
	}
}

func stateOf(a appointment.Appointment) AppointmentState {
	return AppointmentState{ID: a.PublicID, Status: string(a.Status), StartsAt: a.StartsAt, EndsAt: a.EndsAt, Version: a.Version}
}

// handle answers one frame. It runs on the connection's reader and blocks only for auth.
func (ses *session) handle(data []byte) {
	c := ses.conn
	in, ok := c.understand(data)
	if !ok {
		return
	}
	if ses.looksOn() && in.Type != "ping" && in.Type != "auth" {
		c.refuse(tooMuch(in))
		return
	}
	actor := *c.actor.Load()
	// Expired, and still here because PostgreSQL is away and could not renew it: such a socket only reads.
	expired := c.expires.Load() <= ses.svc.d.Now().Unix()
	switch in.Type {
	case "send", "retract", "correct":
		if expired {
			ses.svc.metrics.refused.WithLabelValues("token_expired").Inc()
			c.deliver(encodeNack(in.ClientID, ErrOverload))
			return
		}
		ses.submit(in.draft(ses.room, actor))
	case "ping":
		c.deliver(encode(pongFrame{Type: "pong", ID: json.RawMessage(in.ID)}))
	case "auth":
		ses.svc.renew(c, in.Token)
	case "delivered", "read":
		if expired {
			return
		}
		read := int64(0)
		if in.Type == "read" {
			read = in.UpTo
		}
		ses.svc.receipts.move(ses.room, actor.ID, in.UpTo, read)
	case "typing":
		ses.typing(actor, in.Active)
	}
}

// tooMuch is the refusal of what an onlooker sends.
func tooMuch(in Inbound) *badFrame {
	return &badFrame{clientID: in.ClientID, code: "forbidden", detail: "You read this conversation without taking part in it."}
}

func (ses *session) submit(d Draft) {
	c, id := ses.conn, d.ClientID
	if !c.messages.Allow() {
		ses.svc.metrics.refused.WithLabelValues("rate_connection").Inc()
		c.deliver(encodeNack(id, errRateConnection))
		return
	}
	ses.svc.submit(d, func(r Receipt, err error) {
		if err != nil {
			c.deliver(encodeNack(id, err))
			return
		}
		c.deliver(encodeAck(id, r))
	})
}

// typing counts a start at most once in two seconds; a stop of one
// that counted always does, or the other side would see it run out.
func (ses *session) typing(actor auth.Actor, active bool) {
	now := ses.svc.d.Now()
	if active && now.Sub(ses.typed) < typingEvery || !active && !ses.types {
		return
	}
	ses.types = active
	if active {
		ses.typed = now
	}
	ses.svc.presence.typing(ses.room, actor, active)
}
