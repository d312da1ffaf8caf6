package hms

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	errDay   = errors.New("must be a day such as 2026-03-31")
	errClock = errors.New("must be a clock time such as 10:30 or 10:30 AM")
)

// dayLayouts are the forms of a day: alone, or with a time, which is ignored.
var dayLayouts = []string{
	time.DateOnly, time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateTime, "2006-01-02 15:04",
}

// parseDay reads a day and returns its midnight in UTC.
func parseDay(s string) (time.Time, error) {
	s = strings.TrimSpace(s)
	for _, layout := range dayLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			y, m, d := t.Date()
			if y < 1 {
				break
			}
			return time.Date(y, m, d, 0, 0, 0, 0, time.UTC), nil
		}
	}
	return time.Time{}, errDay
}

// clockShape has the groups hour, minutes, seconds (only 00) and half of the day.
var clockShape = regexp.MustCompile(`^(\d{1,2})(?:[:.](\d{2})(?:[:.](00))?)?(?: ?([ap])\.?m\.?)?$`)

// spanShape separates the two times of a span such as 10:30 - 11:00.
var spanShape = regexp.MustCompile(` ?[-–—] ?| to `)

// parseClock reads a clock time as minutes since midnight: of 24 hours, or of 12 with AM or PM. An hour alone needs AM
// or PM. Of a span, which must end later than it begins, it returns the beginning; the doctor's slots say how long an
// appointment lasts.
func parseClock(s string) (minutes int, err error) {
	// Browsers write a narrow no-break space before AM; Fields takes any.
	times := spanShape.Split(strings.ToLower(strings.Join(strings.Fields(s), " ")), 3)
	switch len(times) {
	case 1:
		return parseTime(times[0])
	case 2:
		return parseSpan(times[0], times[1])
	default:
		return 0, errClock
	}
}

// parseSpan returns the beginning of a span. If only the end has AM or PM, as in 11:30 - 12:30 PM, the beginning is in
// the half of the day that makes it shorter.
func parseSpan(from, to string) (minutes int, err error) {
	end, err := parseTime(to)
	if err != nil {
		return 0, err
	}
	if end == 0 {
		end = 24 * 60
	}
	readings := []string{from}
	if half(to) != "" && half(from) == "" {
		readings = []string{from + "pm", from + "am"}
	}
	for _, reading := range readings {
		if minutes, err = parseTime(reading); err == nil && minutes < end {
			return minutes, nil
		}
	}
	return 0, errClock
}

// half is a or p for a clock time with AM or PM, and "" for others.
func half(s string) string {
	if g := clockShape.FindStringSubmatch(s); g != nil {
		return g[4]
	}
	return ""
}

// parseTime reads a single clock time in lower case.
func parseTime(s string) (minutes int, err error) {
	g := clockShape.FindStringSubmatch(s)
	if g == nil || g[2] == "" && g[4] == "" {
		return 0, errClock
	}
	hour, _ := strconv.Atoi(g[1])   // one or two digits
	minute, _ := strconv.Atoi(g[2]) // two digits, or empty
	if minute > 59 {
		return 0, errClock
	}
	if g[4] == "" {
		if hour > 23 {
			return 0, errClock
		}
		return hour*60 + minute, nil
	}
	if hour < 1 || hour > 12 {
		return 0, errClock
	}
	hour %= 12
	if g[4] == "p" {
		hour += 12
	}
	return hour*60 + minute, nil
}

// instant returns the time at which clocks of a zone show so many minutes since midnight on a day. If they show it
// twice, it is the first of the two. If they never do, because they are set forward past it, exists is false and the
// time is nearby.
func instant(day time.Time, minutes int, zone *time.Location) (at time.Time, exists bool) {
	wall := day.Add(time.Duration(minutes) * time.Minute) // as if the zone were UTC
	var found []time.Time
	for _, near := range []time.Time{wall.Add(-36 * time.Hour), wall.Add(36 * time.Hour)} {
		_, offset := near.In(zone).Zone()
		at := wall.Add(-time.Duration(offset) * time.Second)
		if shown := at.In(zone); shown.Hour()*60+shown.Minute() == minutes && shown.Second() == 0 && sameDay(shown, day) {
			found = append(found, at)
		}
	}
	switch {
	case len(found) == 0:
		y, m, d := day.Date()
		return time.Date(y, m, d, 0, minutes, 0, 0, zone).UTC(), false
	case len(found) == 2 && found[1].Before(found[0]):
		return found[1], true
	}
	return found[0], true
}

func sameDay(t, day time.Time) bool {
	y, m, d := t.Date()
	yy, mm, dd := day.Date()
	return y == yy && m == mm && d == dd
}
