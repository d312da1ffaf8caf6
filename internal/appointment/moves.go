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

// Refusals of a time that may be off the doctor's grid; schedule.Check words those for times on it.
var (
	errPast   = broken("slot_in_past", "This time has passed.")
	errTooFar = broken("slot_too_far", "This time is too far ahead to be booked.")
)

func broken(code, message string) error {
	e := errs.New(errs.Invalid, code, message)
	e.Fields = []errs.Field{{Path: "body.startsAt", Message: message}}
	return e
}

// Rescheduling moves an appointment. Version is the one that the actor saw (0: any).
type Rescheduling struct {
	StartsAt time.Time
	Version  int
	// Booked keeps a patient's appointment BOOKED, whatever the doctor's rules say, as one of the older APIs
	// promised.
	Booked bool
}

// Reschedule moves an appointment, which keeps its conversation; the history has the old time. A patient chooses a
// free slot, early enough (409 too_late; see Options.CancellationWindow). A BOOKED appointment then stands at its time
// until the doctor has confirmed the other one, which is held meanwhile (see Proposal), unless the doctor's rules
// confirm automatically. The doctor and admins choose any time, as in Confirm, and the status stays. Refusals about the
// time are those of Book; 409 open_request_limit if a patient's request would get its first time, and as many of their
// open requests as allowed have one.
func (s *Service) Reschedule(
	ctx context.Context, actor auth.Actor, publicID string, r Rescheduling,
) (Appointment, error) {
	return s.change(ctx, publicID,
		change{move: MoveReschedule, actor: actor, startsAt: &r.StartsAt, version: r.Version, keepBooked: r.Booked})
}

// confirmed sets the time at a confirmation: the one the doctor chose, or else the requested one.
func (s *Service) confirmed(ctx context.Context, tx *postgres.Tx, k kept) (Appointment, error) {
	switch a := k.read; {
	case k.startsAt != nil && k.proposal != nil && a.StartsAt.Equal(*k.startsAt):
		return a, errs.InvalidField("body.startsAt", "is already the appointment's time")
	case k.startsAt != nil:
		return s.at(ctx, tx, k)
	case k.proposal != nil:
		return k.proposal.taken(a), nil
	case a.StartsAt == nil:
		return a, errs.InvalidField("body.startsAt", "is required: the patient did not request a time")
	case !a.EndsAt.After(s.now()):
		return a, errs.InvalidField("body.startsAt", "is required: the requested time has passed")
	}
	return k.read, nil
}

// at returns the appointment a time of the doctor's choice.
func (s *Service) at(ctx context.Context, tx *postgres.Tx, k kept) (Appointment, error) {
	slot, err := s.chosen(ctx, tx, k, booking)
	if err != nil {
		return k.read, err
	}
	a := k.read
	a.StartsAt, a.EndsAt = &slot.StartsAt, &slot.EndsAt
	return a, nil
}

// chosen makes room for a time of the doctor's choice and returns it. It may be off their grid, but must be a whole
// minute within the booking horizon.
func (s *Service) chosen(
	ctx context.Context, tx *postgres.Tx, k kept, use use,
) (slot schedule.Slot, err error) {
	from := k.startsAt.UTC()
	switch {
	case !from.Equal(from.Truncate(time.Minute)):
		return slot, errs.InvalidField("body.startsAt", "must be a whole minute")
	case from.After(s.now().Add(k.rules.Horizon)):
		return slot, errTooFar
	case from.Before(s.now().Truncate(time.Minute)): // people choose whole minutes, so the current one is not past
		return slot, errPast
	}
	slot = schedule.Slot{StartsAt: from, EndsAt: from.Add(slotLength(k.rules))}
	return slot, s.makeRoom(ctx, tx, want{k.rules, k.read.Patient.ID, slot}, use)
}

// rescheduled returns the appointment its new time.
func (s *Service) rescheduled(ctx context.Context, tx *postgres.Tx, k kept) (Appointment, error) {
	a, c, rules := k.read, k.change, k.rules
	switch {
	case a.StartsAt != nil && a.StartsAt.Equal(*c.startsAt):
		return a, errs.InvalidField("body.startsAt", "is already the appointment's time")
	case c.side == patientSide && k.proposal != nil && k.proposal.StartsAt.Equal(*c.startsAt) && c.move == MoveAskAnew:
		return a, errs.InvalidField("body.startsAt", "is already the time that was asked for")
	}
	if err := c.possible(); err != nil {
		return a, err
	}
	if c.side != patientSide {
		return s.at(ctx, tx, k)
	}
	slot, err := s.bookable(ctx, tx, rules, ask{patientID: a.Patient.ID, except: a.ID, startsAt: *c.startsAt})
	if err != nil {
		return a, err
	}
	if a.Status == Pending && a.StartsAt == nil {
		if err := s.limitTimed(ctx, tx, a.Patient.ID); err != nil {
			return a, err
		}
	}
	wanted := want{rules, a.Patient.ID, slot}
	if c.move == MoveAskAnew && a.Status == Booked {
		a.Proposal = askedFor(a, slot)
		return a, s.makeRoom(ctx, tx, wanted, keeping) // they wait on until it is theirs
	}
	a.StartsAt, a.EndsAt = &slot.StartsAt, &slot.EndsAt
	return a, s.makeRoom(ctx, tx, wanted, booking)
}

// Completion is what the doctor writes after an appointment. Summary is clinical: only the two participants can read
// it. FollowUpOn is a date (midnight UTC); nil for none. Version is the one that the actor saw (0: any).
type Completion struct {
	Summary    string
	FollowUpOn *time.Time
	Version    int
}

// Complete records that an appointment took place. Its doctor and admins may call it once the appointment has begun
// (409 not_begun). The conversation stays open for the follow-up window.
func (s *Service) Complete(ctx context.Context, actor auth.Actor, publicID string, c Completion) (Appointment, error) {
	summary, err := text.Rule{Max: MaxSummary}.Field("body.summary", c.Summary)
	if err != nil {
		return Appointment{}, err
	}
	return s.change(ctx, publicID, change{
		move: MoveComplete, actor: actor, summary: summary, followUpOn: c.FollowUpOn, version: c.Version,
	})
}

// followUpWithin bounds how far ahead a follow-up may be planned.
const followUpWithin = 2 * 365 * 24 * time.Hour

func (s *Service) completed(k kept) (Appointment, error) {
	a, c := k.read, k.change
	if err := s.started(a); err != nil {
		return a, err
	}
	now := s.now()
	if f := c.followUpOn; f != nil && (f.Before(k.rules.DateOf(now)) || f.After(now.Add(followUpWithin))) {
		return a, errs.InvalidField("body.followUpOn", "must be between today and two years from now")
	}
	done := now.UTC().Truncate(time.Microsecond) // as PostgreSQL keeps it
	a.CompletedAt, a.Summary, a.FollowUpOn = &done, c.summary, c.followUpOn
	return a, nil
}

// NoShow records that the patient did not come. The appointment's doctor and admins may call it once it has begun
// (409 not_begun).
func (s *Service) NoShow(ctx context.Context, actor auth.Actor, publicID string, version int) (Appointment, error) {
	return s.change(ctx, publicID, change{move: MoveNoShow, actor: actor, version: version})
}

// started refuses an outcome for an appointment that has not begun. Statuses without such a move have already been
// refused.
func (s *Service) started(a Appointment) error {
	if a.StartsAt.After(s.now()) {
		return errs.New(errs.Conflict, "not_begun", "The appointment has not begun yet.").With("startsAt", a.StartsAt)
	}
	return nil
}

// HandOver returns a live appointment that is not over, with its conversation, to another doctor. Only admins may call
// it. The time stays and must be free for the other doctor (409 slot_taken), but may be off their grid.
func (s *Service) HandOver(
	ctx context.Context, actor auth.Actor, publicID, doctorID string, version int,
) (Appointment, error) {
	if actor.Role != auth.Admin {
		return Appointment{}, errs.ErrForbidden
	}
	d, err := s.doctors.Named(ctx, s.pool, doctorID)
	if errs.KindOf(err) == errs.NotFound || err == nil && d.Invited {
		return Appointment{}, errs.InvalidField("body.doctorId", "is not a doctor who takes appointments")
	} else if err != nil {
		return Appointment{}, err
	}
	return s.change(ctx, publicID, change{
		move: MoveHandOver, actor: actor, version: version,
		successor: successor{Person: personOf(d)},
	})
}

func (s *Service) handedOver(ctx context.Context, tx *postgres.Tx, k kept) (Appointment, error) {
	a, c := k.read, k.change
	switch {
	case a.Doctor.ID == c.successor.ID:
		return a, errs.InvalidField("body.doctorId", "is already the appointment's doctor")
	case a.Patient.ID == c.successor.ID:
		return a, errs.InvalidField("body.doctorId", "must not be the same person as the patient")
	case a.over(s.now()):
		return a, errs.New(errs.Conflict, "already_over", "The appointment is over, so it cannot be handed over.")
	case !c.successor.active: // a disabled patient must not keep a doctor from leaving
		return a, errDoctorGone
	}
	a.Doctor, a.doctorLeft = c.successor.Person, false
	if a.StartsAt == nil {
		return a, nil
	}
	return a, s.makeRoom(ctx, tx, want{
		c.successor.rules, a.Patient.ID, schedule.Slot{StartsAt: *a.StartsAt, EndsAt: *a.EndsAt},
	}, keeping)
}
