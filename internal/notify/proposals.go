package notify

import (
	"context"
	"fmt"
	"time"

	"housecall/internal/appointment"
	"housecall/internal/errs"
	"housecall/internal/jobs"
	"housecall/internal/mail"
	"housecall/internal/postgres"
)

// Fate is how a proposal ended without an acceptance, which is told as the move to which it leads.
type Fate string

// The fates.
const (
	Open      Fate = "" // it waits for an answer
	Declined  Fate = "declined"
	Withdrawn Fate = "withdrawn"
	Lapsed    Fate = "lapsed"      // nobody answered in time
	Passed    Fate = "handed_over" // the appointment went to another doctor, who was not asked
)

// Proposal is another time that one side of an appointment has proposed: the patient of a booked one, which stands
// meanwhile, or the doctor for a request that ran out.
type Proposal struct {
	StartsAt, EndsAt time.Time
	ByPatient        bool
	AnswerBy         time.Time
	Fate             Fate
}

// proposalArgs are an email about a proposal, with the version of the appointment in which it was made or ended. The
// kind of job is one that instances of the release before do not know: they leave it to others.
type proposalArgs struct {
	MailKind    Kind      `json:"notice" river:"unique"`
	Appointment int64     `json:"appointment" river:"unique"`
	PublicID    string    `json:"publicId,omitempty"` // as in moveArgs
	Recipient   int64     `json:"recipient" river:"unique"`
	Version     int       `json:"version" river:"unique"`
	StartsAt    time.Time `json:"startsAt"`
	EndsAt      time.Time `json:"endsAt"`
	ByPatient   bool      `json:"byPatient,omitempty"`
	AnswerBy    time.Time `json:"answerBy"`
	Fate        Fate      `json:"fate,omitempty"`
	// Soonest is as in moveArgs: the earliest time that the email is about.
	Soonest time.Time `json:"soonest"`
}

// Kind implements jobs.Args.
func (proposalArgs) Kind() string { return "mail_proposal" }

// Proposed queues the emails about a proposal, in the transaction that makes or ends it; a is the appointment after
// that.
func (s *Service) Proposed(ctx context.Context, tx *postgres.Tx, a Appointment, p Proposal) error {
	kind := TimeProposed
	if p.Fate != Open {
		kind = ProposalEnded
	}
	for _, id := range p.recipients(a) {
		args := proposalArgs{
			MailKind: kind, Appointment: a.ID, PublicID: a.PublicID, Recipient: id, Version: a.Version,
			StartsAt: p.StartsAt.UTC(), EndsAt: p.EndsAt.UTC(), ByPatient: p.ByPatient, AnswerBy: p.AnswerBy.UTC(), Fate: p.Fate,
			Soonest: soonest(Appointment{StartsAt: a.StartsAt, FormerStart: &p.StartsAt}, s.now()),
		}
		if !p.ByPatient {
			args.Soonest = p.AnswerBy.UTC() // the time of the request that ran out tells nothing
		}
		if err := s.jobs.InsertTx(ctx, tx, args, jobs.Terms{Once: true}); err != nil {
			return err
		}
	}
	return nil
}

// recipients returns who is told. Of a booked appointment both are, whoever did it, because the email also brings their
// calendars up to date in case it overtakes the one about the booking. The new doctor after a hand-over learns nothing
// of the wish that went to another.
func (p Proposal) recipients(a Appointment) []int64 {
	switch {
	case p.Fate == Passed:
		return []int64{a.PatientID}
	case p.ByPatient, p.Fate == Lapsed:
		return []int64{a.PatientID, a.DoctorID}
	case p.Fate == Declined:
		return []int64{a.DoctorID}
	default:
		return []int64{a.PatientID}
	}
}

// stands reports whether the email is still true: nothing has happened to the appointment since.
func (p proposalArgs) stands(a Appointment, now time.Time) bool {
	takesPart := p.Recipient == a.PatientID || p.Recipient == a.DoctorID
	over := a.Status == appointment.Booked && a.EndsAt != nil && !now.Before(*a.EndsAt)
	lapsed := p.Fate == Open && !now.Before(p.AnswerBy)
	return takesPart && a.Version == p.Version && !over && !lapsed
}

// sendProposal sends an email about a proposal, unless it is no longer true, useful or wanted.
func (s *Service) sendProposal(ctx context.Context, p proposalArgs) error {
	a, err := s.appointments.Appointment(ctx, p.Appointment)
	if errs.KindOf(err) == errs.NotFound {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the appointment of an email: %w", err)
	}
	if !p.stands(a, s.now()) {
		return nil
	}
	to, ok, err := s.wanted(ctx, p.MailKind, p.Recipient, time.Time{}, p.Soonest)
	if err != nil || !ok {
		return err
	}
	v, err := s.viewOf(ctx, moveArgs{ByPatient: p.ByPatient}, a, to)
	if err != nil {
		return err
	}
	doctor := s.zoneOf(a.TimeZone)
	reader, err := s.readerZone(ctx, to.ID, doctor)
	if err != nil {
		return err
	}
	v.Stands, v.Fate = a.Status == appointment.Booked, p.Fate
	v.Proposed, v.Until = timeOf(p.StartsAt, p.EndsAt, reader, doctor), moment(p.AnswerBy, reader)
	side := "patient"
	if v.ForDoctor {
		side = "doctor"
	}
	msg := mail.Message{ID: s.messageID(string(p.MailKind), a.PublicID, fmt.Sprint(p.Version), side)}
	if v.Stands && s.calendar != nil {
		msg.Method = "REQUEST"
		if msg.Calendar, err = s.calendar.Message(msg.Method, a, to); err != nil {
			return fmt.Errorf("make the calendar part: %w", err)
		}
	}
	return s.post(ctx, p.MailKind, v, to, msg)
}

// times is a time for a reader. There is the same in the doctor's zone, "" if the clocks agree.
type times struct{ Here, There string }

func timeOf(start, end time.Time, reader, doctor *time.Location) times {
	var v view
	at(&v, start, &end, reader, doctor)
	return times{v.When, v.WhenThere}
}
