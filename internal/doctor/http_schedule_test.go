package doctor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/errs"
)

// FuzzClockReader asks that what is read is an interval of at most a day, and is written so that it is read the same.
func FuzzClockReader(f *testing.F) {
	for _, s := range [][2]string{{"09:30", "12:00"}, {"22:00", "06:00"}, {"10:00", "10:00"}, {"00:00", "24:00"}, {"24:00", "24:00"}, {"", "x"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, from, to string) {
		var r clockReader
		c := r.read(0, from, to)
		if err := r.err(); err != nil {
			require.Equal(t, errs.Invalid, errs.KindOf(err))
			return
		}
		require.GreaterOrEqual(t, c.From, 0)
		require.Greater(t, c.To, c.From)
		require.LessOrEqual(t, c.To-c.From, dayMinutes)
		if c.From == dayMinutes {
			return // no interval begins at 24:00; schedule refuses it
		}
		start, end := formatClock(c)
		again := r.read(0, start, end)
		require.NoError(t, r.err())
		require.Equal(t, c, again)
	})
}

// FuzzParseDate asks that what is read is a day that is written the same.
func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"2028-02-29", "2027-02-29", "0000-01-01", "9999-12-31", "", "2027-1-1", "2027-12-24T00:00:00Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		date, err := parseDate("query.from", s)
		if err != nil {
			require.Equal(t, errs.Invalid, errs.KindOf(err))
			require.True(t, date.IsZero())
			return
		}
		require.Equal(t, s, date.Format(time.DateOnly))
		require.Equal(t, date, date.Truncate(24*time.Hour))
		require.GreaterOrEqual(t, date.Year(), 1)
	})
}
