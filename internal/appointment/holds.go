package appointment

import (
	"context"
	"strconv"
	"time"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
)

// Hold is a time kept for a patient while they fill in the form. It ends when it expires, or when they book it,
// release it, or book or hold an overlapping time.
type Hold struct {
	ID               string
	Doctor           Person
	StartsAt, EndsAt time.Time
	ExpiresAt        time.Time
	Offer            bool // from the waiting list
}

// Hold keeps a free slot for HoldTTL: patients for themselves, others for a patient as in Book. From the Booking it
// uses the patient, the doctor or specialization, and the time. Refusals: those of Book about the time, and 409
// hold_limit.
func (s *Service) Hold(ctx context.Context, actor auth.Actor, b Booking) (Hold, error) {
	if b.StartsAt == nil {
		return Hold{}, errs.InvalidField("body.startsAt", "is required: it is the time to hold")
	}
	b, p, err := s.parties(ctx, actor, b)
	if err != nil {
		return Hold{}, err
	}
	if b.Doctor != "" {
		return s.holdWith(ctx, p.ID, b.Doctor, *b.StartsAt)
	}
	var h Hold
	q := anyDoctor{specialization: b.Specialization, patientID: p.ID, startsAt: *b.StartsAt}
	err = s.withAny(ctx, q, func(tx *postgres.Tx, d choice) error {
		h, err = s.keepSlot(ctx, tx, p.ID, d, *b.StartsAt)
		return err
	})
	return h, err
}

func (s *Service) holdWith(
	ctx context.Context, patientID int64, doctorRef string, startsAt time.Time,
) (h Hold, err error) {
	var with choice
	err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		d, err := s.doctors.LockNamed(ctx, tx, doctorRef)
		if err != nil {
			return err
		}
		with.Person = personOf(d)
		if with.rules, err = s.rules(ctx, tx, d.ID); err != nil {
			return err
		}
		h, err = s.keepSlot(ctx, tx, patientID, with, startsAt)
		return err
	})
	if err != nil {
		return Hold{}, s.worded(ctx, err, wish{doctorID: with.ID, patientID: patientID, startsAt: &startsAt})
	}
	return h, nil
}

// keepSlot keeps the time, with the doctor's row locked.
func (s *Service) keepSlot(
	ctx context.Context, tx *postgres.Tx, patientID int64, with choice, startsAt time.Time,
) (Hold, error) {
	d, rules := with.Person, with.rules
	slot, err := s.bookable(ctx, tx, rules, ask{patientID: patientID, startsAt: startsAt})
	if err != nil {
		return Hold{}, err
	}
	if err := lockRequests(ctx, tx, patientID); err != nil {
		return Hold{}, err
	}
	if kept, err := s.heldAlready(ctx, tx, patientID, d, slot); err != nil || kept.ID != "" {
		return kept, err
	}
	if err := s.makeRoom(ctx, tx, want{rules, patientID, slot}, keeping); err != nil {
		return Hold{}, err
	}
	if err := s.limitHolds(ctx, tx, patientID); err != nil {
		return Hold{}, err
	}
	row, ok, err := newHold(ctx, tx, holdRow{
		DoctorID: d.ID, PatientID: patientID, StartsAt: slot.StartsAt, EndsAt: slot.EndsAt,
		ExpiresAt: s.now().Add(s.o.HoldTTL),
	}, rules.Blocks(slot))
	if err != nil {
		return Hold{}, err
	}
	if !ok {
		return Hold{}, s.whoseTime(ctx, tx, patientID, slot)
	}
	return row.asHold(d), nil
}

// heldAlready returns the hold or offer by which the patient already has exactly this time; one without ID if there
// is none.
func (s *Service) heldAlready(
	ctx context.Context, tx *postgres.Tx, patientID int64, d Person, slot schedule.Slot,
) (Hold, error) {
	open, err := holdsOf(ctx, tx, patientID, s.now())
	for _, r := range open {
		if r.DoctorID == d.ID && r.StartsAt.Equal(slot.StartsAt) {
			return r.asHold(d), nil
		}
	}
	return Hold{}, err
}

// limitHolds refuses a patient who already has as many holds as allowed. Offers do not count: the patient did not ask
// for them.
func (s *Service) limitHolds(ctx context.Context, tx *postgres.Tx, patientID int64) error {
	open, err := holdsOf(ctx, tx, patientID, s.now())
	if err != nil {
		return err
	}
	asked := 0
	for _, r := range open {
		if r.WaitlistID == nil {
			asked++
		}
	}
	if asked >= s.o.MaxHolds {
		return errs.New(errs.Conflict, "hold_limit", "There are already "+strconv.Itoa(asked)+
			" held times. Book or release one of them.").With("limit", s.o.MaxHolds)
	}
	return nil
}

// whoseTime returns the refusal for a time that was not free: either it is taken, or the patient is busy then.
func (s *Service) whoseTime(ctx context.Context, tx *postgres.Tx, patientID int64, slot schedule.Slot) error {
	busy, err := busyOf(ctx, tx, occupancy{patient: patientID, from: slot.StartsAt, to: slot.EndsAt, now: s.now()})
	switch {
	case err != nil:
		return err
	case len(busy) > 0:
		return errBusy
	}
	return errTaken
}

// errTaken refuses a time that someone else has.
var errTaken = errs.New(errs.Conflict, "slot_taken", "This time is no longer available. Choose another time.")

func (r holdRow) asHold(d Person) Hold {
	return Hold{
		ID: r.HoldID, Doctor: d, StartsAt: r.StartsAt.UTC(), EndsAt: r.EndsAt.UTC(), ExpiresAt: r.ExpiresAt.UTC(),
		Offer: r.WaitlistID != nil,
	}
}

// Holds returns the actor's holds, in the order in which they expire.
func (s *Service) Holds(ctx context.Context, actor auth.Actor) ([]Hold, error) {
	found, err := holdsOf(ctx, s.pool, actor.ID, s.now())
	if err != nil {
		return nil, err
	}
	doctorIDs := make([]int64, len(found))
	for i, r := range found {
		doctorIDs[i] = r.DoctorID
	}
	doctors, err := s.doctors.Briefs(ctx, s.pool, doctorIDs...)
	if err != nil {
		return nil, err
	}
	out := make([]Hold, len(found))
	for i, r := range found {
		out[i] = r.asHold(personOf(doctors[r.DoctorID]))
	}
	return out, nil
}

// Unhold releases a hold; the time of an offer then goes to the next waiting patient. It returns errs.Missing if the
// hold is not the actor's or has expired.
func (s *Service) Unhold(ctx context.Context, actor auth.Actor, holdID string) error {
	return s.pool.InTx(ctx, func(tx *postgres.Tx) error {
		h, err := holdOf(ctx, tx, actor.ID, holdID, s.now())
		if err != nil {
			return err
		}
		if err := s.doctors.Lock(ctx, tx, h.DoctorID); err != nil {
			return err
		}
		dropped, err := dropHold(ctx, tx, holdID)
		if err != nil {
			return err
		}
		if len(dropped) == 0 {
			return errs.Missing("hold")
		}
		return s.passOn(ctx, tx, dropped...)
	})
}

// use is what a time is wanted for.
type use int

const (
	booking   use = iota // the appointment gets it
	keeping              // the patient has it kept: a hold, or the other time that they ask for
	proposing            // the doctor has it kept for the patient, who has not asked for it
)

// makeRoom removes what must not keep a patient from a doctor's time: expired holds of either, and the patient's own
// holds that overlap it. The time of an expired offer goes to the next patient on the list first; if there is one,
// the time is taken. If the patient books a time that this doctor's list offered them, they have accepted the offer.
// The patient's other removed offers go to the next patient.
func (s *Service) makeRoom(ctx context.Context, tx *postgres.Tx, w want, use use) error {
	expired, err := dropExpiredIn(ctx, tx, w, s.now())
	if err != nil {
		return err
	}
	if err := s.passOn(ctx, tx, expired...); err != nil {
		return err
	}
	var own []holdRow
	if use != proposing { // what somebody else proposes takes nothing from the patient
		if own, err = dropOverlapping(ctx, tx, w.patientID, w.slot.StartsAt, w.slot.EndsAt); err != nil {
			return err
		}
	}
	for _, h := range append(own, expired...) {
		here := h.DoctorID == w.rules.DoctorID && h.StartsAt.Before(w.slot.EndsAt) && w.slot.StartsAt.Before(h.EndsAt)
		switch {
		case h.WaitlistID == nil || h.PatientID != w.patientID:
		case here && use == booking:
			err = endWaitingByID(ctx, tx, *h.WaitlistID, "booked")
		case !here && h.ExpiresAt.After(s.now()):
			err = s.passOn(ctx, tx, h)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
