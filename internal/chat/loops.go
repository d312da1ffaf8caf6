package chat

import (
	"context"
	"time"

	"housecall/internal/appointment"
	"housecall/internal/conversation"
)

const (
	sweepEvery       = 5 * time.Second
	sweepBusAway     = time.Second
	sessionPoll      = 500 * time.Millisecond // so that ended sessions are cut off within a second even without the bus
	unsentEvery      = 500 * time.Millisecond
	backgroundBudget = 5 * time.Second // for one background statement
)

// every runs f at intervals until the service stops.
func (s *Service) every(d time.Duration, f func()) {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
			f()
		}
	}
}

// sweepSoon asks for a sweep now. Several requests are combined into one.
func (s *Service) sweepSoon() {
	select {
	case s.sweepNow <- struct{}{}:
	default:
	}
}

// sweepLoop sweeps when asked to and every few seconds, or every second while the bus is slow or away.
func (s *Service) sweepLoop() {
	tick := time.NewTicker(sweepBusAway)
	defer tick.Stop()
	last := time.Now()
	for {
		doubt := true // whether the bus may have lost something
		select {
		case <-s.ctx.Done():
			return
		case <-s.sweepNow:
		case <-tick.C:
			if doubt = !s.bus.Prompt(); !doubt && time.Since(last) < sweepEvery {
				continue
			}
		}
		s.sweep()
		s.sweepInboxes()
		if doubt {
			s.sweepReceipts()
		}
		last = time.Now()
	}
}

// sweep compares all conversations that have subscribers here with PostgreSQL, in one query. It makes up for every
// lost broadcast.
func (s *Service) sweep() {
	// Taken before the query: if a head moved in between, the log would seem to have gone backwards.
	before := s.hub.heads()
	if len(before) == 0 {
		return
	}
	ids := make([]int64, 0, len(before))
	for id := range before {
		ids = append(ids, id)
	}
	ctx, cancel := context.WithTimeout(s.ctx, backgroundBudget)
	defer cancel()
	heads, epoch, err := s.d.Conversations.Heads(ctx, ids)
	if err != nil || len(heads) == 0 {
		return // sessionLoop reports that PostgreSQL is away
	}
	// In another epoch, even the same head may mean other events.
	rewritten := s.epoch != "" && s.epoch != epoch
	s.epoch = epoch
	for id, head := range heads {
		switch {
		case rewritten || head < before[id]:
			s.d.Logger.Warn().Bool("epoch", rewritten).Msg("the log was replaced or truncated: clients must reconnect")
			s.hub.forget(id)
		case head > before[id]:
			s.metrics.swept.Inc()
			s.hub.learn(id, head)
		}
	}
}

// sweepReceipts sends the conversations here their participants' receipts as PostgreSQL has them.
func (s *Service) sweepReceipts() {
	ids := s.hub.occupied()
	if len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, backgroundBudget)
	defer cancel()
	all, err := receiptsIn(ctx, s.d.Pool, ids)
	if err != nil {
		return // as in sweep
	}
	for _, m := range all {
		s.hub.receipt(m.id, m.receipt)
	}
}

// sessionLoop asks twice a second which sign-in sessions have ended, in case the bus lost a broadcast. It is also the
// first to notice that PostgreSQL is away or back.
func (s *Service) sessionLoop() {
	since := time.Time{}
	s.every(sessionPoll, func() {
		ctx, cancel := context.WithTimeout(s.ctx, backgroundBudget)
		defer cancel()
		ended, asOf, err := s.d.Accounts.EndedSessions(ctx, since)
		if err != nil {
			if s.ctx.Err() == nil && !s.dbAway.Swap(true) {
				s.d.Logger.Warn().Msg("PostgreSQL is unavailable: connections stay open, messages are refused")
			}
			return
		}
		if s.dbAway.Swap(false) {
			s.d.Logger.Info().Msg("PostgreSQL is available again")
			s.sweepSoon()
		}
		since = asOf // EndedSessions itself looks back a little further
		s.connections.endSessions(ended)
	})
}

// unsentLoop makes up for failed publishes: once the bus is up, it publishes the heads and receipts of those
// conversations.
func (s *Service) unsentLoop() {
	s.every(unsentEvery, func() {
		if !s.bus.Healthy() {
			return
		}
		ids := s.unsent.Take()
		if len(ids) == 0 {
			return
		}
		if err := s.publishAgain(ids); err != nil {
			for _, id := range ids {
				s.unsent.Add(id)
			}
		}
	})
}

func (s *Service) publishAgain(ids []int64) error {
	ctx, cancel := context.WithTimeout(s.ctx, backgroundBudget)
	defer cancel()
	heads, _, err := s.d.Conversations.Heads(ctx, ids)
	if err != nil {
		return err
	}
	all, err := receiptsIn(ctx, s.d.Pool, ids)
	if err != nil {
		return err
	}
	for _, id := range ids {
		s.publish(broadcast{kind: broadcastHead, id: id, head: heads[id]}, s.lost)
	}
	for _, m := range all {
		s.publish(m.broadcast(), s.lost)
	}
	return nil
}

// changeLoop reloads the appointments that system events were about, and sends their state to the conversations.
func (s *Service) changeLoop() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.changes.Wake():
		}
		for _, id := range s.changes.Take() {
			if err := s.tellAppointment(id); err != nil && s.ctx.Err() == nil {
				s.changes.AddAfter(id, time.Second)
			}
		}
	}
}

// tellAppointment sends a conversation's subscribers the state of its appointment, and closes the connections of
// users who no longer take part.
func (s *Service) tellAppointment(id int64) error {
	ctx, cancel := context.WithTimeout(s.ctx, backgroundBudget)
	defer cancel()
	now, err := s.d.Conversations.Load(ctx, id)
	if err != nil {
		return err
	}
	a := now.Appointment
	s.hub.expel(id, a.IsParticipant)
	frame := func(r conversation.Reply) wire {
		return encode(appointmentFrame{Appointment: stateOf(a), CanReply: r.Can, WhyNot: r.WhyNot})
	}
	reply := s.reply(a, now.Closing)
	toAll, toObservers := frame(reply), frame(reply.ReadOnly())
	s.hub.tell(id, func(user int64) wire {
		if user == nobody {
			return toObservers
		}
		return toAll
	})
	return nil
}

// reply returns whether participants can reply, and makes sure that subscribers are told when the clock closes the
// conversation.
func (s *Service) reply(a appointment.Appointment, closed appointment.Closing) conversation.Reply {
	r := s.d.Conversations.Reply(a, closed)
	s.windows.set(a.ID, r.Until)
	return r
}

// janitorLoop checks connections and follow-up windows once a second.
func (s *Service) janitorLoop() {
	ping := seal(opPing, make([]byte, wireHeader))
	s.every(time.Second, func() {
		s.connections.look(ping, s.dbAway.Load())
		for _, id := range s.windows.over(s.d.Now()) {
			s.changes.Add(id)
			s.inboxes.touch(0, id)
		}
	})
}
