package conversation

import (
	"context"
	"maps"
	"time"

	"housecall/internal/appointment"
	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
)

// Reading is a user's right to read a conversation. It cannot be forged: only this package makes one, after checking
// the right, and the zero Reading gives no access. Functions that show a conversation take a Reading rather than an
// id.
type Reading struct {
	appointment appointment.Appointment
	reader      int64
	observed    bool
	until       time.Time
}

// Appointment is the appointment that the conversation belongs to.
func (r Reading) Appointment() appointment.Appointment { return r.appointment }

// Conversation is the internal id of the conversation, the same as its appointment's.
func (r Reading) Conversation() int64 { return r.appointment.ID }

// Reader is the internal id of the user who may read.
func (r Reading) Reader() int64 { return r.reader }

// Observer reports whether the reader is an administrator with break-glass access, who can also see retracted
// messages.
func (r Reading) Observer() bool { return r.observed }

// Until is when an observer's access expires; zero for participants.
func (r Reading) Until() time.Time { return r.until }

// Readable returns a Reading if the actor may read the conversation: as a participant, or as an administrator with
// current break-glass access, which leaves an audit row each time. Anyone else gets 404, as if it did not exist.
func (s *Service) Readable(ctx context.Context, actor auth.Actor, publicID string) (Reading, error) {
	return s.judge(ctx, actor, publicID, look{action: "conversation.read"})
}

// look is what the audit row says about an observer's access.
type look struct {
	action string
	detail map[string]any
}

func (s *Service) judge(ctx context.Context, actor auth.Actor, publicID string, l look) (Reading, error) {
	a, err := s.d.Appointments.Find(ctx, actor, publicID)
	if err != nil {
		return Reading{}, err
	}
	if a.IsParticipant(actor.ID) {
		return Reading{appointment: a, reader: actor.ID}, nil
	}
	access, err := s.accessNow(ctx, a.ID, actor)
	if err != nil {
		return Reading{}, err
	}
	detail := map[string]any{"glass": access.glass}
	maps.Copy(detail, l.detail)
	// The audit row comes first: if it cannot be written, the observer sees nothing.
	if err := audit.Record(ctx, s.d.Pool, audit.Event{
		Actor: actor, Action: l.action, Subject: a.PublicID, PatientID: a.Patient.ID, Detail: detail,
	}); err != nil {
		return Reading{}, err
	}
	return Reading{appointment: a, reader: actor.ID, observed: true, until: access.until}, nil
}

// TakesPart is Readable for participants only. Anyone else, administrators included, gets 404.
func (s *Service) TakesPart(ctx context.Context, actor auth.Actor, publicID string) (Reading, error) {
	a, err := s.d.Appointments.Find(ctx, actor, publicID)
	if err != nil {
		return Reading{}, err
	}
	if !a.IsParticipant(actor.ID) {
		return Reading{}, errs.Missing("appointment")
	}
	return Reading{appointment: a, reader: actor.ID}, nil
}

// Writable is TakesPart for an open conversation; it returns ErrClosed if the conversation is closed. Drafts are
// judged again when they are committed.
func (s *Service) Writable(ctx context.Context, actor auth.Actor, publicID string) (Reading, error) {
	r, err := s.TakesPart(ctx, actor, publicID)
	if err != nil {
		return Reading{}, err
	}
	closed, err := closings(ctx, s.d.Pool, []int64{r.Conversation()})
	if err != nil {
		return Reading{}, err
	}
	if !s.Reply(r.appointment, closed[r.Conversation()]).Can {
		return Reading{}, ErrClosed
	}
	return r, nil
}

// Rejoin reads a conversation's state and checks again whether an admitted reader may still read it; 404 if not. It
// leaves no audit row. The head is read before the right is checked: a user who loses that right later sees an event
// beyond the head.
func (s *Service) Rejoin(ctx context.Context, id int64, actor auth.Actor) (State, Reading, error) {
	now, err := s.Load(ctx, id)
	if err != nil {
		return State{}, Reading{}, err
	}
	a := now.Appointment
	if a.IsParticipant(actor.ID) {
		return now, Reading{appointment: a, reader: actor.ID}, nil
	}
	access, err := s.accessNow(ctx, a.ID, actor)
	if err != nil {
		return State{}, Reading{}, err
	}
	return now, Reading{appointment: a, reader: actor.ID, observed: true, until: access.until}, nil
}

// accessNow returns the actor's current break-glass access to a conversation, or 404 if there is none.
func (s *Service) accessNow(ctx context.Context, id int64, actor auth.Actor) (access, error) {
	if actor.Role != auth.Admin {
		return access{}, errs.Missing("appointment")
	}
	o := Observer{id, actor.ID}
	all, err := accessOf(ctx, s.d.Pool, []Observer{o}, s.d.Now())
	if err != nil {
		return access{}, err
	}
	found, ok := all[o]
	if !ok {
		return access{}, errs.Missing("appointment")
	}
	return found, nil
}
