package schedule_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"housecall/internal/schedule"
)

// oddDays are days, by zone, on or beside which the clocks change.
var oddDays = map[string][]string{
	"Europe/Berlin":       {"2026-10-25", "2027-03-28", "2030-10-27"},
	"America/New_York":    {"2026-11-01", "2027-03-14", "2045-03-12"},
	"Australia/Lord_Howe": {"2027-04-04", "2026-10-04"},
	"Asia/Kathmandu":      {"2027-03-28", "1986-01-01"},
	"Africa/Casablanca":   {"2027-02-07", "2027-03-14", "2026-02-15"},
	"America/St_Johns":    {"2027-03-14", "2026-11-01", "2010-11-07", "2011-03-13"},
	"Pacific/Apia":        {"2011-12-29", "2011-12-31", "2010-09-26"},
	"Africa/Cairo":        {"2027-04-30", "2026-10-29"},
	"Atlantic/Azores":     {"2027-03-28", "2026-10-25"},
}

// shown is what the clock on the wall shows during one minute.
type shown struct{ date, weekday, minute int }

func clock(at time.Time, loc *time.Location) shown {
	wall := at.In(loc)
	year, month, day := wall.Date()
	weekday := int(wall.Weekday())
	if weekday == 0 {
		weekday = 7
	}
	return shown{date: year*10000 + int(month)*100 + day, weekday: weekday, minute: wall.Hour()*60 + wall.Minute()}
}

func (s shown) within(v schedule.Interval) bool {
	return s.weekday == v.Weekday && s.minute >= v.From && s.minute < v.To
}

// oracle says what Slots promises, minute by minute and without its arithmetic: an instant starts a slot if its
// wall time is on the grid of an interval, every minute of the slot shows a wall time within that interval on
// that very date, and no slot that began earlier in the interval covers it.
func oracle(r schedule.Rules, from, to, now time.Time, horizon time.Duration, busy []schedule.Range) []time.Time {
	first := from.Add(-30 * time.Hour).Truncate(time.Minute)
	var wall []shown
	for at := first; at.Before(to.Add(schedule.MaxSlotMinutes * time.Minute)); at = at.Add(time.Minute) {
		wall = append(wall, clock(at, r.Location))
	}
	var out []time.Time
	for _, v := range r.Hours {
		free := 0
		for n := 0; n+r.SlotMinutes <= len(wall); n++ {
			if !wall[n].within(v) || (wall[n].minute-v.From)%r.SlotMinutes != 0 || n < free {
				continue
			}
			whole, vacant := true, true
			for m := n; m < n+r.SlotMinutes; m++ {
				whole = whole && wall[m].within(v) && wall[m].date == wall[n].date
				at := first.Add(time.Duration(m) * time.Minute)
				for _, b := range busy {
					vacant = vacant && (at.Before(b.From) || !at.Before(b.To))
				}
			}
			if !whole {
				continue
			}
			free = n + r.SlotMinutes
			at := first.Add(time.Duration(n) * time.Minute)
			if vacant && at.Before(to) && !at.Before(from) && !at.Before(now) && !at.After(now.Add(horizon)) {
				out = append(out, at)
			}
		}
	}
	return out
}

// week draws intervals that do not overlap, full and at the edges of the day as well.
func week(t *rapid.T) []schedule.Interval {
	var out []schedule.Interval
	for weekday := 1; weekday <= 7; weekday++ {
		at := 0
		for range rapid.IntRange(0, 3).Draw(t, "intervals") {
			if at >= 1440 {
				break
			}
			from := rapid.OneOf(rapid.Just(at), rapid.IntRange(at, 1439)).Draw(t, "from")
			to := rapid.OneOf(rapid.Just(1440), rapid.IntRange(from+1, 1440)).Draw(t, "to")
			out = append(out, schedule.Interval{Weekday: weekday, From: from, To: to})
			at = to
		}
	}
	return out
}

func TestSlots_AgainstOracle(t *testing.T) {
	t.Parallel()
	for zone, days := range oddDays {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(rt *rapid.T) {
				r := rules(t, zone, rapid.OneOf(rapid.SampledFrom([]int{15, 30, 45, 60, 90}), rapid.IntRange(5, 480)).Draw(rt, "slot"), week(rt)...)
				noon, err := time.ParseInLocation("2006-01-02 15", rapid.SampledFrom(days).Draw(rt, "day")+" 12", r.Location)
				require.NoError(rt, err)
				minute := func(name string, lo, hi int) time.Time {
					return noon.Add(time.Duration(rapid.IntRange(lo, hi).Draw(rt, name)) * time.Minute)
				}
				from, to := minute("from", -24*60, 0), minute("to", 1, 24*60)
				now := minute("now", -48*60, 12*60)
				horizon := time.Duration(rapid.IntRange(0, 72*60).Draw(rt, "horizon")) * time.Minute
				r.Horizon = horizon
				var busy []schedule.Range
				for range rapid.IntRange(0, 4).Draw(rt, "busy") {
					b := minute("busy from", -24*60, 24*60)
					busy = append(busy, schedule.Range{From: b, To: b.Add(time.Duration(rapid.IntRange(0, 300).Draw(rt, "busy for")) * time.Minute)})
				}
				compare(rt, r, schedule.Slots(r, schedule.Query{From: from, To: to, Now: now, Blocked: busy}), oracle(r, from, to, now, horizon, busy), now)
			})
		})
	}
}

// compare asks that the slots are the oracle's, rise without overlap, and that Contains and Check agree.
func compare(t *rapid.T, r schedule.Rules, got []schedule.Slot, want []time.Time, now time.Time) {
	expected := make(map[int64]bool, len(want))
	for _, w := range want {
		expected[w.Unix()] = true
	}
	for i, s := range got {
		if !expected[s.StartsAt.Unix()] {
			t.Fatalf("%s is no slot", s.StartsAt)
		}
		delete(expected, s.StartsAt.Unix())
		if i > 0 && s.StartsAt.Before(got[i-1].EndsAt) {
			t.Fatalf("%s overlaps the slot before", s.StartsAt)
		}
		if end, ok := schedule.Contains(r, s.StartsAt); !ok || !end.Equal(s.EndsAt) {
			t.Fatalf("Contains does not know %s", s.StartsAt)
		}
		if err := schedule.Check(r, s.StartsAt.UTC(), now); err != nil {
			t.Fatalf("Check refuses %s: %v", s.StartsAt, err)
		}
		if _, ok := schedule.Contains(r, s.StartsAt.Add(time.Second)); ok {
			t.Fatalf("Contains takes a second after %s", s.StartsAt)
		}
	}
	if len(expected) > 0 {
		t.Fatalf("missing: %v of %v", expected, want)
	}
}

// FuzzLoadZone asks that no name whatever panics or gives a zone that depends on the machine.
func FuzzLoadZone(f *testing.F) {
	for _, s := range []string{"", "Local", "Europe/Berlin", "../etc/passwd", "UTC", "Europe/", "\x00", "right/UTC", "localtime"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		loc, err := schedule.LoadZone(name)
		if err == nil && (loc == nil || loc == time.Local || loc.String() != name) {
			t.Fatalf("%q is no zone", name)
		}
	})
}
