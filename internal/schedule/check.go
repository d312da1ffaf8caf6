package schedule

import (
	"time"

	"housecall/internal/errs"
)

// Check returns nil if a booking at startsAt keeps the rules, otherwise an errs.Invalid with code slot_in_past,
// slot_too_soon, slot_too_far, slot_day_off, slot_outside_hours, slot_off_grid or slot_clock_change. It does not
// check whether the slot is free.
func Check(r Rules, startsAt, now time.Time) error {
	switch {
	case startsAt.Before(now):
		return broken("slot_in_past", "This time has passed.")
	case startsAt.Before(now.Add(r.Notice)):
		return broken("slot_too_soon", "This time is too soon: the doctor needs more lead time.")
	case startsAt.After(now.Add(r.Horizon)):
		return broken("slot_too_far", "This time is too far ahead to be booked.")
	}
	if _, ok := Contains(r, startsAt); ok {
		return nil
	}
	return r.refuse(startsAt.In(r.Location))
}

// refuse returns why no slot starts at a wall time.
func (r Rules) refuse(wall time.Time) error {
	date := dateOf(wall)
	after, left, inside := r.within(date, wall.Hour()*60+wall.Minute())
	switch {
	case !inside:
		return r.outside(date)
	case after%r.SlotMinutes != 0 || wall.Second() != 0 || wall.Nanosecond() != 0:
		return broken("slot_off_grid", "None of the doctor's slots starts at this time.")
	case left < r.SlotMinutes:
		return broken("slot_outside_hours", "The slot would end after the doctor's hours.")
	}
	return broken("slot_clock_change", "The clocks change during this slot, so it cannot be booked.")
}

// within returns how far a minute of a date is from the start and the end of an interval.
func (r Rules) within(date time.Time, minute int) (after, left int, inside bool) {
	hours := r.hoursOn(date)
	if minute < r.tail(date) {
		hours, minute = r.hoursOn(date.AddDate(0, 0, -1)), minute+minutesPerDay
	}
	for _, c := range hours {
		if minute >= c.From && minute < c.To {
			return minute - c.From, c.To - minute, true
		}
	}
	return 0, 0, false
}

// outside returns why a time is outside the hours of its date.
func (r Rules) outside(date time.Time) error {
	switch e := r.exceptionOn(date); {
	case e == nil:
		return broken("slot_outside_hours", "This time is outside the doctor's hours.")
	case e.Off():
		return broken("slot_day_off", "The doctor is away on this day.")
	}
	return broken("slot_outside_hours",
		"This time is outside the doctor's hours, which are different on this day.")
}

func broken(code, message string) error {
	e := errs.New(errs.Invalid, code, message)
	e.Fields = []errs.Field{{Path: "body.startsAt", Message: message}}
	return e
}
