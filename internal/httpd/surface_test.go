package httpd_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/errs"
	"housecall/internal/httpd"
)

// described is an answer in the OpenAPI document.
type described struct {
	Ref     string `json:"$ref"`
	Content map[string]struct{ Schema map[string]any }
}

func TestServer_OpenAPI(t *testing.T) {
	t.Parallel()
	h := start(t)
	a := h.do(t, "GET", "/openapi.json", "")
	require.Equal(t, 200, a.StatusCode)
	var document struct {
		OpenAPI string
		Paths   map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Summary     string
			Tags        []string
			Security    []map[string][]string
			Responses   map[string]described
		}
		Components struct {
			Schemas         map[string]any
			Responses       map[string]described
			SecuritySchemes map[string]map[string]string
		}
	}
	require.NoError(t, json.Unmarshal([]byte(a.body), &document))
	require.Regexp(t, `^3\.1\.`, document.OpenAPI)
	require.Equal(t, "http", document.Components.SecuritySchemes["bearer"]["type"])
	require.Len(t, document.Paths, 5)
	require.NotContains(t, a.body, "$schema")
	ids := map[string]bool{}
	for path, operations := range document.Paths {
		require.True(t, strings.HasPrefix(path, "/api/v1/"), path)
		for method, o := range operations {
			require.NotEmpty(t, o.Summary, path)
			require.NotEmpty(t, o.Tags, path)
			require.NotNil(t, o.Security, "%s %s: an empty list says that no token is needed", method, path)
			require.False(t, ids[o.OperationID], o.OperationID)
			ids[o.OperationID] = true
			for _, status := range []string{"408", "413", "414", "415", "431", "500"} {
				require.Contains(t, o.Responses, status, "every route can answer so")
			}
			for status, response := range o.Responses {
				if response.Ref != "" {
					require.Equal(t, "#/components/responses/"+status, response.Ref)
					response = document.Components.Responses[status]
				}
				if status >= "4" {
					require.Equal(t, "#/components/schemas/Problem", response.Content["application/problem+json"].Schema["$ref"])
				}
			}
		}
	}
	require.True(t, ids["get-items-id"])
	require.Contains(t, document.Paths["/api/v1/admin/{id}"]["get"].Responses, "403")
	require.NotContains(t, document.Paths["/api/v1/open/{id}"]["get"].Responses, "401")
	// The name of a type begins with its package's name, except in httpd itself.
	for _, name := range []string{"PageHttpd_testRow", "Problem", "Client", "Field", "Httpd_testItemOutputBody"} {
		require.Contains(t, document.Components.Schemas, name)
	}
}

var links = regexp.MustCompile(`(?:src|href)="([^"]*)"`)

// RFC 9110, 9.1: HEAD works wherever GET does, and its answer differs only in the body.
func TestServer_HeadIsGetWithoutTheBody(t *testing.T) {
	t.Parallel()
	h := start(t)
	for path, as := range map[string]change{
		"/api/v1/items":           as(""),
		"/api/v1/items/x?count=2": as("patient"),
		"/api/v1/items/x?count=0": as("patient"),
		"/api/v1/items/y?count=2": as("nobody"),
		"/api/v1/admin/x?count=2": as("patient"),
		"/api/v1/fail/stale":      as(""),
		"/healthz":                as(""),
		"/openapi.json":           as(""),
		"/api/v1/nowhere":         as(""),
	} {
		same := header("X-Request-Id", "the-same-id-for-both")
		get, head := h.do(t, "GET", path, "", as, same), h.do(t, "HEAD", path, "", as, same)
		require.Equal(t, get.StatusCode, head.StatusCode, path)
		require.Empty(t, head.body, path)
		require.NotEmpty(t, get.body, path)
		for _, name := range []string{"Content-Length", "Content-Type", "Etag", "Cache-Control", "Www-Authenticate"} {
			require.Equal(t, get.Header.Get(name), head.Header.Get(name), "%s of %s", name, path)
		}
	}
	require.Equal(t, 405, h.do(t, "PUT", "/api/v1/items", "{}").StatusCode)
	require.NotContains(t, h.do(t, "GET", "/openapi.json", "").body, `"head"`)
}

func TestServer_DocsLoadOnlyFromThisOrigin(t *testing.T) {
	t.Parallel()
	h := start(t)
	page := h.do(t, "GET", "/docs", "")
	require.Equal(t, 200, page.StatusCode)
	require.Equal(t, "text/html; charset=utf-8", page.Header.Get("Content-Type"))
	policy := page.Header.Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'")
	require.Contains(t, policy, "script-src 'self';")
	require.NotContains(t, policy, "http")
	require.NotRegexp(t, `<script>|<style>|onload=`, page.body, "the policy forbids them")
	all := links.FindAllStringSubmatch(page.body, -1)
	require.GreaterOrEqual(t, len(all), 4)
	for _, link := range all {
		require.Regexp(t, "^/docs/", link[1])
		asset := h.do(t, "GET", link[1], "")
		require.Equal(t, 200, asset.StatusCode, link[1])
		require.NotEmpty(t, asset.body)
		require.Contains(t, asset.Header.Get("Cache-Control"), "public")
		require.NotContains(t, asset.Header.Get("Content-Type"), "text/plain")
	}
	start := h.do(t, "GET", "/docs/start.js", "").body
	require.Contains(t, start, `url: "/openapi.json"`)
	require.NotContains(t, start, "http")
}

func TestServer_Readiness(t *testing.T) {
	t.Parallel()
	up := func(context.Context) error { return nil }
	down := func(context.Context) error { return errors.New("dial postgres://user:pass@db.internal") }
	for name, c := range map[string]struct {
		postgres, redis func(context.Context) error
		drain           bool
		status          int
		body            string
	}{
		"ready":       {up, up, false, 200, `{"status":"ready","checks":{"postgres":{"ok":true},"redis":{"ok":true}}}`},
		"degraded":    {up, down, false, 200, `{"status":"degraded","checks":{"postgres":{"ok":true},"redis":{"ok":false,"error":"does not answer"}}}`},
		"unavailable": {down, up, false, 503, `{"status":"unavailable","checks":{"postgres":{"ok":false,"error":"does not answer"},"redis":{"ok":true}}}`},
		"all down":    {down, down, false, 503, `{"status":"unavailable","checks":{"postgres":{"ok":false,"error":"does not answer"},"redis":{"ok":false,"error":"does not answer"}}}`},
		"draining":    {up, up, true, 503, `{"status":"draining","checks":{"postgres":{"ok":true},"redis":{"ok":true}}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, func(d *httpd.Deps) {
				d.Checks = []httpd.Check{{Name: "postgres", Required: true, Probe: c.postgres}, {Name: "redis", Probe: c.redis}}
			})
			if c.drain {
				h.SetDraining()
			}
			a := h.do(t, "GET", "/readyz", "")
			require.Equal(t, c.status, a.StatusCode)
			require.JSONEq(t, c.body, a.body)
			require.Equal(t, 200, h.do(t, "GET", "/healthz", "").StatusCode, "it is alive, even without its dependencies")
		})
	}
}

func TestServer_ReadinessDoesNotHang(t *testing.T) {
	t.Parallel()
	end := make(chan struct{})
	defer close(end)
	h := start(t, func(d *httpd.Deps) {
		d.Checks = []httpd.Check{{Name: "postgres", Required: true, Probe: func(context.Context) error { <-end; return nil }}}
	})
	require.Equal(t, 503, h.do(t, "GET", "/readyz", "").StatusCode)
}

// TestServer_ReadinessIsQuick: load balancers usually wait for one second, and must not take a degraded instance for a
// dead one.
func TestServer_ReadinessIsQuick(t *testing.T) {
	t.Parallel()
	deadlines := make(chan time.Time, 2)
	probe := func(ctx context.Context) error {
		deadline, _ := ctx.Deadline()
		deadlines <- deadline
		return nil
	}
	hangs := func(ctx context.Context) error {
		<-ctx.Done()
		return probe(ctx)
	}
	h := start(t, func(d *httpd.Deps) {
		d.Checks = []httpd.Check{{Name: "postgres", Required: true, Probe: probe}, {Name: "redis", Probe: hangs}}
	})
	a := h.do(t, "GET", "/readyz", "")
	require.Equal(t, 200, a.StatusCode)
	require.Contains(t, a.body, "degraded")
	postgres, redis := <-deadlines, <-deadlines
	require.GreaterOrEqual(t, postgres.Sub(redis), 500*time.Millisecond, "of the second that the caller may wait")
}

func TestOps_ServesMetricsAndProfiles(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.do(t, "GET", "/api/v1/open/7", "")
	ops := httpd.NewOps("127.0.0.1:0", h.registry)
	ln, err := ops.Listen()
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- ops.Serve(ln) }()
	get := func(path string) string {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Get("http://" + ln.Addr().String() + path)
		require.NoError(t, err)
		defer response.Body.Close()
		require.Equal(t, 200, response.StatusCode)
		b, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return string(b)
	}
	metrics := get("/metrics")
	require.Contains(t, metrics,
		`http_request_duration_seconds_count{method="GET",route="/api/v1/open/:id",status="2xx"} 1`)
	require.Contains(t, metrics, "http_requests_in_flight 0")
	require.Contains(t, metrics, "go_goroutines")
	require.Contains(t, get("/debug/pprof/goroutine?debug=1"), "goroutine profile")
	_, err = httpd.NewOps(ln.Addr().String(), h.registry).Listen()
	require.Error(t, err, "the port is in use")
	require.NoError(t, ops.Shutdown(t.Context()))
	require.NoError(t, <-served)
}

func FuzzIfMatch(f *testing.F) {
	for _, seed := range []string{"", `"1"`, `"2147483647"`, `"2147483648"`, `"0"`, `W/"1"`, `"1-gzip"`, ` "7" `, `"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		v, given, err := httpd.IfMatch(header, true)
		switch {
		case err == nil:
			require.True(t, given)
			require.GreaterOrEqual(t, v, 1)
			require.LessOrEqual(t, v, math.MaxInt32, "it fits PostgreSQL's integer")
			require.Contains(t, header, fmt.Sprintf(`"%d`, v))
		case given:
			require.ErrorIs(t, err, errs.ErrStale)
		default:
			require.ErrorIs(t, err, errs.ErrNoMatch)
		}
	})
}

func TestIfMatch(t *testing.T) {
	t.Parallel()
	// Also as balancers give it back that compress answers.
	for _, header := range []string{httpd.ETag(7), `W/"7"`, `"7-gzip"`, `W/"7-br"`, `"7--gzip"`} {
		v, given, err := httpd.IfMatch(header, true)
		require.NoError(t, err)
		require.True(t, given)
		require.Equal(t, 7, v)
	}
	_, given, err := httpd.IfMatch("", false)
	require.NoError(t, err)
	require.False(t, given)
	_, _, err = httpd.IfMatch("", true)
	require.ErrorIs(t, err, errs.ErrNoMatch)
	for _, bad := range []string{
		"7", `w/"7"`, `W/7`, `"7-8"`, `"7-"`, `"7-gzip-gzip"`, "*", `"x"`, `"7`, `7"`, `"07"`, `"+7"`, `"7", "8"`, `"99999999999999999999"`, `""`,
		// Not versions: the first ones are above PostgreSQL's integer, the others below 1.
		`"2147483648"`, `"99999999999"`, `"0"`, `"-1"`,
	} {
		_, _, err = httpd.IfMatch(bad, true)
		require.ErrorIs(t, err, errs.ErrStale, bad)
	}
}
