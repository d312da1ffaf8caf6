package conversation

import (
	"context"
	"time"

	"housecall/internal/appointment"
	"housecall/internal/auth"
)

// whyReadOnly is the whyNot of an observer, who can only read.
const whyReadOnly = "read_only"

// Cursors are how far a participant has got: the last seq delivered to them, and the last one they have read.
type Cursors struct{ Delivered, Read int64 }

// State is a conversation at one moment, according to PostgreSQL.
type State struct {
	Appointment appointment.Appointment
	HeadSeq     int64
	Epoch       string              // names the current history of the log
	Closing     appointment.Closing // zero: nobody has closed it
	Cursors     map[int64]Cursors   // by internal user id
}

// Load reads a conversation's state in one round trip. It does not check whether anyone may read it; Rejoin does.
func (s *Service) Load(ctx context.Context, id int64) (State, error) {
	return readState(ctx, s.d.Pool, s.d.Appointments, id)
}

// Reply says whether someone can write in a conversation.
type Reply struct {
	Can    bool
	Until  time.Time // when the conversation will close by itself; zero: it will not
	WhyNot string    // a stable word; "" when they can
}

// ReadOnly is an observer's Reply: they can never write. If the participants cannot either, it keeps their reason.
func (r Reply) ReadOnly() Reply {
	if r.Can {
		r.WhyNot = whyReadOnly
	}
	return Reply{WhyNot: r.WhyNot}
}

// Reply says whether the participants of an appointment can write in its conversation now.
func (s *Service) Reply(a appointment.Appointment, closed appointment.Closing) (r Reply) {
	r.Can, r.Until, r.WhyNot = a.Reply(s.d.Now(), s.d.Options.FollowUp, closed)
	return r
}

// View is the state of a conversation as its reader sees it.
type View struct {
	State
	Reply
	ClinicNotice string
}

// State returns the state of a conversation, to anyone who may read it.
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
