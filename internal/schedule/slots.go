package schedule

import (
	"slices"
	"time"

	"housecall/internal/errs"
)

// Slots gives the free slots that start in [from, to), rising, each in the doctor's zone. The grid is wall
// time: in each interval of each date it is anchored at the interval's start and steps by the slot length, so
// a clock change does not shift it. A wall time that the clocks skip gives no slot; one that they show twice
// gives two, an hour apart. A slot always lasts SlotMinutes of real time, lies wholly within its interval, and
// overlaps no other. Starts before now or after now+horizon are left out, as is whatever touches a busy range.
func Slots(r Rules, from, to, now time.Time, horizon time.Duration, busy []Range) []Slot {
	if from.Before(now) {
		from = now
	}
	if last := now.Add(horizon).Add(time.Nanosecond); to.After(last) {
		to = last
	}
	var out []Slot
	taken := merge(busy)
	// A zone may repeat the end of a day after midnight, so the day before belongs to the search.
	end := dateOf(to.In(r.Location)).AddDate(0, 0, 1)
	for date := dateOf(from.In(r.Location)).AddDate(0, 0, -1); !date.After(end) && from.Before(to); date = date.AddDate(0, 0, 1) {
		for _, s := range gridOf(r, date) {
			if !s.StartsAt.Before(from) && s.StartsAt.Before(to) && !touches(taken, s) {
				out = append(out, s)
			}
		}
	}
	slices.SortFunc(out, func(a, b Slot) int { return a.StartsAt.Compare(b.StartsAt) })
	return out
}

// Contains tells whether a slot of the grid starts at that instant, and when it ends. It asks neither whether
// the slot is free nor whether it is past.
func Contains(r Rules, startsAt time.Time) (endsAt time.Time, ok bool) {
	for _, s := range gridOf(r, dateOf(startsAt.In(r.Location))) {
		if s.StartsAt.Equal(startsAt) {
			return s.EndsAt, true
		}
	}
	return time.Time{}, false
}

// Check says which rule a booking at startsAt breaks: nil, or an errs.Invalid with code slot_in_past,
// slot_too_far, slot_outside_hours, slot_off_grid or slot_clock_change. It does not ask whether the slot is free.
func Check(r Rules, startsAt, now time.Time, horizon time.Duration) error {
	switch {
	case startsAt.Before(now):
		return broken("slot_in_past", "The time has passed.")
	case startsAt.After(now.Add(horizon)):
		return broken("slot_too_far", "The time lies further ahead than can be booked.")
	}
	if _, ok := Contains(r, startsAt); ok {
		return nil
	}
	wall := startsAt.In(r.Location)
	minute := wall.Hour()*60 + wall.Minute()
	inside := false
	for _, v := range r.Hours {
		if v.Weekday != isoWeekday(wall) || minute < v.From || minute >= v.To {
			continue
		}
		inside = true
		step := (minute - v.From) % r.SlotMinutes
		if step != 0 || wall.Second() != 0 || wall.Nanosecond() != 0 {
			return broken("slot_off_grid", "No slot of the doctor starts at this time.")
		}
		if minute+r.SlotMinutes <= v.To {
			return broken("slot_clock_change", "The clocks change during this slot, so it cannot be booked.")
		}
	}
	if inside {
		return broken("slot_outside_hours", "The slot would end after the doctor's hours.")
	}
	return broken("slot_outside_hours", "The time is outside the doctor's hours.")
}

func broken(code, message string) error {
	e := errs.New(errs.Invalid, code, message)
	e.Fields = []errs.Field{{Path: "body.startsAt", Message: message}}
	return e
}

// DayStart gives the instant at which a date (a midnight in UTC that stands for the calendar day) begins in a zone:
// where the clocks skip midnight, or show it twice, the first of the day. A day that a zone left out begins with the next.
func DayStart(date time.Time, loc *time.Location) time.Time {
	for {
		next := date.AddDate(0, 0, 1)
		if pieces := piecesOf(date, next, periodsAround(loc, date)); len(pieces) > 0 {
			return pieces[0].from.In(loc)
		}
		date = next
	}
}

// gridOf gives the slots of one date (a midnight in UTC that stands for the calendar day), in order within
// each interval.
func gridOf(r Rules, date time.Time) []Slot {
	var out []Slot
	var zones []zonePeriod // looked up only when the day has hours at all
	for _, v := range r.Hours {
		if v.Weekday != isoWeekday(date) {
			continue
		}
		if zones == nil {
			zones = periodsAround(r.Location, date)
		}
		out = appendInterval(out, r, v, date, zones)
	}
	return out
}

// appendInterval adds the slots of one interval on one date.
func appendInterval(out []Slot, r Rules, v Interval, date time.Time, zones []zonePeriod) []Slot {
	length := time.Duration(r.SlotMinutes) * time.Minute
	opens, closes := date.Add(minutes(v.From)), date.Add(minutes(v.To)) // wall time written as if it were UTC
	pieces := piecesOf(opens, closes, zones)
	var free time.Time // end of the slot before: one that the clock change pushes over the next start wins
	for i, p := range pieces {
		end := p.to
		for j := i + 1; j < len(pieces) && pieces[j].from.Equal(end); j++ {
			end = pieces[j].to
		}
		for wall := firstOnGrid(opens, p.from.Add(p.offset), length); ; wall = wall.Add(length) {
			start := wall.Add(-p.offset)
			if !start.Before(p.to) {
				break
			}
			if start.Add(length).After(end) || start.Before(free) {
				continue
			}
			free = start.Add(length)
			out = append(out, Slot{StartsAt: start.In(r.Location), EndsAt: free.In(r.Location)})
		}
	}
	return out
}

// zonePeriod is a stretch during which a zone keeps one offset from UTC.
type zonePeriod struct {
	from, to time.Time
	offset   time.Duration
}

// periodsAround gives the periods that any wall time of the date can fall into: offsets reach from -12 h to
// +14 h (and a little further in the past).
func periodsAround(loc *time.Location, date time.Time) []zonePeriod {
	var out []zonePeriod
	at, last := date.Add(-16*time.Hour), date.Add((24+16)*time.Hour)
	for at.Before(last) {
		local := at.In(loc)
		_, seconds := local.Zone()
		_, until := local.ZoneBounds()
		if until.IsZero() || until.After(last) {
			until = last
		}
		out = append(out, zonePeriod{from: at, to: until.UTC(), offset: time.Duration(seconds) * time.Second})
		at = until.UTC()
	}
	return out
}

// piecesOf gives the instants, in order, whose wall time lies in [opens, closes): none where the clocks skip
// it, several where they go back.
func piecesOf(opens, closes time.Time, zones []zonePeriod) []zonePeriod {
	var out []zonePeriod
	for _, z := range zones {
		from, to := opens.Add(-z.offset), closes.Add(-z.offset)
		if from.Before(z.from) {
			from = z.from
		}
		if to.After(z.to) {
			to = z.to
		}
		if from.Before(to) {
			out = append(out, zonePeriod{from: from, to: to, offset: z.offset})
		}
	}
	return out
}

// firstOnGrid gives the first wall time of the grid anchored at opens that is not before wall.
func firstOnGrid(opens, wall time.Time, length time.Duration) time.Time {
	steps := int64((wall.Sub(opens) + length - 1) / length)
	return opens.Add(time.Duration(steps * int64(length)))
}

// merge gives the busy ranges sorted and without overlaps.
func merge(busy []Range) []Range {
	sorted := slices.Clone(busy)
	slices.SortFunc(sorted, func(a, b Range) int { return a.From.Compare(b.From) })
	out := sorted[:0]
	for _, b := range sorted {
		switch n := len(out); {
		case !b.From.Before(b.To):
		case n > 0 && !b.From.After(out[n-1].To):
			if b.To.After(out[n-1].To) {
				out[n-1].To = b.To
			}
		default:
			out = append(out, b)
		}
	}
	return out
}

// touches tells whether the slot overlaps one of the merged ranges.
func touches(taken []Range, s Slot) bool {
	i, _ := slices.BinarySearchFunc(taken, s.StartsAt, func(r Range, at time.Time) int {
		if r.To.After(at) {
			return 1
		}
		return -1
	})
	return i < len(taken) && taken[i].From.Before(s.EndsAt)
}

// dateOf gives the calendar day of a local time as a midnight in UTC, which days can be counted on.
func dateOf(local time.Time) time.Time {
	y, m, d := local.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

func isoWeekday(t time.Time) int { return (int(t.Weekday())+6)%7 + 1 }

func minutes(n int) time.Duration { return time.Duration(n) * time.Minute }
