package walltime_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/walltime"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int{"00:00": 0, "09:30": 570, "23:59": 1439, "24:00": 1440} {
		got, err := walltime.Parse(s)
		require.NoError(t, err, s)
		require.Equal(t, want, got, s)
	}
	for _, s := range []string{"", "9:30", "09:60", "24:01", "25:00", "0930", "09.30", "09:3a", "+9:30", " 9:30", "09:300", "۰۹:۳۰", "-1:00"} {
		_, err := walltime.Parse(s)
		require.Error(t, err, "%q", s)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "09:30", "24:00", "99:99", "::::", "1e:10"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		minutes, err := walltime.Parse(s)
		if err != nil {
			return
		}
		require.GreaterOrEqual(t, minutes, 0)
		require.LessOrEqual(t, minutes, 24*60)
		require.Equal(t, s, walltime.Format(minutes), "one time has one spelling")
	})
}
