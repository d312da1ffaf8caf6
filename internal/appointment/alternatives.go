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

// maxAlternatives is how many free slots a refusal offers.
const maxAlternatives = 5

// alternativesWithin is how far from the wanted time to look for alternatives, step by step until there are enough.
// The last step covers the whole booking horizon.
var alternativesWithin = []time.Duration{2 * 24 * time.Hour, 14 * 24 * time.Hour}

// Alternative is a free slot that a refusal offers.
type Alternative struct {
	StartsAt time.Time `json:"startsAt"`
	EndsAt   time.Time `json:"endsAt"`
}

// wish is the booking that was refused. except is the appointment to be moved, if any.
type wish struct {
	doctorID, patientID, except int64
	startsAt                    *time.Time
}

// errBusy refuses a time at which the patient has another appointment.
var errBusy = errs.New(errs.Conflict, "patient_busy",
	"The patient already has an appointment at this time. Choose another time.")

// worded turns a refusal by the database into one that people and programs understand, and adds free slots to any
// refusal that is about the time. Call it after the transaction has ended.
func (s *Service) worded(ctx context.Context, err error, w wish) error {
	var refusal *errs.Error
	switch postgres.Constraint(err) {
	case doctorTaken:
		refusal = errTaken
	case patientBusy:
		refusal = errBusy
	default:
		if !errors.As(err, &refusal) || !aboutTime(refusal) {
			return err
		}
	}
	if w.startsAt == nil || w.doctorID == 0 {
		return refusal
	}
	alternatives := []Alternative{}
	if rules, failed := s.rules(ctx, s.pool, w.doctorID); failed == nil {
		alternatives = s.alternatives(ctx, map[int64]schedule.Rules{w.doctorID: rules}, w)
	}
	return refusal.With("alternatives", alternatives)
}

// aboutTime reports whether a refusal is about the time.
func aboutTime(e *errs.Error) bool {
	return strings.HasPrefix(e.Code, "slot_") || e.Code == errBusy.Code
}

// alternatives returns the doctors' free slots nearest to the wanted time, but not that time itself, at which the
// patient is also free: nearest first, and the earlier of two that are equally near. If they cannot be read it
// returns none, because the answer is a refusal anyway.
func (s *Service) alternatives(ctx context.Context, rules map[int64]schedule.Rules, w wish) []Alternative {
	now := s.now()
	first, last := now.Add(leadTime(rules)), now
	for _, r := range rules {
		if end := now.Add(r.Horizon); end.After(last) {
			last = end
		}
	}
	at := *w.startsAt
	if at.After(last) {
		at = last
	}
	if at.Before(first) {
		at = first
	}
	var found []Slot
	for _, reach := range append(slices.Clone(alternativesWithin), last.Sub(now)) {
		q := occupancy{from: at.Add(-reach), to: at.Add(reach).Add(time.Nanosecond), patient: w.patientID, except: w.except}
		if q.from.Before(now) {
			q.from = now
		}
		queries, err := s.occupied(ctx, s.pool, rules, q)
		if err != nil {
			return []Alternative{}
		}
		found = found[:0]
		for id, r := range rules {
			found = append(found, nearest(schedule.Slots(r, queries[id]), at, *w.startsAt)...)
		}
		if found = nearest(found, at, *w.startsAt); len(found) == maxAlternatives {
			break
		}
	}
	out := make([]Alternative, len(found))
	for i, f := range found {
		out[i] = Alternative(f)
	}
	return out
}

// leadTime returns the shortest lead time of several doctors.
func leadTime(rules map[int64]schedule.Rules) time.Duration {
	least := time.Duration(-1)
	for _, r := range rules {
		if least < 0 || r.Notice < least {
			least = r.Notice
		}
	}
	return max(least, 0)
}

// nearest returns the slots that start nearest to at, at most maxAlternatives, each start once and without the
// refused one.
func nearest[S Slot | schedule.Slot](slots []S, at, refused time.Time) []Slot {
	sorted := make([]Slot, 0, len(slots))
	for _, s := range slots {
		if one := Slot(s); !one.StartsAt.Equal(refused) {
			sorted = append(sorted, one)
		}
	}
	slices.SortFunc(sorted, func(a, b Slot) int {
		return cmp.Or(cmp.Compare(a.StartsAt.Sub(at).Abs(), b.StartsAt.Sub(at).Abs()), a.StartsAt.Compare(b.StartsAt),
			a.EndsAt.Compare(b.EndsAt))
	})
	sorted = slices.CompactFunc(sorted, func(a, b Slot) bool { return a.StartsAt.Equal(b.StartsAt) })
	return sorted[:min(len(sorted), maxAlternatives)]
}
