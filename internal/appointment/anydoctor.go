package appointment

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"housecall/internal/doctor"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
)

// anyAttempts is how often a doctor is chosen when other bookings are faster.
const anyAttempts = 8

// errChooseAgain ends a transaction in which another booking was faster with the chosen doctor.
var errChooseAgain = errors.New("the choice of a doctor was overtaken")

// anyDoctor is a patient's wish to see any doctor of a specialization at an instant.
type anyDoctor struct {
	specialization string
	patientID      int64
	startsAt       time.Time
}

// choice is the chosen doctor, with their rules.
type choice struct {
	Person
	rules schedule.Rules
}

// withAny chooses the doctor of a specialization who has the fewest appointments on the day (in their zone), among
// those with a free slot at the instant, and runs f with the doctor's row locked. Choices for one specialization wait
// for each other, and each is checked again under the doctor's lock, which direct bookings also take. So every choice
// keeps the rule, and no time is given away twice.
func (s *Service) withAny(ctx context.Context, q anyDoctor, f func(tx *postgres.Tx, d choice) error) error {
	var err error
	for range anyAttempts {
		err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
			if err := lockSpecialization(ctx, tx, q.specialization); err != nil {
				return err
			}
			best, err := s.leastBusy(ctx, tx, q)
			if err != nil {
				return err
			}
			if err := s.doctors.Lock(ctx, tx, best.ID); err != nil {
				return err
			}
			again, err := s.leastBusy(ctx, tx, q)
			if err != nil {
				return err
			}
			if again.ID != best.ID { // covers a doctor who has just left: they are not chosen again
				return errChooseAgain
			}
			return f(tx, again)
		})
		if !errors.Is(err, errChooseAgain) && postgres.Constraint(err) != doctorTaken {
			break
		}
	}
	if err != nil {
		return s.wordedAny(ctx, err, q)
	}
	return nil
}

// leastBusy makes withAny's choice. Among equals it takes the doctor with the lowest key.
func (s *Service) leastBusy(ctx context.Context, tx *postgres.Tx, q anyDoctor) (choice, error) {
	doctors, rules, err := s.specialists(ctx, tx, q.specialization)
	if err != nil {
		return choice{}, err
	}
	queries, err := s.occupied(ctx, tx, rules, occupancy{
		from: q.startsAt, to: q.startsAt.Add(time.Nanosecond), patient: q.patientID, wanted: &q.startsAt, wholeDays: true,
	})
	if err != nil {
		return choice{}, err
	}
	type candidate struct {
		doctor.Brief
		that int
	}
	var free []candidate
	var broken error
	for _, d := range doctors {
		r := rules[d.ID]
		if err := s.unfit(d, r, queries[d.ID], q); err != nil {
			if broken == nil || errs.KindOf(err) == errs.Conflict { // "nobody is free" tells more than one doctor's rule
				broken = err
			}
			continue
		}
		free = append(free, candidate{Brief: d, that: sameDay(r, queries[d.ID], q.startsAt)})
	}
	if len(free) == 0 {
		return choice{}, broken
	}
	best := slices.MinFunc(free, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.that, b.that), cmp.Compare(a.ID, b.ID))
	})
	return choice{Person: personOf(best.Brief), rules: rules[best.ID]}, nil
}

// unfit returns why a doctor cannot be chosen; nil if they can.
func (s *Service) unfit(d doctor.Brief, r schedule.Rules, taken schedule.Query, q anyDoctor) error {
	if err := schedule.Check(r, q.startsAt, s.now()); err != nil {
		return err
	}
	if d.ID != q.patientID && len(schedule.Slots(r, taken)) > 0 {
		return nil
	}
	if busyIn(taken.Busy, q.startsAt, q.startsAt.Add(slotLength(r))) {
		return errBusy
	}
	return errTaken
}

// sameDay counts the appointments and holds that start on the same day, in the doctor's zone.
func sameDay(r schedule.Rules, taken schedule.Query, startsAt time.Time) (n int) {
	for _, at := range taken.Starts {
		if r.DateOf(at).Equal(r.DateOf(startsAt)) {
			n++
		}
	}
	return n
}

// busyIn reports whether any of the ranges overlaps a time.
func busyIn(busy []schedule.Range, from, to time.Time) bool {
	return slices.ContainsFunc(busy, func(b schedule.Range) bool { return b.From.Before(to) && from.Before(b.To) })
}

// specialists returns the active doctors of a specialization (ignoring case), with their rules.
func (s *Service) specialists(
	ctx context.Context, db postgres.DB, specialization string,
) ([]doctor.Brief, map[int64]schedule.Rules, error) {
	doctors, err := s.doctors.OfSpecialization(ctx, db, specialization)
	if err != nil {
		return nil, nil, err
	}
	if len(doctors) == 0 {
		return nil, nil, errs.New(errs.NotFound, "no_such_specialization",
			"No doctor with this specialization can be booked.")
	}
	keys := make([]int64, len(doctors))
	for i, d := range doctors {
		keys[i] = d.ID
	}
	rules, err := s.schedule.Rules(ctx, db, keys...)
	return doctors, rules, err
}

// DoctorSlot is a free slot and its doctor.
type DoctorSlot struct {
	Slot
	Doctor   Person
	TimeZone string // the doctor's, IANA
}

// searchDays is how many days a search covers, step by step until it has found enough. Most searches need only the
// first step.
var searchDays = []int{1, 4, maxSlotDays}

// Search returns up to limit free slots of all doctors of a specialization that start in the window (with days in the
// clinic's zone), earliest first, and by doctor if they start together. The number of statements does not depend on
// the number of doctors.
func (s *Service) Search(ctx context.Context, specialization string, window Window, limit int) ([]DoctorSlot, error) {
	from, to, err := bounded(window, s.o.Zone, s.now())
	if err != nil {
		return nil, err
	}
	if now := s.now(); from.Before(now) {
		from = now
	}
	doctors, rules, err := s.specialists(ctx, s.pool, specialization)
	if err != nil {
		return nil, err
	}
	return s.firstSlots(ctx, doctors, rules, occupancy{from: from, to: to}, limit)
}

func (s *Service) firstSlots(
	ctx context.Context, doctors []doctor.Brief, rules map[int64]schedule.Rules, q occupancy, limit int,
) ([]DoctorSlot, error) {
	out := []DoctorSlot{}
	at, start := q.from, q.from
	for _, days := range searchDays {
		if !at.Before(q.to) || len(out) >= limit {
			break
		}
		part := q
		part.from, part.to = at, start.AddDate(0, 0, days)
		if part.to.After(q.to) {
			part.to = q.to
		}
		queries, err := s.occupied(ctx, s.pool, rules, part)
		if err != nil {
			return nil, err
		}
		out = append(out, merged(doctors, rules, queries, limit-len(out))...)
		at = part.to
	}
	return out, nil
}

// merged merges the doctors' free slots and returns the first few.
func merged(
	doctors []doctor.Brief, rules map[int64]schedule.Rules, queries map[int64]schedule.Query, limit int,
) []DoctorSlot {
	var out []DoctorSlot
	for _, d := range doctors {
		r := rules[d.ID]
		found := schedule.Slots(r, queries[d.ID])
		for _, f := range found[:min(len(found), limit)] {
			out = append(out, DoctorSlot{
				Slot: Slot(f), TimeZone: r.TimeZone, Doctor: personOf(d),
			})
		}
	}
	slices.SortStableFunc(out, func(a, b DoctorSlot) int { return a.StartsAt.Compare(b.StartsAt) })
	return out[:min(len(out), limit)]
}

// wordedAny is worded for a wish to have any doctor of a specialization.
func (s *Service) wordedAny(ctx context.Context, err error, q anyDoctor) error {
	if errors.Is(err, errChooseAgain) || postgres.Constraint(err) == doctorTaken {
		err = errTaken
	}
	err = s.worded(ctx, err, wish{})
	var refusal *errs.Error
	if !errors.As(err, &refusal) || !aboutTime(refusal) {
		return err
	}
	_, rules, failed := s.specialists(ctx, s.pool, q.specialization)
	alternatives := []Alternative{}
	if failed == nil {
		alternatives = s.alternatives(ctx, rules, wish{patientID: q.patientID, startsAt: &q.startsAt})
	}
	return refusal.With("alternatives", alternatives)
}
