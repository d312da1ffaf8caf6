package chat

import (
	"context"
	"time"

	"housecall/internal/appointment"
)

const (
	sweepEvery       = 5 * time.Second
	sweepBusAway     = time.Second
	sessionPoll      = 500 * time.Millisecond // so that a session is cut within a second, whatever the bus does
	unsentEvery      = 500 * time.Millisecond
	backgroundBudget = 5 * time.Second // of one background statement
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

// sweepSoon asks for a sweep at once; several requests become one.
func (s *Service) sweepSoon() {
	select {
	case s.sweepNow <- struct{}{}:
	default:
	}
}

func (s *Service) sweepLoop() {
	tick := time.NewTicker(sweepBusAway)
	defer tick.Stop()
	last := time.Now()
	for {
		doubt := true // that the bus has brought all there was
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

// sweep compares all joined rooms with PostgreSQL in one query. It heals every lost wake-up.
func (s *Service) sweep() {
	// Taken before the query: a head that moves meanwhile must not look as if the log had gone back.
	before := s.hub.heads()
	if len(before) == 0 {
		return
	}
	rooms := make([]int64, 0, len(before))
	for id := range before {
		rooms = append(rooms, id)
	}
	ctx, cancel := context.WithTimeout(s.ctx, backgroundBudget)
	defer cancel()
	heads, epoch, err := headsOf(ctx, s.d.Pool, rooms)
	if err != nil || len(heads) == 0 {
		return // sessionLoop says that PostgreSQL is away
	}
	// In another epoch even a head that fits may stand for other events.
	rewritten := s.epoch != "" && s.epoch != epoch
	s.epoch = epoch
	for id, head := range heads {
		switch {
		case rewritten || head < before[id]:
			s.d.Logger.Warn().Bool("epoch", rewritten).Msg("the log is not the one that was delivered: its sockets come back")
			s.hub.forget(id)
		case head > before[id]:
			s.metrics.swept.Inc()
			s.hub.learn(id, head)
		}
	}
}

// sweepReceipts tells the rooms here how far their participants have got, as PostgreSQL has it.
func (s *Service) sweepReceipts() {
	rooms := s.hub.occupied()
	if len(rooms) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, backgroundBudget)
	defer cancel()
	all, err := receiptsIn(ctx, s.d.Pool, rooms)
	if err != nil {
		return // as in sweep
	}
	for _, m := range all {
		s.hub.receipt(m.room, m.reached())
	}
}

// sessionLoop asks twice a second which sessions have ended: the bus may have lost the news. It is also what
// notices first that PostgreSQL is away or back.
func (s *Service) sessionLoop() {
	since := time.Time{}
	s.every(sessionPoll, func() {
		ctx, cancel := context.WithTimeout(s.ctx, backgroundBudget)
		defer cancel()
		ended, asOf, err := s.d.Accounts.EndedSessions(ctx, since)
		if err != nil {
			if s.ctx.Err() == nil && !s.dbAway.Swap(true) {
				s.d.Logger.Warn().Msg("PostgreSQL is away: sockets stay, messages are refused until it is back")
			}
			return
		}
		if s.dbAway.Swap(false) {
			s.d.Logger.Info().Msg("PostgreSQL is back")
			s.sweepSoon()
		}
		since = asOf // accounts look back further by themselves
		s.sockets.endSessions(ended)
	})
}

// unsentLoop publishes how far rooms and their participants have got of which not everything got through, once the bus
// is up.
func (s *Service) unsentLoop() {
	s.every(unsentEvery, func() {
		if !s.bus.Healthy() {
			return
		}
		rooms := s.unsent.take()
		if len(rooms) == 0 {
			return
		}
		if err := s.publishAgain(rooms); err != nil {
			for _, id := range rooms {
				s.unsent.add(id)
			}
		}
	})
}

func (s *Service) publishAgain(rooms []int64) error {
	ctx, cancel := context.WithTimeout(s.ctx, backgroundBudget)
	defer cancel()
	heads, _, err := headsOf(ctx, s.d.Pool, rooms)
	if err != nil {
		return err
	}
	all, err := receiptsIn(ctx, s.d.Pool, rooms)
	if err != nil {
		return err
	}
	for _, id := range rooms {
		s.bus.Publish(notice{kind: noticeHead, room: id, head: heads[id]}, s.lost)
	}
	for _, m := range all {
		s.bus.Publish(m.notice(), s.lost)
	}
	return nil
}

// changeLoop reloads appointments behind system events and tells their rooms.
func (s *Service) changeLoop() {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.changes.wake:
		}
		for _, id := range s.changes.take() {
			if err := s.tellAppointment(id); err != nil && s.ctx.Err() == nil {
				s.changes.later(id, time.Second)
			}
		}
	}
}

// tellAppointment sends a room its appointment's state, and ends the sockets of who no longer takes part.
func (s *Service) tellAppointment(id int64) error {
	ctx, cancel := context.WithTimeout(s.ctx, backgroundBudget)
	defer cancel()
	a, err := s.d.Appointments.ByID(ctx, id)
	if err != nil {
		return err
	}
	closed, err := closings(ctx, s.d.Pool, []int64{id})
	if err != nil {
		return err
	}
	can, why := s.reply(a, closed[id])
	s.hub.expel(id, a.IsParticipant)
	frame := appointmentFrame{Type: "appointment", Appointment: stateOf(a), CanReply: can, WhyNot: why}
	toAll := encode(frame)
	frame.CanReply, frame.WhyNot = readOnly(can, why)
	toOnlookers := encode(frame)
	s.hub.tell(id, func(user int64) wire {
		if user == nobody {
			return toOnlookers
		}
		return toAll
	})
	return nil
}

// reply tells whether the conversation is open, and has the room told when the clock closes it.
func (s *Service) reply(a appointment.Appointment, closed appointment.Closing) (can bool, why string) {
	can, until, why := a.Reply(s.d.Now(), s.d.Config.FollowUpWindow, closed)
	s.windows.set(a.ID, until)
	return can, why
}

// janitorLoop looks after sockets, limits and follow-up windows once a second.
func (s *Service) janitorLoop() {
	ping := seal(opPing, make([]byte, wireHeader))
	s.every(time.Second, func() {
		s.sockets.look(ping, s.dbAway.Load())
		s.users.forget()
		s.rooms.forget()
		for _, id := range s.windows.over(s.d.Now()) {
			s.changes.add(id)
			s.inboxes.stir(0, id)
		}
	})
}
