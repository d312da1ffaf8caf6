package config

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/walltime"
)

func parseHours(s string) (h Hours, err error) {
	err = h.UnmarshalText([]byte(s))
	return h, err
}

func TestHours_UnmarshalText(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]Hours{
		"10:00-14:00,14:30-18:00":  {{600, 840}, {870, 1080}},
		"10:00-14:00, 14:00-18:00": {{600, 840}, {840, 1080}},
		"00:00-24:00":              {{0, 1440}},
	} {
		got, err := parseHours(s)
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
	}
	for _, s := range []string{
		"", ",", "10:00", "10:00-", "10:00-10:00", "14:00-10:00", "10:00-14:00,", "10:00-14:00,13:59-15:00", "14:00-15:00,10:00-11:00", "10:00-14:00;15:00-16:00",
	} {
		_, err := parseHours(s)
		require.Error(t, err, "%q", s)
	}
}

func FuzzHours_UnmarshalText(f *testing.F) {
	for _, s := range []string{"", "10:00-14:00,14:30-18:00", "00:00-24:00", "10:00-14:00, 14:00-15:00", "-", ",,", "10:00-14:00-15:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		hours, err := parseHours(s)
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
			last, parts[i] = h.To, walltime.Format(h.From)+"-"+walltime.Format(h.To)
		}
		again, err := parseHours(strings.Join(parts, ","))
		require.NoError(t, err)
		require.Equal(t, hours, again)
	})
}
