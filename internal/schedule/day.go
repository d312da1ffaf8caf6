package schedule

import "time"

// DateOf returns the calendar date of an instant in the doctor's zone, as midnight UTC.
func (r Rules) DateOf(at time.Time) time.Time { return dateOf(at.In(r.Location)) }

// DayRange returns the range of a date (midnight UTC) in the doctor's zone, from its first instant to the end of its
// last. If the clocks go back over midnight, the range includes an hour of the day before. A date that the zone
// skipped is an empty range.
func (r Rules) DayRange(date time.Time) Range {
	pieces := piecesOf(date, date.AddDate(0, 0, 1), periodsAround(r.Location, date))
	if len(pieces) == 0 {
		at := DayStart(date, r.Location)
		return Range{From: at, To: at}
	}
	return Range{From: pieces[0].from.In(r.Location), To: pieces[len(pieces)-1].to.In(r.Location)}
}

// DayStart returns the instant at which a calendar day (midnight UTC) begins in a zone. If the clocks skip midnight
// or show it twice, that is the first instant of the day. A day that the zone skipped begins when the next one does.
func DayStart(date time.Time, loc *time.Location) time.Time {
	for {
		next := date.AddDate(0, 0, 1)
		if pieces := piecesOf(date, next, periodsAround(loc, date)); len(pieces) > 0 {
			return pieces[0].from.In(loc)
		}
		date = next
	}
}

// hoursOn returns the hours that begin on a date, sorted by From.
func (r Rules) hoursOn(date time.Time) []Clock {
	if e := r.exceptionOn(date); e != nil {
		return e.Hours
	}
	var out []Clock
	weekday := isoWeekday(date)
	for _, v := range r.Hours {
		if v.Weekday == weekday {
			out = append(out, Clock{From: v.From, To: v.To})
		}
	}
	return out
}

// exceptionOn returns the exception that applies to a date, preferring one that is off; nil if there is none.
func (r Rules) exceptionOn(date time.Time) *Exception {
	var found *Exception
	for i := range r.Exceptions {
		e := &r.Exceptions[i]
		if !e.covers(date) {
			continue
		}
		if e.Off() {
			return e
		}
		if found == nil {
			found = e
		}
	}
	return found
}

// tail returns how far, in minutes, the hours of the day before reach into the date. The date's own hours start to
// count only after that. Weekly hours cannot overlap each other, but they can overlap an exception.
func (r Rules) tail(date time.Time) int {
	tail := 0
	for _, c := range r.hoursOn(date.AddDate(0, 0, -1)) {
		tail = max(tail, c.To-minutesPerDay)
	}
	return tail
}

// dateOf returns the calendar day of a local time as midnight UTC, where every day has 24 hours.
func dateOf(local time.Time) time.Time {
	y, m, d := local.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

func isoWeekday(t time.Time) int { return (int(t.Weekday())+6)%7 + 1 }

func minutes(n int) time.Duration { return time.Duration(n) * time.Minute }
