package zone_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/zone"
)

func TestLoad(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+12", "Asia/Kathmandu"} {
		loc, err := zone.Load(name)
		require.NoError(t, err, name)
		require.Equal(t, name, loc.String())
	}
	for _, name := range []string{
		"", "Local", "Factory", "localtime", "posixrules", "right/UTC", "../etc/passwd", "Europe/", "Europe//Berlin", "Europe/Atlantis",
		"\x00", "\xff", " UTC", "UTC\n", "A" + strings.Repeat("a", 64),
	} {
		_, err := zone.Load(name)
		require.ErrorIs(t, err, zone.ErrUnknown, "%q", name)
	}
}

func FuzzLoad(f *testing.F) {
	for _, s := range []string{"", "Local", "Europe/Berlin", "../etc/passwd", "UTC", "Europe/", "\x00", "right/UTC", "localtime"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		loc, err := zone.Load(name)
		if err != nil {
			require.ErrorIs(t, err, zone.ErrUnknown)
			return
		}
		require.Equal(t, name, loc.String())
		require.NotEqual(t, time.Local, loc)
	})
}
