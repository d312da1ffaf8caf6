package appointment

import (
	"context"
	"slices"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
)

// Release settles the live appointments of a doctor who is about to be one no more, in account's transaction: those that
// are not over are cancelled if cancelAppointments, or go to the doctor with the public id handOverTo, at their times (409
// slot_taken where he is not free); with neither it is the 409 future_appointments with their count. The conversations
// say so; those of appointments that are over are closed. Nobody waits for him any more or holds a time of his.
func (s *Service) Release(ctx context.Context, tx *postgres.Tx, doctorID int64, by auth.Actor, cancelAppointments bool, handOverTo string) error {
	next, err := s.heir(ctx, tx, doctorID, handOverTo)
	if err != nil {
		return err
	}
	// Bookings under way hold the same locks: after them they are seen here, or see a doctor who takes none.
	if err := s.lockAll(ctx, tx, doctorID, next.ID); errs.KindOf(err) == errs.NotFound {
		return nil // he never was a doctor
	} else if err != nil {
		return err
	}
	left, err := lockUnsettled(ctx, tx, doctorID, s.now(), s.now().Add(-s.cfg.FollowUpWindow))
	if err != nil {
		return err
	}
	ahead := 0
	for _, a := range left {
		if !a.over(s.now()) {
			ahead++
		}
	}
	if ahead > 0 && !cancelAppointments && next.ID == 0 {
		return errs.New(errs.Conflict, "future_appointments",
			"The doctor has appointments ahead. Say that they are to be cancelled or who takes over, or settle them first.").With("count", ahead)
	}
	if next.ID != 0 {
		if next.rules, err = s.rules(ctx, tx, next.ID); err != nil {
			return err
		}
	}
	if err := endWaitingFor(ctx, tx, doctorID); err != nil {
		return err
	}
	if err := dropHoldsWith(ctx, tx, doctorID); err != nil {
		return err
	}
	return s.settle(ctx, tx, doctorID, by, next, left)
}

// Return takes back what Release closed when a doctor is one again, in account's transaction: the conversations that
// were closed because he left are open again, as far as their appointments let them be.
func (s *Service) Return(ctx context.Context, tx *postgres.Tx, doctorID int64) error {
	if err := s.lockAll(ctx, tx, doctorID); errs.KindOf(err) == errs.NotFound {
		return nil // he never was one
	} else if err != nil {
		return err
	}
	back, err := lockAnswerable(ctx, tx, doctorID, s.now().Add(-s.cfg.FollowUpWindow))
	if err != nil {
		return err
	}
	for _, a := range back {
		if err := s.conversations.Reopen(ctx, tx, a.ID, "The conversation is open again: the doctor is available."); err != nil {
			return err
		}
	}
	return nil
}

// heir is the doctor who takes over, none for ""; his rules are read once his row is held.
func (s *Service) heir(ctx context.Context, tx *postgres.Tx, doctorID int64, publicID string) (successor, error) {
	if publicID == "" {
		return successor{}, nil
	}
	d, err := s.doctors.Named(ctx, tx, publicID)
	switch {
	case errs.KindOf(err) == errs.NotFound, err == nil && (d.ID == doctorID || d.Invited):
		return successor{}, errs.InvalidField("body.handOverTo", "is no other doctor who takes appointments")
	case err != nil:
		return successor{}, err
	}
	return successor{Person: personOf(d)}, nil
}

// lockAll takes the rows of doctors in the order of their keys, in which everybody takes several; 0 is nobody.
func (s *Service) lockAll(ctx context.Context, tx *postgres.Tx, doctorIDs ...int64) error {
	slices.Sort(doctorIDs)
	for _, id := range slices.Compact(doctorIDs) {
		if id == 0 {
			continue
		}
		if err := s.doctors.Lock(ctx, tx, id); err != nil {
			return err
		}
	}
	return nil
}

// settle ends or hands over what a doctor who leaves has ahead, and closes the conversations of what is over: nobody would
// answer in them. It keeps the order, which is that of the rooms' locks.
func (s *Service) settle(ctx context.Context, tx *postgres.Tx, doctorID int64, by auth.Actor, next successor, left []Appointment) error {
	rules, err := s.rules(ctx, tx, doctorID)
	if err != nil {
		return err
	}
	for _, a := range left {
		if a.over(s.now()) {
			err = s.conversations.Close(ctx, tx, a.ID, "The conversation is closed: the doctor is no longer available.")
		} else {
			err = s.leave(ctx, tx, rules, by, next, a)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// leave cancels one appointment, or hands it over.
func (s *Service) leave(ctx context.Context, tx *postgres.Tx, rules schedule.Rules, by auth.Actor, next successor, a Appointment) error {
	c := change{move: moveCancel, actor: by, side: clinicSide, reason: "The doctor is no longer available."}
	if next.ID != 0 {
		c = change{move: moveHandOver, actor: by, side: clinicSide, successor: next}
	}
	_, err := s.apply(ctx, tx, rules, a, c)
	if c := postgres.Constraint(err); c == doctorTaken || c == patientBusy {
		return errs.New(errs.Conflict, "slot_taken",
			"The other doctor is not free at the time of one of the appointments. Move or cancel that one first.").With("appointment", a.PublicID)
	}
	return err
}
