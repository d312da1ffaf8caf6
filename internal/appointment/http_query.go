package appointment

import (
	"strings"
	"time"

	"housecall/internal/errs"
	"housecall/internal/schedule"
)

func parseStatuses(in []string) ([]Status, error) {
	var out []Status
	for _, list := range in {
		for name := range strings.SplitSeq(list, ",") {
			if !Status(name).Valid() {
				return nil, errs.InvalidField("query.status", "must be appointment statuses, such as PENDING or BOOKED")
			}
			out = append(out, Status(name))
		}
	}
	return out, nil
}

// parseWindow reads two bounds; an empty one becomes zero. A date is a day in the zone, and as an end it includes
// that day.
func parseWindow(from, to string, zone *time.Location) (start, end time.Time, err error) {
	if start, err = parseBound("query.from", from, zone, 0); err != nil {
		return start, end, err
	}
	if end, err = parseBound("query.to", to, zone, 1); err != nil {
		return start, end, err
	}
	if !start.IsZero() && !end.IsZero() && !start.Before(end) {
		return start, end, errs.InvalidField("query.to", "must be later than from")
	}
	return start, end, nil
}

// earliest is the earliest bound. It keeps bounds away from the zero time, which means no bound.
var earliest = time.Date(1900, time.January, 1, 0, 0, 0, 0, time.UTC)

// parseBound reads one bound; path as in errs.Field. A date becomes the start of the day addDays after it.
func parseBound(path, s string, zone *time.Location, addDays int) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.DateOnly, s)
	if err == nil {
		at = schedule.DayStart(at.AddDate(0, 0, addDays), zone)
	} else if at, err = time.Parse(time.RFC3339, s); err != nil {
		return time.Time{}, errs.InvalidField(path,
			"must be a date such as 2026-03-29 or a time such as 2026-03-29T10:30:00Z")
	}
	if at.Before(earliest) {
		return time.Time{}, errs.InvalidField(path, "must not be earlier than the year 1900")
	}
	return at, nil
}

// day reads a calendar date as midnight UTC; path as in errs.Field.
func day(path, s string) (time.Time, error) {
	at, err := time.Parse(time.DateOnly, s)
	if err != nil || at.Before(earliest) {
		return time.Time{}, errs.InvalidField(path, "must be a date such as 2026-03-29")
	}
	return at, nil
}
