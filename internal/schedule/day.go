package schedule

import "time"

// DateOf gives the calendar date of an instant in the doctor's zone, as a midnight in UTC.
func (r Rules) DateOf(at time.Time) time.Time { return dateOf(at.In(r.Location)) }

// DayRange gives the instants of a date (a midnight in UTC) in the doctor's zone: from the first to the end of the
// last. Where the clocks go back over midnight, an hour of the day before lies in between. A date that the zone left
// out is an empty range.
func (r Rules) DayRange(date time.Time) Range {
	pieces := piecesOf(date, date.AddDate(0, 0, 1), periodsAround(r.Location, date))
	if len(pieces) == 0 {
		at := DayStart(date, r.Location)
		return Range{From: at, To: at}
	}
	return Range{From: pieces[0].from.In(r.Location), To: pieces[len(pieces)-1].to.In(r.Location)}
}

// DayStart gives the instant at which a date (a midnight in UTC that stands for the calendar day) begins in a zone:
// where the clocks skip midnight, or show it twice, the first of the day. A day that a zone left out begins with the
// next.
func DayStart(date time.Time, loc *time.Location) time.Time {
	for {
		next := date.AddDate(0, 0, 1)
		if pieces := piecesOf(date, next, periodsAround(loc, date)); len(pieces) > 0 {
			return pieces[0].from.In(loc)
		}
		date = next
	}
}

// hoursOn gives the hours that begin on a date, by From.
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

// exceptionOn gives the exception that decides a date: off before other hours; nil if there is none.
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

// tail gives how far, in minutes, the hours of the day before reach into the date. They keep what they reach: the
// date's own hours count from there only. A week cannot overlap itself, but an exception may lie beside one.
func (r Rules) tail(date time.Time) int {
	tail := 0
	for _, c := range r.hoursOn(date.AddDate(0, 0, -1)) {
		tail = max(tail, c.To-minutesPerDay)
	}
	return tail
}

// dateOf gives the calendar day of a local time as a midnight in UTC, which days can be counted on.
func dateOf(local time.Time) time.Time {
	y, m, d := local.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

func isoWeekday(t time.Time) int { return (int(t.Weekday())+6)%7 + 1 }

func minutes(n int) time.Duration { return time.Duration(n) * time.Minute }
