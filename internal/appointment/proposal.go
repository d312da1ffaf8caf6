package appointment

import (
	"context"
	"time"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
	"housecall/internal/text"
)

// lateAnswers is how long after a request ran out its doctor can still answer it with another time, and how long such
// a proposal waits for the patient at most.
const lateAnswers = 7 * 24 * time.Hour

// Proposal is another time that one side has proposed and the other has not answered yet. It is held meanwhile, and
// the appointment stands as it is: a BOOKED one for whose patient another time would be better, or an EXPIRED request
// for which its doctor has a time after all. Its end without an acceptance changes nothing else.
type Proposal struct {
	StartsAt, EndsAt time.Time
	By               side      // patientSide or doctorSide, also if the clinic acted for them
	AnswerBy         time.Time // when it lapses
}

// ByPatient reports whether the patient has proposed the time, so that the doctor answers.
func (p Proposal) ByPatient() bool { return p.By == patientSide }

// proposer is who proposes times for an appointment of that status.
func proposer(s Status) side {
	if s == Booked {
		return patientSide
	}
	return doctorSide
}

// askedFor is the proposal by which the patient of a booked appointment asks for another time. Once either time has
// come there is nothing to answer.
func askedFor(a Appointment, slot schedule.Slot) *Proposal {
	p := &Proposal{StartsAt: slot.StartsAt, EndsAt: slot.EndsAt, By: patientSide, AnswerBy: slot.StartsAt}
	if a.StartsAt.Before(p.AnswerBy) {
		p.AnswerBy = *a.StartsAt
	}
	return p
}

func (p *Proposal) slot() schedule.Slot { return schedule.Slot{StartsAt: p.StartsAt, EndsAt: p.EndsAt} }

// taken returns the appointment at the proposed time.
func (p *Proposal) taken(a Appointment) Appointment {
	slot := p.slot()
	a.StartsAt, a.EndsAt = &slot.StartsAt, &slot.EndsAt
	return a
}

// start, end and deadline are null without a proposal.
func (p *Proposal) start() *time.Time {
	if p == nil {
		return nil
	}
	return &p.StartsAt
}

func (p *Proposal) end() *time.Time {
	if p == nil {
		return nil
	}
	return &p.EndsAt
}

func (p *Proposal) deadline() *time.Time {
	if p == nil {
		return nil
	}
	return &p.AnswerBy
}

// held lists the times that an appointment claims.
func (a Appointment) held() (out []schedule.Slot) {
	if a.Status.Live() && a.StartsAt != nil {
		out = append(out, schedule.Slot{StartsAt: *a.StartsAt, EndsAt: *a.EndsAt})
	}
	if a.Proposal != nil {
		out = append(out, a.Proposal.slot())
	}
	return out
}

// LateAnswer answers a request that ran out with a time. Version is the one that the actor saw (0: any).
type LateAnswer struct {
	StartsAt time.Time
	Note     string
	Version  int
}

// Propose answers a request that ran out at most a week ago with another time, for its doctor and admins. The patient
// may have made other plans, so the time is held until they accept or decline it, for a week at most and not beyond
// its start; another proposal takes its place. The time is one that Confirm would take, with the same refusals. Later
// it is 409 too_late_to_answer.
func (s *Service) Propose(ctx context.Context, actor auth.Actor, publicID string, l LateAnswer) (Appointment, error) {
	note, err := text.Rule{Max: MaxNote}.Field("body.note", l.Note)
	if err != nil {
		return Appointment{}, err
	}
	return s.change(ctx, publicID,
		change{move: MovePropose, actor: actor, startsAt: &l.StartsAt, note: note, version: l.Version})
}

func (s *Service) proposed(ctx context.Context, tx *postgres.Tx, k kept) (Appointment, error) {
	a := k.read
	if err := k.possible(); err != nil {
		return a, err
	}
	ended, err := expiredAt(ctx, tx, a.ID)
	if err != nil {
		return a, err
	}
	if len(ended) == 0 || tx.Now().Sub(ended[0]) > lateAnswers {
		return a, errs.New(errs.Conflict, "too_late_to_answer",
			"This request ran out more than a week ago. Book a new appointment with the patient instead.")
	}
	slot, err := s.chosen(ctx, tx, k, proposing)
	if err != nil {
		return a, err
	}
	p := &Proposal{StartsAt: slot.StartsAt, EndsAt: slot.EndsAt, By: doctorSide, AnswerBy: slot.StartsAt}
	if last := s.now().UTC().Truncate(time.Microsecond).Add(lateAnswers); last.Before(p.AnswerBy) {
		p.AnswerBy = last
	}
	a.Proposal, a.Note = p, k.note
	return a, nil
}

// Accept makes an appointment of the time that the doctor proposed, for the patient, or for admins on their behalf.
// Without a proposal it is 409 invalid_transition, after its deadline 409 proposal_lapsed.
func (s *Service) Accept(ctx context.Context, actor auth.Actor, publicID string, version int) (Appointment, error) {
	return s.change(ctx, publicID, change{move: MoveAccept, actor: actor, version: version})
}

func (s *Service) accepted(k kept) (Appointment, error) {
	if err := k.possible(); err != nil {
		return k.read, err
	}
	return k.proposal.taken(k.read), nil
}

// Decline turns down the proposed time, for the side that did not propose it and for admins. Only a patient may leave
// the reason empty. The appointment stays as it is.
func (s *Service) Decline(ctx context.Context, actor auth.Actor, publicID string, e Ending) (Appointment, error) {
	return s.end(ctx, actor, publicID, MoveDecline, e)
}

// Withdraw takes a proposal back, for the side that made it. The appointment stays as it is.
func (s *Service) Withdraw(ctx context.Context, actor auth.Actor, publicID string, version int) (Appointment, error) {
	return s.change(ctx, publicID, change{move: MoveWithdraw, actor: actor, version: version})
}

// errLapsed refuses an answer that comes too late.
var errLapsed = errs.New(errs.Conflict, "proposal_lapsed",
	"It is too late to answer: the proposed time is no longer kept.")

// answerable refuses answers to one's own proposal, withdrawals of another's, and answers that come too late. Admins
// answer for whoever has to. A move without its proposal is refused later (see after).
func (s *Service) answerable(c change, a Appointment) error {
	p := a.Proposal
	if p == nil {
		return nil
	}
	own := p.ByPatient() == (c.side == patientSide)
	switch c.move {
	case MoveWithdraw:
		if !own {
			return errs.ErrForbidden
		}
	case MoveDecline, MoveAccept:
		if own && c.side != clinicSide {
			return errs.ErrForbidden
		}
	}
	if (c.move == MoveAccept || c.move == MoveConfirm) && !s.now().Before(p.AnswerBy) {
		return errLapsed
	}
	return nil
}
