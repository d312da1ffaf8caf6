package chat

import (
	"context"
	"errors"
	"slices"
	"time"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/bus"
	"housecall/internal/conversation"
	"housecall/internal/errs"
)

const (
	catchUpLimit = 500 // events: a client that is further behind gets a reset
	recentLimit  = 50  // events for a client that joins without a cursor
	// joinAttempts bounds how often a join reads the log again because live events have outrun it.
	joinAttempts = 50
	// pageSize is how many events are read from the log at once. Even a page of the longest ones fits in a connection's
	// queue.
	pageSize = 40
)

// subscription is a connection's place in one conversation.
type subscription struct {
	svc        *Service
	conn       *conn
	id         int64 // of the conversation
	subscriber *subscriber
	typed      time.Time // when a typing start last counted
	types      bool      // no stop has followed it
}

// cursor says where a client wants to resume: after is the last seq it has processed, -1 if it gave none; epoch is
// that of the history it saw.
type cursor struct {
	after int64
	epoch string
}

// serve runs a connection to a conversation from hello to its end. The connection is already registered.
func (s *Service) serve(c *conn, id int64, at cursor) {
	sub := &subscription{svc: s, conn: c, id: id}
	var confirmed <-chan struct{}
	user := c.actor.Load().ID
	if sub.observes() {
		s.observers.set(c, watching{conversation.Observer{Conversation: id, Admin: user}, c.until})
		defer s.observers.remove(c)
		user = nobody
	}
	sub.subscriber, confirmed = s.hub.enter(id, user, c)
	defer sub.leave()
	joined := make(chan struct{})
	// On its own goroutine: the deep calls in it would leave this one with a large stack for the connection's
	// lifetime.
	go func() {
		defer close(joined)
		defer s.guard(c)
		if err := sub.join(at, confirmed); err != nil && !errors.Is(err, errConnGone) {
			c.end(closeFault, "the conversation could not be loaded", 0)
		}
	}()
	<-joined
	c.receive(sub.handle)
}

func (sub *subscription) leave() {
	sub.svc.hub.leave(sub.subscriber)
	if sub.observes() {
		sub.svc.presence.forget(sub.id)
		return
	}
	actor := *sub.conn.actor.Load()
	if sub.types { // otherwise the others would see them typing until that expires
		sub.svc.presence.typing(sub.id, actor, false)
	}
	sub.svc.presence.left(sub.id, actor)
}

// observes reports whether the connection belongs to an observer, who only reads and is not present.
func (sub *subscription) observes() bool { return !sub.conn.until.IsZero() }

var errConnGone = errors.New("the connection is closing")

// join sends hello and what the client has missed, and goes live. The subscriber is registered before anything is
// read, so it holds what is committed in the meantime, and hello is never older than what follows.
func (sub *subscription) join(at cursor, confirmed <-chan struct{}) error {
	s, c := sub.svc, sub.conn
	t := time.NewTimer(bus.ConfirmWait)
	defer t.Stop()
	select {
	case <-confirmed:
	case <-t.C: // the sweep will make up for the bus
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.d.Options.RequestTimeout)
	defer cancel()
	actor := *c.actor.Load()
	now, reading, err := s.d.Conversations.Rejoin(ctx, sub.id, actor)
	switch {
	case errs.KindOf(err) == errs.NotFound:
		c.expel()
		return errConnGone
	case err != nil:
		return err
	case reading.Observer() != sub.observes(): // since the connection was admitted
		c.end(closeRestart, "your access to this conversation has changed", 0)
		return errConnGone
	}
	s.hub.greet(sub.subscriber, receiptsOf(now)...)
	c.deliver(encode(sub.hello(now)))
	c.warned.Store(false) // hello has been sent, so authExpiring may follow
	sent, reset := at.resume(now)
	if reset != "" {
		c.deliver(encode(resetFrame{HeadSeq: now.HeadSeq, Reason: reset}))
	}
	if err := sub.catchUp(reading, sent, now.HeadSeq); err != nil {
		return err
	}
	if sub.observes() {
		s.presence.ask(sub.id)
	} else {
		s.presence.joined(sub.id, actor)
	}
	return nil
}

// receiptsOf returns the receipts of a conversation's participants.
func receiptsOf(now conversation.State) []receipt {
	var out []receipt
	for _, p := range now.Appointment.Participants() {
		out = append(out, receipt{p.ID, p.UserID, now.Cursors[p.ID]})
	}
	return out
}

// resume returns the seq after which a client resumes and, if that is not where it left off, the reason for the
// reset.
func (at cursor) resume(now conversation.State) (from int64, reset string) {
	switch {
	case at.after < 0:
		return max(0, now.HeadSeq-recentLimit), ""
	case at.after > now.HeadSeq, at.epoch != "" && at.epoch != now.Epoch:
		return now.HeadSeq, "history"
	case now.HeadSeq-at.after > catchUpLimit:
		return now.HeadSeq, "gap"
	}
	return at.after, ""
}

// catchUp sends the log after sent, page by page and no faster than the client reads, and then goes live. seen was the
// head when the right to read was judged; the client gets at least that far.
func (sub *subscription) catchUp(r conversation.Reading, sent, seen int64) error {
	s, head := sub.svc, seen
	for range joinAttempts {
		if sent >= head && sub.subscriber.goLive(sent, encode(liveFrame{HeadSeq: sent})) {
			return nil
		}
		ctx, cancel := context.WithTimeout(s.ctx, s.d.Options.RequestTimeout)
		events, err := s.d.Conversations.After(ctx, r, sent, pageSize)
		cancel()
		if err != nil {
			return err
		}
		if slices.ContainsFunc(events, func(e conversation.Event) bool { return e.Regroup && e.Seq > seen }) {
			sub.conn.end(closeRestart, "the participants have changed: connect again", 0)
			return errConnGone
		}
		if !sub.conn.deliverPaced(encodeAll(events)...) {
			return errConnGone
		}
		if n := len(events); n > 0 {
			sent = events[n-1].Seq
			continue
		}
		head = sent
		s.sweepSoon() // the hub is ahead of the log: the sweep finds out why
	}
	return errors.New("the conversation grew faster than it could be read")
}

func encodeAll(events []conversation.Event) []wire {
	frames := make([]wire, len(events))
	for i, e := range events {
		frames[i] = encodeEvent(e)
	}
	return frames
}

func (sub *subscription) hello(now conversation.State) helloFrame {
	s, a := sub.svc, now.Appointment
	actor := *sub.conn.actor.Load()
	reply := s.reply(a, now.Closing)
	f := helloFrame{
		Connection: sub.conn.id, You: personOf(actor), Appointment: stateOf(a), HeadSeq: now.HeadSeq, Epoch: now.Epoch,
		Limits: s.limits(), HeartbeatSeconds: int(heartbeat.Seconds()), Notice: s.d.Options.ClinicNotice,
	}
	for _, p := range a.Participants() {
		at, shown := now.Cursors[p.ID], Person{UserID: p.UserID, Role: string(p.Role), Name: p.Name}
		f.Participants = append(f.Participants, Participant{
			Person: shown, Online: s.presence.look(a.ID, p.ID, p.UserID), DeliveredSeq: at.Delivered, ReadSeq: at.Read,
		})
		if p.ID == actor.ID {
			f.You = shown // with their role in this conversation
		}
	}
	if sub.observes() {
		reply = reply.ReadOnly()
	}
	f.CanReply, f.WhyNot = reply.Can, reply.WhyNot
	return f
}

func personOf(a auth.Actor) Person {
	return Person{UserID: a.UserID, Role: string(a.Role), Name: a.Name}
}

func (s *Service) limits() Limits {
	o := s.d.Options
	return Limits{
		MessageChars: conversation.MaxChars, FrameBytes: MaxFrameBytes, PerSecond: o.PerSecond,
		UserPerSecond: o.UserPerSecond, RoomPerSecond: o.ConversationPerSecond, FramesPerSecond: frameFlood * o.PerSecond,
		SocketsPerUser: o.SocketsPerUser, SocketsPerAddress: o.SocketsPerAddress,
	}
}

func stateOf(a appointment.Appointment) AppointmentState {
	return AppointmentState{
		ID: a.PublicID, Status: string(a.Status), StartsAt: a.StartsAt, EndsAt: a.EndsAt, Version: a.Version,
	}
}

// handle answers one frame. It runs on the connection's reader and blocks only for auth.
func (sub *subscription) handle(data []byte) {
	c := sub.conn
	in, ok := c.understand(data)
	if !ok {
		return
	}
	switch frame := clientFrameOf(in.Type); {
	case frame.onConnection != nil:
		frame.onConnection(sub.svc, c, in)
	case sub.observes():
		c.refuse(errObserver(in))
	default:
		frame.serve(sub, in)
	}
}

// errObserver refuses a frame from an observer.
func errObserver(in Inbound) *badFrame {
	return &badFrame{
		clientID: in.Echo, code: "forbidden", detail: "You can read this conversation but not write in it.",
	}
}

// expired reports whether the connection's token has expired. A connection that is still open then is waiting for
// PostgreSQL to come back so that its token can be renewed; until then it can only read.
func (sub *subscription) expired() bool { return sub.conn.expires.Load() <= sub.svc.d.Now().Unix() }

// draft submits a message, a retraction or a correction. The answer repeats its clientId as the client spelled it.
func (sub *subscription) draft(id string, d conversation.Draft) {
	c := sub.conn
	switch {
	case sub.expired():
		c.metrics.refused("token_expired")
		c.deliver(encodeNack(id, conversation.ErrUnavailable))
		return
	case !c.messages.Allow():
		c.metrics.refused("rate_connection")
		c.deliver(encodeNack(id, errConnectionTooFast))
		return
	}
	sub.svc.d.Conversations.Submit(d, func(a conversation.Ack, err error) {
		if err != nil {
			c.deliver(encodeNack(id, err))
			return
		}
		c.deliver(encodeAck(id, a))
	})
}

var errConnectionTooFast = conversation.ErrTooFast("over this connection")

func (sub *subscription) delivered(in Inbound) { sub.reached(conversation.Cursors{Delivered: in.UpTo}) }

func (sub *subscription) read(in Inbound) {
	sub.reached(conversation.Cursors{Delivered: in.UpTo, Read: in.UpTo})
}

func (sub *subscription) reached(at conversation.Cursors) {
	if !sub.expired() {
		sub.svc.receipts.move(sub.id, sub.conn.actor.Load().ID, at)
	}
}

// typing passes on a start at most once in two seconds. It always passes on the stop after one, otherwise the others
// would see the typing until it expires.
func (sub *subscription) typing(in Inbound) {
	now := sub.svc.d.Now()
	if in.Active && now.Sub(sub.typed) < typingEvery || !in.Active && !sub.types {
		return
	}
	sub.types = in.Active
	if in.Active {
		sub.typed = now
	}
	sub.svc.presence.typing(sub.id, *sub.conn.actor.Load(), in.Active)
}
