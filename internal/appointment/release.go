package appointment

import (
	"context"

	"housecall/internal/auth"
	"housecall/internal/doctor"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
)

// Release settles the live appointments of a doctor who is leaving, in package account's transaction. Those that are
// not over are cancelled or handed over at their times, as the departure says (409 slot_taken if the other doctor is
// not free); if it says neither, Release returns 409 future_appointments with their count. A system event in each
// conversation says what happened; the conversations of appointments that are over are closed. The doctor's waiting
// list and the holds on their time end.
func (s *Service) Release(ctx context.Context, tx *postgres.Tx, d auth.Departure) error {
	doctorID := d.DoctorID
	next, err := s.heir(ctx, tx, doctorID, d.HandOverTo)
	if err != nil {
		return err
	}
	// Bookings take the same lock: one that is in progress is either seen here, or sees that the doctor takes no
	// appointments.
	if err := s.doctors.Lock(ctx, tx, doctorID, next.ID); errs.KindOf(err) == errs.NotFound {
		return nil // they were never a doctor
	} else if err != nil {
		return err
	}
	left, err := lockUnsettled(ctx, tx, doctorID, s.now(), s.now().Add(-s.o.FollowUpWindow))
	if err != nil {
		return err
	}
	ahead := 0
	for _, a := range left {
		if a.Status.Live() && !a.over(s.now()) {
			ahead++
		}
	}
	if ahead > 0 && !d.CancelAppointments && next.ID == 0 {
		return errs.New(errs.Conflict, "future_appointments",
			"The doctor still has future appointments. Cancel them or hand them over to another doctor.").With("count", ahead)
	}
	if err := endWaitingFor(ctx, tx, doctorID); err != nil {
		return err
	}
	if err := dropHoldsWith(ctx, tx, doctorID); err != nil {
		return err
	}
	return s.settle(ctx, tx, leaving{doctorID: doctorID, by: d.By, next: next}, left)
}

// Return reopens the conversations that Release closed, as far as their appointments allow, when a user becomes a
// doctor again. It runs in package account's transaction.
func (s *Service) Return(ctx context.Context, tx *postgres.Tx, doctorID int64) error {
	if err := s.doctors.Lock(ctx, tx, doctorID); errs.KindOf(err) == errs.NotFound {
		return nil // they were never a doctor
	} else if err != nil {
		return err
	}
	back, err := lockAnswerable(ctx, tx, doctorID, s.now().Add(-s.o.FollowUpWindow))
	if err != nil {
		return err
	}
	for _, a := range back {
		if err := s.conversations.Reopen(ctx, tx, a.ID,
			"The conversation is open again: the doctor is back."); err != nil {
			return err
		}
	}
	return nil
}

// heir returns the doctor who takes over, none for "". Their rules are read once their row is locked.
func (s *Service) heir(ctx context.Context, tx *postgres.Tx, doctorID int64, publicID string) (successor, error) {
	if publicID == "" {
		return successor{}, nil
	}
	d, err := s.doctors.Named(ctx, tx, publicID)
	switch {
	case errs.KindOf(err) == errs.NotFound, err == nil && (d.ID == doctorID || d.Invited):
		return successor{}, errs.InvalidField("body.handOverTo", "must be another doctor who takes appointments")
	case err != nil:
		return successor{}, err
	}
	return successor{Person: personOf(d)}, nil
}

// leaving is a doctor who leaves, and the doctor who takes over (with ID 0: nobody).
type leaving struct {
	doctorID int64
	by       auth.Actor
	rules    schedule.Rules
	next     successor
}

// settle cancels or hands over the future appointments of a doctor who leaves, withdraws what they proposed, and
// closes the conversations of those that are over, because nobody would answer there. It goes in the given order, in
// which conversations must be locked.
func (s *Service) settle(ctx context.Context, tx *postgres.Tx, l leaving, left []Appointment) error {
	rules, doctors := map[int64]schedule.Rules{}, map[int64]doctor.Brief{}
	b := &postgres.Batch{}
	s.schedule.QueueRules(b, rules, l.doctorID, l.next.ID)
	s.doctors.QueueBriefs(b, doctors, l.next.ID)
	err := postgres.Send(ctx, tx, b)
	if err != nil {
		return err
	}
	l.rules, l.next.rules, l.next.active = rules[l.doctorID], rules[l.next.ID], doctors[l.next.ID].Active
	for _, a := range left {
		if a.Status == Expired {
			_, err = s.apply(ctx, tx, kept{
				change: change{move: MoveWithdraw, actor: l.by, side: clinicSide}, read: a, rules: l.rules,
			})
		} else if a.over(s.now()) {
			err = s.conversations.Close(ctx, tx, a.ID, "The conversation was closed: the doctor is no longer available.")
		} else {
			err = s.settleOne(ctx, tx, l, a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// settleOne cancels one appointment, or hands it over.
func (s *Service) settleOne(ctx context.Context, tx *postgres.Tx, l leaving, a Appointment) error {
	c := change{move: MoveCancel, actor: l.by, side: clinicSide, reason: "The doctor is no longer available."}
	if l.next.ID != 0 {
		c = change{move: MoveHandOver, actor: l.by, side: clinicSide, successor: l.next}
	}
	_, err := s.apply(ctx, tx, kept{change: c, read: a, rules: l.rules})
	if c := postgres.Constraint(err); c == doctorTaken || c == patientBusy {
		return errs.New(errs.Conflict, "slot_taken",
			"The other doctor is not available at the time of one of these appointments. "+
				"Move or cancel that appointment first.").With("appointment", a.PublicID)
	}
	return err
}
