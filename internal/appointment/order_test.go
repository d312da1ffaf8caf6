package appointment_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
)

// Every order has each appointment once, however small the pages are: those at the same time, those without one, and
// each in its place.
func TestRoutes_listOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.api()
	var ids []string // as they are made
	for _, when := range []*time.Time{ptr(at(15, 0)), nil, ptr(at(10, 30)), ptr(at(15, 0)), nil, ptr(at(12, 0))} {
		d, p := w.doctor, w.patient
		if len(ids) > 2 { // one person is in one place at a time
			d, p = w.stranger, w.other
		}
		a, err := w.svc.Book(t.Context(), p, appointment.Booking{Doctor: d.UserID, StartsAt: when, Reason: "Cough"})
		require.NoError(t, err)
		ids = append(ids, a.PublicID)
	}
	listed := func(query string) (out []string) {
		for cursor := ""; ; {
			r := c.call(w.admin, http.MethodGet, "/appointments?limit=1"+query+cursor, nil)
			require.Equal(t, http.StatusOK, r.Status, "%s", r.Raw)
			for _, i := range r.Body["items"].([]any) {
				out = append(out, i.(object)["id"].(string))
			}
			next, _ := r.Body["nextCursor"].(string)
			if next == "" {
				return out
			}
			cursor = "&cursor=" + next
		}
	}
	of := func(places ...int) (out []string) {
		for _, n := range places {
			out = append(out, ids[n])
		}
		return out
	}
	newest := slices.Clone(ids)
	slices.Reverse(newest)
	require.Equal(t, newest, listed(""))
	require.Equal(t, newest, listed("&order=createdAt"))
	require.Equal(t, of(2, 5, 0, 3, 1, 4), listed("&order=startsAt"))
	require.Equal(t, of(3, 0, 5, 2, 4, 1), listed("&order=-startsAt"))
	require.Equal(t, of(5, 0, 3), listed("&order=startsAt&from=2026-03-03T10:00:00Z"), "no time is in no window")

	next := c.call(w.admin, http.MethodGet, "/appointments?limit=1&order=startsAt", nil).Body["nextCursor"].(string)
	for _, bad := range []string{"order=time", "order=-startsAt&cursor=" + next, "cursor=" + next} {
		require.Equal(t, http.StatusUnprocessableEntity, c.call(w.admin, http.MethodGet, "/appointments?"+bad, nil).Status, bad)
	}
}
