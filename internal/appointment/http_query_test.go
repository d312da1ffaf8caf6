package appointment

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/errs"
)

// zones are those whose days begin at odd times, or not at all.
var zones = []string{"UTC", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia", "Africa/Monrovia"}

func zoneOf(t *testing.T, n uint8) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(zones[int(n)%len(zones)])
	require.NoError(t, err)
	return zone
}

// storable reports whether PostgreSQL and the code can handle a bound.
func storable(at time.Time) bool {
	return !at.Before(earliest) && at.UTC().Year() <= 10000
}

func TestParseBound(t *testing.T) {
	t.Parallel()
	zone := zoneOf(t, 1)
	for in, want := range map[string]time.Time{
		"2026-03-29":                time.Date(2026, time.March, 28, 23, 0, 0, 0, time.UTC),
		"2026-03-29T10:30:00Z":      time.Date(2026, time.March, 29, 10, 30, 0, 0, time.UTC),
		"2026-03-29T10:30:00+23:59": time.Date(2026, time.March, 28, 10, 31, 0, 0, time.UTC),
		"1900-01-02":                time.Date(1900, time.January, 1, 23, 0, 0, 0, time.UTC),
	} {
		got, err := parseBound("query.from", in, zone, 0)
		require.NoError(t, err, in)
		require.True(t, want.Equal(got), "%s: %s", in, got)
	}
	for in, want := range map[string]string{
		"America/Santiago 2026-09-06": "2026-09-06T04:00:00Z", // midnight is skipped: the day begins at 01:00
		"America/Havana 2026-11-01":   "2026-11-01T04:00:00Z", // midnight comes twice
		"Africa/Cairo 2026-04-24":     "2026-04-23T22:00:00Z",
		"Pacific/Apia 2011-12-30":     "2011-12-30T10:00:00Z", // left out: the 31st begins then
	} {
		name, day, _ := strings.Cut(in, " ")
		odd, err := time.LoadLocation(name)
		require.NoError(t, err)
		got, err := parseBound("query.from", day, odd, 0)
		require.NoError(t, err)
		require.Equal(t, want, got.UTC().Format(time.RFC3339), in)
	}
	end, err := parseBound("query.to", "2026-03-29", zone, 1)
	require.NoError(t, err)
	require.Equal(t, time.Date(2026, time.March, 29, 22, 0, 0, 0, time.UTC), end.UTC(), "a day of 23 hours")
	for _, in := range []string{"0001-01-01T00:00:00Z", "1899-12-31", "0000-01-01T00:00:00+23:59", "10000-01-01", "2026-02-30", "now", "\x00"} {
		_, err := parseBound("query.from", in, zone, 0)
		require.Equal(t, errs.Invalid, errs.KindOf(err), in)
	}
}

func FuzzParseBound(f *testing.F) {
	for i, s := range []string{
		"", "2026-03-29", "2026-03-29T10:30:00Z", "0001-01-01T00:00:00Z", "9999-12-31", "10000-01-01", "9999-12-31T23:59:59.999999999-23:59",
		"0000-01-01T00:00:00+23:59", "2011-12-30", "2026-03-29T10:30:00,5Z", "2026-03-29T24:00:00Z", "\x00", "\xff",
	} {
		f.Add(s, uint8(i))
	}
	f.Fuzz(func(t *testing.T, s string, n uint8) {
		zone := zoneOf(t, n)
		for _, addDays := range []int{0, 1} {
			at, err := parseBound("query.from", s, zone, addDays)
			switch {
			case err != nil:
				require.Equal(t, errs.Invalid, errs.KindOf(err))
			case s == "":
				require.True(t, at.IsZero())
			default:
				require.True(t, storable(at), "%q is %s", s, at)
			}
		}
	})
}

func FuzzParseWindow(f *testing.F) {
	f.Add("", "", uint8(0))
	f.Add("2026-03-29", "2026-03-29", uint8(1))
	f.Add("2026-03-29T10:30:00Z", "2026-03-29T10:30:00+00:00", uint8(2))
	f.Add("9999-12-31", "9999-12-31", uint8(3))
	f.Add("0001-01-01", "0001-01-01T00:00:00Z", uint8(4))
	f.Add("2011-12-30", "2011-12-30", uint8(3)) // a day that Samoa left out
	f.Fuzz(func(t *testing.T, from, to string, n uint8) {
		start, end, err := parseWindow(from, to, zoneOf(t, n))
		if err != nil {
			require.Equal(t, errs.Invalid, errs.KindOf(err))
			return
		}
		require.Equal(t, from == "", start.IsZero())
		require.Equal(t, to == "", end.IsZero())
		if from != "" && to != "" {
			require.True(t, start.Before(end))
		}
	})
}
