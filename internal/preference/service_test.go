package preference_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/notify"
	"housecall/internal/preference"
)

func TestService_Decide(t *testing.T) {
	t.Parallel()
	w := newWorld(t) // the clinic is in Kathmandu, at +05:45
	actor := auth.Actor{ID: w.user(pat, auth.Patient), UserID: pat, Role: auth.Patient}
	at := time.Date(2026, time.March, 1, 17, 0, 0, 0, time.UTC) // 22:45 there, 18:00 in Berlin
	decide := func(kind notify.Kind) (bool, time.Time) {
		t.Helper()
		send, notBefore, err := w.svc.Decide(t.Context(), actor.ID, kind, at)
		require.NoError(t, err)
		return send, notBefore
	}
	for _, kind := range notify.Optional() {
		send, notBefore := decide(kind)
		require.True(t, send, "without a row all kinds are on")
		require.Zero(t, notBefore)
	}
	zone, err := w.svc.Zone(t.Context(), actor.ID)
	require.NoError(t, err)
	require.Nil(t, zone)

	p := preference.Preferences{
		Off: []notify.Kind{notify.Unread}, Quiet: &preference.QuietHours{
			From: 22 * 60, To: 7 * 60,
		}, Version: preference.FirstVersion,
	}
	p, err = w.svc.Replace(t.Context(), actor, p)
	require.NoError(t, err)
	send, _ := decide(notify.Unread)
	require.False(t, send)
	send, notBefore := decide(notify.Confirmed)
	require.True(t, send)
	require.Equal(t, time.Date(2026, time.March, 2, 1, 15, 0, 0, time.UTC), notBefore, "seven in the clinic's zone")
	send, notBefore = decide(notify.ReminderHour)
	require.True(t, send)
	require.Zero(t, notBefore)

	p.TimeZone = "Europe/Berlin"
	_, err = w.svc.Replace(t.Context(), actor, p)
	require.NoError(t, err)
	zone, err = w.svc.Zone(t.Context(), actor.ID)
	require.NoError(t, err)
	require.Equal(t, "Europe/Berlin", zone.String())
	_, notBefore = decide(notify.Confirmed)
	require.Zero(t, notBefore, "it is early evening where they are")

	for _, kind := range []notify.Kind{notify.PasswordReset, "fax"} {
		_, _, err = w.svc.Decide(t.Context(), actor.ID, kind, at)
		require.Equal(t, errs.Internal, errs.KindOf(err), kind)
	}
}

// A stored kind that this version of the program no longer knows does no harm.
func TestService_Get_KindThatIsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	actor := auth.Actor{ID: w.user(pat, auth.Patient), UserID: pat}
	w.exec(`insert into preferences (user_id, kinds_off, version) values ($1, '{fax,unread}', 4)`, actor.ID)
	got := w.call("GET", path, pat, "", "")
	require.Equal(t, `"4"`, got.ETag())
	require.NotContains(t, string(got.Raw), "fax")
	require.Equal(t, false, got.Body["kinds"].(map[string]any)["unread"])
}
