package doctor_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"housecall/internal/testing/apitest"
)

// refusal is a request that must not change anything.
type refusal struct {
	name, token, ifMatch, body string
	status                     int
	field                      string
}

func (w *world) refuses(method, path string, all []refusal) {
	w.t.Helper()
	for _, c := range all {
		got := w.call(method, path, c.token, c.ifMatch, c.body)
		require.Equal(w.t, c.status, got.Status, "%s: %s", c.name, got.Raw)
		require.Equal(w.t, c.field, got.BadField(), c.name)
	}
}

func TestRoutes_HoursPastMidnight(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	path := "/doctors/" + ann + "/hours"
	const nights = `{"intervals":[{"weekday":7,"from":"22:00","to":"06:00"},{"weekday":1,"from":"06:00","to":"00:00"},{"weekday":3,"from":"10:00","to":"10:00"}]}`
	set := w.call("PUT", path, ann, `"1"`, nights)
	require.Equal(t, http.StatusOK, set.Status, string(set.Raw))
	apitest.Golden(t, "hours_past_midnight", set)
	require.JSONEq(t, string(set.Raw), string(w.call("GET", path, "", "", "").Raw))
	again := w.call("PUT", path, ann, `"2"`, `{"intervals":`+string(mustJSON(t, set.Body["intervals"]))+`}`)
	require.Equal(t, http.StatusOK, again.Status, "what is read can be written")
	require.Equal(t, set.Body["intervals"], again.Body["intervals"])

	interval := func(s ...string) string { return `{"intervals":[` + strings.Join(s, ",") + `]}` }
	const unprocessable = http.StatusUnprocessableEntity
	w.refuses("PUT", path, []refusal{
		{
			"over midnight into the next day's", ann, `"3"`,
			interval(`{"weekday":1,"from":"22:00","to":"02:00"}`, `{"weekday":2,"from":"01:59","to":"03:00"}`), unprocessable,
			"body.intervals[1].from",
		},
		{
			"from Sunday into Monday's", ann, `"3"`,
			interval(`{"weekday":1,"from":"01:00","to":"03:00"}`, `{"weekday":7,"from":"22:00","to":"02:00"}`), unprocessable,
			"body.intervals[0].from",
		},
		{
			"begins at 24:00", ann, `"3"`, interval(`{"weekday":1,"from":"24:00","to":"02:00"}`), unprocessable,
			"body.intervals[0].from",
		},
		{
			"ends at 24:01", ann, `"3"`, interval(`{"weekday":1,"from":"22:00","to":"24:01"}`), unprocessable,
			"body.intervals[0].to",
		},
	})
}

func TestRoutes_AllBookingRules(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	path := "/doctors/" + ann + "/booking-rules"
	const all = `{"timeZone":"Asia/Kolkata","slotMinutes":20,"bufferBeforeMinutes":5,"bufferAfterMinutes":10,"noticeMinutes":120,"horizonMinutes":43200,"perDay":8,"autoConfirm":true}`
	set := w.call("PUT", path, ann, `"1"`, all)
	require.Equal(t, http.StatusOK, set.Status, string(set.Raw))
	require.Equal(t, `"2"`, set.ETag())
	apitest.Golden(t, "rules_set", set)
	require.JSONEq(t, all, string(w.call("GET", path, "", "", "").Raw))

	kept := w.call("PUT", path, ann, `"2"`, `{"timeZone":"Asia/Kolkata","slotMinutes":25,"perDay":null}`)
	require.Equal(t, http.StatusOK, kept.Status)
	require.JSONEq(t, strings.Replace(all, `"slotMinutes":20`, `"slotMinutes":25`, 1), string(kept.Raw),
		"what is left out stays")

	with := func(s string) string { return `{"timeZone":"UTC","slotMinutes":30,` + s + `}` }
	const unprocessable = http.StatusUnprocessableEntity
	var cases []refusal
	for rule, values := range map[string][]string{
		"bufferBeforeMinutes": {"-1", "241", "1.5", `"5"`},
		"bufferAfterMinutes":  {"-1", "241"},
		"noticeMinutes":       {"-1", "43201", "9223372036854775807", "43200.5"},
		"horizonMinutes":      {"0", "59", "129601", "9223372036854775807"},
		"perDay":              {"-1", "201"},
		"autoConfirm":         {`"yes"`, "1"},
	} {
		for _, v := range values {
			cases = append(cases,
				refusal{rule + "=" + v, ann, `"3"`, with(`"` + rule + `":` + v), unprocessable, "body." + rule})
		}
	}
	w.refuses("PUT", path, append(
		cases,
		refusal{
			"notice beyond the horizon", ann, `"3"`, with(`"noticeMinutes":121,"horizonMinutes":120`), unprocessable,
			"body.noticeMinutes",
		},
		refusal{"horizon within the notice", ann, `"3"`, with(`"horizonMinutes":119`), unprocessable, "body.horizonMinutes"},
		refusal{"unknown", ann, `"3"`, with(`"horizonDays":1`), unprocessable, "body.horizonDays"},
	))
	require.Equal(t, `"3"`, w.call("GET", path, "", "", "").ETag(), "nothing of it was written")
	require.Equal(t, 2, w.audited("doctor.rules", ann))
}

func TestRoutes_Exceptions(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	path := "/doctors/" + ann + "/exceptions"
	const off = `{"from":"2099-12-24","to":"2100-01-01","note":" Family "}`
	const others = `{"from":"2099-12-23","intervals":[{"from":"20:00","to":"02:00"},{"from":"08:00","to":"12:00"}]}`

	made := w.call("POST", path, ann, "", off)
	require.Equal(t, http.StatusCreated, made.Status, string(made.Raw))
	require.Equal(t, `"2"`, made.ETag())
	goldenWithout(t, "exception_off", made, w.exceptionIDs(path)...)
	changed := w.call("POST", path, admin, "", others)
	require.Equal(t, http.StatusCreated, changed.Status, string(changed.Raw))
	require.Equal(t, `"3"`, changed.ETag())
	require.Equal(t, `"3"`, w.call("GET", "/doctors/"+ann+"/hours", "", "", "").ETag(), "one ETag with hours and rules")

	ids := w.exceptionIDs(path)
	require.Equal(t, []string{changed.Body["id"].(string), made.Body["id"].(string)}, ids, "by date")
	for _, staff := range []string{ann, admin} {
		goldenWithout(t, "exceptions_staff", w.call("GET", path, staff, "", ""), ids...)
	}
	for _, public := range []string{"", pat, bob} {
		list := w.call("GET", path, public, "", "")
		goldenWithout(t, "exceptions_public", list, ids...)
		require.NotContains(t, string(list.Raw), "Family")
	}

	for _, c := range []struct {
		path, token string
		status      int
	}{
		{path + "/" + ids[0], "", http.StatusUnauthorized},
		{path + "/" + ids[0], pat, http.StatusForbidden},
		{path + "/" + ids[0], bob, http.StatusNotFound},
		{"/doctors/" + bob + "/exceptions/" + ids[0], bob, http.StatusNotFound},
		{"/doctors/" + bob + "/exceptions/" + ids[0], admin, http.StatusNotFound},
		{path + "/" + uuid.NewString(), ann, http.StatusNotFound},
		{path + "/1", ann, http.StatusNotFound},
		{path + "/" + strings.Repeat("z", 36), ann, http.StatusNotFound},
	} {
		require.Equal(t, c.status, w.call("DELETE", c.path, c.token, "", "").Status, "%s as %q", c.path, c.token)
	}
	require.Equal(t, `"3"`, w.call("GET", "/doctors/"+ann+"/hours", "", "", "").ETag(), "nothing of it was done")
	require.Equal(t, `"1"`, w.call("GET", "/doctors/"+bob+"/hours", "", "", "").ETag())

	gone := w.call("DELETE", path+"/"+ids[0], ann, "", "")
	require.Equal(t, http.StatusNoContent, gone.Status)
	require.Equal(t, `"4"`, gone.ETag())
	require.Equal(t, http.StatusNotFound, w.call("DELETE", path+"/"+ids[0], ann, "", "").Status)
	require.Equal(t, ids[1:], w.exceptionIDs(path))
	require.Equal(t, 2, w.audited("doctor.add_exception", ann))
	require.Equal(t, 1, w.audited("doctor.remove_exception", ann))
}

func TestRoutes_ExceptionsRefused(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	path := "/doctors/" + ann + "/exceptions"
	const off, unprocessable = `{"from":"2099-12-24"}`, http.StatusUnprocessableEntity
	hours := func(s ...string) string {
		return `{"from":"2099-12-24","to":"2099-12-25","intervals":[` + strings.Join(s, ",") + `]}`
	}
	yesterday := time.Now().AddDate(0, 0, -2).Format(time.DateOnly)
	w.refuses("POST", path, []refusal{
		{"nobody", "", "", off, http.StatusUnauthorized, ""},
		{"a patient", pat, "", off, http.StatusForbidden, ""},
		{"another doctor", bob, "", off, http.StatusNotFound, ""},
		{"no date", ann, "", `{}`, unprocessable, "body.from"},
		{"no such date", ann, "", `{"from":"2099-02-29"}`, unprocessable, "body.from"},
		{"a time", ann, "", `{"from":"2099-12-24T00:00:00Z"}`, unprocessable, "body.from"},
		{"the year 0", ann, "", `{"from":"0000-12-24"}`, unprocessable, "body.from"},
		{"the year 9999", ann, "", `{"from":"9999-01-01"}`, unprocessable, "body.to"},
		{"an empty end", ann, "", `{"from":"2099-12-24","to":""}`, unprocessable, "body.to"},
		{"backwards", ann, "", `{"from":"2099-12-24","to":"2099-12-23"}`, unprocessable, "body.to"},
		{"367 days", ann, "", `{"from":"2099-01-01","to":"2100-01-02"}`, unprocessable, "body.to"},
		{"in the past", ann, "", `{"from":"` + yesterday + `"}`, unprocessable, "body.to"},
		{"long in the past", ann, "", `{"from":"0001-01-01"}`, unprocessable, "body.to"},
		{
			"a long note", ann, "", `{"from":"2099-12-24","note":"` + strings.Repeat("é", 201) + `"}`, unprocessable,
			"body.note",
		},
		{"U+0000", ann, "", `{"from":"2099-12-24","note":"a\u0000"}`, unprocessable, "body.note"},
		{"an unknown field", ann, "", `{"from":"2099-12-24","off":true}`, unprocessable, "body.off"},
		{"no clock time", ann, "", hours(`{"from":"08:00","to":"noon!"}`), unprocessable, "body.intervals[0].to"},
		{"half an interval", ann, "", hours(`{"from":"08:00"}`), unprocessable, "body.intervals[0].to"},
		{"24:00 begins nothing", ann, "", hours(`{"from":"24:00","to":"01:00"}`), unprocessable, "body.intervals[0].from"},
		{
			"overlap", ann, "", hours(`{"from":"10:00","to":"12:00"}`, `{"from":"08:00","to":"10:01"}`), unprocessable,
			"body.intervals[0].from",
		},
		{
			"into the next day's", ann, "", hours(`{"from":"01:00","to":"02:00"}`, `{"from":"20:00","to":"01:01"}`),
			unprocessable, "body.intervals[1].to",
		},
		{
			"eleven", ann, "", hours(strings.Repeat(`{"from":"08:00","to":"09:00"},`, 10) + `{"from":"08:00","to":"09:00"}`),
			unprocessable, "body.intervals",
		},
	})
	require.Equal(t, `"1"`, w.call("GET", "/doctors/"+ann+"/hours", "", "", "").ETag())
	both := w.call("POST", path, ann, "", `{"from":"never","to":"ever","intervals":[{"from":"99:99","to":"08:00"}]}`)
	require.Len(t, both.Body["errors"], 3, "every bad field is named")
	require.NotContains(t, string(both.Raw), "never", "and not repeated")

	require.Equal(t, http.StatusCreated, w.call("POST", path, ann, "", hours(`{"from":"08:00","to":"09:00"}`)).Status)
	again := w.call("POST", path, ann, "",
		`{"from":"2099-12-25","to":"2099-12-26","intervals":[{"from":"18:00","to":"19:00"}]}`)
	require.Equal(t, http.StatusConflict, again.Status)
	require.Equal(t, "exception_overlap", again.Code())
	require.Equal(t, http.StatusCreated, w.call("POST", path, ann, "", off).Status, "off may overlap")
	require.Equal(t, http.StatusCreated,
		w.call("POST", "/doctors/"+bob+"/exceptions", bob, "", hours(`{"from":"08:00","to":"09:00"}`)).Status)
}

func TestRoutes_ExceptionPages(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	path := "/doctors/" + ann + "/exceptions"
	for _, body := range []string{
		`{"from":"2099-03-01","to":"2099-03-09"}`, `{"from":"2099-03-05"}`, `{"from":"2099-03-05"}`,
		`{"from":"2099-03-05","intervals":[{"from":"08:00","to":"09:00"},{"from":"10:00","to":"11:00"}]}`, `{"from":"2099-04-01"}`,
	} {
		require.Equal(t, http.StatusCreated, w.call("POST", path, ann, "", body).Status)
	}
	want := w.exceptionIDs(path)
	require.Len(t, want, 5)
	var got []string
	cursor := ""
	for range 3 {
		page := w.call("GET", path+"?limit=2&cursor="+url.QueryEscape(cursor), "", "", "")
		require.Equal(t, http.StatusOK, page.Status)
		got = append(got, page.Each("id")...)
		cursor, _ = page.Body["nextCursor"].(string)
	}
	require.Equal(t, want, got)
	require.Empty(t, cursor)

	for query, n := range map[string]int{
		"from=2099-03-10": 1, "from=2099-03-09": 2, "from=2099-03-06": 2, "to=2099-03-04": 1, "to=2099-02-28": 0,
		"from=2099-03-05&to=2099-03-05": 4, "from=2099-04-02": 0, "from=": 5,
	} {
		require.Len(t, w.exceptionIDs(path+"?"+query), n, query)
	}
	for query, field := range map[string]string{
		"from=yesterday": "query.from", "to=2099-13-01": "query.to", "from=2099-03-05&to=2099-03-04": "query.to", "limit=101": "query.limit",
		"cursor=" + base64.RawURLEncoding.EncodeToString([]byte(`["2099-03-01T00:00:00Z","`+uuid.NewString()+`"]`)): "query.cursor",
	} {
		got := w.call("GET", path+"?"+query, "", "", "")
		require.Equal(t, http.StatusUnprocessableEntity, got.Status, query)
		require.Equal(t, field, got.BadField(), query)
	}
	require.Equal(t, http.StatusNotFound, w.call("GET", "/doctors/"+pat+"/exceptions", "", "", "").Status)
}

func TestRoutes_ExceptionsManyWorkersOneWinner(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	statuses := make([]int, 12)
	var workers errgroup.Group
	for n := range statuses {
		workers.Go(func() error {
			a, err := w.api.Try("POST", "/doctors/"+ann+"/exceptions", ann,
				fmt.Sprintf(`{"from":"2099-05-%02d","to":"2099-05-20","intervals":[{"from":"08:00","to":"09:00"}]}`, n+1))
			statuses[n] = a.Status
			return err
		})
	}
	require.NoError(t, workers.Wait())
	count := map[int]int{}
	for _, s := range statuses {
		count[s]++
	}
	require.Equal(t, map[int]int{http.StatusCreated: 1, http.StatusConflict: 11}, count)
	require.Equal(t, `"2"`, w.call("GET", "/doctors/"+ann+"/hours", "", "", "").ETag())
}
