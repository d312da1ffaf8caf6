package appointment_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/postgres"
	"housecall/internal/testing/apitest"
)

// golden compares an answer with the file of that name, without the ids and times that differ from run to run.
func golden(t *testing.T, name string, r reply) {
	t.Helper()
	apitest.Golden(t, name, r,
		apitest.Mask{Pattern: regexp.MustCompile(`APP[0-9A-Z]{10}`), Instead: "APPXXXXXXXXXX"},
		apitest.Mask{Pattern: regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), Instead: "a uuid"},
		apitest.MaskMember("requestId|createdAt|updatedAt|at|nextCursor"))
}

func TestRoutes_shapes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.api()
	first := c.call(w.patient, http.MethodPost, "/appointments",
		object{"doctorId": w.doctor.UserID, "startsAt": at(10, 30), "reason": "Cough"})
	require.Equal(t, http.StatusCreated, first.Status, "%s", first.Raw)
	require.Equal(t, `"1"`, first.Header.Get("ETag"))
	path := "/appointments/" + first.Body["id"].(string)
	require.Equal(t, "/api/v1"+path, first.Header.Get("Location"))
	golden(t, "booked", first)
	untimed := c.call(w.other, http.MethodPost, "/appointments", object{"doctorId": w.doctor.UserID, "reason": "Rash"})
	golden(t, "requested_without_time", untimed)
	golden(t, "confirmed", c.call(w.doctor, http.MethodPost, path+"/confirm", object{"note": "Bring your papers"}))
	golden(
		t, "slot_taken",
		c.call(w.other, http.MethodPost, "/appointments",
			object{"doctorId": w.doctor.UserID, "startsAt": at(10, 30), "reason": "Rash"}),
	)
	golden(
		t, "patient_busy",
		c.call(w.patient, http.MethodPost, "/appointments",
			object{"doctorId": w.stranger.UserID, "startsAt": at(10, 30), "reason": "Rash"}),
	)
	golden(
		t, "off_grid",
		c.call(w.other, http.MethodPost, "/appointments",
			object{"doctorId": w.doctor.UserID, "startsAt": at(10, 31), "reason": "Rash"}),
	)
	golden(
		t, "rejected",
		c.call(w.doctor, http.MethodPost, "/appointments/"+untimed.Body["id"].(string)+"/reject",
			object{"reason": "Not my field"}),
	)
	golden(t, "invalid_transition", c.call(w.doctor, http.MethodPost, path+"/reject", object{"reason": "Not my field"}))
	golden(t, "list", c.call(w.doctor, http.MethodGet, "/appointments?limit=1", nil))
	golden(t, "slots",
		c.call(auth.Actor{}, http.MethodGet, "/doctors/"+w.doctor.UserID+"/slots?from=2026-03-03&to=2026-03-03", nil))
	cancelled := c.call(w.admin, http.MethodPost, path+"/cancel", object{"reason": "Water damage"})
	golden(t, "cancelled", cancelled)
	golden(t, "history", c.call(w.patient, http.MethodGet, path+"/history", nil))
	again := c.call(w.patient, http.MethodGet, path, nil)
	require.EqualValues(t, 0, again.Body["unread"], "of a participant")
	delete(again.Body, "unread")
	require.Equal(t, cancelled.Body, again.Body)
	require.Equal(t, `"3"`, again.Header.Get("ETag"))
}

func TestRoutes_wrongActors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.api()
	a := w.books(w.patient, nil)
	path := "/appointments/" + a.PublicID
	const missing, forbidden, unauthenticated = http.StatusNotFound, http.StatusForbidden, http.StatusUnauthorized
	nobody := auth.Actor{}
	for _, r := range []struct {
		method, path string
		in           any
		want         map[*auth.Actor]int
	}{
		{http.MethodGet, path, nil, map[*auth.Actor]int{&nobody: unauthenticated, &w.other: missing, &w.stranger: missing}},
		{http.MethodGet, path + "/history", nil, map[*auth.Actor]int{&nobody: unauthenticated, &w.other: missing, &w.stranger: missing}},
		{http.MethodGet, "/appointments", nil, map[*auth.Actor]int{&nobody: unauthenticated}},
		{
			http.MethodPost, "/appointments",
			object{"doctorId": w.doctor.UserID, "patientId": w.patient.UserID, "reason": "x"},
			map[*auth.Actor]int{&nobody: unauthenticated, &w.other: missing, &w.stranger: forbidden},
		},
		{
			http.MethodPost, path + "/confirm",
			object{"startsAt": at(10, 0)},
			map[*auth.Actor]int{&nobody: unauthenticated, &w.patient: forbidden, &w.other: forbidden, &w.stranger: missing},
		},
		{
			http.MethodPost, path + "/reject",
			object{"reason": "x"},
			map[*auth.Actor]int{&nobody: unauthenticated, &w.patient: forbidden, &w.other: forbidden, &w.stranger: missing},
		},
		{
			http.MethodPost, path + "/cancel",
			object{"reason": "x"},
			map[*auth.Actor]int{&nobody: unauthenticated, &w.other: missing, &w.stranger: missing},
		},
	} {
		for actor, status := range r.want {
			got := c.call(*actor, r.method, r.path, r.in)
			require.Equal(t, status, got.Status, "%s %s as %s: %s", r.method, r.path, actor.Name, got.Raw)
			require.Equal(t, "application/problem+json", got.Header.Get("Content-Type"))
			require.NotContains(t, string(got.Raw), "Cough")
		}
	}
	require.Equal(t, http.StatusNotFound, c.call(w.admin, http.MethodGet, "/appointments/APP0000000000", nil).Status)
	got, err := w.svc.ByID(context.Background(), a.ID)
	require.NoError(t, err)
	require.Equal(t, a, got, "nothing was changed")
}

func TestRoutes_badInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.api()
	path := "/appointments/" + w.books(w.patient, nil).PublicID
	long := strings.Repeat("x", 1001)
	for _, r := range []struct {
		actor        auth.Actor
		method, path string
		in           any
	}{
		{w.patient, http.MethodPost, "/appointments", object{"doctorId": w.doctor.UserID}},
		{w.patient, http.MethodPost, "/appointments", object{"reason": "x"}},
		{w.patient, http.MethodPost, "/appointments", object{"doctorId": w.doctor.UserID, "reason": long}},
		{w.patient, http.MethodPost, "/appointments", object{"doctorId": w.doctor.UserID, "reason": "x", "status": "BOOKED"}},
		{w.patient, http.MethodPost, "/appointments", object{"doctorId": w.doctor.UserID, "reason": "x", "startsAt": "tomorrow"}},
		{w.patient, http.MethodPost, "/appointments", object{"doctorId": w.doctor.UserID, "reason": "a\x00b"}},
		{w.admin, http.MethodPost, "/appointments", object{"doctorId": w.doctor.UserID, "reason": "x"}},
		{w.doctor, http.MethodPost, path + "/confirm", nil},
		{w.doctor, http.MethodPost, path + "/confirm", object{"startsAt": monday.Add(-time.Hour)}},
		{w.doctor, http.MethodPost, path + "/confirm", object{"startsAt": at(10, 0), "note": long}},
		{w.doctor, http.MethodPost, path + "/reject", nil},
		{w.doctor, http.MethodPost, path + "/reject", object{"reason": "  "}},
		{w.doctor, http.MethodPost, path + "/cancel", object{}},
		{w.patient, http.MethodPost, path + "/cancel", object{"reason": long}},
		{w.patient, http.MethodGet, "/appointments?status=OPEN", nil},
		{w.patient, http.MethodGet, "/appointments?from=yesterday", nil},
		{w.patient, http.MethodGet, "/appointments?from=2026-03-03&to=2026-03-02", nil},
		{w.patient, http.MethodGet, "/appointments?cursor=nonsense", nil},
		{w.patient, http.MethodGet, "/appointments?limit=101", nil},
		{w.patient, http.MethodGet, "/doctors/" + w.doctor.UserID + "/slots?from=2026-03-01&to=2026-04-01", nil},
		{w.patient, http.MethodGet, "/doctors/" + w.doctor.UserID + "/slots?to=2026-03-01", nil},
	} {
		got := c.call(r.actor, r.method, r.path, r.in)
		require.Equal(t, http.StatusUnprocessableEntity, got.Status, "%s %s: %s", r.method, r.path, got.Raw)
		require.NotContains(t, string(got.Raw), "tomorrow")
	}
	require.Equal(t, http.StatusNotFound, c.call(auth.Actor{}, http.MethodGet, "/doctors/DOC9999999999/slots", nil).Status)
	require.Equal(t, 1, w.count(`select count(*) from appointments where version = 1`))
}

// A time that JSON cannot hold must never get in: every list with it would fail for good.
func TestRoutes_confirmKeepsTheHorizon(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.api()
	path := "/appointments/" + w.books(w.patient, nil).PublicID
	last := w.now.Add(w.cfg.BookingHorizon)
	for when, code := range map[string]string{
		"9999-12-31T23:45:00Z":                            "slot_too_far",
		"9999-12-31T23:59:00-23:59":                       "slot_too_far",
		last.Add(time.Minute).Format(time.RFC3339):        "slot_too_far",
		"0001-01-01T00:00:00Z":                            "slot_in_past",
		"0000-01-01T00:00:00+23:59":                       "slot_in_past",
		at(15, 5).Add(time.Second).Format(time.RFC3339):   "invalid",
		at(15, 5).Add(1).Format(time.RFC3339Nano):         "invalid",
		at(15, 5).Add(time.Hour / 7).Format(time.RFC3339): "invalid",
	} {
		got := c.call(w.doctor, http.MethodPost, path+"/confirm", object{"startsAt": when})
		require.Equal(t, http.StatusUnprocessableEntity, got.Status, "%s: %s", when, got.Raw)
		require.Equal(t, code, got.Code(), when)
		require.Contains(t, string(got.Raw), "body.startsAt")
		booked := c.call(w.patient, http.MethodPost, "/appointments",
			object{"doctorId": w.doctor.UserID, "startsAt": when, "reason": "x"})
		require.Equal(t, http.StatusUnprocessableEntity, booked.Status, "%s: %s", when, booked.Raw)
	}
	got := c.call(w.doctor, http.MethodPost, path+"/confirm", object{"startsAt": last})
	require.Equal(t, http.StatusOK, got.Status, "%s", got.Raw)
	require.Equal(t, string(got.Raw), string(c.call(w.doctor, http.MethodGet, path, nil).Raw))
	require.Equal(t, http.StatusOK, c.call(w.admin, http.MethodGet, "/appointments", nil).Status)

	_, err := w.pool.Exec(context.Background(),
		`update appointments set starts_at = '9999-12-31 23:00Z', ends_at = '9999-12-31 23:30Z'`)
	require.Equal(t, "appointments_year_check", postgres.Constraint(err))
}

func TestRoutes_ifMatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.api()
	path := "/appointments/" + w.books(w.patient, nil).PublicID
	in := object{"startsAt": at(10, 0)}
	for _, tag := range []string{`"2"`, `"0"`, `1`, `W/"2"`, `nonsense`} {
		got := c.call(w.doctor, http.MethodPost, path+"/confirm", in, "If-Match", tag)
		require.Equal(t, http.StatusPreconditionFailed, got.Status, tag)
		require.Equal(t, "stale", got.Code())
	}
	got := c.call(w.doctor, http.MethodPost, path+"/confirm", in, "If-Match", `"1"`)
	require.Equal(t, http.StatusOK, got.Status, "%s", got.Raw)
	require.Equal(t, `"2"`, got.Header.Get("ETag"))
	got = c.call(w.patient, http.MethodPost, path+"/cancel", nil, "If-Match", `"1"`)
	require.Equal(t, http.StatusPreconditionFailed, got.Status)
	got = c.call(w.patient, http.MethodPost, path+"/cancel", nil, "If-Match", `"2"`)
	require.Equal(t, http.StatusOK, got.Status, "%s", got.Raw)
}

func TestRoutes_list(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.api()
	morning, noon := at(10, 0), at(12, 0)
	mine, theirs, untimed := w.books(w.patient, &morning), w.books(w.other, &noon), w.books(w.patient, nil)
	_, err := w.svc.Confirm(context.Background(), w.doctor, mine.PublicID, appointment.Confirmation{})
	require.NoError(t, err)
	ids := func(actor auth.Actor, query string) (out []string) {
		for cursor := ""; ; {
			got := c.call(actor, http.MethodGet, "/appointments?limit=2&cursor="+url.QueryEscape(cursor)+"&"+query, nil)
			require.Equal(t, http.StatusOK, got.Status, "%s", got.Raw)
			for _, item := range got.Body["items"].([]any) {
				out = append(out, item.(object)["id"].(string))
			}
			next, more := got.Body["nextCursor"].(string)
			if !more {
				return out
			}
			cursor = next
		}
	}
	all := []string{untimed.PublicID, theirs.PublicID, mine.PublicID}
	require.Equal(t, all, ids(w.admin, ""))
	require.Equal(t, all, ids(w.doctor, ""))
	require.Empty(t, ids(w.stranger, ""))
	require.Equal(t, []string{untimed.PublicID, mine.PublicID}, ids(w.patient, ""))
	require.Equal(t, []string{theirs.PublicID}, ids(w.other, "doctorId="+w.doctor.UserID))
	require.Empty(t, ids(w.other, "patientId="+w.patient.UserID))
	require.Empty(t, ids(w.admin, "patientId=PAT9999999999"))
	require.Equal(t, all[:2], ids(w.admin, "status=PENDING"))
	require.Equal(t, all, ids(w.admin, "status=PENDING&status=BOOKED"))
	require.Equal(t, all, ids(w.admin, "status=PENDING,BOOKED"))
	require.Equal(t, all[1:], ids(w.admin, "from=2026-03-03&to=2026-03-03"))
	require.Equal(t, all[1:2], ids(w.admin, "from=2026-03-03T11:30:00%2B01:00"))
	require.Equal(t, all[2:], ids(w.admin, "from=2026-03-03T00:00:00Z&to=2026-03-03T11:00:00Z"))
	w.exec(`update conversations set closed_at = now() where id = $1`, mine.ID)
	got := c.call(w.patient, http.MethodGet, "/appointments/"+mine.PublicID, nil)
	require.Equal(t, false, got.Body["canReply"])
	require.Equal(t, "closed_by_doctor", got.Body["whyNot"])
	w.exec(`update users set role = 'PATIENT' where id = $1`, w.doctor.ID)
	require.Empty(t, ids(w.doctor, ""), "no longer a doctor")
	require.Equal(t, http.StatusNotFound, c.call(w.doctor, http.MethodGet, "/appointments/"+mine.PublicID, nil).Status)
}

// Cursors cannot be made by hand, and bounds lie at the ends of what can be written: an empty page or a 422, never a
// 500.
func TestRoutes_extremes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.api()
	one := "/appointments/" + w.books(w.patient, nil).PublicID
	w.books(w.patient, ptr(at(10, 30)))
	first := c.call(w.patient, http.MethodGet, "/appointments?limit=1", nil).Body["nextCursor"].(string)
	require.Equal(t, http.StatusOK, c.call(w.patient, http.MethodGet, "/appointments?cursor="+first, nil).Status)
	for _, path := range []string{
		one + "/history?cursor=" + first, "/appointments?cursor=" + base64.RawURLEncoding.EncodeToString([]byte("[1]")),
		one + "/history?cursor=" + base64.RawURLEncoding.EncodeToString([]byte("[0]")),
	} {
		require.Equal(t, http.StatusUnprocessableEntity, c.call(w.patient, http.MethodGet, path, nil).Status, path)
	}
	times := []string{
		"", "0000-01-01", "0001-01-01", "1900-01-01", "9999-12-31", "10000-01-01", "0001-01-01T00:00:00Z",
		"0000-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999999-23:59", "2026-03-03T10:30:00+23:59",
		"2026-03-03T10:30:00.0000000001Z", "2026-03-03T10:30:00-24:00",
	}
	for _, from := range times {
		for _, to := range times {
			query := "?" + url.Values{"from": {from}, "to": {to}}.Encode()
			for _, list := range []string{"/appointments", "/doctors/" + w.doctor.UserID + "/slots"} {
				got := c.call(w.admin, http.MethodGet, list+query, nil)
				require.Contains(t, []int{http.StatusOK, http.StatusUnprocessableEntity}, got.Status, "%s%s: %s", list, query,
					got.Raw)
			}
		}
	}
	// The zero time is a bound as any other, not the lack of one.
	got := c.call(w.admin, http.MethodGet, "/appointments?to=0001-01-01T00:00:00Z", nil)
	require.Equal(t, http.StatusUnprocessableEntity, got.Status, "%s", got.Raw)
}

func TestRoutes_slots(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.api()
	when := at(10, 30)
	w.books(w.patient, &when)
	starts := func(query string) map[string]bool {
		got := c.call(auth.Actor{}, http.MethodGet, "/doctors/"+w.doctor.UserID+"/slots"+query, nil)
		require.Equal(t, http.StatusOK, got.Status, "%s", got.Raw)
		require.Equal(t, "Europe/Berlin", got.Body["timeZone"])
		out := map[string]bool{}
		for _, item := range got.Body["items"].([]any) {
			out[item.(object)["startsAt"].(string)] = true
		}
		return out
	}
	day := starts("?from=2026-03-03&to=2026-03-03")
	require.Len(t, day, 14)
	require.True(t, day["2026-03-03T10:00:00.000000+01:00"])
	require.False(t, day["2026-03-03T10:30:00.000000+01:00"], "taken")
	require.Len(t, starts(""), 7*15-1, "a week")
	require.Empty(t, starts("?from=2026-03-03T10:30:00%2B01:00&to=2026-03-03T11:00:00%2B01:00"))
	require.Empty(t, starts("?from=2026-02-01&to=2026-02-02"), "past")
	w.exec(`update users set disabled_at = now() where id = $1`, w.doctor.ID)
	require.Equal(t, http.StatusNotFound,
		c.call(auth.Actor{}, http.MethodGet, "/doctors/"+w.doctor.UserID+"/slots", nil).Status)
}
