package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseClock(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int{"00:00": 0, "09:30": 570, "23:59": 1439, "24:00": 1440} {
		got, err := ParseClock(s)
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
	}
	for _, s := range []string{"", "9:30", "09:60", "24:01", "25:00", "0930", "09.30", "09:3a", "+9:30", " 9:30", "09:300", "۰۹:۳۰", "-1:00"} {
		_, err := ParseClock(s)
		require.Error(t, err, "%q", s)
	}
}

func TestParseHours(t *testing.T) {
	t.Parallel()
	for s, want := range map[string][]Interval{
		"10:00-14:00,14:30-18:00":  {{600, 840}, {870, 1080}},
		"10:00-14:00, 14:00-18:00": {{600, 840}, {840, 1080}},
		"00:00-24:00":              {{0, 1440}},
	} {
		got, err := ParseHours(s)
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
	}
	for _, s := range []string{
		"", ",", "10:00", "10:00-", "10:00-10:00", "14:00-10:00", "10:00-14:00,", "10:00-14:00,13:59-15:00", "14:00-15:00,10:00-11:00", "10:00-14:00;15:00-16:00",
	} {
		_, err := ParseHours(s)
		require.Error(t, err, "%q", s)
	}
}

func FuzzParseClock(f *testing.F) {
	for _, s := range []string{"", "09:30", "24:00", "99:99", "::::", "1e:10"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		minutes, err := ParseClock(s)
		if err != nil {
			return
		}
		require.GreaterOrEqual(t, minutes, 0)
		require.LessOrEqual(t, minutes, 24*60)
		require.Equal(t, s, FormatClock(minutes), "one time has one spelling")
	})
}

func FuzzParseHours(f *testing.F) {
	for _, s := range []string{"", "10:00-14:00,14:30-18:00", "00:00-24:00", "10:00-14:00, 14:00-15:00", "-", ",,", "10:00-14:00-15:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		hours, err := ParseHours(s)
		if err != nil {
			require.Nil(t, hours)
			return
		}
		require.NotEmpty(t, hours)
		last := 0
		parts := make([]string, len(hours))
		for i, h := range hours {
			require.LessOrEqual(t, last, h.From)
			require.Less(t, h.From, h.To)
			require.LessOrEqual(t, h.To, 24*60)
			last, parts[i] = h.To, FormatClock(h.From)+"-"+FormatClock(h.To)
		}
		again, err := ParseHours(strings.Join(parts, ","))
		require.NoError(t, err)
		require.Equal(t, hours, again)
	})
}
