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

// anyAttempts bounds how often a doctor is chosen anew because another booking was faster.
const anyAttempts = 8

// errChooseAgain is the end of a transaction whose choice of a doctor was overtaken.
var errChooseAgain = errors.New("the choice of a doctor was overtaken")

// withAny chooses, of the doctors of a specialization who have a free slot at an instant, the one with the fewest
// appointments on that day (in his zone), and runs f with his row held. Choices for one specialization stand in one
// line, and what was chosen is looked at once more under the doctor's lock, which direct bookings take too: so the rule
// holds for every choice, and no time is given twice.
func (s *Service) withAny(ctx context.Context, specialization string, patientID int64, startsAt time.Time,
	f func(tx *postgres.Tx, d Person) error,
) error {
	var err error
	for range anyAttempts {
		err = s.pool.InTx(ctx, func(tx *postgres.Tx) error {
			if err := lockSpecialization(ctx, tx, specialization); err != nil {
				return err
			}
			best, err := s.leastBusy(ctx, tx, specialization, patientID, startsAt)
			if err != nil {
				return err
			}
			if err := s.lockActive(ctx, tx, best); errs.KindOf(err) == errs.NotFound {
				return errChooseAgain // he has just left
			} else if err != nil {
				return err
			}
			again, err := s.leastBusy(ctx, tx, specialization, patientID, startsAt)
			if err != nil {
				return err
			}
			if again.ID != best.ID {
				return errChooseAgain
			}
			return f(tx, best)
		})
		if !errors.Is(err, errChooseAgain) && postgres.Constraint(err) != doctorTaken {
			break
		}
	}
	if err != nil {
		return s.wordedAny(ctx, err, specialization, patientID, startsAt)
	}
	return nil
}

// leastBusy makes the choice of withAny: of several the one with the lowest key.
func (s *Service) leastBusy(ctx context.Context, tx *postgres.Tx, specialization string, patientID int64, startsAt time.Time) (Person, error) {
	doctors, rules, err := s.specialists(ctx, tx, specialization)
	if err != nil {
		return Person{}, err
	}
	queries, err := s.occupied(ctx, tx, rules, occupancy{
		from: startsAt, to: startsAt.Add(time.Nanosecond), patient: patientID, wanted: &startsAt, wholeDays: true,
	})
	if err != nil {
		return Person{}, err
	}
	type candidate struct {
		doctor.Brief
		that int
	}
	var free []candidate
	var broken error
	for _, d := range doctors {
		r, q := rules[d.ID], queries[d.ID]
		if err := schedule.Check(r, startsAt, s.now()); err != nil {
			broken = cmp.Or(broken, err)
			continue
		}
		if d.ID == patientID || len(schedule.Slots(r, q)) == 0 {
			broken = errTaken
			if busyIn(q.Busy, startsAt, startsAt.Add(slotLength(r))) {
				broken = errBusy
			}
			continue
		}
		c := candidate{Brief: d}
		for _, at := range q.Starts {
			if r.DateOf(at).Equal(r.DateOf(startsAt)) {
				c.that++
			}
		}
		free = append(free, c)
	}
	if len(free) == 0 {
		return Person{}, broken
	}
	best := slices.MinFunc(free, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.that, b.that), cmp.Compare(a.ID, b.ID)) })
	return personOf(best.Brief), nil
}

// busyIn tells whether any of the ranges overlaps a time.
func busyIn(busy []schedule.Range, from, to time.Time) bool {
	return slices.ContainsFunc(busy, func(b schedule.Range) bool { return b.From.Before(to) && from.Before(b.To) })
}

// specialists gives the active doctors of a specialization, whatever its case, with their rules.
func (s *Service) specialists(ctx context.Context, db postgres.DB, specialization string) ([]doctor.Brief, map[int64]schedule.Rules, error) {
	doctors, err := s.doctors.OfSpecialization(ctx, db, specialization)
	if err != nil {
		return nil, nil, err
	}
	if len(doctors) == 0 {
		return nil, nil, errs.New(errs.NotFound, "no_such_specialization", "No doctor of this specialization takes bookings.")
	}
	keys := make([]int64, len(doctors))
	for i, d := range doctors {
		keys[i] = d.ID
	}
	rules, err := s.schedule.Rules(ctx, db, keys...)
	return doctors, rules, err
}

// DoctorSlot is a free slot and whose it is.
type DoctorSlot struct {
	Slot
	Doctor   Person
	TimeZone string // the doctor's, IANA
}

// searchDays are how far a search looks at first, and then, while it has not found enough: most find it at once.
var searchDays = []int{1, 4, maxSlotDays}

// Search gives up to limit free slots of all doctors of a specialization that start in the window (its days are those of
// the clinic's zone), the earliest first; at one instant by doctor. However many doctors there are, it takes a
// constant number of statements.
func (s *Service) Search(ctx context.Context, specialization string, window Window, limit int) ([]DoctorSlot, error) {
	from, to, err := bounded(window, s.zone, s.now())
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
	return s.search(ctx, doctors, rules, occupancy{from: from, to: to}, limit)
}

func (s *Service) search(ctx context.Context, doctors []doctor.Brief, rules map[int64]schedule.Rules, q occupancy, limit int) ([]DoctorSlot, error) {
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

// merged puts together the doctors' free slots, and gives the first few.
func merged(doctors []doctor.Brief, rules map[int64]schedule.Rules, queries map[int64]schedule.Query, limit int) []DoctorSlot {
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
func (s *Service) wordedAny(ctx context.Context, err error, specialization string, patientID int64, startsAt time.Time) error {
	if errors.Is(err, errChooseAgain) || postgres.Constraint(err) == doctorTaken {
		err = errTaken
	}
	err = s.worded(ctx, err, wish{})
	var refusal *errs.Error
	if !errors.As(err, &refusal) || !aboutTime(refusal) {
		return err
	}
	_, rules, failed := s.specialists(ctx, s.pool, specialization)
	alternatives := []Alternative{}
	if failed == nil {
		alternatives = s.alternatives(ctx, rules, wish{patientID: patientID, startsAt: &startsAt})
	}
	return refusal.With("alternatives", alternatives)
}
