package appointment

import (
	"context"
	"time"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
)

// change is one move that somebody wants to make.
type change struct {
	move     move
	actor    auth.Actor
	side     side // on whose behalf; authorize fills it in where a user acts
	version  int  // that the actor saw; 0: any
	startsAt *time.Time
	note     string
	reason   string
}

// change makes the move in a transaction of its own, with the appointment's row held.
func (s *Service) change(ctx context.Context, publicID string, c change) (Appointment, error) {
	var a Appointment
	err := s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		var err error
		if a, err = s.hold(ctx, tx, publicID, c.move); err != nil {
			return err
		}
		if c, err = c.authorize(a); err != nil {
			return err
		}
		rules, err := s.rules(ctx, tx, a.Doctor.ID)
		if err != nil {
			return err
		}
		a, err = s.apply(ctx, tx, rules, a, c)
		return err
	})
	if err != nil {
		return Appointment{}, s.worded(ctx, err, wish{doctorID: a.Doctor.ID, patientID: a.Patient.ID, startsAt: first(c.startsAt, a.StartsAt)})
	}
	return s.named(ctx, a)
}

// hold reads an appointment and keeps its row. A confirmation takes the doctor's row before it, in the order of a
// booking: it may claim another time, and must not book with a doctor who is just being released.
func (s *Service) hold(ctx context.Context, tx *postgres.Tx, publicID string, m move) (Appointment, error) {
	if m == moveConfirm {
		a, err := byPublicID(ctx, tx, publicID)
		if err != nil {
			return Appointment{}, err
		}
		if err := s.doctors.Lock(ctx, tx, a.Doctor.ID); err != nil {
			return Appointment{}, err
		}
	}
	return locked(ctx, tx, publicID)
}

func first(times ...*time.Time) *time.Time {
	for _, t := range times {
		if t != nil {
			return t
		}
	}
	return nil
}

// authorize fills in the side on which the actor stands, or refuses: a stranger does not learn that the
// appointment is there, and a stale view is refused before the state is looked at.
func (c change) authorize(a Appointment) (change, error) {
	c.side = a.sideOf(c.actor)
	switch {
	case c.side == nobody:
		return c, errs.Missing("appointment")
	case c.side == patientSide && c.move != moveCancel:
		return c, errs.ErrForbidden
	case c.version != 0 && c.version != a.Version:
		return c, errs.ErrStale
	case c.side != patientSide && c.move != moveConfirm && c.reason == "":
		return c, errs.InvalidField("body.reason", "is required: the patient is told why")
	}
	return c, nil
}

// role is in which part the actor stands in the history: that of his side, since a participant stays one whatever
// else he becomes; "" for the system.
func (c change) role() auth.Role {
	if c.actor.IsSystem() {
		return ""
	}
	switch c.side {
	case patientSide:
		return auth.Patient
	case doctorSide:
		return auth.Doctor
	default:
		return auth.Admin
	}
}

// apply makes the move on an appointment whose row the transaction holds, with all that belongs to it, by its
// doctor's rules. The returned appointment is the one that was read when it fails.
func (s *Service) apply(ctx context.Context, tx *postgres.Tx, rules schedule.Rules, read Appointment, c change) (Appointment, error) {
	to, err := read.Status.after(c.move)
	if err != nil {
		return read, err
	}
	a := read
	a.Status, a.EndReason, a.Version, a.UpdatedAt = to, c.reason, read.Version+1, tx.Now()
	if c.move == moveConfirm {
		if err := s.active(ctx, tx, a); err != nil {
			return read, err
		}
		a.Note = c.note
		if a.StartsAt, a.EndsAt, err = c.time(read, rules, s.now(), rules.Horizon); err != nil {
			return read, err
		}
	}
	if err := update(ctx, tx, a, read.Status, read.Version); err != nil {
		return read, err
	}
	if err := settleClaim(ctx, tx, a); err != nil {
		return read, err
	}
	if err := s.tell(ctx, tx, a, read.Status, c, rules.Location); err != nil {
		return read, err
	}
	return a, nil
}

// active refuses to confirm with a doctor who is one no more, or for a patient who can no longer sign in.
func (s *Service) active(ctx context.Context, tx *postgres.Tx, a Appointment) error {
	found, err := s.doctors.ByIDs(ctx, tx, a.Doctor.ID)
	if err != nil {
		return err
	}
	if !found[a.Doctor.ID].Active {
		return errs.New(errs.Conflict, "doctor_unavailable", "This doctor takes no appointments any more. Reject the request.")
	}
	return s.activePatient(ctx, tx, a.Patient.ID)
}

// activePatient is the 409 patient_unavailable for a patient whose account is disabled.
func (s *Service) activePatient(ctx context.Context, tx *postgres.Tx, patientID int64) error {
	found, err := s.patients.ByIDs(ctx, tx, patientID)
	if err != nil {
		return err
	}
	if !found[patientID].Active {
		return errs.New(errs.Conflict, "patient_unavailable", "This patient's account is disabled, so nothing can be booked for him.")
	}
	return nil
}

// time gives the time of a confirmation: the doctor's, which may be off his grid but keeps whole minutes and the
// booking horizon, else the requested one.
func (c change) time(read Appointment, r schedule.Rules, now time.Time, horizon time.Duration) (starts, ends *time.Time, err error) {
	if c.startsAt == nil {
		switch {
		case read.StartsAt == nil:
			return nil, nil, errs.InvalidField("body.startsAt", "is required: the patient asked without a time")
		case !read.EndsAt.After(now):
			return nil, nil, errs.InvalidField("body.startsAt", "is required: the requested time has passed")
		}
		return read.StartsAt, read.EndsAt, nil
	}
	from := c.startsAt.UTC()
	if !from.Equal(from.Truncate(time.Minute)) {
		return nil, nil, errs.InvalidField("body.startsAt", "must be a whole minute")
	}
	if from.After(now.Add(horizon)) {
		return nil, nil, tooFar()
	}
	// To the minute, as people give times: "now" is not yet past.
	if from.Before(now.Truncate(time.Minute)) {
		return nil, nil, errs.InvalidField("body.startsAt", "must not be in the past")
	}
	to := from.Add(time.Duration(r.SlotMinutes) * time.Minute)
	return &from, &to, nil
}

// tooFar is schedule.Check's refusal for a time that need not be on the grid.
func tooFar() error {
	const message = "The time lies further ahead than can be booked."
	e := errs.New(errs.Invalid, "slot_too_far", message)
	e.Fields = []errs.Field{{Path: "body.startsAt", Message: message}}
	return e
}

// settleClaim makes the claim agree with the appointment: a live one holds its time, any other none.
func settleClaim(ctx context.Context, tx *postgres.Tx, a Appointment) error {
	if a.Status.Live() && a.StartsAt != nil {
		return claim(ctx, tx, a)
	}
	return unclaim(ctx, tx, a.ID)
}

// tell writes the move into the history, the audit trail and, last (see Conversations), the conversation.
func (s *Service) tell(ctx context.Context, tx *postgres.Tx, a Appointment, from Status, c change, zone *time.Location) error {
	if err := record(ctx, tx, a, from, c); err != nil {
		return err
	}
	err := audit.Record(ctx, tx, audit.Event{
		Actor: c.actor, Action: "appointment." + string(c.move), Subject: a.PublicID, PatientID: a.Patient.ID,
		Detail: map[string]any{"from": from, "to": a.Status, "version": a.Version},
	})
	if err != nil {
		return err
	}
	return s.conversations.Append(ctx, tx, a.ID, event(c.move, c.side, a, zone))
}

func (s *Service) rules(ctx context.Context, db postgres.DB, doctorID int64) (schedule.Rules, error) {
	all, err := s.schedule.Rules(ctx, db, doctorID)
	return all[doctorID], err
}
