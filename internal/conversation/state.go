package conversation

import (
	"context"
	"time"

	"housecall/internal/appointment"
	"housecall/internal/auth"
)

// whyReadOnly is the reason why an observer cannot reply.
const whyReadOnly = "read_only"

// Cursors say how far a participant has got: the seq up to which everything was delivered, and up to which it was read.
type Cursors struct{ Delivered, Read int64 }

// State is a conversation at one moment, according to PostgreSQL.
type State struct {
	Appointment appointment.Appointment
	HeadSeq     int64
	Epoch       string              // names this history of the log
	Closing     appointment.Closing // zero: nobody has closed it
	Cursors     map[int64]Cursors   // by user
}

// Load reads a conversation's state in one round trip. It checks no right: Rejoin does that too.
func (s *Service) Load(ctx context.Context, id int64) (State, error) {
	return readState(ctx, s.d.Pool, s.d.Appointments, id)
}

// Reply says whether somebody can reply in a conversation.
type Reply struct {
	Can    bool
	Until  time.Time // when that ends by the clock; zero: it does not
	WhyNot string    // a stable word; "" when they can
}

// ReadOnly is a Reply for an observer: they cannot reply, for the participants' reason if those cannot either.
func (r Reply) ReadOnly() Reply {
	if r.Can {
		r.WhyNot = whyReadOnly
	}
	return Reply{WhyNot: r.WhyNot}
}

// Reply tells whether participants can reply in the conversation of an appointment now.
func (s *Service) Reply(a appointment.Appointment, closed appointment.Closing) (r Reply) {
	r.Can, r.Until, r.WhyNot = a.Reply(s.d.Now(), s.d.Options.FollowUp, closed)
	return r
}

// View is the state of a conversation, as somebody who reads it sees it.
type View struct {
	State
	Reply
	ClinicNotice string
}

// State shows the state of a conversation to whoever may read it.
func (s *Service) State(ctx context.Context, actor auth.Actor, publicID string) (View, error) {
	r, err := s.Readable(ctx, actor, publicID)
	if err != nil {
		return View{}, err
	}
	now, err := s.Load(ctx, r.Conversation())
	if err != nil {
		return View{}, err
	}
	v := View{State: now, Reply: s.Reply(now.Appointment, now.Closing), ClinicNotice: s.d.Options.ClinicNotice}
	if r.Observer() {
		v.Reply = v.ReadOnly()
	}
	return v, nil
}
