package patient

import (
	"time"

	"housecall/internal/errs"
)

// MaxAge is the highest age that can be stated, in years.
const MaxAge = 130

// StatedAge is the age that a patient stated, and the day on which they did. It is used when there is no date of
// birth; a date of birth is never derived from it.
type StatedAge struct {
	Years int
	On    time.Time // midnight UTC of the day; zero: today, when it is stored
}

// Age returns how old the patient is on a day, in whole years: by their date of birth, or else by the age they
// stated, which may be a year too low. known is false if they gave neither.
func (p Patient) Age(on time.Time) (years int, known bool) { return p.details().ageOn(on) }

func (d Details) ageOn(on time.Time) (years int, known bool) {
	switch {
	case d.DateOfBirth != nil:
		return max(0, wholeYears(*d.DateOfBirth, on)), true
	case d.StatedAge != nil:
		return d.StatedAge.Years + max(0, wholeYears(d.StatedAge.On, on)), true
	}
	return 0, false
}

// wholeYears counts the anniversaries of one day up to another. In other years, the anniversary of 29 February is 1
// March.
func wholeYears(from, to time.Time) int {
	from, to = dayOf(from), dayOf(to)
	years := to.Year() - from.Year()
	if from.AddDate(years, 0, 0).After(to) {
		years--
	}
	return years
}

func dayOf(t time.Time) time.Time {
	y, m, d := t.UTC().Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}

// stateAge adds an age stated today to the details. It changes nothing if the age is already known, and refuses an
// age that contradicts the date of birth.
func (d Details) stateAge(years int, today time.Time) (Details, error) {
	known, ok := d.ageOn(today)
	switch {
	case ok && known == years:
		return d, nil
	case d.DateOfBirth != nil:
		return d, errs.InvalidField("body.age", "contradicts your date of birth, which takes precedence")
	}
	d.StatedAge = &StatedAge{Years: years, On: dayOf(today)}
	return d, nil
}
