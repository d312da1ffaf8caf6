package preference_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"housecall/internal/auth"
	"housecall/internal/testing/apitest"
)

const (
	pat  = "PAT0000000PAT"
	ann  = "DOC0000000ANN"
	path = "/me/preferences"
	full = `{"timeZone":"Europe/Berlin","kinds":{"reminder_day":false,"unread":false,"confirmed":true},"quietHours":{"from":"22:00","to":"07:00"}}`
)

func newClinic(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.user(pat, auth.Patient)
	w.user(ann, auth.Doctor)
	return w
}

func (w *world) audited() (n int, detail string) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), `select count(*), coalesce(max(detail::text), '') from audit_events
		where action = 'preferences.change' and subject = $1 and actor_id = (select id from users where public_id = $1)`, pat).Scan(&n, &detail))
	return n, detail
}

func TestRoutes_DefaultsThenChange(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	require.Equal(t, http.StatusUnauthorized, w.call("GET", path, "", "", "").Status)
	require.Equal(t, http.StatusUnauthorized, w.call("PUT", path, "", `"1"`, full).Status)

	first := w.call("GET", path, pat, "", "")
	require.Equal(t, http.StatusOK, first.Status, string(first.Raw))
	require.Equal(t, `"1"`, first.ETag())
	apitest.Golden(t, "defaults", first)

	set := w.call("PUT", path, pat, `"1"`, full)
	require.Equal(t, http.StatusOK, set.Status, string(set.Raw))
	require.Equal(t, `"2"`, set.ETag())
	apitest.Golden(t, "changed", set)
	again := w.call("GET", path, pat, "", "")
	require.Equal(t, `"2"`, again.ETag())
	require.JSONEq(t, string(set.Raw), string(again.Raw))

	n, detail := w.audited()
	require.Equal(t, 1, n)
	require.Equal(t, "{}", detail)
	apitest.Golden(t, "defaults", w.call("GET", path, ann, "", "")) // another user's preferences are untouched
}

func TestRoutes_WhatIsLeftOutIsTheDefault(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	etag := `"1"`
	for _, body := range []string{
		`{}`, `{"timeZone":null,"kinds":null,"quietHours":null}`, `{"kinds":{}}`, `{"kinds":{"unread":null}}`,
	} {
		set := w.call("PUT", path, pat, etag, full)
		require.Equal(t, http.StatusOK, set.Status, string(set.Raw))
		reset := w.call("PUT", path, pat, set.ETag(), body)
		require.Equal(t, http.StatusOK, reset.Status, "%s: %s", body, reset.Raw)
		apitest.Golden(t, "defaults", reset)
		etag = reset.ETag()
	}
}

func TestRoutes_Refusals(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	quiet := func(from, to string) string { return `{"quietHours":{"from":"` + from + `","to":"` + to + `"}}` }
	for name, c := range map[string]struct {
		ifMatch, body string
		status        int
		fields        []string
	}{
		"no If-Match":   {"", full, http.StatusPreconditionRequired, nil},
		"stale":         {`"2"`, full, http.StatusPreconditionFailed, nil},
		"any":           {"*", full, http.StatusPreconditionFailed, nil},
		"no JSON":       {`"1"`, `{`, http.StatusBadRequest, nil},
		"no body":       {`"1"`, ``, http.StatusBadRequest, nil},
		"null":          {`"1"`, `null`, http.StatusUnprocessableEntity, []string{"body"}},
		"unknown field": {`"1"`, `{"version":7}`, http.StatusUnprocessableEntity, []string{"body.version"}},
		"unknown kind": {
			`"1"`, `{"kinds":{"security":false}}`, http.StatusUnprocessableEntity, []string{"body.kinds.security"},
		},
		"another spelling": {
			`"1"`, `{"kinds":{"Unread":false}}`, http.StatusUnprocessableEntity, []string{"body.kinds.Unread"},
		},
		"kind that is text": {
			`"1"`, `{"kinds":{"unread":"no"}}`, http.StatusUnprocessableEntity, []string{"body.kinds.unread"},
		},
		"kinds in a list": {`"1"`, `{"kinds":["unread"]}`, http.StatusUnprocessableEntity, []string{"body.kinds"}},
		"no zone": {
			`"1"`, `{"timeZone":"Mars/Marker"}`, http.StatusUnprocessableEntity, []string{"body.timeZone"},
		},
		"zone of the machine": {`"1"`, `{"timeZone":"Local"}`, http.StatusUnprocessableEntity, []string{"body.timeZone"}},
		"empty zone":          {`"1"`, `{"timeZone":""}`, http.StatusUnprocessableEntity, []string{"body.timeZone"}},
		"long zone": {
			`"1"`, `{"timeZone":"` + strings.Repeat("A", 65) + `"}`, http.StatusUnprocessableEntity, []string{"body.timeZone"},
		},
		"NUL": {`"1"`, `{"timeZone":"a\u0000b"}`, http.StatusUnprocessableEntity, []string{"body.timeZone"}},
		"half a stretch": {
			`"1"`, `{"quietHours":{"from":"22:00"}}`, http.StatusUnprocessableEntity, []string{"body.quietHours.to"},
		},
		"nothing of it": {
			`"1"`, `{"quietHours":{}}`, http.StatusUnprocessableEntity, []string{"body.quietHours.from", "body.quietHours.to"},
		},
		"more than it": {
			`"1"`, `{"quietHours":{"from":"22:00","to":"07:00","zone":"UTC"}}`, http.StatusUnprocessableEntity,
			[]string{"body.quietHours.zone"},
		},
		"no stretch": {
			`"1"`, quiet("22:00", "22:00"), http.StatusUnprocessableEntity, []string{"body.quietHours.to"},
		},
		"no clock has it": {
			`"1"`, quiet("24:00", "07:00"), http.StatusUnprocessableEntity, []string{"body.quietHours.from"},
		},
		"nor this": {
			`"1"`, quiet("22:00", "24:00"), http.StatusUnprocessableEntity, []string{"body.quietHours.to"},
		},
		"no times": {
			`"1"`, quiet("ab:cd", "7 Uhr"), http.StatusUnprocessableEntity,
			[]string{"body.quietHours.from", "body.quietHours.to"},
		},
		"all at once": {
			`"1"`, `{"timeZone":"Mars/Marker","quietHours":{"from":"25:00","to":"07:60"}}`,
			http.StatusUnprocessableEntity,
			[]string{"body.timeZone", "body.quietHours.from", "body.quietHours.to"},
		},
	} {
		got := w.call("PUT", path, pat, c.ifMatch, c.body)
		require.Equal(t, c.status, got.Status, "%s: %s", name, got.Raw)
		if c.fields != nil {
			require.ElementsMatch(t, c.fields, got.BadFields(), "%s: %s", name, got.Raw)
		}
		require.NotContains(t, string(got.Raw), "Marker", name)
	}
	require.Equal(t, `"1"`, w.call("GET", path, pat, "", "").ETag(), "none of it was written")
	n, _ := w.audited()
	require.Zero(t, n)
}

// If many change the same version at once, one wins, whether or not there was a row before.
func TestRoutes_OneWinner(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	for _, etag := range []string{`"1"`, `"2"`, `"3"`} {
		statuses := make([]int, 16)
		var all errgroup.Group
		for i := range statuses {
			all.Go(func() error {
				a, err := w.api.Try("PUT", path, pat, full, "If-Match", etag)
				statuses[i] = a.Status
				return err
			})
		}
		require.NoError(t, all.Wait())
		won := 0
		for _, s := range statuses {
			if s == http.StatusOK {
				won++
				continue
			}
			require.Equal(t, http.StatusPreconditionFailed, s)
		}
		require.Equal(t, 1, won)
	}
	n, _ := w.audited()
	require.Equal(t, 3, n)
}
