package pms

import (
	"time"

	"housecall/internal/appointment"
)

// The clinic's day in this API: half hours in the clinic's zone, numbered from 1, with a break. The doctor's hours say
// which of them are available.
const (
	slots      = 15
	beforeNoon = 8 // 10:00 to 13:30; the rest begins at 14:30
	morning    = 10 * 60
	afternoon  = 14*60 + 30
	halfHour   = 30
)

// minuteOf returns when slot n begins, in minutes since midnight.
func minuteOf(n int) int {
	if n <= beforeNoon {
		return morning + (n-1)*halfHour
	}
	return afternoon + (n-beforeNoon-1)*halfHour
}

// clock formats a time of day as this API's clients show it.
func clock(t time.Time) string { return t.Format("03:04 pm") }

// moment returns the instant of a time of day (in minutes) on a day; ok is false if the clocks skip it.
func moment(day time.Time, minutes int, zone *time.Location) (at time.Time, ok bool) {
	at = time.Date(day.Year(), day.Month(), day.Day(), minutes/60, minutes%60, 0, 0, zone)
	// time.Date moves a time that does not exist to another time, or to another day if a zone skipped a whole day.
	return at, at.Hour() == minutes/60 && at.Minute() == minutes%60 && at.Day() == day.Day()
}

// slotAt returns the number of the slot that begins at an instant; 0 if none does.
func slotAt(at time.Time, zone *time.Location) int {
	at = at.In(zone)
	for n := 1; n <= slots; n++ {
		if begins, ok := moment(at, minuteOf(n), zone); ok && begins.Equal(at) {
			return n
		}
	}
	return 0
}

// offered is a free slot and its instant.
type offered struct {
	n  int
	at time.Time
}

// offer returns those slots of a day at which one of the doctor's own slots begins.
func offer(day time.Time, free []appointment.Slot, zone *time.Location) []offered {
	begins := make(map[int64]bool, len(free))
	for _, f := range free {
		begins[f.StartsAt.Unix()] = true
	}
	var out []offered
	for n := 1; n <= slots; n++ {
		if at, ok := moment(day, minuteOf(n), zone); ok && begins[at.Unix()] {
			out = append(out, offered{n, at})
		}
	}
	return out
}

// window returns the window in which to ask for the slots of a day. It is wider than the day, because midnight need
// not exist if the clocks change then; offer picks what belongs to the day.
func window(day time.Time, zone *time.Location) appointment.Window {
	return func(*time.Location, time.Time) (from, to time.Time, err error) {
		first, _ := moment(day, minuteOf(1), zone)
		last, _ := moment(day, minuteOf(slots), zone)
		return first.Add(-time.Hour), last.Add(time.Hour), nil
	}
}
