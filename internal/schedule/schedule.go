// Package schedule knows when a doctor can be booked: weekly hours as wall time in the doctor's zone, exceptions by
// date, the rules of booking, and the arithmetic that turns them into slots. It owns the tables schedules,
// schedule_hours, schedule_exceptions and schedule_exception_hours and has no routes of its own: doctor changes what is
// in them through it, appointment books by it.
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
	MaxNotice          = 30 * 24 * time.Hour // as config has it for the clinic's
	MinHorizon         = time.Hour           // the most is the clinic's
	MaxPerDay          = 200

	minutesPerDay = 24 * 60
)

// Interval is a stretch of the week in minutes since its weekday's midnight, wall time in the doctor's zone, half open:
// 0 <= From < 1440, From < To <= From + 1440. To past 1440 (24:00) is a time of the next day. An interval belongs,
// whole, to the dates on which it begins.
type Interval struct {
	Weekday int // ISO 8601: 1 is Monday, 7 is Sunday
	From    int
	To      int
}

// Clock is a stretch of wall time on some date, as an Interval is on a weekday.
type Clock struct{ From, To int }

// Rules are what decides a doctor's slots.
type Rules struct {
	DoctorID    int64
	TimeZone    string         // IANA name
	Location    *time.Location // of TimeZone, never nil
	SlotMinutes int
	// BufferBefore and BufferAfter block time around an appointment, in whole minutes, and are not shown.
	BufferBefore, BufferAfter time.Duration
	// Notice and Horizon bound starts from now, in real time and both included: from now+Notice to now+Horizon.
	Notice, Horizon time.Duration
	PerDay          int         // most appointments that start on one date in the doctor's zone; 0: no limit
	AutoConfirm     bool        // a patient's request for a slot is BOOKED at once
	Hours           []Interval  // by weekday and From; empty: takes no bookings but on exceptions
	CustomHours     bool        // false: Hours are the clinic's defaults
	Exceptions      []Exception // those that are not long over, by From and To
	Version         int         // of all that is changeable here together; 1 until the first change
}

// Range is a half-open stretch of time.
type Range struct{ From, To time.Time }

// Slot is a bookable stretch; both ends are in the doctor's zone.
type Slot struct{ StartsAt, EndsAt time.Time }

// Blocks gives what an appointment in the slot takes of the doctor's time, with their buffers.
func (r Rules) Blocks(s Slot) Range {
	return Range{From: s.StartsAt.Add(-r.BufferBefore), To: s.EndsAt.Add(r.BufferAfter)}
}

// LoadZone gives the location of an IANA zone name, by the rule of zone.Load.
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
