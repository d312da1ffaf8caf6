package pms

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	require.NoError(t, err)
	return z
}

func date(s string) time.Time {
	day, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return day
}

func TestSlots_Grid(t *testing.T) {
	t.Parallel()
	want := []string{
		"10:00 am", "10:30 am", "11:00 am", "11:30 am", "12:00 pm", "12:30 pm", "01:00 pm", "01:30 pm",
		"02:30 pm", "03:00 pm", "03:30 pm", "04:00 pm", "04:30 pm", "05:00 pm", "05:30 pm",
	}
	require.Len(t, want, slots)
	for _, name := range []string{"UTC", "Asia/Kathmandu", "America/New_York"} {
		z := zone(t, name)
		for i, words := range want {
			at, ok := moment(date("2026-03-03"), minuteOf(i+1), z)
			require.True(t, ok)
			require.Equal(t, words, clock(at))
			require.Equal(t, i+1, slotAt(at.UTC(), z), "back from the instant")
			require.Zero(t, slotAt(at.Add(time.Minute), z))
			require.Zero(t, slotAt(at.Add(time.Second), z))
		}
		for _, off := range []int{14 * 60, 9*60 + 30, 18 * 60, 0} {
			at, _ := moment(date("2026-03-03"), off, z)
			require.Zero(t, slotAt(at, z), "off the grid")
		}
	}
}

// The grid is wall time: when the clocks change it stays the same, at other instants.
func TestSlots_ClockChange(t *testing.T) {
	t.Parallel()
	berlin := zone(t, "Europe/Berlin")
	for day, utc := range map[string]string{
		"2026-03-28": "09:00", "2026-03-29": "08:00", // forward at 02:00 on the 29th
		"2026-10-24": "08:00", "2026-10-25": "09:00", // back at 03:00 on the 25th
	} {
		at, ok := moment(date(day), minuteOf(1), berlin)
		require.True(t, ok, day)
		require.Equal(t, utc, at.UTC().Format("15:04"), day)
	}
	_, ok := moment(date("2026-03-29"), 2*60+30, berlin)
	require.False(t, ok, "02:30 was left out")
	// Samoa crossed the date line: it had no 30 December 2011.
	_, ok = moment(date("2011-12-30"), minuteOf(1), zone(t, "Pacific/Apia"))
	require.False(t, ok, "a day that was skipped")
}

// Slot n is free if one of the doctor's real slots begins at that instant, whatever their zone and grid.
func TestOffer(t *testing.T) {
	t.Parallel()
	z := zone(t, "Europe/Berlin")
	day := date("2026-03-29")
	at := func(hour, minute int) appointment.Slot {
		return appointment.Slot{StartsAt: time.Date(2026, time.March, 29, hour, minute, 0, 0, z).UTC()}
	}
	got := offer(day, []appointment.Slot{at(9, 30), at(10, 0), at(10, 20), at(14, 0), at(14, 30), at(17, 30), at(18, 0)},
		z)
	var numbers []int
	for _, o := range got {
		numbers = append(numbers, o.n)
		require.Equal(t, day.Day(), o.at.Day())
	}
	require.Equal(t, []int{1, 9, 15}, numbers)
	require.Empty(t, offer(date("2026-03-30"), []appointment.Slot{at(10, 0)}, z), "another day")

	from, to, err := window(day, z)(time.UTC, time.Time{})
	require.NoError(t, err)
	for n := 1; n <= slots; n++ {
		begins, ok := moment(day, minuteOf(n), z)
		require.True(t, ok)
		require.True(t, !begins.Before(from) && begins.Before(to), "asked for: %d", n)
	}
}

func TestStatusNumber(t *testing.T) {
	t.Parallel()
	followUp := date("2026-04-01")
	for status, want := range map[appointment.Status]int{
		appointment.Pending: 1, appointment.Booked: 1, appointment.Completed: 3, appointment.Cancelled: 4,
		appointment.Rejected: 4,
		appointment.Expired:  4, appointment.NoShow: 4,
	} {
		require.Equal(t, want, statusNumber(appointment.Appointment{Status: status}), status)
		with := statusNumber(appointment.Appointment{Status: status, FollowUpOn: &followUp})
		if want == 4 {
			require.Equal(t, 4, with)
			continue
		}
		require.Equal(t, 2, with, status)
	}
	require.Len(t, appointment.Statuses, 7, "all are told")
}
