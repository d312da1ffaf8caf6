package schedule_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/errs"
	"housecall/internal/schedule"
)

// at reads a wall time of the rules' zone; where the clocks show it twice, the first.
func at(t *testing.T, r schedule.Rules, wall string) time.Time {
	t.Helper()
	out, err := time.ParseInLocation("2006-01-02 15:04", wall, r.Location)
	require.NoError(t, err)
	return out
}

// between lists the starts of the free slots from one wall time to another, as "02 15:04-0700", as if asked at the
// first.
func between(t *testing.T, r schedule.Rules, from, to string, blocked ...schedule.Range) []string {
	t.Helper()
	start := at(t, r, from)
	return starts(r, schedule.Query{From: start, To: at(t, r, to), Now: start, Blocked: blocked})
}

func starts(r schedule.Rules, q schedule.Query) []string {
	var out []string
	for _, s := range schedule.Slots(r, q) {
		out = append(out, s.StartsAt.Format("02 15:04-0700"))
	}
	return out
}

// past is an interval of a weekday that ends on the next day.
func past(weekday int, from, to string) schedule.Interval {
	v := iv(weekday, from, to)
	v.To += minutesPerDay
	return v
}

func TestSlots_PastMidnight(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, zone, from, to string
		slot                 int
		hours                []schedule.Interval
		want                 []string
	}{
		{
			"a slot may lie over midnight", "Asia/Kathmandu", "2027-06-05 12:00", "2027-06-06 12:00", 45,
			[]schedule.Interval{past(6, "22:45", "01:00")},
			[]string{"05 22:45+0545", "05 23:30+0545", "06 00:15+0545"},
		},
		{
			"from Sunday into Monday, whose own follow", "Asia/Kolkata", "2027-06-06 12:00", "2027-06-07 12:00", 60,
			[]schedule.Interval{iv(1, "01:00", "02:00"), past(7, "23:00", "01:00")},
			[]string{"06 23:00+0530", "07 00:00+0530", "07 01:00+0530"},
		},
		{
			"a night without the hour that the clocks skip", "Europe/Berlin", "2027-03-27 12:00", "2027-03-28 12:00", 60,
			[]schedule.Interval{past(6, "23:00", "05:00")},
			[]string{"27 23:00+0100", "28 00:00+0100", "28 01:00+0100", "28 03:00+0200", "28 04:00+0200"},
		},
		{
			"a night with the hour that they show twice", "Europe/Berlin", "2026-10-24 12:00", "2026-10-25 12:00", 60,
			[]schedule.Interval{past(6, "23:00", "04:00")},
			[]string{"24 23:00+0200", "25 00:00+0200", "25 01:00+0200", "25 02:00+0200", "25 02:00+0100", "25 03:00+0100"},
		},
		{
			"the night into a leap day and out of it", "Europe/Berlin", "2028-02-28 12:00", "2028-03-01 12:00", 120,
			[]schedule.Interval{past(1, "22:00", "02:00"), past(2, "22:00", "02:00")},
			[]string{"28 22:00+0100", "29 00:00+0100", "29 22:00+0100", "01 00:00+0100"},
		},
		{
			"24 hours from 10 to 10", "UTC", "2027-06-07 00:00", "2027-06-09 00:00", 480,
			[]schedule.Interval{past(1, "10:00", "10:00")},
			[]string{"07 10:00+0000", "07 18:00+0000", "08 02:00+0000"},
		},
		{
			"a night into the day that Samoa skipped goes on after it", "Pacific/Apia", "2011-12-29 12:00", "2011-12-31 12:00", 60,
			[]schedule.Interval{past(4, "22:00", "02:00")},
			[]string{"29 22:00-1000", "29 23:00-1000"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, between(t, rules(t, c.zone, c.slot, c.hours...), c.from, c.to))
		})
	}
}

func TestSlots_MidnightThatIsSkipped(t *testing.T) {
	t.Parallel()
	// On 2018-11-04 São Paulo went from 24:00 of the 3rd to 01:00 of the 4th.
	r := rules(t, "America/Sao_Paulo", 30, past(6, "23:30", "00:30"), iv(7, "00:30", "02:00"))
	require.Equal(t, []string{"03 23:30-0300", "04 01:00-0200", "04 01:30-0200"},
		between(t, r, "2018-11-03 12:00", "2018-11-04 12:00"))
	require.Equal(t, "2018-11-04T01:00:00-02:00", r.DayRange(date("2018-11-04")).From.Format(time.RFC3339))
}

func TestSlots_EveningThatIsRepeated(t *testing.T) {
	t.Parallel()
	// At 02:00 of 2010-03-05 Casey went back to 23:00 of the 4th. What begins on Wednesday the 3rd still reaches there.
	r := rules(t, "Antarctica/Casey", 20, past(3, "23:50", "23:50"))
	from := time.Date(2010, time.March, 4, 14, 30, 0, 0, time.UTC)
	require.Equal(t, "05 01:30+1100", from.In(r.Location).Format("02 15:04-0700"))
	require.Equal(t, []string{"04 23:10+0800", "04 23:30+0800"}, starts(r, schedule.Query{From: from, Now: from}))
}

func TestSlots_NoticeAndHorizonAreRealTime(t *testing.T) {
	t.Parallel()
	r := rules(t, "Europe/Berlin", 60, iv(7, "09:00", "18:00"))
	r.Notice = 24 * time.Hour
	// The night is an hour shorter, so 24 hours after Saturday 12:00 is Sunday 13:00 on the clock.
	now := at(t, r, "2027-03-27 12:00")
	require.Equal(t, "28 13:00+0200", starts(r, schedule.Query{Now: now})[0])
	require.Equal(t, "slot_too_soon", errs.CodeOf(schedule.Check(r, at(t, r, "2027-03-28 12:00"), now)))
	require.NoError(t, schedule.Check(r, at(t, r, "2027-03-28 13:00"), now))

	r.Notice, r.Horizon = 0, 24*time.Hour
	// And here an hour longer: Sunday 11:00.
	now = at(t, r, "2026-10-24 12:00")
	got := starts(r, schedule.Query{Now: now})
	require.Equal(t, "25 11:00+0100", got[len(got)-1])
	require.Equal(t, "slot_too_far", errs.CodeOf(schedule.Check(r, at(t, r, "2026-10-25 12:00"), now)))
}

func TestSlots_Buffers(t *testing.T) {
	t.Parallel()
	r := rules(t, "Asia/Kathmandu", 30, iv(1, "09:00", "12:00"))
	r.BufferBefore, r.BufferAfter = 10*time.Minute, 15*time.Minute
	ten := schedule.Slot{StartsAt: at(t, r, "2027-06-07 10:00"), EndsAt: at(t, r, "2027-06-07 10:30")}
	require.Equal(t, schedule.Range{From: at(t, r, "2027-06-07 09:50"), To: at(t, r, "2027-06-07 10:45")}, r.Blocks(ten))
	require.Equal(t, []string{"07 09:00+0545", "07 11:00+0545", "07 11:30+0545"},
		between(t, r, "2027-06-07 00:00", "2027-06-08 00:00", r.Blocks(ten)), "buffers meet, and do not overlap")
	free := schedule.Slots(r, schedule.Query{Now: at(t, r, "2027-06-07 00:00")})
	require.Equal(t, "09:00", free[0].StartsAt.Format("15:04"), "a buffer may lie outside the hours")
	require.Equal(t, 30*time.Minute, free[0].EndsAt.Sub(free[0].StartsAt), "and is not shown")

	// What the patient has elsewhere leaves no buffer around it.
	got := starts(r,
		schedule.Query{Now: at(t, r, "2027-06-07 00:00"), Busy: []schedule.Range{{From: ten.StartsAt, To: ten.EndsAt}}})
	require.Equal(t, []string{"07 09:00+0545", "07 09:30+0545", "07 10:30+0545", "07 11:00+0545", "07 11:30+0545"}, got)
}

// Days are the doctor's, not UTC's: 00:30 and 23:30 are on one date, whatever the date in UTC.
func TestSlots_PerDay(t *testing.T) {
	t.Parallel()
	r := rules(t, "Asia/Kathmandu", 30, iv(1, "00:00", "24:00"), iv(2, "00:00", "24:00"))
	r.PerDay = 2
	q := schedule.Query{
		Now: at(t, r, "2027-06-07 00:00"), Starts: []time.Time{at(t, r, "2027-06-07 00:30"), at(t, r, "2027-06-07 23:30")},
	}
	first, ok := schedule.First(r, q)
	require.True(t, ok)
	require.Equal(t, at(t, r, "2027-06-08 00:00"), first.StartsAt)
	q.Starts = q.Starts[:1]
	first, ok = schedule.First(r, q)
	require.True(t, ok)
	require.Equal(t, at(t, r, "2027-06-07 00:00"), first.StartsAt)
}

func TestSlots_Exceptions(t *testing.T) {
	t.Parallel()
	clock := func(from, to int) schedule.Clock { return schedule.Clock{From: from * 60, To: to * 60} }
	for _, c := range []struct {
		name       string
		exceptions []schedule.Exception
		want       []string
	}{
		{"none", nil, []string{"06 22:00", "07 00:00", "07 10:00", "07 12:00", "08 10:00", "08 12:00"}},
		{"off on Monday leaves Sunday's night", []schedule.Exception{off("2027-06-07", "2027-06-07")}, []string{"06 22:00", "07 00:00", "08 10:00", "08 12:00"}},
		{"off on Sunday takes all of its night", []schedule.Exception{off("2027-06-06", "2027-06-06")}, []string{"07 10:00", "07 12:00", "08 10:00", "08 12:00"}},
		{"a range", []schedule.Exception{off("2027-06-01", "2027-06-07")}, []string{"08 10:00", "08 12:00"}},
		{"other hours", []schedule.Exception{others("2027-06-07", "2027-06-08", clock(15, 17))}, []string{"06 22:00", "07 00:00", "07 15:00", "08 15:00"}},
		{
			"off wins",
			[]schedule.Exception{others("2027-06-07", "2027-06-08", clock(15, 17)), off("2027-06-08", "2027-06-08")},
			[]string{"06 22:00", "07 00:00", "07 15:00"},
		},
		{
			"a night keeps what it reaches of a day with other hours",
			[]schedule.Exception{others("2027-06-07", "2027-06-07", clock(1, 7))},
			[]string{"06 22:00", "07 00:00", "07 03:00", "07 05:00", "08 10:00", "08 12:00"},
		},
		{
			"other hours may run past midnight",
			[]schedule.Exception{others("2027-06-07", "2027-06-07", clock(22, 26))},
			[]string{"06 22:00", "07 00:00", "07 22:00", "08 00:00", "08 10:00", "08 12:00"},
		},
		{
			"and keep what they reach of the usual hours",
			[]schedule.Exception{others("2027-06-07", "2027-06-07", clock(21, 35))},
			[]string{"06 22:00", "07 00:00", "07 21:00", "07 23:00", "08 01:00", "08 03:00", "08 05:00", "08 07:00", "08 09:00", "08 12:00"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := rules(t, "UTC", 120, iv(1, "10:00", "14:00"), iv(2, "10:00", "14:00"), past(7, "22:00", "02:00"))
			r.Horizon, r.Exceptions = 90*24*time.Hour, c.exceptions
			var got []string
			for _, s := range between(t, r, "2027-06-06 12:00", "2027-06-09 00:00") {
				got = append(got, s[:len("02 15:04")])
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestCheck_Exceptions(t *testing.T) {
	t.Parallel()
	r := rules(t, "UTC", 60, iv(1, "10:00", "14:00"), iv(2, "10:00", "14:00"), past(7, "22:00", "02:00"))
	r.Horizon = 90 * 24 * time.Hour
	r.Exceptions = []schedule.Exception{
		off("2027-06-07", "2027-06-07"), others("2027-06-08", "2027-06-08", schedule.Clock{From: 900, To: 1020}),
	}
	now := at(t, r, "2027-06-01 00:00")
	for wall, code := range map[string]string{
		"2027-06-07 01:00": "", // of Sunday's night
		"2027-06-07 01:30": "slot_off_grid",
		"2027-06-07 02:00": "slot_day_off",
		"2027-06-07 10:00": "slot_day_off",
		"2027-06-08 10:00": "slot_outside_hours",
		"2027-06-08 15:00": "",
		"2027-06-08 16:30": "slot_off_grid",
		"2027-06-09 10:00": "slot_outside_hours",
	} {
		err := schedule.Check(r, at(t, r, wall), now)
		require.Equal(t, code, errs.CodeOf(err), wall)
		var e *errs.Error
		if code != "" {
			require.ErrorAs(t, err, &e)
			require.Equal(t, "body.startsAt", e.Fields[0].Path)
			require.Equal(t, e.Message, e.Fields[0].Message)
		}
	}
}

func TestFirst_FarAhead(t *testing.T) {
	t.Parallel()
	r := rules(t, "Europe/Berlin", 30)
	r.Horizon = 10 * 366 * 24 * time.Hour
	now := at(t, r, "2027-01-01 00:00")
	_, ok := schedule.First(r, schedule.Query{Now: now})
	require.False(t, ok, "no hours, no slot")
	r.Exceptions = []schedule.Exception{others("2035-07-03", "2035-07-03", schedule.Clock{From: 540, To: 600})}
	first, ok := schedule.First(r, schedule.Query{Now: now})
	require.True(t, ok)
	require.Equal(t, "2035-07-03T09:00:00+02:00", first.StartsAt.Format(time.RFC3339))
	_, ok = schedule.First(r, schedule.Query{Now: now, To: first.StartsAt})
	require.False(t, ok, "to is out")
}

// BenchmarkSlots is a month of a doctor with a full schedule.
func BenchmarkSlots(b *testing.B) {
	loc, err := schedule.LoadZone("Europe/Berlin")
	require.NoError(b, err)
	r := schedule.Rules{Location: loc, SlotMinutes: 20, Horizon: 90 * 24 * time.Hour, PerDay: 30}
	for day := 1; day <= 7; day++ {
		r.Hours = append(r.Hours, iv(day, "08:00", "12:00"), iv(day, "13:00", "18:00"))
	}
	now := time.Date(2027, 3, 10, 8, 0, 0, 0, time.UTC)
	for n := range 10 {
		day := date("2027-03-12").AddDate(0, 0, 7*n)
		r.Exceptions = append(r.Exceptions, schedule.Exception{From: day, To: day})
	}
	q := schedule.Query{Now: now, To: now.AddDate(0, 0, 31)}
	for n := range 100 {
		start := now.Add(time.Duration(n) * 5 * time.Hour)
		q.Blocked, q.Starts = append(q.Blocked,
			schedule.Range{From: start, To: start.Add(20 * time.Minute)}), append(q.Starts, start)
	}
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			schedule.Slots(r, q)
		}
	})
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			schedule.First(r, q)
		}
	})
}
