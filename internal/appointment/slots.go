package appointment

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
)

// Slot is a stretch of time that can be booked.
type Slot struct {
	StartsAt time.Time `json:"startsAt"`
	EndsAt   time.Time `json:"endsAt"`
}

// maxAlternatives is how many free slots a refusal offers.
const maxAlternatives = 5

// alternativesWithin is how far from the wanted time they are looked for.
const alternativesWithin = 14 * 24 * time.Hour

// wish is what somebody wanted and did not get.
type wish struct {
	doctorID, patientID int64
	startsAt            *time.Time
}

// worded turns a refusal of the database into the one that people and programs understand, and adds free slots
// to whatever is about the time. The transaction that was refused is over.
func (s *Service) worded(ctx context.Context, err error, w wish) error {
	var refusal *errs.Error
	switch postgres.Constraint(err) {
	case doctorTaken:
		refusal = errs.New(errs.Conflict, "slot_taken", "Somebody else has this time. Choose another.")
	case patientBusy:
		refusal = errs.New(errs.Conflict, "patient_busy", "The patient has another appointment at this time. Choose another.")
	default:
		if !errors.As(err, &refusal) || refusal.Kind != errs.Invalid || !strings.HasPrefix(refusal.Code, "slot_") {
			return err
		}
	}
	if w.startsAt == nil {
		return refusal
	}
	alternatives, failed := s.alternatives(ctx, w)
	if failed != nil { // the refusal is the answer all the same; alternatives are a courtesy
		alternatives = []Slot{}
	}
	return refusal.With("alternatives", alternatives)
}

// alternatives gives the free slots nearest to the wanted time, at which the patient is free too, nearest first.
func (s *Service) alternatives(ctx context.Context, w wish) ([]Slot, error) {
	rules, err := s.rules(ctx, s.pool, w.doctorID)
	if err != nil {
		return nil, err
	}
	now, at := s.now(), *w.startsAt
	if at.Before(now) {
		at = now
	}
	if last := now.Add(rules.Horizon); at.After(last) {
		at = last
	}
	slots, err := s.free(ctx, rules, w.patientID, at.Add(-alternativesWithin), at.Add(alternativesWithin))
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(slots, func(a, b Slot) int {
		return cmp.Compare(a.StartsAt.Sub(at).Abs(), b.StartsAt.Sub(at).Abs())
	})
	return slots[:min(len(slots), maxAlternatives)], nil
}

// maxSlotDays bounds one question for slots.
const maxSlotDays = 31

// Slots gives a doctor's free slots that start in [from, to), rising, with the rules that made them. The question
// is asked by a function because days have their bounds in the doctor's zone.
func (s *Service) Slots(ctx context.Context, doctorID string, window func(zone *time.Location, now time.Time) (from, to time.Time, err error)) ([]Slot, schedule.Rules, error) {
	id, err := s.doctors.Find(ctx, s.pool, doctorID)
	if err != nil {
		return nil, schedule.Rules{}, err
	}
	rules, err := s.rules(ctx, s.pool, id)
	if err != nil {
		return nil, schedule.Rules{}, err
	}
	from, to, err := window(rules.Location, s.now())
	if err != nil {
		return nil, schedule.Rules{}, err
	}
	if !from.Before(to) {
		return nil, schedule.Rules{}, errs.InvalidField("query.to", "must be later than from, which is now unless given")
	}
	if to.After(from.In(rules.Location).AddDate(0, 0, maxSlotDays)) {
		return nil, schedule.Rules{}, errs.InvalidField("query.to", "must be at most 31 days after from")
	}
	slots, err := s.free(ctx, rules, 0, from, to)
	return slots, rules, err
}

// free computes the slots in [from, to) that neither the doctor's claims nor the patient's (0: nobody's) touch.
func (s *Service) free(ctx context.Context, r schedule.Rules, patientID int64, from, to time.Time) ([]Slot, error) {
	length := time.Duration(r.SlotMinutes) * time.Minute // a slot may reach beyond to
	busy, err := taken(ctx, s.pool, r.DoctorID, patientID, from, to.Add(length))
	if err != nil {
		return nil, err
	}
	found := schedule.Slots(r, schedule.Query{From: from, To: to, Now: s.now(), Blocked: busy})
	out := make([]Slot, len(found))
	for i, f := range found {
		out[i] = Slot(f)
	}
	return out, nil
}
