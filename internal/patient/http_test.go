package patient_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/patient"
	"housecall/internal/postgres"
	"housecall/internal/testing/apitest"
)

// The cast of every test. Ann is assigned to pia, and tom is hers by appointment.
const (
	ann   = "DOC0000000ANN"
	bob   = "DOC0000000B0B"
	pia   = "PAT0000000P1A"
	tom   = "PAT0000000T0M"
	zoe   = "PAT0000000Z0E"
	admin = "ADM00000ADM1N"
)

func newClinic(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, care{doctor: ann, patients: []string{tom, pia}})
	w.user(ann, "Dr Ann", auth.Doctor)
	w.user(bob, "Dr Bob", auth.Doctor)
	w.user(pia, "Pia", auth.Patient)
	w.user(tom, "Tom", auth.Patient)
	w.user(zoe, "Zoe", auth.Patient)
	w.user(admin, "Ada", auth.Admin)
	w.exec(`update patients set doctor_id = (select id from users where public_id = $1)
		where user_id = (select id from users where public_id = $2)`, ann, pia)
	return w
}

// audited counts rows of the trail.
func (w *world) audited(action, subject string) (n int) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), `
		select count(*) from audit_events e
		where action = $1 and subject = $2
		  and ($2 = '' or patient_id = (select id from users where public_id = $2))`, action, subject).Scan(&n))
	return n
}

func TestRoutes_List(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	for _, c := range []struct {
		token string
		want  []string
	}{
		{admin, []string{pia, tom, zoe}},
		{ann, []string{pia, tom}},
		{bob, []string{}},
		{zoe, []string{zoe}},
	} {
		got := w.call("GET", "/patients", c.token, "", "")
		require.Equal(t, http.StatusOK, got.Status, c.token)
		require.Equal(t, c.want, got.Each("userId"), c.token)
	}
	for id, times := range map[string]int{pia: 2, tom: 2, zoe: 1} {
		require.Equal(t, times, w.audited("patient.list", id), "by the admin and the doctor, not by the patient: %s", id)
	}
	apitest.Golden(t, "list", w.call("GET", "/patients", ann, "", ""))
	require.Equal(t, http.StatusUnauthorized, w.call("GET", "/patients", "", "", "").Status)
	for query, field := range map[string]string{
		"limit=0":  "query.limit",
		"cursor=x": "query.cursor",
	} {
		got := w.call("GET", "/patients?"+query, admin, "", "")
		require.Equal(t, http.StatusUnprocessableEntity, got.Status, query)
		require.Equal(t, field, got.BadField(), query)
	}
}

// A cursor reveals nothing and cannot be made by hand, so it cannot be used to find out whether a public id exists.
func TestRoutes_ForgedCursors(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	for _, key := range []string{`["` + tom + `"]`, `["PAT0NOBODY"]`, `[1]`, `[0]`, `[]`} {
		for _, token := range []string{admin, ann, pia} {
			got := w.call("GET", "/patients?cursor="+base64.RawURLEncoding.EncodeToString([]byte(key)), token, "", "")
			require.Equal(t, http.StatusUnprocessableEntity, got.Status, "%v: %s", key, got.Raw)
			require.Equal(t, "query.cursor", got.BadField())
		}
	}
}

func TestRoutes_ListPages(t *testing.T) {
	t.Parallel()
	var all, treated []string
	for n := range 9 {
		all = append(all, fmt.Sprintf("PAT%010d", n))
		if n%3 == 0 {
			treated = append(treated, all[n])
		}
	}
	w := newWorld(t, care{doctor: ann, patients: treated})
	doctor := w.user(ann, "Dr Ann", auth.Doctor)
	w.user(admin, "Ada", auth.Admin)
	var own []string
	for n, id := range all {
		patient := w.user(id, "P", auth.Patient)
		if n%2 == 0 { // 0 and 6 are both assigned and treated
			w.exec(`update patients set doctor_id = $1 where user_id = $2`, doctor, patient)
		}
		if n%2 == 0 || n%3 == 0 {
			own = append(own, id)
		}
	}
	for token, want := range map[string][]string{admin: all, ann: own, all[4]: {all[4]}} {
		var got []string
		cursor := ""
		for more := true; more; more = cursor != "" {
			page := w.call("GET", "/patients?limit=2&cursor="+url.QueryEscape(cursor), token, "", "")
			require.Equal(t, http.StatusOK, page.Status)
			require.LessOrEqual(t, len(page.Each("userId")), 2)
			got = append(got, page.Each("userId")...)
			cursor, _ = page.Body["nextCursor"].(string)
		}
		require.Equal(t, want, got, token)
	}
}

func TestRoutes_Get(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	for _, c := range []struct {
		name, token, id string
		status, audited int
	}{
		{"nobody", "", pia, http.StatusUnauthorized, 0},
		{"the patient", pia, pia, http.StatusOK, 0},
		{"another patient", tom, pia, http.StatusNotFound, 0},
		{"a doctor without either", bob, pia, http.StatusNotFound, 0},
		{"the assigned doctor", ann, pia, http.StatusOK, 1},
		{"an admin", admin, pia, http.StatusOK, 2},
		{"a doctor by appointment", ann, tom, http.StatusOK, 1},
		{"neither assigned nor treated", ann, zoe, http.StatusNotFound, 0},
		{"no such patient", admin, "PATNOSUCH0000", http.StatusNotFound, 0},
		{"not in the registry", admin, ann, http.StatusNotFound, 0},
	} {
		require.Equal(t, c.status, w.call("GET", "/patients/"+c.id, c.token, "", "").Status, c.name)
		require.Equal(t, c.audited, w.audited("patient.read", c.id), c.name)
	}
	got := w.call("GET", "/patients/"+pia, pia, "", "")
	require.Equal(t, `"1"`, got.ETag())
	apitest.Golden(t, "entry", got)
}

func TestRoutes_Patch(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	const change = `{"phone":"+977 (1) 555-01","gender":"other","dateOfBirth":"2000-02-29","address":"Lane 2"}`
	for _, c := range []struct {
		name, token, ifMatch, body string
		status                     int
		field                      string
	}{
		{"nobody", "", `"1"`, change, http.StatusUnauthorized, ""},
		{"another patient", tom, `"1"`, change, http.StatusNotFound, ""},
		{"a strange doctor", bob, `"1"`, change, http.StatusNotFound, ""},
		{"the assigned doctor", ann, `"1"`, change, http.StatusForbidden, ""},
		{"no If-Match", pia, "", change, http.StatusPreconditionRequired, ""},
		{"stale", pia, `"2"`, change, http.StatusPreconditionFailed, ""},
		{"phone", pia, `"1"`, `{"phone":"call me"}`, http.StatusUnprocessableEntity, "body.phone"},
		{"gender", pia, `"1"`, `{"gender":"Female"}`, http.StatusUnprocessableEntity, "body.gender"},
		{"no such day", pia, `"1"`, `{"dateOfBirth":"2001-02-29"}`, http.StatusUnprocessableEntity, "body.dateOfBirth"},
		{"the future", pia, `"1"`, `{"dateOfBirth":"2999-01-01"}`, http.StatusUnprocessableEntity, "body.dateOfBirth"},
		{"too long ago", pia, `"1"`, `{"dateOfBirth":"1899-12-31"}`, http.StatusUnprocessableEntity, "body.dateOfBirth"},
		{"Go's zero time", pia, `"1"`, `{"dateOfBirth":"0001-01-01"}`, http.StatusUnprocessableEntity, "body.dateOfBirth"},
		{"address", pia, `"1"`, `{"address":"` + strings.Repeat("a", 501) + `"}`, http.StatusUnprocessableEntity, "body.address"},
		{"NUL", pia, `"1"`, `{"address":"a\u0000"}`, http.StatusUnprocessableEntity, "body.address"},
		{"an unknown field", pia, `"1"`, `{"doctorId":"` + bob + `"}`, http.StatusUnprocessableEntity, "body.doctorId"},
	} {
		got := w.call("PATCH", "/patients/"+pia, c.token, c.ifMatch, c.body)
		require.Equal(t, c.status, got.Status, c.name)
		require.Equal(t, c.field, got.BadField(), c.name)
	}
	require.Equal(t, `"1"`, w.call("GET", "/patients/"+pia, pia, "", "").ETag(), "nothing of it was written")

	mine := w.call("PATCH", "/patients/"+pia, pia, `"1"`, change)
	require.Equal(t, http.StatusOK, mine.Status, string(mine.Raw))
	require.Equal(t, `"2"`, mine.ETag())
	apitest.Golden(t, "entry_changed", mine)
	theirs := w.call("PATCH", "/patients/"+pia, admin, `"2"`, `{"dateOfBirth":"","gender":"","phone":""}`)
	require.Equal(t, http.StatusOK, theirs.Status, string(theirs.Raw))
	apitest.Golden(t, "entry_cleared", theirs)
	require.Equal(t, http.StatusPreconditionFailed, w.call("PATCH", "/patients/"+pia, pia, `"2"`, change).Status)
	require.Equal(t, 2, w.audited("patient.change", pia))
}

func TestRoutes_Assign(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	w.user("DOC000DISABLED", "Dr Gone", auth.Doctor)
	w.exec(`update users set disabled_at = now() where public_id = 'DOC000DISABLED'`)
	to := func(id string) string { return `{"doctorId":"` + id + `"}` }
	for _, c := range []struct {
		name, token, id, body string
		status                int
		field                 string
	}{
		{"nobody", "", tom, to(ann), http.StatusUnauthorized, ""},
		{"a patient", tom, tom, to(ann), http.StatusForbidden, ""},
		{"a doctor another one", ann, tom, to(bob), http.StatusForbidden, ""},
		{"a doctor takes away another's", bob, pia, `{"doctorId":null}`, http.StatusNotFound, ""},
		{"no such patient", ann, "PATNOSUCH0000", to(ann), http.StatusNotFound, ""},
		{"no such doctor", admin, tom, to("DOCNOSUCH0000"), http.StatusUnprocessableEntity, "body.doctorId"},
		{"a disabled doctor", admin, tom, to("DOC000DISABLED"), http.StatusUnprocessableEntity, "body.doctorId"},
		{"a patient as doctor", admin, tom, to(zoe), http.StatusUnprocessableEntity, "body.doctorId"},
		{"empty", admin, tom, to(""), http.StatusUnprocessableEntity, "body.doctorId"},
		{"nothing", admin, tom, `{}`, http.StatusUnprocessableEntity, "body.doctorId"},
	} {
		got := w.call("PUT", "/patients/"+c.id+"/doctor", c.token, `"1"`, c.body)
		require.Equal(t, c.status, got.Status, c.name)
		require.Equal(t, c.field, got.BadField(), c.name)
	}
	require.Equal(t, 0, w.audited("patient.assign", tom))

	for ifMatch, status := range map[string]int{
		"": http.StatusPreconditionRequired, `"2"`: http.StatusPreconditionFailed, `"0"`: http.StatusPreconditionFailed,
		`"99999999999"`: http.StatusPreconditionFailed, `W/"2"`: http.StatusPreconditionFailed,
	} {
		require.Equal(t, status, w.call("PUT", "/patients/"+tom+"/doctor", admin, ifMatch, to(ann)).Status, ifMatch)
	}
	require.Equal(t, 0, w.audited("patient.assign", tom))

	self := w.call("PUT", "/patients/"+tom+"/doctor", bob, "*", to(bob)) // they cannot read the entry before
	require.Equal(t, http.StatusOK, self.Status, string(self.Raw))
	apitest.Golden(t, "entry_assigned", self)
	require.Equal(t, http.StatusOK, w.call("GET", "/patients/"+tom, bob, "", "").Status, "the assignment opens the entry")
	require.Equal(t, http.StatusOK,
		w.call("PUT", "/patients/"+tom+"/doctor", bob, self.ETag(), `{"doctorId":null}`).Status)
	require.Equal(t, http.StatusNotFound, w.call("GET", "/patients/"+tom, bob, "", "").Status, "and its end closes it")
	require.Equal(t, http.StatusOK, w.call("PUT", "/patients/"+pia+"/doctor", admin, `"1"`, to(bob)).Status)
	none := w.call("PUT", "/patients/"+pia+"/doctor", admin, `"2"`, `{"doctorId":null}`)
	require.Equal(t, http.StatusOK, none.Status)
	require.NotContains(t, none.Body, "doctor")
	require.Equal(t, 2, w.audited("patient.assign", tom))
	require.Equal(t, 2, w.audited("patient.assign", pia))
}

func TestService_Create(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	id := w.user("ADM0000000NEW", "New", auth.Admin)
	_, err := w.svc.Resolve(t.Context(), w.pool, "ADM0000000NEW")
	require.Equal(t, errs.NotFound, errs.KindOf(err))
	create := func(d patient.Details) error {
		return w.pool.InTx(t.Context(), func(tx *postgres.Tx) error { return w.svc.Create(t.Context(), tx, auth.System, id, d) })
	}
	future := time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)
	err = create(patient.Details{Phone: "x", Gender: "x", DateOfBirth: &future, Address: strings.Repeat("a", 501)})
	var e *errs.Error
	require.ErrorAs(t, err, &e)
	require.Len(t, e.Fields, 4, "every bad field is named")

	born := time.Date(1990, 12, 31, 0, 0, 0, 0, time.UTC)
	require.NoError(t,
		create(patient.Details{Phone: " 9841000000 ", Gender: patient.GenderMale, DateOfBirth: &born, Address: "Lane 3"}))
	require.NoError(t, create(patient.Details{}), "one that is there stays as it is")
	p, err := w.svc.Resolve(t.Context(), w.pool, "ADM0000000NEW")
	require.NoError(t, err)
	require.Equal(t, patient.Patient{
		ID: id, UserID: "ADM0000000NEW", Name: "New", Phone: "9841000000", Gender: "male", DateOfBirth: &born,
		Address: "Lane 3", Active: true, Version: 1, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
	}, p)
	found, err := w.svc.ByIDs(t.Context(), w.pool, id, 1<<40)
	require.NoError(t, err)
	require.Equal(t, map[int64]patient.Patient{id: p}, found)
}

func TestRoutes_ManyWorkersOneWinner(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(w *world, n int) (answer, error){
		"change": func(w *world, n int) (answer, error) {
			return w.api.Try("PATCH", "/patients/"+pia, pia, fmt.Sprintf(`{"address":"Lane %d"}`, n), "If-Match", `"1"`)
		},
		"assign": func(w *world, n int) (answer, error) {
			to := []string{`{"doctorId":"` + bob + `"}`, `{"doctorId":null}`}
			return w.api.Try("PUT", "/patients/"+pia+"/doctor", admin, to[n%2], "If-Match", `"1"`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			oneWinner(t, send)
		})
	}
}

func oneWinner(t *testing.T, send func(w *world, n int) (answer, error)) {
	t.Helper()
	w := newClinic(t)
	statuses := make([]int, 12)
	var workers errgroup.Group
	for n := range statuses {
		workers.Go(func() error {
			a, err := send(w, n)
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
	require.Equal(t, `"2"`, w.call("GET", "/patients/"+pia, pia, "", "").ETag())
}
