package jobs

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/testing/apitest"
)

func TestRoutes_deadAndRetried(t *testing.T) {
	t.Parallel()
	const secret = "ann@private.test"
	w := newWorld(t)
	s := w.instance()
	var broken atomic.Bool
	broken.Store(true)
	Handle(s, func(context.Context, greet) error {
		if broken.Load() {
			return Dead("nobody is there", fmt.Errorf("550 %s", secret))
		}
		return nil
	})
	w.starts(s)
	api := w.serve(s)
	w.add(s, greet{Name: secret, Secret: secret}, Terms{})
	dead := w.becomes(s, Cancelled)

	a := api.Ask(http.MethodGet, "/admin/jobs", string(auth.Admin), nil)
	require.Equal(t, http.StatusOK, a.Status)
	require.NotContains(t, string(a.Raw), secret)
	apitest.Golden(t, "dead", a, apitest.MaskTimes)

	broken.Store(false)
	a = api.Ask(http.MethodPost, fmt.Sprintf("/admin/jobs/%d/retry", dead.ID), string(auth.Admin), nil)
	require.Equal(t, http.StatusOK, a.Status, string(a.Raw))
	apitest.Golden(t, "retried", a, apitest.MaskTimes)
	w.becomes(s, Completed)
	a = api.Ask(http.MethodGet, "/admin/jobs", string(auth.Admin), nil)
	require.Empty(t, a.Items())

	a = api.Ask(http.MethodPost, fmt.Sprintf("/admin/jobs/%d/retry", dead.ID), string(auth.Admin), nil)
	require.Equal(t, http.StatusConflict, a.Status)
	require.Equal(t, "not_failed", a.Code())
	var audited int
	require.NoError(t, w.pool.QueryRow(t.Context(), `
		select count(*) from audit_events where action = 'job.retry' and subject = $1 and detail ->> 'kind' = 'greet'`,
		fmt.Sprintf("job %d", dead.ID)).Scan(&audited))
	require.Equal(t, 1, audited, "once, by the one that did something")
	require.NotContains(t, w.log.String(), `"secret"`)
}

func TestRoutes_refusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.instance()
	Handle(s, func(context.Context, greet) error { return nil })
	api := w.serve(s)
	w.add(s, greet{Name: "Ann"}, Terms{})
	w.add(s, greet{Name: "Ben"}, Terms{At: time.Now().Add(time.Hour)})
	jobs := w.jobs(s)
	for path, want := range map[string]int{
		"/admin/jobs?state=marker":                           http.StatusUnprocessableEntity,
		"/admin/jobs?cursor=marker":                          http.StatusUnprocessableEntity,
		"/admin/jobs?limit=101":                              http.StatusUnprocessableEntity,
		"/admin/jobs?state=available":                        http.StatusOK,
		"POST /admin/jobs/999999/retry":                      http.StatusNotFound,
		"POST /admin/jobs/0/retry":                           http.StatusUnprocessableEntity,
		"POST /admin/jobs/marker/retry":                      http.StatusUnprocessableEntity,
		"POST /admin/jobs/99999999999999999999/retry":        http.StatusUnprocessableEntity,
		fmt.Sprintf("POST /admin/jobs/%d/retry", jobs[0].ID): http.StatusConflict,
		fmt.Sprintf("POST /admin/jobs/%d/retry", jobs[1].ID): http.StatusConflict,
	} {
		method := http.MethodGet
		if rest, post := cutPost(path); post {
			method, path = http.MethodPost, rest
		}
		a := api.Ask(method, path, string(auth.Admin), nil)
		require.Equal(t, want, a.Status, "%s %s: %s", method, path, a.Raw)
		require.NotContains(t, string(a.Raw), "marker")
		for _, role := range []auth.Role{auth.Patient, auth.Doctor} {
			require.Equal(t, http.StatusForbidden, api.Ask(method, path, string(role), nil).Status)
		}
		require.Equal(t, http.StatusUnauthorized, api.Ask(method, path, "", nil).Status)
	}
}

func cutPost(s string) (string, bool) {
	const post = "POST "
	if len(s) > len(post) && s[:len(post)] == post {
		return s[len(post):], true
	}
	return s, false
}

func TestRoutes_pages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.instance()
	Handle(s, func(context.Context, greet) error { return nil })
	api := w.serve(s)
	for i := range 5 {
		w.add(s, greet{Name: fmt.Sprint(i)}, Terms{})
	}
	seen, cursor := 0, ""
	for range 3 {
		a := api.Ask(http.MethodGet, "/admin/jobs?state=available&limit=2&cursor="+cursor, string(auth.Admin), nil)
		require.Equal(t, http.StatusOK, a.Status)
		items, ok := a.Body["items"].([]any)
		require.True(t, ok)
		seen += len(items)
		cursor, _ = a.Body["nextCursor"].(string)
	}
	require.Equal(t, 5, seen)
	require.Empty(t, cursor)
}
