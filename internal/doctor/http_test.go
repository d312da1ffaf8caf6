package doctor_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"housecall/internal/auth"
	"housecall/internal/doctor"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/testing/apitest"
)

// The cast of every test: two doctors, a patient, an admin.
const (
	ann   = "DOC0000000ANN"
	bob   = "DOC0000000B0B"
	pat   = "PAT0000000PAT"
	admin = "ADM00000ADM1N"
)

func newClinic(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.user(ann, "Dr Ann", auth.Doctor, "Cardiology")
	w.user(bob, "Dr Bob", auth.Doctor, "Dermatology")
	w.user(pat, "Pat", auth.Patient, "")
	w.user(admin, "Ada", auth.Admin, "")
	return w
}

// A cursor reveals nothing and cannot be made by hand.
func TestRoutes_ForgedCursors(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	for _, key := range []string{`["",""]`, `["Dr Ann","` + ann + `"]`} {
		got := w.call("GET", "/doctors?cursor="+base64.RawURLEncoding.EncodeToString([]byte(key)), "", "", "")
		require.Equal(t, http.StatusUnprocessableEntity, got.Status, key)
		require.Equal(t, "query.cursor", got.BadField())
	}
}

func TestRoutes_Directory(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	w.user("DOC000DISABLED", "Dr Gone", auth.Doctor, "Cardiology")
	w.exec(`update users set disabled_at = now() where public_id = 'DOC000DISABLED'`)
	w.user("DOC0000DEMOTED", "Dr Was", auth.Doctor, "Cardiology")
	w.exec(`update users set role = 'PATIENT' where public_id = 'DOC0000DEMOTED'`)

	all := w.call("GET", "/doctors", "", "", "")
	require.Equal(t, http.StatusOK, all.Status)
	apitest.Golden(t, "directory", all)
	require.NotContains(t, string(all.Raw), "phone")
	require.NotContains(t, string(all.Raw), "@")

	for query, want := range map[string][]string{
		"q=ann":                             {ann},
		"q=DERMA":                           {bob},
		"q=mbbs":                            {ann, bob},
		"q=%25":                             {}, // a wildcard of LIKE is only a character here
		"q=_":                               {},
		"specialization=cardiology":         {ann},
		"specialization=cardio":             {},
		"specialization=dermatology&q=dr+b": {bob},
		"specialization=dermatology&q=ann":  {},
	} {
		got := w.call("GET", "/doctors?"+query, "", "", "")
		require.Equal(t, http.StatusOK, got.Status, query)
		require.Equal(t, want, got.Each("userId"), query)
	}
	for query, field := range map[string]string{
		"limit=0":                       "query.limit",
		"limit=101":                     "query.limit",
		"cursor=nonsense":               "query.cursor",
		"q=" + strings.Repeat("a", 101): "query.q",
		"q=%00":                         "query.q",
		"specialization=%ff":            "query.specialization",
	} {
		got := w.call("GET", "/doctors?"+query, "", "", "")
		require.Equal(t, http.StatusUnprocessableEntity, got.Status, query)
		require.Equal(t, field, got.BadField(), query)
	}
}

// Whatever characters a name has, its cursor is accepted again.
func TestRoutes_LongestCursor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, name := range []string{strings.Repeat("<", 100), strings.Repeat("\U0010ffff", 100)} {
		w.user("DOC"+uuid.NewString()[:10], name, auth.Doctor, "")
	}
	w.user("DOC0000000LAST", strings.Repeat("\U0010ffff", 100), auth.Doctor, "")
	for cursor, pages := "", 0; pages < 3; pages++ {
		page := w.call("GET", "/doctors?limit=1&cursor="+cursor, "", "", "")
		require.Equal(t, http.StatusOK, page.Status, "%s", page.Raw)
		require.Len(t, page.Each("userId"), 1)
		cursor, _ = page.Body["nextCursor"].(string)
	}
}

func TestRoutes_DirectoryPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	want := []string{}
	for _, c := range "ABCDE" { // one name: the id decides
		id := "DOC000000000" + string(c)
		w.user(id, "Dr Same", auth.Doctor, "")
		want = append(want, id)
	}
	var got []string
	cursor := ""
	for range 3 {
		page := w.call("GET", "/doctors?limit=2&cursor="+url.QueryEscape(cursor), "", "", "")
		require.Equal(t, http.StatusOK, page.Status)
		got = append(got, page.Each("userId")...)
		cursor, _ = page.Body["nextCursor"].(string)
	}
	require.Equal(t, want, got)
	require.Empty(t, cursor)
}

func TestRoutes_Get(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	stranger := w.call("GET", "/doctors/"+ann, "", "", "")
	require.Equal(t, http.StatusOK, stranger.Status)
	require.Equal(t, `"1"`, stranger.ETag())
	apitest.Golden(t, "doctor_public", stranger)
	apitest.Golden(t, "doctor_private", w.call("GET", "/doctors/"+ann, ann, "", ""))
	require.Equal(t, "+977 1 555", w.call("GET", "/doctors/"+ann, admin, "", "").Body["phone"])
	for _, other := range []string{bob, pat} {
		require.NotContains(t, w.call("GET", "/doctors/"+ann, other, "", "").Body, "phone")
	}
	for _, id := range []string{pat, admin, "DOCNOSUCH0000", strings.ToLower(ann)} {
		require.Equal(t, http.StatusNotFound, w.call("GET", "/doctors/"+id, "", "", "").Status, id)
	}
	for _, id := range []string{"%00", strings.Repeat("x", 21)} {
		require.Equal(t, http.StatusUnprocessableEntity, w.call("GET", "/doctors/"+id, "", "", "").Status, id)
	}
	w.exec(`update users set disabled_at = now() where public_id = $1`, ann)
	require.Equal(t, http.StatusNotFound, w.call("GET", "/doctors/"+ann, admin, "", "").Status)
}

func TestRoutes_Create(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	const full = `{"name":"Dr New","email":"new@example.test","specialization":" ENT ","qualification":"MD","experience":3,"phone":"1","timeZone":"Europe/Berlin","slotMinutes":20}`
	for token, status := range map[string]int{"": http.StatusUnauthorized, pat: http.StatusForbidden, ann: http.StatusForbidden} {
		require.Equal(t, status, w.call("POST", "/doctors", token, "", full).Status)
	}
	for body, field := range map[string]string{
		strings.Replace(full, `"name":"Dr New",`, ``, 1):                "body.name",
		strings.Replace(full, `"experience":3`, `"experience":-1`, 1):   "body.experience",
		strings.Replace(full, "Europe/Berlin", "Europe/Atlantis", 1):    "body.timeZone",
		strings.Replace(full, `"slotMinutes":20`, `"slotMinutes":4`, 1): "body.slotMinutes",
		strings.Replace(full, `"phone"`, `"role":"ADMIN","phone"`, 1):   "body.role",
		strings.Replace(full, `"phone":"1"`, `"phone":"call me"`, 1):    "body.phone",
		strings.Replace(full, `ENT`, `a\u0000b`, 1):                     "body.specialization",
	} {
		got := w.call("POST", "/doctors", admin, "", body)
		require.Equal(t, http.StatusUnprocessableEntity, got.Status, body)
		require.Equal(t, field, got.BadField(), body)
	}
	taken := w.call("POST", "/doctors", admin, "", strings.Replace(full, "new@", "taken@", 1))
	require.Equal(t, http.StatusConflict, taken.Status)
	require.Equal(t, "email_taken", taken.Code())
	require.Equal(t, http.StatusNotFound, w.call("GET", "/doctors/DOCNEWDOCTOR0", "", "", "").Status,
		"nothing half-written")

	made := w.call("POST", "/doctors", admin, "", full)
	require.Equal(t, http.StatusCreated, made.Status, string(made.Raw))
	apitest.Golden(t, "doctor_created", made)
	require.Equal(t, `"1"`, made.ETag())
	require.Equal(t, "/api/v1/doctors/DOCNEWDOCTOR0", made.Header.Get("Location"))
	rules := w.call("GET", "/doctors/DOCNEWDOCTOR0/booking-rules", "", "", "")
	require.EqualValues(t, 20, rules.Body["slotMinutes"])
	require.Equal(t, 1, w.audited("doctor.create", "DOCNEWDOCTOR0"))
}

func (w *world) audited(action, subject string) (n int) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(),
		`select count(*) from audit_events where action = $1 and subject = $2`, action, subject).Scan(&n))
	return n
}

func TestRoutes_Patch(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	const change = `{"specialization":"Oncology","experience":8}`
	for _, c := range []struct {
		name, token, ifMatch, body string
		status                     int
	}{
		{"nobody", "", `"1"`, change, http.StatusUnauthorized},
		{"a patient", pat, `"1"`, change, http.StatusForbidden},
		{"another doctor", bob, `"1"`, change, http.StatusNotFound},
		{"no If-Match", ann, "", change, http.StatusPreconditionRequired},
		{"a stale one", ann, `"9"`, change, http.StatusPreconditionFailed},
		{"one that is none", ann, `1`, change, http.StatusPreconditionFailed},
		{"a bad value", ann, `"1"`, `{"experience":81}`, http.StatusUnprocessableEntity},
		{"an unknown field", ann, `"1"`, `{"name":"Boss"}`, http.StatusUnprocessableEntity},
		{"another type", ann, `"1"`, `{"phone":7}`, http.StatusUnprocessableEntity},
		{"no telephone number", ann, `"1"`, `{"phone":"<b>call me</b>"}`, http.StatusUnprocessableEntity},
		{"no JSON", ann, `"1"`, `{`, http.StatusBadRequest},
	} {
		require.Equal(t, c.status, w.call("PATCH", "/doctors/"+ann, c.token, c.ifMatch, c.body).Status, c.name)
	}
	require.Equal(t, `"1"`, w.call("GET", "/doctors/"+ann, "", "", "").ETag(), "nothing of it was written")

	mine := w.call("PATCH", "/doctors/"+ann, ann, `"1"`, change)
	require.Equal(t, http.StatusOK, mine.Status, string(mine.Raw))
	require.Equal(t, `"2"`, mine.ETag())
	apitest.Golden(t, "doctor_changed", mine)
	theirs := w.call("PATCH", "/doctors/"+ann, admin, `"2"`, `{"phone":"","qualification":null}`)
	require.Equal(t, http.StatusOK, theirs.Status)
	require.NotContains(t, theirs.Body, "phone")
	require.Equal(t, "MBBS", theirs.Body["qualification"], "null is like leaving it out")
	require.Equal(t, http.StatusPreconditionFailed, w.call("PATCH", "/doctors/"+ann, ann, `"2"`, change).Status)
	require.Equal(t, 2, w.audited("doctor.change", ann))
}

func TestRoutes_Hours(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	path := "/doctors/" + ann + "/hours"
	first := w.call("GET", path, "", "", "")
	require.Equal(t, http.StatusOK, first.Status)
	require.Equal(t, `"1"`, first.ETag())
	apitest.Golden(t, "hours_default", first)

	const week = `{"intervals":[{"weekday":2,"from":"13:00","to":"24:00"},{"weekday":2,"from":"00:00","to":"12:30"}]}`
	interval := func(s string) string { return `{"intervals":[` + s + `]}` }
	for _, c := range []struct {
		name, token, ifMatch, body string
		status                     int
		field                      string
	}{
		{"nobody", "", `"1"`, week, http.StatusUnauthorized, ""},
		{"a patient", pat, `"1"`, week, http.StatusForbidden, ""},
		{"another doctor", bob, `"1"`, week, http.StatusNotFound, ""},
		{"no If-Match", ann, "", week, http.StatusPreconditionRequired, ""},
		{"stale", ann, `"2"`, week, http.StatusPreconditionFailed, ""},
		{"no list", ann, `"1"`, `{}`, http.StatusUnprocessableEntity, "body.intervals"},
		{"null", ann, `"1"`, `{"intervals":null}`, http.StatusUnprocessableEntity, "body.intervals"},
		{"weekday", ann, `"1"`, interval(`{"weekday":0,"from":"10:00","to":"11:00"}`), http.StatusUnprocessableEntity, "body.intervals[0].weekday"},
		{"no clock time", ann, `"1"`, interval(`{"weekday":1,"from":"25:00","to":"26:00"}`), http.StatusUnprocessableEntity, "body.intervals[0].from"},
		{"24:00 begins nothing", ann, `"1"`, interval(`{"weekday":1,"from":"24:00","to":"24:00"}`), http.StatusUnprocessableEntity, "body.intervals[0].from"},
		{"overlap", ann, `"1"`, interval(`{"weekday":1,"from":"10:00","to":"11:00"},{"weekday":1,"from":"10:59","to":"12:00"}`), http.StatusUnprocessableEntity, "body.intervals[1].from"},
		{"too many", ann, `"1"`, interval(strings.Repeat(`{"weekday":1,"from":"10:00","to":"11:00"},`, 70) + `{"weekday":1,"from":"10:00","to":"11:00"}`), http.StatusUnprocessableEntity, "body.intervals"},
	} {
		got := w.call("PUT", path, c.token, c.ifMatch, c.body)
		require.Equal(t, c.status, got.Status, c.name)
		require.Equal(t, c.field, got.BadField(), c.name)
	}
	set := w.call("PUT", path, ann, `"1"`, week)
	require.Equal(t, http.StatusOK, set.Status, string(set.Raw))
	require.Equal(t, `"2"`, set.ETag())
	apitest.Golden(t, "hours_set", set)
	none := w.call("PUT", path, admin, `"2"`, `{"intervals":[]}`)
	require.Equal(t, http.StatusOK, none.Status)
	require.Equal(t, []any{}, none.Body["intervals"])
	require.Equal(t, `"3"`, w.call("GET", path, "", "", "").ETag())
	require.Equal(t, http.StatusNotFound, w.call("GET", "/doctors/"+pat+"/hours", "", "", "").Status)
	require.Equal(t, 2, w.audited("doctor.hours", ann))
}

func TestRoutes_BookingRules(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	path := "/doctors/" + ann + "/booking-rules"
	first := w.call("GET", path, "", "", "")
	require.Equal(t, http.StatusOK, first.Status)
	require.Equal(t, `"1"`, first.ETag())
	apitest.Golden(t, "rules", first)
	const set = `{"timeZone":"America/St_Johns","slotMinutes":45}`
	for _, c := range []struct {
		name, token, ifMatch, body string
		status                     int
		field                      string
	}{
		{"nobody", "", `"1"`, set, http.StatusUnauthorized, ""},
		{"a patient", pat, `"1"`, set, http.StatusForbidden, ""},
		{"another doctor", bob, `"1"`, set, http.StatusNotFound, ""},
		{"no If-Match", ann, "", set, http.StatusPreconditionRequired, ""},
		{"stale", ann, `"7"`, set, http.StatusPreconditionFailed, ""},
		{"no such zone", ann, `"1"`, `{"timeZone":"Local","slotMinutes":45}`, http.StatusUnprocessableEntity, "body.timeZone"},
		{"too short", ann, `"1"`, `{"timeZone":"UTC","slotMinutes":4}`, http.StatusUnprocessableEntity, "body.slotMinutes"},
		{"half of it", ann, `"1"`, `{"timeZone":"UTC"}`, http.StatusUnprocessableEntity, "body.slotMinutes"},
	} {
		got := w.call("PUT", path, c.token, c.ifMatch, c.body)
		require.Equal(t, c.status, got.Status, c.name)
		require.Equal(t, c.field, got.BadField(), c.name)
	}
	done := w.call("PUT", path, ann, `"1"`, set)
	require.Equal(t, http.StatusOK, done.Status, string(done.Raw))
	require.Equal(t, `"2"`, done.ETag())
	require.Equal(t, `"2"`, w.call("GET", "/doctors/"+ann+"/hours", "", "", "").ETag(), "hours and rules share a version")
	profile := w.call("GET", "/doctors/"+ann, "", "", "")
	require.Equal(t, "America/St_Johns", profile.Body["timeZone"])
	require.EqualValues(t, 45, profile.Body["slotMinutes"])
	require.Equal(t, http.StatusOK, w.call("PUT", path, admin, `"2"`, set).Status)
}

func TestService_Enroll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := auth.Actor{ID: w.user("ADM0000000001", "Ada", auth.Admin, ""), UserID: "ADM0000000001", Role: auth.Admin}
	n := doctor.NewDoctor{
		Name: "Dr New", Email: "new@example.test", Profile: doctor.Profile{Specialization: " Surgery ", Experience: 3},
	}
	bad := n
	bad.Experience = 99
	_, _, err := w.svc.Enroll(t.Context(), admin, bad)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	taken := n
	taken.Email = "taken@example.test"
	_, _, err = w.svc.Enroll(t.Context(), admin, taken)
	require.Equal(t, "email_taken", errs.CodeOf(err))

	d, password, err := w.svc.Enroll(t.Context(), admin, n)
	require.NoError(t, err)
	require.Equal(t, "made up", password)
	require.Equal(t, "Surgery", d.Specialization)
	require.True(t, d.Active)
	found, err := w.svc.Lookup(t.Context(), d.ID, 1<<40)
	require.NoError(t, err)
	require.Equal(t, map[int64]doctor.Doctor{d.ID: d}, found)
	var audited int
	require.NoError(
		t,
		w.pool.QueryRow(t.Context(), `select count(*) from audit_events where action = 'doctor.create' and subject = $1`, d.UserID).
			Scan(&audited),
	)
	require.Equal(t, 1, audited)
}

func TestService_CreateAndByIDs(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	id := w.user("ADM00000BEC0M", "Becomes one", auth.Admin, "")
	for range 2 { // a second time changes nothing
		require.NoError(t, w.pool.InTx(t.Context(), func(tx *postgres.Tx) error { return w.svc.Create(t.Context(), tx, id) }))
	}
	found, err := w.svc.ByIDs(t.Context(), w.pool, id, 1<<40)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.False(t, found[id].Active, "not a doctor by role yet")
	require.Equal(t, "Asia/Kathmandu", found[id].TimeZone)
	none, err := w.svc.ByIDs(t.Context(), w.pool)
	require.NoError(t, err)
	require.Empty(t, none)
	err = w.pool.InTx(t.Context(), func(tx *postgres.Tx) error { return w.svc.Lock(t.Context(), tx, 1<<40) })
	require.ErrorContains(t, err, "no such doctor")
}

func TestRoutes_PatchManyWorkersOneWinner(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	statuses := make([]int, 12)
	var workers errgroup.Group
	for n := range statuses {
		workers.Go(func() error {
			a, err := w.api.Try("PATCH", "/doctors/"+ann, ann, fmt.Sprintf(`{"experience":%d}`, n+1), "If-Match", `"1"`)
			statuses[n] = a.Status
			return err
		})
	}
	require.NoError(t, workers.Wait())
	count := map[int]int{}
	for _, s := range statuses {
		count[s]++
	}
	require.Equal(t, map[int]int{http.StatusOK: 1, http.StatusPreconditionFailed: 11}, count)
	require.Equal(t, `"2"`, w.call("GET", "/doctors/"+ann, "", "", "").ETag())
}
