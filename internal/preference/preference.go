// Package preference keeps what a user wants to be told, and at which hours. It sends nothing: whoever sends asks
// Decide first. Security mail does not ask, so nobody can turn it off.
package preference

import (
	"slices"
	"time"

	"housecall/internal/config"
	"housecall/internal/errs"
)

// The kinds of notifications that a user can turn off. They are stored and sent as they are.
const (
	RequestReceived = "request_received" // a patient asks for an appointment
	Confirmed       = "confirmed"
	Rejected        = "rejected"
	Cancelled       = "cancelled"
	Rescheduled     = "rescheduled"
	HandedOver      = "handed_over"   // to another doctor
	Expired         = "expired"       // a request that nobody answered in time
	ReminderDay     = "reminder_day"  // the day before
	ReminderHour    = "reminder_hour" // the hour before
	Unread          = "unread"        // messages that wait
	WaitlistOffer   = "waitlist_offer"
)

// Kinds are all of them.
var Kinds = []string{
	RequestReceived, Confirmed, Rejected, Cancelled, Rescheduled, HandedOver, Expired, ReminderDay, ReminderHour, Unread, WaitlistOffer,
}

// FirstVersion is that of the defaults, which nobody has stored; the first change makes it 2.
const FirstVersion = 1

const minutesPerDay = 24 * 60

// Preferences are one user's.
type Preferences struct {
	TimeZone string   // IANA name; "": none chosen
	Off      []string // the kinds that are not sent, in the order of Kinds; all others are
	Quiet    *QuietHours
	Version  int
}

// QuietHours are a stretch of every day, wall time in the user's zone or else the clinic's, in minutes since midnight,
// half open. With To before From they last past midnight; the two are never equal.
type QuietHours struct{ From, To int }

// normalize names every field that is out of bounds, and gives Off in order and without repetitions.
func (p Preferences) normalize() (Preferences, error) {
	var bad []errs.Field
	refuse := func(path, message string) { bad = append(bad, errs.Field{Path: path, Message: message}) }
	if p.TimeZone != "" {
		if _, err := config.LoadZone(p.TimeZone); err != nil {
			refuse("body.timeZone", "must be the name of an IANA time zone, such as Europe/Berlin, or null")
		}
	}
	var off []string
	for _, k := range Kinds {
		if slices.Contains(p.Off, k) {
			off = append(off, k)
		}
	}
	if slices.ContainsFunc(p.Off, func(k string) bool { return !slices.Contains(Kinds, k) }) {
		refuse("body.kinds", "has a kind that does not exist")
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
			refuse("body.quietHours.to", "must differ from the start: turn kinds off to be told nothing all day")
		}
	}
	if len(bad) > 0 {
		return p, errs.InvalidFields(bad...)
	}
	return p, nil
}

const noClock = "must be a time between 00:00 and 23:59, such as 07:30"

// onClock tells whether a clock shows that minute of the day; 24:00 is 00:00 there.
func onClock(minute int) bool { return minute >= 0 && minute < minutesPerDay }

// Sends tells whether notifications of a kind are sent at all.
func (p Preferences) Sends(kind string) bool { return !slices.Contains(p.Off, kind) }

// decide is Service.Decide for one user's preferences; zone is his or the clinic's.
func (p Preferences) decide(kind string, urgent bool, at time.Time, zone *time.Location) (send bool, notBefore time.Time) {
	if !p.Sends(kind) {
		return false, time.Time{}
	}
	if urgent || p.Quiet == nil {
		return true, time.Time{}
	}
	if end := p.Quiet.end(at, zone); end.After(at) {
		return true, end.UTC()
	}
	return true, time.Time{}
}

// covers tells whether the hours are quiet when the clock on the wall shows that time.
func (q QuietHours) covers(wall time.Time) bool {
	m := wall.Hour()*60 + wall.Minute()
	if q.From < q.To {
		return q.From <= m && m < q.To
	}
	return q.From <= m || m < q.To
}

// end gives the first instant, not before at, when the hours are not quiet. The clock on the wall decides, so where it
// skips the end, that is the moment of the skip; and where it goes back into quiet hours, they go on only once they
// have been over.
func (q QuietHours) end(at time.Time, zone *time.Location) time.Time {
	for {
		local := at.In(zone)
		if !q.covers(local) {
			return at
		}
		// How far the wall clock is from the end, if nobody turns it. Seconds count: at may lie within a minute.
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
