package appointment

import (
	"context"
	"time"

	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
)

// Slot is a time that can be booked, in its doctor's zone.
type Slot struct{ StartsAt, EndsAt time.Time }

// maxSlotDays is how many days one query for slots may cover.
const maxSlotDays = 31

// Window returns the bounds of a query for slots. It is a function because the bounds of days depend on the doctor's
// zone.
type Window func(zone *time.Location, now time.Time) (from, to time.Time, err error)

// Slots returns a doctor's free slots that start in the window, in order of time, with the rules that produced them.
func (s *Service) Slots(ctx context.Context, doctorID string, window Window) ([]Slot, schedule.Rules, error) {
	id, err := s.doctors.Find(ctx, s.pool, doctorID)
	if err != nil {
		return nil, schedule.Rules{}, err
	}
	rules, err := s.rules(ctx, s.pool, id)
	if err != nil {
		return nil, schedule.Rules{}, err
	}
	from, to, err := bounded(window, rules.Location, s.now())
	if err != nil {
		return nil, schedule.Rules{}, err
	}
	slots, err := s.free(ctx, rules, occupancy{from: from, to: to})
	return slots, rules, err
}

// bounded returns the window's bounds, at most maxSlotDays apart.
func bounded(window Window, zone *time.Location, now time.Time) (from, to time.Time, err error) {
	if from, to, err = window(zone, now); err != nil {
		return from, to, err
	}
	if !from.Before(to) {
		return from, to, errs.InvalidField("query.to", "must be later than from, which defaults to now")
	}
	last := from.In(zone).AddDate(0, 0, maxSlotDays)
	// If the clocks skip midnight, AddDate may return an hour before the day starts; maxSlotDays whole days are still
	// allowed.
	if end := schedule.DayStart(dateIn(from, zone).AddDate(0, 0, maxSlotDays), zone); end.After(last) {
		last = end
	}
	if to.After(last) {
		return from, to, errs.InvalidField("query.to", "must be at most 31 days after from")
	}
	return from, to, nil
}

// dateIn returns the calendar date of an instant in a zone, as midnight UTC.
func dateIn(at time.Time, zone *time.Location) time.Time {
	y, m, d := at.In(zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// free computes the slots in [from, to) in which one doctor is free, and also the patient of q if it has one.
func (s *Service) free(ctx context.Context, r schedule.Rules, q occupancy) ([]Slot, error) {
	queries, err := s.occupied(ctx, s.pool, map[int64]schedule.Rules{r.DoctorID: r}, q)
	if err != nil {
		return nil, err
	}
	found := schedule.Slots(r, queries[r.DoctorID])
	out := make([]Slot, len(found))
	for i, f := range found {
		out[i] = Slot(f)
	}
	return out, nil
}

// occupancy asks which time between from and to is taken, of the doctors and of a patient (0: none). The appointment
// except (0: none) does not count. The patient's own holds count only towards daily limits, and not even there if a
// slot starting at wanted (nil: none) would replace them. wholeDays asks for everything that starts on the days of
// the window, which daily limits need. occupied fills in doctors and now.
type occupancy struct {
	from, to        time.Time
	patient, except int64
	wanted          *time.Time
	wholeDays       bool

	doctors []int64
	now     time.Time
}

// reach is how far outside a window something can lie and still touch a slot in it: the longest slot plus buffer.
const reach = 12 * time.Hour

// wholeDay is reach for daily limits, in any zone and across any change of the clocks.
const wholeDay = 50 * time.Hour

// occupied returns, for each doctor, the query for their free slots in [from, to). It takes at most three statements,
// no matter how many doctors there are.
func (s *Service) occupied(
	ctx context.Context, db postgres.DB, rules map[int64]schedule.Rules, q occupancy,
) (map[int64]schedule.Query, error) {
	out := make(map[int64]schedule.Query, len(rules))
	wide := q
	wide.now, wide.from, wide.to = s.now(), q.from.Add(-reach), q.to.Add(reach)
	for id, r := range rules {
		wide.doctors = append(wide.doctors, id)
		wide.wholeDays = wide.wholeDays || r.PerDay > 0
	}
	if wide.wholeDays {
		wide.from, wide.to = q.from.Add(-wholeDay), q.to.Add(wholeDay)
	}
	taken, err := takenOf(ctx, db, wide)
	if err != nil {
		return nil, err
	}
	if wide.wholeDays {
		past, err := takenPlace(ctx, db, wide)
		if err != nil {
			return nil, err
		}
		taken = append(taken, past...)
	}
	base := schedule.Query{From: q.from, To: q.to, Now: wide.now}
	if q.patient != 0 {
		if base.Busy, err = busyOf(ctx, db, wide); err != nil {
			return nil, err
		}
	}
	for _, id := range wide.doctors {
		out[id] = base
	}
	q.addTaken(out, taken, rules)
	return out, nil
}

// addTaken adds the time that claims take to the doctors' queries. An appointment for which another time on the same
// day is proposed is one of that day, whichever it will be.
func (q occupancy) addTaken(out map[int64]schedule.Query, taken []doctorRange, rules map[int64]schedule.Rules) {
	type visit struct {
		appointment int64
		date        time.Time
	}
	counted := map[visit]bool{}
	for _, t := range taken {
		one, r := out[t.DoctorID], rules[t.DoctorID]
		switch {
		case !t.Own:
			one.Blocked = append(one.Blocked, schedule.Range{From: t.From, To: t.To})
		case q.wanted != nil && t.StartsAt.Before(q.wanted.Add(slotLength(r))) && q.wanted.Before(t.EndsAt):
			continue
		}
		if v := (visit{t.AppointmentID, r.DateOf(t.StartsAt)}); v.appointment == 0 || !counted[v] {
			counted[v] = true
			one.Starts = append(one.Starts, t.StartsAt)
		}
		out[t.DoctorID] = one
	}
}

func slotLength(r schedule.Rules) time.Duration { return time.Duration(r.SlotMinutes) * time.Minute }

// ask asks whether a patient (0: anybody) could have a time. except is an appointment to be moved (0: none).
type ask struct {
	patientID, except int64
	startsAt          time.Time
}

// bookable returns the doctor's slot that starts at an instant, or the rule that forbids it. Whether it is free is
// left to the constraints. The result cannot change while the doctor's row is locked.
func (s *Service) bookable(ctx context.Context, tx *postgres.Tx, r schedule.Rules, q ask) (schedule.Slot, error) {
	startsAt := q.startsAt
	if err := schedule.Check(r, startsAt, s.now()); err != nil {
		return schedule.Slot{}, err
	}
	ends, _ := schedule.Contains(r, startsAt)
	slot := schedule.Slot{StartsAt: startsAt.UTC(), EndsAt: ends.UTC()}
	if r.PerDay == 0 {
		return slot, nil
	}
	day := r.DayRange(r.DateOf(startsAt))
	queries, err := s.occupied(ctx, tx, map[int64]schedule.Rules{r.DoctorID: r}, occupancy{
		from: day.From, to: day.To, patient: q.patientID, except: q.except, wanted: &startsAt,
	})
	if err != nil {
		return slot, err
	}
	that := 0
	for _, at := range queries[r.DoctorID].Starts {
		if r.DateOf(at).Equal(r.DateOf(startsAt)) {
			that++
		}
	}
	if that >= r.PerDay {
		return slot, errs.New(errs.Conflict, "slot_day_full", "The doctor cannot take any more appointments on this day.")
	}
	return slot, nil
}
