package preference

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"housecall/internal/notify"
	"housecall/internal/walltime"
	"housecall/internal/zone"
)

// turns are zones, with instants around which their clocks do something odd.
var turns = map[string][]string{
	"Europe/Berlin":       {"2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"},
	"America/New_York":    {"2026-03-08T07:00:00Z", "2026-11-01T06:00:00Z"},
	"Australia/Lord_Howe": {"2026-04-04T15:00:00Z", "2026-10-03T15:30:00Z"}, // half an hour
	"Asia/Kathmandu":      {"2026-03-01T18:15:00Z", "1985-12-31T18:30:00Z"}, // +05:45, and the change to it
	"America/Sao_Paulo":   {"2018-11-04T03:00:00Z", "2018-02-18T02:00:00Z"}, // midnight skipped, and repeated
	"Africa/Casablanca":   {"2026-02-15T02:00:00Z", "2026-03-22T02:00:00Z"},
	"Pacific/Apia":        {"2011-12-30T10:00:00Z"}, // a day left out
	"Antarctica/Troll":    {"2026-03-29T01:00:00Z"}, // two hours
	"UTC":                 {"2026-06-01T00:00:00Z"},
}

// oracle goes on minute by minute until the wall clock is no longer in quiet hours.
func oracle(from, to int, at time.Time, loc *time.Location) time.Time {
	quiet := func(at time.Time) bool {
		wall, err := walltime.Parse(at.In(loc).Format("15:04"))
		if err != nil {
			panic(err)
		}
		for m := from; m != to; m = (m + 1) % 1440 {
			if m == wall {
				return true
			}
		}
		return false
	}
	for quiet(at) {
		at = at.Truncate(time.Minute).Add(time.Minute)
	}
	return at
}

func TestQuietHours_EndAgainstOracle(t *testing.T) {
	t.Parallel()
	for name, instants := range turns {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loc, err := zone.Load(name)
			require.NoError(t, err)
			rapid.Check(t, func(rt *rapid.T) {
				turn, err := time.Parse(time.RFC3339, rapid.SampledFrom(instants).Draw(rt, "turn"))
				require.NoError(rt, err)
				at := turn.Add(time.Duration(rapid.IntRange(-30*3600, 30*3600).Draw(rt, "seconds")) * time.Second)
				from := rapid.IntRange(0, 1439).Draw(rt, "from")
				to := (from + rapid.OneOf(rapid.IntRange(1, 1439), rapid.IntRange(1, 120)).Draw(rt, "length")) % 1440
				got := QuietHours{From: from, To: to}.end(at, loc)
				require.True(rt, got.Equal(oracle(from, to, at, loc)), "%s, quiet %s to %s at %s: %s", name,
					walltime.Format(from), walltime.Format(to), at.In(loc), got.In(loc))
			})
		})
	}
}

func TestPreferences_decide(t *testing.T) {
	t.Parallel()
	night := &QuietHours{From: 22 * 60, To: 7 * 60}
	for name, c := range map[string]struct {
		p         Preferences
		kind      notify.Kind
		zone, at  string
		send      bool
		notBefore string
	}{
		"nothing chosen": {Preferences{}, notify.Confirmed, "UTC", "2026-03-01T23:00:00Z", true, ""},
		"turned off": {
			Preferences{Off: []notify.Kind{notify.Confirmed}, Quiet: night},
			notify.Confirmed, "UTC", "2026-03-01T23:00:00Z",
			false, "",
		},
		"another turned off": {
			Preferences{Off: []notify.Kind{notify.Confirmed}}, notify.Cancelled, "UTC", "2026-03-01T12:00:00Z", true, "",
		},
		"by day": {Preferences{Quiet: night}, notify.Confirmed, "UTC", "2026-03-01T12:00:00Z", true, ""},
		"before midnight": {
			Preferences{Quiet: night}, notify.Confirmed, "UTC", "2026-03-01T23:10:30Z", true, "2026-03-02T07:00:00Z",
		},
		"after midnight": {
			Preferences{Quiet: night}, notify.Confirmed, "UTC", "2026-03-02T06:59:59Z", true, "2026-03-02T07:00:00Z",
		},
		"as they begin": {
			Preferences{Quiet: night}, notify.Confirmed, "UTC", "2026-03-01T22:00:00Z", true, "2026-03-02T07:00:00Z",
		},
		"just before": {Preferences{Quiet: night}, notify.Confirmed, "UTC", "2026-03-01T21:59:59Z", true, ""},
		"as they end": {Preferences{Quiet: night}, notify.Confirmed, "UTC", "2026-03-02T07:00:00Z", true, ""},
		"urgent":      {Preferences{Quiet: night}, notify.ReminderHour, "UTC", "2026-03-01T23:00:00Z", true, ""},
		"a night of summer time": {
			Preferences{Quiet: night}, notify.Confirmed, "Europe/Berlin", "2026-03-28T22:30:00Z", true, "2026-03-29T05:00:00Z",
		},
		"a night of winter time": {
			Preferences{Quiet: night}, notify.Confirmed, "Europe/Berlin", "2026-10-24T21:30:00Z", true, "2026-10-25T06:00:00Z",
		},
		"the end is skipped": {
			Preferences{Quiet: &QuietHours{0, 150}},
			notify.Confirmed, "Europe/Berlin", "2026-03-29T00:30:00Z", true,
			"2026-03-29T01:00:00Z",
		},
		"all of them are skipped": {
			Preferences{Quiet: &QuietHours{120, 180}}, notify.Confirmed, "Europe/Berlin", "2026-03-29T01:00:00Z", true, "",
		},
		"the end comes twice": {
			Preferences{Quiet: &QuietHours{0, 150}},
			notify.Confirmed, "Europe/Berlin", "2026-10-24T23:00:00Z", true,
			"2026-10-25T00:30:00Z",
		},
		"quiet again after the end": {
			Preferences{Quiet: &QuietHours{0, 150}},
			notify.Confirmed, "Europe/Berlin", "2026-10-25T01:00:00Z", true,
			"2026-10-25T01:30:00Z",
		},
		"half an hour is skipped": {
			Preferences{Quiet: &QuietHours{60, 135}},
			notify.Confirmed, "Australia/Lord_Howe", "2026-10-03T15:00:00Z", true,
			"2026-10-03T15:30:00Z",
		},
		"a quarter of an hour off": {
			Preferences{Quiet: night}, notify.Confirmed, "Asia/Kathmandu", "2026-03-01T16:15:00Z", true, "2026-03-02T01:15:00Z",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			loc, err := zone.Load(c.zone)
			require.NoError(t, err)
			at, err := time.Parse(time.RFC3339, c.at)
			require.NoError(t, err)
			send, notBefore := c.p.judge(c.kind, at, loc)
			require.Equal(t, c.send, send)
			if c.notBefore == "" {
				require.True(t, notBefore.IsZero(), "%s", notBefore)
				return
			}
			require.Equal(t, c.notBefore, notBefore.Format(time.RFC3339))
		})
	}
}
