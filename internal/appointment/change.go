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

// change is a move to be made.
type change struct {
	move       Move
	actor      auth.Actor
	side       side // on whose behalf; authorize fills it in if a user acts
	version    int  // the one that the actor saw; 0: any
	startsAt   *time.Time
	note       string
	reason     string
	summary    string
	followUpOn *time.Time
	keepBooked bool      // a patient's reschedule needs no new confirmation
	successor  successor // for a hand-over
	// Whether the appointment's doctor and patient can still have appointments; set only for moves that take turns
	// (see keep).
	doctorActive, patientActive bool
}

// successor is a doctor who takes over. rules and active are read once their row is locked, like everything that
// decides about claims.
type successor struct {
	Person
	rules  schedule.Rules
	active bool
}

// changeAttempts is how often a change is tried if the appointment is handed over in the meantime.
const changeAttempts = 3

// errHandedOver ends a transaction that has locked the wrong doctor's row.
var errHandedOver = fmt.Errorf("the appointment was handed over in the meantime: %w", errs.ErrStale)

// change makes the move in its own transaction, with the appointment's row locked.
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

// takesTurns reports whether a move may claim time, or free time that is then offered to others. Completing and
// no-shows do neither.
func (m Move) takesTurns() bool { return m != MoveComplete && m != MoveNoShow }

// kept is an appointment as read after its row was locked, with its doctor's rules and the move to be made.
type kept struct {
	change
	read  Appointment
	rules schedule.Rules
	// proposal is the one that the move settles, nil for none; only shape gets it.
	proposal *Proposal
}

// keep reads an appointment and locks its row for a change. A change that takes turns first locks the doctors' rows,
// in the order of their keys, as bookings do, so that it cannot interleave with a booking or with a doctor who is
// leaving. What it needs to know about the doctors is read after the locks, in the same round trip.
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

// authorize fills in the actor's side, or refuses. A stranger does not learn that the appointment exists, and a stale
// version is refused before the status is checked.
func (s *Service) authorize(c change, a Appointment) (change, error) {
	c.side = a.sideOf(c.actor)
	switch {
	case c.side == nobody:
		return c, errs.Missing("appointment")
	case !c.side.may(c.move):
		return c, errs.ErrForbidden
	case c.version != 0 && c.version != a.Version:
		return c, errs.ErrStale
	}
	if c.move == MoveReject && a.Status == Booked && a.Proposal != nil {
		c.move = MoveDecline
	}
	switch {
	case c.side != patientSide && c.reason == "" &&
		(c.move == MoveReject || c.move == MoveCancel || c.move == MoveDecline):
		return c, errs.InvalidField("body.reason", "is required: the patient will see it")
	case c.side == patientSide && (c.move == MoveCancel || c.move == MoveReschedule):
		return c, s.inTime(a)
	}
	return c, s.answerable(c, a)
}

// may reports whether a side may make a move at all, however the appointment stands.
func (s side) may(m Move) bool {
	switch m {
	case MoveCancel, MoveReschedule, MoveDecline, MoveWithdraw:
		return true
	case MoveAccept:
		return s != doctorSide
	case MoveHandOver:
		return s == clinicSide
	default:
		return s != patientSide
	}
}

// inTime refuses a patient who wants to cancel or move a booked appointment too late.
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

// role is the actor's role in the history: that of their side, because a participant may also have another role; ""
// for the system.
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

// apply makes the move and everything that goes with it. On failure it returns the appointment as it was read.
func (s *Service) apply(ctx context.Context, tx *postgres.Tx, k kept) (Appointment, error) {
	c, read, rules := k.change, k.read, k.rules
	staysBooked := read.Status == Booked && (rules.AutoConfirm || c.keepBooked)
	if c.move == MoveReschedule && c.side == patientSide && !staysBooked {
		c.move = MoveAskAnew
	}
	to, err := read.after(c.move)
	if err != nil {
		return read, err
	}
	a := read
	a.Status, a.Version, a.UpdatedAt = to, read.Version+1, tx.Now()
	if a.EndReason = ""; to == Rejected || to == Cancelled {
		a.EndReason = c.reason
	}
	a.Proposal = nil // any move settles it, except those that make one
	if a, err = s.shape(ctx, tx, kept{change: c, read: a, rules: rules, proposal: read.Proposal}); err != nil {
		return read, err
	}
	if err := update(ctx, tx, a, read.Status, read.Version); err != nil {
		return read, err
	}
	mine := rules
	if c.move == MoveHandOver {
		mine = c.successor.rules
	}
	if err := settleClaims(ctx, tx, mine, read, a); err != nil {
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

// shape adds the rest of the move to the appointment, which already has its new status, or returns why it cannot be
// made.
func (s *Service) shape(ctx context.Context, tx *postgres.Tx, k kept) (Appointment, error) {
	switch k.move {
	case MoveConfirm:
		if err := k.possible(); err != nil {
			return k.read, err
		}
		if k.note != "" {
			k.read.Note = k.note
		}
		return s.confirmed(ctx, tx, k)
	case MovePropose:
		return s.proposed(ctx, tx, k)
	case MoveAccept:
		return s.accepted(k)
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

// Refusals because the doctor or the patient can no longer have appointments.
var (
	errDoctorGone = errs.New(errs.Conflict, "doctor_unavailable",
		"This doctor no longer takes appointments. Reject the request.")
	errPatientGone = errs.New(errs.Conflict, "patient_unavailable",
		"This patient's account is disabled, so no appointments can be booked for them.")
)

// possible refuses an appointment with a former doctor, or for a patient who can no longer sign in.
func (c change) possible() error {
	switch {
	case !c.doctorActive:
		return errDoctorGone
	case !c.patientActive:
		return errPatientGone
	}
	return nil
}

// settleClaims makes the claims match the appointment: a live one holds its time and any one its proposed time, with
// the buffers from its doctor's rules when the time was claimed. A time that has been proposed and becomes the
// appointment's is held throughout.
func settleClaims(ctx context.Context, tx *postgres.Tx, rules schedule.Rules, read, a Appointment) error {
	if err := settleTime(ctx, tx, rules, read, a); err != nil {
		return err
	}
	if p := a.Proposal; p != nil {
		return claimProposal(ctx, tx, a, rules.Blocks(p.slot()))
	}
	if read.Proposal != nil {
		return unclaimProposal(ctx, tx, a.ID)
	}
	return nil
}

func settleTime(ctx context.Context, tx *postgres.Tx, rules schedule.Rules, read, a Appointment) error {
	if a.Status.Live() && a.StartsAt != nil {
		if read.takes(a) {
			return nil
		}
		return claim(ctx, tx, a, rules.Blocks(schedule.Slot{StartsAt: *a.StartsAt, EndsAt: *a.EndsAt}))
	}
	return unclaim(ctx, tx, a.ID)
}

// takes reports whether an appointment already holds the same time that b is to have.
func (a Appointment) takes(b Appointment) bool {
	return a.Status.Live() && a.StartsAt != nil && a.Doctor.ID == b.Doctor.ID && a.StartsAt.Equal(*b.StartsAt) &&
		a.EndsAt.Equal(*b.EndsAt)
}

// made is a move from read (empty for a booking) to a, with the doctor's zone.
type made struct {
	change
	a, read Appointment
	zone    *time.Location
}

// tell records the move in the history and the audit trail, notifies people and, last (see Conversations), adds it to
// the conversation.
func (s *Service) tell(ctx context.Context, tx *postgres.Tx, m made) error {
	a, read, c := m.a, m.read, m.change
	if err := record(ctx, tx, a, read.Status, c); err != nil {
		return err
	}
	n := Notification{
		Appointment: a, Action: c.move, Before: read.Status, By: c.actor.ID, FormerStart: read.StartsAt,
		FormerEnd: read.EndsAt, Settled: read.Proposal,
	}
	detail := map[string]any{"from": read.Status, "to": a.Status, "version": a.Version}
	if c.move == MoveHandOver { // the row has only the new doctor
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
	text := event(m)
	if c.move == MoveHandOver {
		return s.conversations.Regroup(ctx, tx, a.ID, text)
	}
	return s.conversations.Append(ctx, tx, a.ID, text)
}

func (s *Service) rules(ctx context.Context, db postgres.DB, doctorID int64) (schedule.Rules, error) {
	all, err := s.schedule.Rules(ctx, db, doctorID)
	return all[doctorID], err
}
