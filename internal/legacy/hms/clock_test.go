package hms

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestParseDay(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"2026-03-31":                " 2026-03-31",
		" 2026-03-31 ":              " 2026-03-31",
		"2026-03-31T23:30:00.000Z":  " 2026-03-31",
		"2026-03-31T00:00:00+05:30": " 2026-03-31",
		"2026-03-31T10:30":          " 2026-03-31",
		"2026-03-31 10:30:00":       " 2026-03-31",
		"2024-02-29":                " 2024-02-29",
		"2026-02-29":                "", "31.03.2026": "", "2026-3-1": "", "": "", "0000-01-01": "", "12026-01-01": "",
		"2026-03-31T25:00:00Z": "", "2026-03-31x": "", "Tue Mar 31 2026": "",
	} {
		day, err := parseDay(s)
		if want == "" {
			require.ErrorIs(t, err, errDay, s)
			continue
		}
		require.NoError(t, err, s)
		require.Equal(t, strings.TrimSpace(want)+"T00:00:00Z", day.Format(time.RFC3339), s)
	}
}

func TestParseClock(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int{
		"10:30": 630, "10:30 AM": 630, "10:30am": 630, " 9:05 ": 545, "09:05": 545, "00:00": 0, "23:59": 1439,
		"10:30:00": 630,
		"10:30 PM": 1350, "12:00 AM": 0, "12:30 pm": 750, "12:30 a.m.": 30, "10 AM": 600, "10pm": 1320, "10:30\u202fAM": 630,
		"10:30\u00a0PM": 1350,
		"10.30 AM":      630, "10.30": 630, "9.05 p.m.": 1265, "10.30.00": 630,
		"10:30 - 11:00": 630, "10:30-11:00": 630, "10.30 – 11.00": 630, "10:30 AM - 11:00 AM": 630, "10:30 to 11:00": 630,
		"1:30 - 2:00 PM": 810, "11:30 - 12:30 PM": 690, "9 - 10 AM": 540, "12:30 - 1:00 AM": 30, "11:30 - 12:00 AM": 1410,
		"23:30 - 00:00": 1410, "11:30 am-12:30 pm": 690,
	} {
		got, err := parseClock(s)
		require.NoError(t, err, "%q", s)
		require.Equal(t, want, got, "%q", s)
	}
	for _, s := range []string{
		"", "10", "24:00", "10:60", "13:00 PM", "0:30 AM", "10:30:15", "10.3", "1030", "10:3", "100:30", "-1:30",
		"10:30 XM", "noon", "10:30 AM PM", "１０:30",
		"10:30 -", "- 10:30", "11:00 - 10:30", "10:30 - 10:30", "10:30 - 11:00 - 11:30", "10:30 - later", "13:30 - 2:00 PM",
		"10:30 PM - 11:00 AM", "10:30 - 25:00", "10 - 11", "10.30 - 10.60",
	} {
		_, err := parseClock(s)
		require.ErrorIs(t, err, errClock, "%q", s)
	}
}

func FuzzParseDay(f *testing.F) {
	for _, s := range []string{"2026-03-31", "2026-03-31T23:30:00.000Z", "2026-02-30", "9999-12-31T23:59", "x", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		day, err := parseDay(s)
		if err != nil {
			return
		}
		written := day.Format(time.DateOnly)
		if !strings.HasPrefix(strings.TrimSpace(s), written) {
			t.Fatalf("%q is not the day %s", s, written)
		}
		if again, err := parseDay(written); err != nil || !again.Equal(day) {
			t.Fatalf("%s reads as %v, %v", written, again, err)
		}
	})
}

func FuzzParseClock(f *testing.F) {
	for _, s := range []string{"10:30", "10:30 AM", "12 pm", "12:00 a.m.", "23:59:00", "24:00", "", "9:5", "10.30 AM", "1:30 - 2:00 PM"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		minutes, err := parseClock(s)
		if err != nil {
			return
		}
		if minutes < 0 || minutes >= 24*60 || !utf8.ValidString(s) {
			t.Fatalf("%q reads as %d minutes", s, minutes)
		}
		for _, layout := range []string{"15:04", "15:04:05", "3:04 PM", "3:04pm", "15.04", "3.04 PM"} {
			written := time.Date(2026, 1, 1, 0, minutes, 0, 0, time.UTC).Format(layout)
			if again, err := parseClock(written); err != nil || again != minutes {
				t.Fatalf("%s reads as %d, %v", written, again, err)
			}
		}
	})
}

// zones have their clocks set at different hours, by different amounts, over midnight, over a whole day, or never.
var zones = []string{
	"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Cairo",
	"America/Santiago",
	"Pacific/Apia", "Africa/Casablanca",
}

func FuzzInstant(f *testing.F) {
	f.Add(20_540, 150, uint8(1)) // the day of 29 March 2026, at 02:30
	f.Add(20_751, 150, uint8(1)) // in the night in which it is 02:30 twice
	f.Add(15_338, 600, uint8(7)) // 30 December 2011 was not there on Samoa
	f.Fuzz(func(t *testing.T, days, minutes int, n uint8) {
		if days < 0 || days > 100_000 || minutes < 0 || minutes >= 24*60 {
			return
		}
		loc, err := time.LoadLocation(zones[int(n)%len(zones)])
		require.NoError(t, err)
		day := time.Unix(0, 0).UTC().AddDate(0, 0, days)
		want := day.Format(time.DateOnly) + fmt.Sprintf(" %02d:%02d", minutes/60, minutes%60)
		at, exists := instant(day, minutes, loc)
		if got := at.In(loc).Format("2006-01-02 15:04"); exists && got != want {
			t.Fatalf("%s in %s became %s", want, loc, got)
		}
		// A nearby time at which the clock shows the same is the second of two.
		for shift := -3 * time.Hour; shift <= 3*time.Hour; shift += 30 * time.Minute {
			same := at.Add(shift).In(loc).Format("2006-01-02 15:04") == want
			if same && shift < 0 {
				t.Fatalf("%s in %s comes earlier, too", want, loc)
			}
			if same && !exists {
				t.Fatalf("%s in %s is there", want, loc)
			}
		}
	})
}

func TestInstant(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		zone, day string
		minutes   int
		want      string // "": the time does not exist
	}{
		"winter":         {"Europe/Berlin", "2026-03-02", 630, "2026-03-02T09:30:00Z"},
		"summer":         {"Europe/Berlin", "2026-07-02", 630, "2026-07-02T08:30:00Z"},
		"skipped":        {"Europe/Berlin", "2026-03-29", 150, ""},
		"just before":    {"Europe/Berlin", "2026-03-29", 119, "2026-03-29T00:59:00Z"},
		"just after":     {"Europe/Berlin", "2026-03-29", 180, "2026-03-29T01:00:00Z"},
		"twice":          {"Europe/Berlin", "2026-10-25", 150, "2026-10-25T00:30:00Z"},
		"half an hour":   {"Australia/Lord_Howe", "2026-10-04", 135, ""},
		"after midnight": {"Africa/Cairo", "2026-04-24", 30, ""},
		"no such day":    {"Pacific/Apia", "2011-12-30", 600, ""},
		"the day after":  {"Pacific/Apia", "2011-12-31", 600, "2011-12-30T20:00:00Z"},
	} {
		loc, err := time.LoadLocation(c.zone)
		require.NoError(t, err)
		day, err := parseDay(c.day)
		require.NoError(t, err)
		at, exists := instant(day, c.minutes, loc)
		require.Equal(t, c.want != "", exists, name)
		if exists {
			require.Equal(t, c.want, at.UTC().Format(time.RFC3339), name)
		}
	}
}
