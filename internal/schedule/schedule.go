// Package schedule knows when a doctor can be booked: weekly hours as wall time in the doctor's zone, exceptions by
// date, the rules of booking, and the arithmetic that turns them into slots. It owns the tables schedules,
// schedule_hours, schedule_exceptions and schedule_exception_hours. It has no routes: package doctor uses it to
// change hours and rules, package appointment to book.
package schedule

import (
	"time"

	"housecall/internal/errs"
	"housecall/internal/zone"
)

// Bounds of what a doctor may set.
const (
	MinSlotMinutes     = 5
	MaxSlotMinutes     = 480
	MaxIntervalsPerDay = 10
	MaxBuffer          = 4 * time.Hour
	MaxNotice          = 30 * 24 * time.Hour // the same as config allows for the clinic
	MinHorizon         = time.Hour           // the maximum is the clinic's horizon
	MaxPerDay          = 200

	minutesPerDay = 24 * 60
)

// Interval is a half-open part of the week, in minutes of wall time since its weekday's midnight in the doctor's
// zone: 0 <= From < 1440, From < To <= From + 1440. A To beyond 1440 (24:00) is on the next day. The whole interval
// belongs to the date on which it begins.
type Interval struct {
	Weekday int // ISO 8601: 1 is Monday, 7 is Sunday
	From    int
	To      int
}

// Clock is a range of wall time on a date, like an Interval on a weekday.
type Clock struct{ From, To int }

// Rules determine a doctor's slots.
type Rules struct {
	DoctorID    int64
	TimeZone    string         // IANA name
	Location    *time.Location // of TimeZone, never nil
	SlotMinutes int
	// BufferBefore and BufferAfter block time around an appointment, in whole minutes, and are not shown.
	BufferBefore, BufferAfter time.Duration
	// Notice (the lead time) and Horizon bound the starts of slots, in real time and inclusive: from now+Notice to
	// now+Horizon.
	Notice, Horizon time.Duration
	PerDay          int         // the most appointments that may start on one date in the doctor's zone; 0: no limit
	AutoConfirm     bool        // a patient's request for a slot is BOOKED at once
	Hours           []Interval  // sorted by weekday and From; empty: bookings only on exceptions
	CustomHours     bool        // false: Hours are the clinic's defaults
	Exceptions      []Exception // without long past ones, sorted by From and To
	Version         int         // shared by everything changeable here; 1 until the first change
}

// Range is a half-open range of time.
type Range struct{ From, To time.Time }

// Slot is a bookable time; both ends are in the doctor's zone.
type Slot struct{ StartsAt, EndsAt time.Time }

// Blocks returns the range that an appointment in the slot takes from the doctor's time, with buffers.
func (r Rules) Blocks(s Slot) Range {
	return Range{From: s.StartsAt.Add(-r.BufferBefore), To: s.EndsAt.Add(r.BufferAfter)}
}

// LoadZone is zone.Load with an error for body.timeZone.
func LoadZone(name string) (*time.Location, error) {
	loc, err := zone.Load(name)
	if err != nil {
		return nil, errs.InvalidField("body.timeZone", "must be the name of an IANA time zone, such as Europe/Berlin")
	}
	return loc, nil
}

// ValidateSlotMinutes refuses a slot length out of bounds.
func ValidateSlotMinutes(n int) error {
	if n < MinSlotMinutes || n > MaxSlotMinutes {
		return errs.InvalidField("body.slotMinutes", "must be between 5 and 480 minutes")
	}
	return nil
}
