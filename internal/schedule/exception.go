package schedule

import (
	"time"

	"github.com/google/uuid"

	"housecall/internal/errs"
	"housecall/internal/text"
)

// Bounds of exceptions.
const (
	MaxExceptions    = 400 // of one doctor, not counting past ones
	MaxExceptionDays = 366
	MaxNote          = 200 // characters
)

// Exception replaces the weekly hours that begin on the dates From to To, inclusive, with Hours; if Hours is empty,
// the dates are off. Dates are calendar days in the doctor's zone, as midnight UTC. If an exception that is off and
// one with hours share a date, the date is off.
type Exception struct {
	ID       string // public, a UUID
	From, To time.Time
	Hours    []Clock // by From
	Note     string  // for staff, never for the public
}

// Off reports whether nothing can be booked on the exception's dates.
func (e Exception) Off() bool { return len(e.Hours) == 0 }

func (e Exception) covers(date time.Time) bool { return !date.Before(e.From) && !date.After(e.To) }

// normalize trims the note and sorts the hours; its error names every field that is out of bounds.
func (e Exception) normalize() (Exception, error) {
	var bad []errs.Field
	refuse := func(path, message string) {
		bad = append(bad, errs.Field{Path: path, Message: message})
	}
	switch {
	case e.To.Before(e.From):
		refuse("body.to", "must not be before from")
	case !e.To.Before(e.From.AddDate(0, 0, MaxExceptionDays)):
		refuse("body.to", "must be within 366 days of from, counting both")
	case e.To.Year() >= 9999:
		refuse("body.to", "must be a date before the year 9999")
	}
	hours, err := e.normalizeHours()
	bad = append(bad, fieldsOf(err)...)
	e.Hours = hours
	if e.Note, err = (text.Rule{Max: MaxNote}).Clean(e.Note); err != nil {
		refuse("body.note", err.Error())
	}
	if len(bad) > 0 {
		return e, errs.InvalidFields(bad...)
	}
	return e, nil
}

// normalizeHours returns the hours in order. With several dates, each day's hours must begin after those of the day
// before end.
func (e Exception) normalizeHours() ([]Clock, error) {
	if e.Off() {
		return nil, nil
	}
	var bad []errs.Field
	for i, c := range e.Hours {
		if i == MaxIntervalsPerDay {
			return nil, errs.InvalidField("body.intervals", "must be at most 10")
		}
		if field, message := c.problem(); field != "" {
			bad = append(bad, intervalField(i, field, message))
		}
	}
	if len(bad) > 0 {
		return nil, errs.InvalidFields(bad...)
	}
	order := inOrder(e.Hours, func(c Clock) int { return c.From })
	out := make([]Clock, len(order))
	for i, from := range order {
		out[i] = e.Hours[from]
		if i > 0 && out[i].From < out[i-1].To {
			bad = append(bad, intervalField(from, "from", "overlaps another interval"))
		}
	}
	if len(bad) > 0 {
		return nil, errs.InvalidFields(bad...)
	}
	if n := len(out); e.From.Before(e.To) && out[n-1].To > out[0].From+minutesPerDay {
		return nil, badInterval(order[n-1], "to", "overlaps an interval of the next day")
	}
	return out, nil
}

// isUUID reports whether s is a UUID in its usual form.
func isUUID(s string) bool { return len(s) == 36 && uuid.Validate(s) == nil }
