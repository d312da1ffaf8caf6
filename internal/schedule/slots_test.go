package schedule_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/errs"
	"housecall/internal/schedule"
)

func rules(t *testing.T, zone string, slotMinutes int, hours ...schedule.Interval) schedule.Rules {
	t.Helper()
	loc, err := schedule.LoadZone(zone)
	require.NoError(t, err)
	return schedule.Rules{TimeZone: zone, Location: loc, SlotMinutes: slotMinutes, Hours: hours, Horizon: 48 * time.Hour}
}

// day lists the slots of one calendar day as "15:04-0700" of their starts.
func day(t *testing.T, r schedule.Rules, date string, busy ...schedule.Range) []string {
	t.Helper()
	midnight, err := time.ParseInLocation(time.DateOnly, date, r.Location)
	require.NoError(t, err)
	var out []string
	for _, s := range schedule.Slots(r, schedule.Query{From: midnight, To: midnight.AddDate(0, 0, 1), Now: midnight, Blocked: busy}) {
		require.Equal(t, time.Duration(r.SlotMinutes)*time.Minute, s.EndsAt.Sub(s.StartsAt), "slots keep their length")
		require.Equal(t, r.Location, s.StartsAt.Location())
		out = append(out, s.StartsAt.Format("15:04-0700"))
	}
	return out
}

func iv(weekday int, from, to string) schedule.Interval {
	clock := func(s string) int { return int(s[0]-'0')*600 + int(s[1]-'0')*60 + int(s[3]-'0')*10 + int(s[4]-'0') }
	return schedule.Interval{Weekday: weekday, From: clock(from), To: clock(to)}
}

func TestSlots_Day(t *testing.T) {
	t.Parallel()
	const sunday = 7
	for _, c := range []struct {
		name, zone, date string
		slot             int
		hours            []schedule.Interval
		want             []string
	}{
		{
			"plain day", "Asia/Kathmandu", "2027-03-28", 30,
			[]schedule.Interval{iv(sunday, "09:00", "10:40"), iv(sunday, "14:10", "15:10"), iv(1, "08:00", "09:00")},
			[]string{"09:00+0545", "09:30+0545", "10:00+0545", "14:10+0545", "14:40+0545"},
		},
		{
			"spring forward skips the gap", "Europe/Berlin", "2027-03-28", 60,
			[]schedule.Interval{iv(sunday, "01:00", "05:00")},
			[]string{"01:00+0100", "03:00+0200", "04:00+0200"},
		},
		{
			"a slot pushed over the next start wins", "Europe/Berlin", "2027-03-28", 45,
			[]schedule.Interval{iv(sunday, "01:00", "04:45")},
			[]string{"01:00+0100", "01:45+0100", "04:00+0200"},
		},
		{
			"hours that end within the gap", "Europe/Berlin", "2027-03-28", 45,
			[]schedule.Interval{iv(sunday, "01:00", "02:30")},
			[]string{"01:00+0100"},
		},
		{
			"hours that lie within the gap", "Europe/Berlin", "2027-03-28", 30,
			[]schedule.Interval{iv(sunday, "02:00", "03:00")},
			nil,
		},
		{
			"hours after the change keep their clock time", "America/New_York", "2027-03-14", 60,
			[]schedule.Interval{iv(sunday, "09:00", "11:00")},
			[]string{"09:00-0400", "10:00-0400"},
		},
		{
			"fall back gives the hour twice", "Europe/Berlin", "2026-10-25", 30,
			[]schedule.Interval{iv(sunday, "01:30", "03:30")},
			[]string{"01:30+0200", "02:00+0200", "02:30+0200", "02:00+0100", "02:30+0100", "03:00+0100"},
		},
		{
			"half an hour back", "Australia/Lord_Howe", "2027-04-04", 30,
			[]schedule.Interval{iv(sunday, "01:00", "02:30")},
			[]string{"01:00+1100", "01:30+1100", "01:30+1030", "02:00+1030"},
		},
		{
			"half an hour forward", "Australia/Lord_Howe", "2026-10-04", 30,
			[]schedule.Interval{iv(sunday, "01:30", "03:30")},
			[]string{"01:30+1030", "02:30+1100", "03:00+1100"},
		},
		{
			"midnight ends one interval and starts the next", "America/St_Johns", "2027-03-21", 60,
			[]schedule.Interval{iv(sunday, "23:00", "24:00"), iv(1, "00:00", "01:00")},
			[]string{"23:00-0230"},
		},
		{
			"no slot runs over midnight", "Europe/Berlin", "2027-03-21", 90,
			[]schedule.Interval{iv(sunday, "22:00", "24:00"), iv(1, "00:00", "01:00")},
			[]string{"22:00+0100"},
		},
		{
			"the day that Samoa skipped", "Pacific/Apia", "2011-12-30", 60,
			[]schedule.Interval{iv(5, "00:00", "24:00")},
			nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, day(t, rules(t, c.zone, c.slot, c.hours...), c.date))
		})
	}
}

func TestSlots_RepeatedMidnight(t *testing.T) {
	t.Parallel()
	// At 00:01 on 2010-11-07 Newfoundland went back to 23:01 of the day before.
	r := rules(t, "America/St_Johns", 30, iv(6, "23:00", "24:00"), iv(7, "00:00", "01:00"))
	from := time.Date(2010, 11, 6, 12, 0, 0, 0, time.UTC)
	var got []string
	for _, s := range schedule.Slots(r, schedule.Query{From: from, Now: from}) {
		got = append(got, s.StartsAt.Format("02 15:04-0700"))
	}
	require.Equal(t, []string{"06 23:00-0230", "06 23:30-0230", "06 23:30-0330", "07 00:00-0330", "07 00:30-0330"}, got)

	// Asked within the one minute of the 7th that comes before the rest of the 6th.
	from = time.Date(2010, 11, 7, 2, 30, 30, 0, time.UTC)
	require.Equal(t, 7, from.In(r.Location).Day())
	again := schedule.Slots(r, schedule.Query{From: from, To: from.Add(time.Hour), Now: from})
	require.NotEmpty(t, again)
	require.Equal(t, "06 23:30-0330", again[0].StartsAt.Format("02 15:04-0700"))
}

func TestSlots_Bounds(t *testing.T) {
	t.Parallel()
	r := rules(t, "Europe/Berlin", 30, iv(1, "10:00", "12:00"))
	at := func(clock string) time.Time {
		m, err := time.ParseInLocation("2006-01-02 15:04", "2027-01-11 "+clock, r.Location)
		require.NoError(t, err)
		return m
	}
	starts := func(from, to, now time.Time, horizon time.Duration, busy ...schedule.Range) []string {
		var out []string
		r := r
		r.Horizon = horizon
		for _, s := range schedule.Slots(r, schedule.Query{From: from, To: to, Now: now, Blocked: busy}) {
			out = append(out, s.StartsAt.Format("15:04"))
		}
		return out
	}
	day, night := at("00:00"), at("23:00")
	for _, c := range []struct {
		name string
		got  []string
		want []string
	}{
		{"from is in, to is out", starts(at("10:30"), at("11:30"), day, time.Hour*24), []string{"10:30", "11:00"}},
		{"now is in", starts(day, night, at("11:00"), time.Hour*24), []string{"11:00", "11:30"}},
		{"begun is out", starts(day, night, at("11:00").Add(1), time.Hour*24), []string{"11:30"}},
		{"the horizon is in", starts(day, night, at("10:00"), time.Hour), []string{"10:00", "10:30", "11:00"}},
		{"beyond the horizon is out", starts(day, night, at("10:00"), time.Hour-1), []string{"10:00", "10:30"}},
		{"an empty span", starts(night, day, day, time.Hour*24), nil},
		{
			"busy is half open",
			starts(day, night, day, time.Hour*24, schedule.Range{From: at("10:30"), To: at("11:00")}),
			[]string{"10:00", "11:00", "11:30"},
		},
		{
			"busy touches what it cuts, in any order and overlapping",
			starts(day, night, day, time.Hour*24,
				schedule.Range{From: at("11:45"), To: at("13:00")}, schedule.Range{From: at("10:29"), To: at("10:31")},
				schedule.Range{From: at("11:50"), To: at("11:55")}, schedule.Range{From: at("11:10"), To: at("11:10")}),
			[]string{"11:00"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, c.got)
		})
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	r := rules(t, "Europe/Berlin", 45, iv(7, "01:00", "04:45"))
	r.Horizon = 10 * 24 * time.Hour
	now := time.Date(2027, 3, 27, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct{ name, at, code string }{
		{"a slot", "2027-03-28T01:45:00+01:00", ""},
		{"the same instant in another zone", "2027-03-28T00:45:00Z", ""},
		{"past", "2027-03-27T11:59:00Z", "slot_in_past"},
		{"beyond the horizon", "2027-04-18T01:00:00+02:00", "slot_too_far"},
		{"another day", "2027-03-29T01:00:00+02:00", "slot_outside_hours"},
		{"another hour", "2027-03-28T05:00:00+02:00", "slot_outside_hours"},
		{"the rest of the hours", "2027-04-04T04:45:00+02:00", "slot_outside_hours"},
		{"off the grid", "2027-03-28T01:10:00+01:00", "slot_off_grid"},
		{"a second late", "2027-03-28T01:45:01+01:00", "slot_off_grid"},
		{"covered by the slot that ran over the change", "2027-03-28T03:15:00+02:00", "slot_clock_change"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			at, err := time.Parse(time.RFC3339, c.at)
			require.NoError(t, err)
			err = schedule.Check(r, at, now)
			require.Equal(t, c.code, errs.CodeOf(err))
			end, ok := schedule.Contains(r, at)
			if c.code == "" {
				require.NoError(t, err)
				require.True(t, ok)
				require.Equal(t, 45*time.Minute, end.Sub(at))
				return
			}
			require.Equal(t, errs.Invalid, errs.KindOf(err))
		})
	}
}

// FuzzLoadZone requires that no name panics or loads a zone that depends on the machine.
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
