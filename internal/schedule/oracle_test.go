package schedule_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"housecall/internal/errs"
	"housecall/internal/schedule"
)

// oddDays are days, by zone, on or beside which the clocks or the calendar do something.
var oddDays = map[string][]string{
	"Europe/Berlin":       {"2026-10-25", "2027-03-28", "2030-10-27", "2028-02-29"},
	"America/New_York":    {"2026-11-01", "2027-03-14", "2045-03-12", "2027-12-31"},
	"Australia/Lord_Howe": {"2027-04-04", "2026-10-04"},
	"Asia/Kolkata":        {"2027-03-28", "2027-02-28"},
	"Asia/Kathmandu":      {"2027-03-28", "1986-01-01"},
	"Africa/Casablanca":   {"2027-02-07", "2027-03-14", "2026-02-15"},
	"America/St_Johns":    {"2027-03-14", "2026-11-01", "2010-11-07", "2011-03-13"},
	"America/Sao_Paulo":   {"2018-11-04", "2019-02-16", "2019-02-17"},
	"Pacific/Apia":        {"2011-12-29", "2011-12-31", "2010-09-26"},
	"Africa/Cairo":        {"2027-04-30", "2026-10-29"},
	"Atlantic/Azores":     {"2027-03-28", "2026-10-25"},
	"Antarctica/Casey":    {"2010-03-04", "2010-03-05"}, // from 02:00 back to 23:00 of the day before
	"UTC":                 {"2028-02-29", "2027-01-01"},
}

const minutesPerDay = 1440

// oracle says what the package promises, minute by minute and without its arithmetic. A wall time is a number: the
// minutes that the calendar and the clock on the wall show, counted from 1970. An interval of a date is a stretch of
// such numbers, whether or not the clocks ever show them.
type oracle struct {
	rules schedule.Rules
	first time.Time // the minute of wall[0]
	wall  []int
	// places are the intervals of all dates in sight.
	places []place
	grid   map[int64]bool // starts of slots, free or not, by Unix time
}

// place is one interval of one date. Its slots are counted from anchor and lie within [from, to).
type place struct{ anchor, from, to int }

func newOracle(r schedule.Rules, from, to time.Time) *oracle {
	o := &oracle{rules: r, first: from.Add(-80 * time.Hour).Truncate(time.Minute), grid: map[int64]bool{}}
	for at := o.first; at.Before(to.Add(80 * time.Hour)); at = at.Add(time.Minute) {
		o.wall = append(o.wall, wallOf(at, r.Location))
	}
	for day := o.wall[0]/minutesPerDay - 1; day <= o.wall[len(o.wall)-1]/minutesPerDay; day++ {
		taken := 0 // by the day before
		for _, c := range o.hours(day - 1) {
			taken = max(taken, c.To-minutesPerDay)
		}
		for _, c := range o.hours(day) {
			o.places = append(o.places, place{
				anchor: day*minutesPerDay + c.From, from: day*minutesPerDay + max(c.From, taken), to: day*minutesPerDay + c.To,
			})
		}
	}
	for _, p := range o.places {
		o.fill(p)
	}
	return o
}

func wallOf(at time.Time, loc *time.Location) int {
	_, offset := at.In(loc).Zone()
	return int(at.Unix()+int64(offset)) / 60
}

// hours returns the hours that begin on a day, counted from 1970-01-01, a Thursday.
func (o *oracle) hours(day int) []schedule.Clock {
	others, off, found := []schedule.Clock(nil), false, false
	for _, e := range o.rules.Exceptions {
		if day < int(e.From.Unix()/86400) || day > int(e.To.Unix()/86400) {
			continue
		}
		off = off || len(e.Hours) == 0
		if !found {
			others, found = e.Hours, true
		}
	}
	switch {
	case off:
		return nil
	case found:
		return others
	}
	var out []schedule.Clock
	for _, v := range o.rules.Hours {
		if v.Weekday == (day+3)%7+1 {
			out = append(out, schedule.Clock{From: v.From, To: v.To})
		}
	}
	return out
}

// fill finds the slots of an interval: an instant starts one if its wall time is on the interval's grid, every minute
// of the slot shows a wall time within it, and no slot that began earlier in it covers the instant.
func (o *oracle) fill(p place) {
	free := 0
	for n := 0; n+o.rules.SlotMinutes <= len(o.wall); n++ {
		if n < free || o.wall[n] < p.from || o.wall[n] >= p.to || (o.wall[n]-p.anchor)%o.rules.SlotMinutes != 0 {
			continue
		}
		whole := true
		for _, w := range o.wall[n : n+o.rules.SlotMinutes] {
			whole = whole && w >= p.from && w < p.to
		}
		if whole {
			free = n + o.rules.SlotMinutes
			o.grid[o.first.Add(time.Duration(n)*time.Minute).Unix()] = true
		}
	}
}

// slots returns the starts that q asks for.
func (o *oracle) slots(q schedule.Query) []time.Time {
	var out []time.Time
	for n := range o.wall {
		at := o.first.Add(time.Duration(n) * time.Minute)
		if o.grid[at.Unix()] && o.free(q, at) {
			out = append(out, at)
		}
	}
	return out
}

func (o *oracle) free(q schedule.Query, at time.Time) bool {
	if at.Before(q.From) || !at.Before(q.To) || at.Before(q.Now.Add(o.rules.Notice)) ||
		at.After(q.Now.Add(o.rules.Horizon)) {
		return false
	}
	end := at.Add(time.Duration(o.rules.SlotMinutes) * time.Minute)
	if meets(q.Busy, at, end) || meets(q.Blocked, at.Add(-o.rules.BufferBefore), end.Add(o.rules.BufferAfter)) {
		return false
	}
	sameDay := 0
	for _, s := range q.Starts {
		if wallOf(s, o.rules.Location)/minutesPerDay == wallOf(at, o.rules.Location)/minutesPerDay {
			sameDay++
		}
	}
	return o.rules.PerDay == 0 || sameDay < o.rules.PerDay
}

// meets reports whether any minute from the first to the last is in one of the ranges, which have whole minutes.
func meets(ranges []schedule.Range, from, to time.Time) bool {
	for at := from; at.Before(to); at = at.Add(time.Minute) {
		for _, r := range ranges {
			if !at.Before(r.From) && at.Before(r.To) {
				return true
			}
		}
	}
	return false
}

// code returns the rule that a booking at a whole minute breaks; "" if none.
func (o *oracle) code(at, now time.Time) string {
	switch {
	case at.Before(now):
		return "slot_in_past"
	case at.Before(now.Add(o.rules.Notice)):
		return "slot_too_soon"
	case at.After(now.Add(o.rules.Horizon)):
		return "slot_too_far"
	case o.grid[at.Unix()]:
		return ""
	}
	wall := wallOf(at, o.rules.Location)
	for _, p := range o.places {
		switch {
		case wall < p.from || wall >= p.to:
		case (wall-p.anchor)%o.rules.SlotMinutes != 0:
			return "slot_off_grid"
		case wall+o.rules.SlotMinutes > p.to:
			return "slot_outside_hours"
		default:
			return "slot_clock_change"
		}
	}
	for _, e := range o.rules.Exceptions {
		if day := wall / minutesPerDay; len(e.Hours) == 0 && day >= int(e.From.Unix()/86400) &&
			day <= int(e.To.Unix()/86400) {
			return "slot_day_off"
		}
	}
	return "slot_outside_hours"
}

// drawWeek draws intervals that do not overlap, full, at the edges of the day and past midnight as well.
func drawWeek(t *rapid.T) []schedule.Interval {
	var out []schedule.Interval
	at, first := 0, -1
	for weekday := 1; weekday <= 7; weekday++ {
		midnight := (weekday - 1) * minutesPerDay
		for range rapid.IntRange(0, 3).Draw(t, "intervals") {
			least := max(at, midnight)
			if least >= midnight+minutesPerDay {
				break
			}
			from := rapid.OneOf(rapid.Just(least), rapid.IntRange(least, midnight+minutesPerDay-1)).Draw(t, "from")
			if first < 0 {
				first = from
			}
			most := min(from+minutesPerDay, first+7*minutesPerDay)
			if most <= from {
				break
			}
			at = rapid.OneOf(rapid.Just(min(most, midnight+minutesPerDay)), rapid.IntRange(from+1, most)).Draw(t, "to")
			out = append(out, schedule.Interval{Weekday: weekday, From: from - midnight, To: at - midnight})
		}
	}
	return out
}

// drawExceptions draws some around a date, in order.
func drawExceptions(t *rapid.T, date time.Time) []schedule.Exception {
	var out []schedule.Exception
	for range rapid.IntRange(0, 3).Draw(t, "exceptions") {
		e := schedule.Exception{From: date.AddDate(0, 0, rapid.IntRange(-3, 2).Draw(t, "first"))}
		e.To = e.From.AddDate(0, 0, rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "days"))
		at, first := 0, -1
		for range rapid.IntRange(0, 2).Draw(t, "hours") {
			if at >= minutesPerDay {
				break
			}
			from := rapid.IntRange(at, minutesPerDay-1).Draw(t, "from")
			if first < 0 {
				first = from
			}
			at = rapid.IntRange(from+1, first+minutesPerDay).Draw(t, "to")
			e.Hours = append(e.Hours, schedule.Clock{From: from, To: at})
		}
		out = append(out, e)
	}
	slices.SortStableFunc(out, func(a, b schedule.Exception) int {
		if c := a.From.Compare(b.From); c != 0 {
			return c
		}
		return a.To.Compare(b.To)
	})
	return out
}

// drawing is what one run of the property is about.
type drawing struct {
	rules schedule.Rules
	query schedule.Query
	noon  time.Time // of an odd day
}

func draw(t *rapid.T, zone string, days []string) drawing {
	loc, err := schedule.LoadZone(zone)
	require.NoError(t, err)
	date, err := time.Parse(time.DateOnly, rapid.SampledFrom(days).Draw(t, "day"))
	require.NoError(t, err)
	span := func(name string, least, most int) time.Duration {
		return time.Duration(rapid.IntRange(least, most).Draw(t, name)) * time.Minute
	}
	buffer := func(name string) time.Duration {
		return time.Duration(rapid.OneOf(rapid.Just(0), rapid.IntRange(1, 240)).Draw(t, name)) * time.Minute
	}
	r := schedule.Rules{
		TimeZone: zone, Location: loc,
		SlotMinutes:  rapid.OneOf(rapid.SampledFrom([]int{15, 30, 45, 60, 90}), rapid.IntRange(5, 480)).Draw(t, "slot"),
		BufferBefore: buffer("before"), BufferAfter: buffer("after"),
		Notice: span("notice", 0, 12*60), Horizon: span("horizon", 0, 72*60),
		PerDay: rapid.IntRange(0, 3).Draw(t, "per day"),
		Hours:  drawWeek(t), Exceptions: drawExceptions(t, date),
	}
	d := drawing{rules: r, noon: time.Date(date.Year(), date.Month(), date.Day(), 12, 0, 0, 0, loc)}
	at := func(name string, least, most int) time.Time { return d.noon.Add(span(name, least, most)) }
	d.query = schedule.Query{From: at("from", -24*60, 0), To: at("to", 1, 24*60), Now: at("now", -48*60, 12*60)}
	ranges := func(name string) (out []schedule.Range) {
		for range rapid.IntRange(0, 3).Draw(t, name) {
			from := at(name, -24*60, 24*60)
			out = append(out, schedule.Range{From: from, To: from.Add(span(name, 0, 300))})
		}
		return out
	}
	d.query.Blocked, d.query.Busy = ranges("blocked"), ranges("busy")
	for range rapid.IntRange(0, 5).Draw(t, "starts") {
		d.query.Starts = append(d.query.Starts, at("start", -24*60, 24*60))
	}
	return d
}

// TestSlots_AgainstOracle compares Slots, First, Contains and Check with the oracle.
func TestSlots_AgainstOracle(t *testing.T) {
	t.Parallel()
	for zone, days := range oddDays {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				d := draw(t, zone, days)
				o := newOracle(d.rules, d.query.From, d.query.To)
				got := schedule.Slots(d.rules, d.query)
				compareSlots(t, d.rules, got, o.slots(d.query))
				first, ok := schedule.First(d.rules, d.query)
				require.Equal(t, len(got) > 0, ok)
				if ok {
					require.Equal(t, got[0], first)
				}
				for _, s := range got {
					compareAt(t, d, o, s.StartsAt)
				}
				for range 20 {
					compareAt(t, d, o, d.noon.Add(time.Duration(rapid.IntRange(-36*60, 36*60).Draw(t, "minute"))*time.Minute))
				}
			})
		})
	}
}

// compareSlots asks that the slots are the oracle's, in the doctor's zone, of their length, and rise without overlap.
func compareSlots(t *rapid.T, r schedule.Rules, got []schedule.Slot, want []time.Time) {
	for i, s := range got {
		if i >= len(want) || !s.StartsAt.Equal(want[i]) {
			t.Fatalf("slot %d is at %s; want all of %v", i, s.StartsAt, want)
		}
		if s.StartsAt.Location() != r.Location || s.EndsAt.Location() != r.Location {
			t.Fatalf("%s is in another zone", s.StartsAt)
		}
		if s.EndsAt.Sub(s.StartsAt) != time.Duration(r.SlotMinutes)*time.Minute {
			t.Fatalf("%s has another length", s.StartsAt)
		}
		if i > 0 && s.StartsAt.Before(got[i-1].EndsAt) {
			t.Fatalf("%s overlaps the slot before", s.StartsAt)
		}
	}
	if len(got) < len(want) {
		t.Fatalf("missing: %v", want[len(got):])
	}
}

// compareAt requires that Contains and Check agree with the oracle about a minute, in whatever zone it is written.
func compareAt(t *rapid.T, d drawing, o *oracle, at time.Time) {
	end, ok := schedule.Contains(d.rules, at.UTC())
	if ok != o.grid[at.Unix()] {
		t.Fatalf("Contains says %t of %s", ok, at)
	}
	if ok && !end.Equal(at.Add(time.Duration(d.rules.SlotMinutes)*time.Minute)) {
		t.Fatalf("Contains ends %s at %s", at, end)
	}
	if got, want := errs.CodeOf(schedule.Check(d.rules, at.UTC(), d.query.Now)), o.code(at, d.query.Now); got != want {
		t.Fatalf("Check says %q of %s, not %q", got, at, want)
	}
	if _, ok := schedule.Contains(d.rules, at.Add(time.Second)); ok {
		t.Fatalf("Contains takes a second after %s", at)
	}
}

// TestRules_DayRangeAgainstTheClock asks minute by minute which date the calendar shows.
func TestRules_DayRangeAgainstTheClock(t *testing.T) {
	t.Parallel()
	for zone, days := range oddDays {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			loc, err := schedule.LoadZone(zone)
			require.NoError(t, err)
			r := schedule.Rules{TimeZone: zone, Location: loc}
			for _, day := range days {
				middle, err := time.Parse(time.DateOnly, day)
				require.NoError(t, err)
				ranges := map[string]schedule.Range{}
				for at := middle.Add(-72 * time.Hour); at.Before(middle.Add(96 * time.Hour)); at = at.Add(time.Minute) {
					date := at.In(loc).Format(time.DateOnly)
					require.Equal(t, date, r.DateOf(at).Format(time.DateOnly))
					seen, ok := ranges[date]
					if !ok {
						seen.From = at
					}
					seen.To = at.Add(time.Minute)
					ranges[date] = seen
				}
				for n := -1; n <= 1; n++ {
					date := middle.AddDate(0, 0, n)
					got, want := r.DayRange(date), ranges[date.Format(time.DateOnly)]
					if want.From.IsZero() {
						require.Equal(t, got.From, got.To, "the zone left out %s", date)
						continue
					}
					require.True(t, got.From.Equal(want.From) && got.To.Equal(want.To), "%s: %v, not %v", date, got, want)
				}
			}
		})
	}
}
