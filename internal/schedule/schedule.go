// Package schedule knows when a doctor can be booked: weekly hours as wall time in the doctor's zone, and the
// arithmetic that turns them into slots. It owns the tables schedules and schedule_hours and has no routes of
// its own: doctor changes hours and rules through it, appointment books by it.
package schedule

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"housecall/internal/config"
	"housecall/internal/errs"
)

// Bounds of what a doctor may set.
const (
	MinSlotMinutes     = 5
	MaxSlotMinutes     = 480
	MaxIntervalsPerDay = 10

	minutesPerDay = 24 * 60
)

// Interval is a stretch of one weekday in minutes since midnight, wall time in the doctor's zone, half open:
// From < To <= 1440 (24:00). An interval never runs past midnight; the next day's own may start at 00:00.
type Interval struct {
	Weekday int // ISO 8601: 1 is Monday, 7 is Sunday
	From    int
	To      int
}

// Rules are what decides a doctor's grid of slots.
type Rules struct {
	DoctorID    int64
	TimeZone    string         // IANA name
	Location    *time.Location // of TimeZone, never nil
	SlotMinutes int
	Hours       []Interval // by weekday and From; empty: takes no bookings
	CustomHours bool       // false: Hours are the clinic's defaults
	Version     int        // of hours and rules together; 1 until the first change
}

// Range is a half-open stretch of time.
type Range struct{ From, To time.Time }

// Slot is a bookable stretch; both ends are in the doctor's zone.
type Slot struct{ StartsAt, EndsAt time.Time }

// LoadZone gives the location of an IANA zone name, by the rule of config.LoadZone.
func LoadZone(name string) (*time.Location, error) {
	loc, err := config.LoadZone(name)
	if err != nil {
		return nil, errs.InvalidField("body.timeZone", "must be the name of an IANA time zone, such as Europe/Berlin")
	}
	return loc, nil
}

// ValidateSlotMinutes refuses a slot length out of bounds.
func ValidateSlotMinutes(n int) error {
	if n < MinSlotMinutes || n > MaxSlotMinutes {
		return errs.InvalidField("body.slotMinutes", "must lie between 5 and 480 minutes")
	}
	return nil
}

// normalize gives the intervals in order, or says what is wrong with which of them.
func normalize(in []Interval) ([]Interval, error) {
	var perDay [8]int
	for i, v := range in {
		switch {
		case v.Weekday < 1 || v.Weekday > 7:
			return nil, badInterval(i, "weekday", "must lie between 1 (Monday) and 7 (Sunday)")
		case v.From < 0 || v.From >= minutesPerDay:
			return nil, badInterval(i, "from", "must lie between 00:00 and 23:59")
		case v.To <= v.From || v.To > minutesPerDay:
			return nil, badInterval(i, "to", "must be later than from and at most 24:00")
		}
		if perDay[v.Weekday]++; perDay[v.Weekday] > MaxIntervalsPerDay {
			return nil, badInterval(i, "weekday", "has more than 10 intervals")
		}
	}
	order := make([]int, len(in))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return compareIntervals(in[a], in[b]) })
	out := make([]Interval, len(in))
	for i, from := range order {
		out[i] = in[from]
		if i > 0 && out[i-1].Weekday == out[i].Weekday && out[i].From < out[i-1].To {
			return nil, badInterval(from, "from", "overlaps another interval of that day")
		}
	}
	return out, nil
}

func compareIntervals(a, b Interval) int {
	return cmp.Or(cmp.Compare(a.Weekday, b.Weekday), cmp.Compare(a.From, b.From))
}

func badInterval(i int, field, message string) error {
	return errs.InvalidField(fmt.Sprintf("body.intervals[%d].%s", i, field), message)
}
