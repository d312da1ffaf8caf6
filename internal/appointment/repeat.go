package appointment

import (
	"context"
	"errors"
	"time"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// People press Book twice, and clients send again what got no answer. A booking that comes twice must not make two
// appointments. If it names a time, the second fails anyway, since the patient is busy then; again words that. If it
// leaves the time to somebody else, nothing would fail; sentBefore finds the first one. Both compare what was asked
// for, and count what was asked for within the last minute as sent again.

// sentBefore returns the appointment that an equal request has already made, if the time was left open: one without a
// time that is still pending or was made within the last minute, or one within the range that was made within the
// last minute. Requests of somebody else or with another reason are not equal, as nothing that people write may get
// lost. The transaction has locked the patient's requests.
func (s *Service) sentBefore(ctx context.Context, tx *postgres.Tx, o opening) (Appointment, bool, error) {
	var found []Appointment
	var err error
	switch {
	case o.Within != nil:
		found, err = madeWithin(ctx, tx, o)
	case o.draft.StartsAt == nil:
		found, err = madeWithoutTime(ctx, tx, o)
	}
	if err != nil || len(found) == 0 {
		return Appointment{}, false, err
	}
	return found[0], true, nil
}

// askedAs is what a booking names instead of a time, in a form that can be compared; "" if it names a time or nothing.
func (b Booking) askedAs() string {
	switch {
	case b.HoldID != "":
		return "hold " + b.HoldID
	case b.Within != nil:
		return "within " + b.Within.From.UTC().Format(time.RFC3339) + "/" + b.Within.To.UTC().Format(time.RFC3339)
	}
	return ""
}

// again answers a booking that was refused, if the patient already has what it asks for: with that appointment if it
// was made within the last minute, by the same user and with the same reason, because the request was probably sent
// twice, or else with 409 already_booked, which names it as appointment: nothing that people write may get lost.
// Otherwise the refusal stands, as it does for a time that the client did not choose.
func (s *Service) again(ctx context.Context, actor auth.Actor, b Booking, refusal error) (Appointment, error) {
	var e *errs.Error
	if b.Within != nil || !errors.As(refusal, &e) || !repeatable(e, b) {
		return Appointment{}, refusal
	}
	switch {
	case actor.Role == auth.Patient && b.Patient == "":
		b.Patient = actor.UserID
	case actor.Role == auth.Doctor && b.Doctor == "":
		b.Doctor = actor.UserID
	}
	found, err := ownAt(ctx, s.pool, b, actor.ID)
	if err != nil || len(found) == 0 {
		return Appointment{}, refusal
	}
	a := found[0].appointment()
	if _, err := a.visibleTo(actor); err != nil {
		return Appointment{}, refusal
	}
	if reason, err := reasonOf(b); err == nil && found[0].Fresh && reason == a.Reason {
		return a, nil
	}
	return Appointment{}, errs.New(errs.Conflict, "already_booked",
		"This appointment has been made already. There is no need to book it again.").With("appointment", a.PublicID)
}

// repeatable reports whether a booking may have been refused because it was carried out before.
func repeatable(e *errs.Error, b Booking) bool {
	switch e.Code {
	case "open_request_limit", "upcoming_limit":
		return b.StartsAt != nil || b.HoldID != ""
	case "not_found": // the hold is gone
		return b.HoldID != ""
	default:
		return aboutTime(e)
	}
}
