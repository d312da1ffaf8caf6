package appointment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"housecall/internal/audit"
	"housecall/internal/auth"
	"housecall/internal/doctor"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
)

// change is one move that somebody wants to make.
type change struct {
	move       Move
	actor      auth.Actor
	side       side // on whose behalf; authorize fills it in where a user acts
	version    int  // that the actor saw; 0: any
	startsAt   *time.Time
	note       string
	reason     string
	summary    string
	followUpOn *time.Time
	keepBooked bool      // a patient's reschedule needs no new confirmation
	successor  successor // of a hand-over
	// Whether the appointment's doctor and patient can still have one; only for a move that takes turns (see keep).
	doctorActive, patientActive bool
}

// successor is a doctor who takes over. rules and active are read once their row is held, as all by which time is
// claimed.
type successor struct {
	Person
	rules  schedule.Rules
	active bool
}

// changeAttempts is how often a change is tried if the appointment is handed over in the meantime.
const changeAttempts = 3

// errHandedOver is the end of a transaction that holds the row of the wrong doctor.
var errHandedOver = fmt.Errorf("the appointment was handed over in the meantime: %w", errs.ErrStale)

// change makes the move in a transaction of its own, with the appointment's row held.
func (s *Service) change(ctx context.Context, publicID string, c change) (a Appointment, err error) {
	for range changeAttempts {
		if a, err = s.tryChange(ctx, publicID, c); !errors.Is(err, errHandedOver) {
			break
		}
	}
	return a, err
}

func (s *Service) tryChange(ctx context.Context, publicID string, c change) (Appointment, error) {
	var a Appointment
	err := s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		k, err := s.keep(ctx, tx, publicID, c)
		if err != nil {
			return err
		}
		a = k.read
		if k.change, err = s.authorize(k.change, a); err != nil {
			return err
		}
		a, err = s.apply(ctx, tx, k)
		return err
	})
	if err != nil {
		return Appointment{}, s.worded(ctx, err, wish{
			doctorID: cmp.Or(c.successor.ID, a.Doctor.ID), patientID: a.Patient.ID, except: a.ID,
			startsAt: first(c.startsAt, a.StartsAt),
		})
	}
	return a, nil
}

// takesTurns tells whether a move may claim time, or free some that is then offered to others. Moves that look back on
// an appointment do neither.
func (m Move) takesTurns() bool { return m != MoveComplete && m != MoveNoShow }

// kept is an appointment as it was read, whose row the transaction holds, with its doctor's rules and the move that it
// is to make.
type kept struct {
	change
	read  Appointment
	rules schedule.Rules
}

// keep reads an appointment and holds its row for a change. A change that takes turns locks the doctors' rows first, in
// the order of their keys and as a booking does: it must not meet a booking half way, nor a doctor who is just leaving.
// All that it needs to know of the doctors is read once, after the locks and in the same round trip.
func (s *Service) keep(ctx context.Context, tx *postgres.Tx, publicID string, c change) (k kept, err error) {
	k.change = c
	if !c.move.takesTurns() {
		if k.read, err = locked(ctx, tx, publicID); err != nil {
			return k, err
		}
		k.rules, err = s.rules(ctx, tx, k.read.Doctor.ID)
		return k, err
	}
	seen, err := byPublicID(ctx, tx, publicID)
	if err != nil {
		return k, err
	}
	ids := []int64{seen.Doctor.ID, c.successor.ID}
	rules, doctors := map[int64]schedule.Rules{}, map[int64]doctor.Brief{}
	b := &postgres.Batch{}
	s.doctors.QueueLock(b, ids...)
	queueOne(b, &k.read, selectLocked, publicID)
	s.schedule.QueueRules(b, rules, ids...)
	s.doctors.QueueBriefs(b, doctors, ids...)
	s.patients.QueueActive(b, seen.Patient.ID, &k.patientActive)
	if err := postgres.Send(ctx, tx, b); err != nil {
		return k, err
	}
	if k.read.Doctor.ID != seen.Doctor.ID {
		return k, errHandedOver
	}
	k.rules, k.doctorActive = rules[seen.Doctor.ID], doctors[seen.Doctor.ID].Active
	k.successor.rules, k.successor.active = rules[c.successor.ID], doctors[c.successor.ID].Active
	return k, nil
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
func (s *Service) authorize(c change, a Appointment) (change, error) {
	c.side = a.sideOf(c.actor)
	switch {
	case c.side == nobody:
		return c, errs.Missing("appointment")
	case c.side == patientSide && c.move != MoveCancel && c.move != MoveReschedule:
		return c, errs.ErrForbidden
	case c.side != clinicSide && c.move == MoveHandOver:
		return c, errs.ErrForbidden
	case c.version != 0 && c.version != a.Version:
		return c, errs.ErrStale
	case c.side != patientSide && (c.move == MoveReject || c.move == MoveCancel) && c.reason == "":
		return c, errs.InvalidField("body.reason", "is required: the patient will see it")
	case c.side == patientSide:
		return c, s.inTime(a)
	}
	return c, nil
}

// inTime refuses a patient who wants to cancel or move a booked appointment when it is too late for that.
func (s *Service) inTime(a Appointment) error {
	if a.Status != Booked {
		return nil
	}
	until := a.StartsAt.Add(-s.o.CancellationWindow)
	if !s.now().After(until) {
		return nil
	}
	return errs.New(errs.Conflict, "too_late",
		"It is too late to change this appointment online. Contact the doctor or the clinic.").With("until", until)
}

// role is the actor's role in the history: that of their side, since a participant stays one whatever else they become;
// "" for the system.
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

// apply makes the move with all that belongs to it. The returned appointment is the one that was read when it fails.
func (s *Service) apply(ctx context.Context, tx *postgres.Tx, k kept) (Appointment, error) {
	c, read, rules := k.change, k.read, k.rules
	staysBooked := read.Status == Booked && (rules.AutoConfirm || c.keepBooked)
	if c.move == MoveReschedule && c.side == patientSide && !staysBooked {
		c.move = MoveAskAnew
	}
	to, err := read.Status.after(c.move)
	if err != nil {
		return read, err
	}
	a := read
	a.Status, a.EndReason, a.Version, a.UpdatedAt = to, c.reason, read.Version+1, tx.Now()
	if a, err = s.shape(ctx, tx, kept{change: c, read: a, rules: rules}); err != nil {
		return read, err
	}
	if err := update(ctx, tx, a, read.Status, read.Version); err != nil {
		return read, err
	}
	mine := rules
	if c.move == MoveHandOver {
		mine = c.successor.rules
	}
	if err := settleClaim(ctx, tx, mine, read, a); err != nil {
		return read, err
	}
	if err := s.offerFreed(ctx, tx, rules, read, a); err != nil {
		return read, err
	}
	if err := s.tell(ctx, tx, made{a: a, read: read, change: c, zone: mine.Location}); err != nil {
		return read, err
	}
	return a, nil
}

// shape gives the appointment, which has its new status already, what else the move brings, or says why it cannot be
// made.
func (s *Service) shape(ctx context.Context, tx *postgres.Tx, k kept) (Appointment, error) {
	switch k.move {
	case MoveConfirm:
		if err := k.possible(); err != nil {
			return k.read, err
		}
		k.read.Note = k.note
		return s.confirmed(ctx, tx, k)
	case MoveReschedule, MoveAskAnew:
		return s.rescheduled(ctx, tx, k)
	case MoveComplete:
		return s.completed(k)
	case MoveNoShow:
		return k.read, s.started(k.read)
	case MoveHandOver:
		return s.handedOver(ctx, tx, k)
	}
	return k.read, nil
}

// Refusals of an appointment with somebody who can no longer have one.
var (
	errDoctorGone = errs.New(errs.Conflict, "doctor_unavailable",
		"This doctor no longer takes appointments. Reject the request.")
	errPatientGone = errs.New(errs.Conflict, "patient_unavailable",
		"This patient's account is disabled, so nothing can be booked for them.")
)

// possible refuses an appointment with a doctor who is no longer one, or for a patient who can no longer sign in.
func (c change) possible() error {
	switch {
	case !c.doctorActive:
		return errDoctorGone
	case !c.patientActive:
		return errPatientGone
	}
	return nil
}

// settleClaim makes the claim agree with the appointment: a live one holds its time, with the buffers that its doctor's
// rules had when it was taken, any other none.
func settleClaim(ctx context.Context, tx *postgres.Tx, rules schedule.Rules, read, a Appointment) error {
	if a.Status.Live() && a.StartsAt != nil {
		if read.takes(a) {
			return nil
		}
		return claim(ctx, tx, a, rules.Blocks(schedule.Slot{StartsAt: *a.StartsAt, EndsAt: *a.EndsAt}))
	}
	return unclaim(ctx, tx, a.ID)
}

// takes tells whether an appointment holds the very time that b is to have.
func (a Appointment) takes(b Appointment) bool {
	return a.Status.Live() && a.StartsAt != nil && a.Doctor.ID == b.Doctor.ID && a.StartsAt.Equal(*b.StartsAt) &&
		a.EndsAt.Equal(*b.EndsAt)
}

// made is a move that led from read (empty for a booking) to a, with the doctor's zone.
type made struct {
	change
	a, read Appointment
	zone    *time.Location
}

// tell writes the move into the history and the audit trail, notifies people of it and, last (see Conversations), puts
// it into the conversation.
func (s *Service) tell(ctx context.Context, tx *postgres.Tx, m made) error {
	a, read, c := m.a, m.read, m.change
	if err := record(ctx, tx, a, read.Status, c); err != nil {
		return err
	}
	n := Notification{Appointment: a, Action: c.move, Before: read.Status, By: c.actor.ID, FormerStart: read.StartsAt}
	detail := map[string]any{"from": read.Status, "to": a.Status, "version": a.Version}
	if c.move == MoveHandOver { // the row keeps only who has it now
		n.FormerDoctor = read.Doctor.ID
		detail["doctor"], detail["formerDoctor"] = a.Doctor.UserID, read.Doctor.UserID
	}
	err := audit.Record(ctx, tx, audit.Event{
		Actor: c.actor, Action: "appointment." + string(c.move), Subject: a.PublicID, PatientID: a.Patient.ID, Detail: detail,
	})
	if err != nil {
		return err
	}
	if s.notifications != nil {
		if err := s.notifications.Moved(ctx, tx, n); err != nil {
			return err
		}
	}
	text := event(c.move, c.side, a, m.zone)
	if c.move == MoveHandOver {
		return s.conversations.Regroup(ctx, tx, a.ID, text)
	}
	return s.conversations.Append(ctx, tx, a.ID, text)
}

func (s *Service) rules(ctx context.Context, db postgres.DB, doctorID int64) (schedule.Rules, error) {
	all, err := s.schedule.Rules(ctx, db, doctorID)
	return all[doctorID], err
}
