package chat

import (
	"context"
	"time"
	"unique"

	"housecall/internal/appointment"
	"housecall/internal/conversation"
)

// inboxSlack is the longest that an event can take to be committed after the time it carries: as long as a request
// may take, plus a margin.
func (s *Service) inboxSlack() time.Duration {
	return max(s.d.Options.RequestTimeout, conversation.CommitTimeout) + 5*time.Second
}

// inboxLoop reads what has been touched, tells the inboxes here, and tells other instances to do the same.
func (s *Service) inboxLoop() { s.every(inboxEvery, s.tellInboxes) }

func (s *Service) tellInboxes() {
	g, others := s.inboxes.take()
	if len(others) > 0 {
		s.publish(broadcast{kind: broadcastInbox, touched: others}, s.countLost) // if that fails, their sweeps find it
	}
	if len(g.ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, backgroundBudget)
	defer cancel()
	now, err := standingsIn(ctx, s.d.Pool, g.ids, g.users, g.known)
	if err != nil {
		s.inboxes.again(g)
		return
	}
	s.tellLost(ctx, s.inboxes.tell(g, s.newsOf(now)))
}

// tellLost tells inboxes which conversations their users no longer take part in.
func (s *Service) tellLost(ctx context.Context, left []lost) {
	if len(left) == 0 {
		return
	}
	ids := make([]int64, len(left))
	for i, l := range left {
		ids[i] = l.id
	}
	names, err := namesOf(ctx, s.d.Pool, ids)
	for _, l := range left {
		if name := names[l.id]; err == nil && name != "" {
			s.inboxes.lose(l.box, name)
		} else {
			l.box.sink.end(closeFault, "the inbox could not be loaded", 0)
		}
	}
}

// sweepInboxes finds, in one query, changes for the users of open inboxes that this instance has not heard about. It
// makes up for every lost broadcast.
func (s *Service) sweepInboxes() {
	users, reading := s.inboxes.waiting()
	if len(users) == 0 {
		s.inboxSwept, s.inboxEpoch = nil, ""
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, backgroundBudget)
	defer cancel()
	now, err := grownSince(ctx, s.d.Pool, span{s.inboxSwept, s.inboxSlack()}, users, reading)
	if err != nil {
		return // sessionLoop reports that PostgreSQL is away
	}
	if s.inboxEpoch != "" && s.inboxEpoch != now.epoch {
		s.inboxes.dismiss()
	}
	s.inboxSwept, s.inboxEpoch = &now.asOf, now.epoch
	s.metrics.swept.Add(float64(s.inboxes.follow(now.leads)))
}

func (s *Service) newsOf(all []standing) []news {
	out := make([]news, len(all))
	for i, st := range all {
		out[i] = s.news(st)
	}
	return out
}

// news adds to a standing whether its user can reply now, and records when the clock will end that.
func (s *Service) news(st standing) news {
	a := appointment.Appointment{
		Status: appointment.Status(st.Status), CompletedAt: st.CompletedAt, UpdatedAt: st.UpdatedAt,
	}
	var closed appointment.Closing
	if st.ClosedAt != nil {
		closed = appointment.Closing{At: *st.ClosedAt, ByClinic: st.ClosedByClinic}
	}
	reply := s.d.Conversations.Reply(a, closed)
	if !reply.Until.IsZero() {
		s.windows.set(st.ID, reply.Until)
	}
	return news{
		standing: st, canReply: reply.Can,
		mark: mark{
			head: st.HeadSeq, read: st.ReadSeq, unread: int32(st.Unread), version: int32(st.Version),
			whyNot: unique.Make(reply.WhyNot),
		},
	}
}
