// Package preference stores which notifications users want, and at which hours. It sends nothing: senders call Decide
// first. Emails about the account itself are sent without asking, so nobody can turn them off.
package preference

import (
	"slices"
	"time"

	"housecall/internal/errs"
	"housecall/internal/notify"
	"housecall/internal/zone"
)

// FirstVersion is the version of the defaults, which are not stored; the first change makes it 2.
const FirstVersion = 1

const minutesPerDay = 24 * 60

// Preferences are one user's.
type Preferences struct {
	TimeZone string        // IANA name; "": none chosen
	Off      []notify.Kind // those of notify.Optional that are not sent, in its order; all others are
	Quiet    *QuietHours
	Version  int
}

// QuietHours are a stretch of every day, wall time in the user's zone or else the clinic's, in minutes since midnight,
// half open. If To is before From, they end on the next day; the two are never equal.
type QuietHours struct{ From, To int }

// normalize reports every invalid field, and returns Off in order and without repetitions.
func (p Preferences) normalize() (Preferences, error) {
	var bad []errs.Field
	refuse := func(path, message string) { bad = append(bad, errs.Field{Path: path, Message: message}) }
	if p.TimeZone != "" {
		if _, err := zone.Load(p.TimeZone); err != nil {
			refuse("body.timeZone", "must be the name of an IANA time zone, such as Europe/Berlin, or null")
		}
	}
	var off []notify.Kind
	for _, k := range notify.Optional() {
		if slices.Contains(p.Off, k) {
			off = append(off, k)
		}
	}
	if slices.ContainsFunc(p.Off, func(k notify.Kind) bool { return !slices.Contains(notify.Optional(), k) }) {
		refuse("body.kinds", "contains an unknown kind")
	}
	p.Off = off
	if q := p.Quiet; q != nil {
		from, to := onClock(q.From), onClock(q.To)
		if !from {
			refuse("body.quietHours.from", noClock)
		}
		if !to {
			refuse("body.quietHours.to", noClock)
		}
		if from && to && q.From == q.To {
			refuse("body.quietHours.to", "must differ from the start; to receive nothing all day, turn the kinds off")
		}
	}
	if len(bad) > 0 {
		return p, errs.InvalidFields(bad...)
	}
	return p, nil
}

const noClock = "must be a time between 00:00 and 23:59, such as 07:30"

// onClock reports whether a minute of the day is between 00:00 and 23:59.
func onClock(minute int) bool { return minute >= 0 && minute < minutesPerDay }

// Sends reports whether notifications of a kind are sent at all.
func (p Preferences) Sends(kind notify.Kind) bool { return !slices.Contains(p.Off, kind) }

// judge is Service.Decide for one user's preferences; loc is the user's zone or the clinic's.
func (p Preferences) judge(kind notify.Kind, at time.Time, loc *time.Location) (send bool, notBefore time.Time) {
	if !p.Sends(kind) {
		return false, time.Time{}
	}
	if kind.Urgent() || p.Quiet == nil {
		return true, time.Time{}
	}
	if end := p.Quiet.end(at, loc); end.After(at) {
		return true, end.UTC()
	}
	return true, time.Time{}
}

// covers reports whether a wall time is within the quiet hours.
func (q QuietHours) covers(wall time.Time) bool {
	m := wall.Hour()*60 + wall.Minute()
	if q.From < q.To {
		return q.From <= m && m < q.To
	}
	return q.From <= m || m < q.To
}

// end returns the first instant, not before at, that is not within the quiet hours. The wall clock decides: if it
// skips the end, they end at the moment of the skip; if it goes back into them after their end, they begin again.
func (q QuietHours) end(at time.Time, loc *time.Location) time.Time {
	for {
		local := at.In(loc)
		if !q.covers(local) {
			return at
		}
		// How far the wall clock is from the end, if it is not changed before. Seconds count: at may lie within a minute.
		since := time.Duration(local.Hour())*time.Hour + time.Duration(local.Minute())*time.Minute +
			time.Duration(local.Second())*time.Second + time.Duration(local.Nanosecond())
		ahead := time.Duration(q.To)*time.Minute - since
		if ahead <= 0 {
			ahead += minutesPerDay * time.Minute
		}
		at = at.Add(ahead)
		if _, turned := local.ZoneBounds(); !turned.IsZero() && turned.Before(at) {
			at = turned // from here on the clock shows another time: look again
		}
	}
}
