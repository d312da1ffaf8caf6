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
)

// maxAlternatives is how many free slots a refusal offers.
const maxAlternatives = 5

// alternativesWithin is how far from the wanted time they are looked for.
const alternativesWithin = 14 * 24 * time.Hour

// Alternative is a free slot that a refusal offers instead.
type Alternative struct {
	StartsAt time.Time `json:"startsAt"`
	EndsAt   time.Time `json:"endsAt"`
}

// wish is what somebody wanted and did not get. except is an appointment that was to move.
type wish struct {
	doctorID, patientID, except int64
	startsAt                    *time.Time
}

// worded turns a refusal of the database into the one that people and programs understand, and adds free slots
// to whatever is about the time. The transaction that was refused is over.
func (s *Service) worded(ctx context.Context, err error, w wish) error {
	var refusal *errs.Error
	switch postgres.Constraint(err) {
	case doctorTaken:
		refusal = errTaken
	case patientBusy:
		refusal = errs.New(errs.Conflict, "patient_busy", "The patient has another appointment at this time. Choose another.")
	default:
		if !errors.As(err, &refusal) || !isSlot(refusal) {
			return err
		}
	}
	if w.startsAt == nil || w.doctorID == 0 {
		return refusal
	}
	alternatives, failed := s.alternatives(ctx, w)
	if failed != nil { // the refusal is the answer all the same; alternatives are a courtesy
		alternatives = []Alternative{}
	}
	return refusal.With("alternatives", alternatives)
}

// isSlot tells whether a refusal is about the time.
func isSlot(e *errs.Error) bool { return strings.HasPrefix(e.Code, "slot_") }

// alternatives gives the free slots nearest to the wanted time, at which the patient is free too, nearest first.
func (s *Service) alternatives(ctx context.Context, w wish) ([]Alternative, error) {
	rules, err := s.rules(ctx, s.pool, w.doctorID)
	if err != nil {
		return nil, err
	}
	at := *w.startsAt
	if first := s.now().Add(rules.Notice); at.Before(first) {
		at = first
	}
	if last := s.now().Add(rules.Horizon); at.After(last) {
		at = last
	}
	slots, err := s.free(ctx, rules, occupancy{
		from: at.Add(-alternativesWithin), to: at.Add(alternativesWithin), patient: w.patientID, except: w.except,
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(slots, func(a, b Slot) int {
		return cmp.Compare(a.StartsAt.Sub(at).Abs(), b.StartsAt.Sub(at).Abs())
	})
	out := make([]Alternative, min(len(slots), maxAlternatives))
	for i := range out {
		out[i] = Alternative(slots[i])
	}
	return out, nil
}
