package httpd_test

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"housecall/internal/errs"
	"housecall/internal/httpd"
)

// older is a server with an older API under /web and an even older one under /api/auth.
func older(t *testing.T) *house {
	t.Helper()
	return startWith(t, func(s *httpd.Server) {
		routes(s)
		s.Dialect("/web", func(status int, e *errs.Error) (int, any) {
			if status == http.StatusUnauthorized {
				status = http.StatusForbidden
			}
			return status, map[string]any{"success": false, "message": e.Message, "code": e.Code, "fields": len(e.Fields)}
		})
		s.Dialect("/api/auth", func(status int, e *errs.Error) (int, any) {
			return status, map[string]any{"message": e.Message}
		})
		s.Router().Get("/web/fail/:how", func(c *fiber.Ctx) error {
			if c.Params("how") == "panic" {
				panic("the patient's secret")
			}
			return failures[c.Params("how")]
		})
		s.Router().Post("/web/user/:id/assignDoc", func(c *fiber.Ctx) error { return c.SendString(c.Params("id")) })
		s.Router().Get("/web/user/all/assignDoc", func(c *fiber.Ctx) error { return c.SendString(c.Route().Path) })
		s.Router().Get("/api/auth/fail", func(*fiber.Ctx) error { return errors.New("connect to db.internal as root") })
	})
}

func TestServer_Dialect(t *testing.T) {
	t.Parallel()
	const secret = "hunter2hunter2"
	h := older(t)
	for name, tc := range map[string]struct {
		a      answer
		status int
		code   string
	}{
		"unknown route":   {h.do(t, "GET", "/web/"+secret, ""), 404, "not_found"},
		"the prefix":      {h.do(t, "GET", "/web", ""), 404, "not_found"},
		"unknown method":  {h.do(t, "BREW", "/web/fail/missing", ""), 405, "method_not_allowed"},
		"large headers":   {h.raw(t, "GET /web/x HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 17_000)+"\r\n\r\n")[0], 431, "headers_too_large"},
		"two hosts":       {h.raw(t, "GET /web/x HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n")[0], 400, "bad_request"},
		"too large":       {h.do(t, "POST", "/web/x", strings.Repeat("x", 5000)), 413, "too_large"},
		"compressed":      {h.do(t, "POST", "/web/x", "x", header("Content-Encoding", "gzip")), 415, "unsupported_media_type"},
		"NUL":             {h.do(t, "GET", "/web/x?y=%00", ""), 422, "invalid"},
		"limited":         {h.do(t, "GET", "/web/fail/limited", ""), 429, "rate_limited"},
		"unavailable":     {h.do(t, "GET", "/web/fail/unavailable", ""), 503, "unavailable"},
		"conflict":        {h.do(t, "GET", "/web/fail/conflict", ""), 409, "slot_taken"},
		"unauthenticated": {h.do(t, "GET", "/web/fail/unauthenticated", ""), 403, "unauthenticated"},
		"internal":        {h.do(t, "GET", "/web/fail/internal", ""), 500, "internal"},
		"panic":           {h.do(t, "GET", "/web/fail/panic", ""), 500, "internal"},
	} {
		var body map[string]any
		require.NoError(t, json.Unmarshal([]byte(tc.a.body), &body), "%s: %s", name, tc.a.body)
		require.Equal(t, tc.status, tc.a.StatusCode, name)
		require.Equal(t, tc.code, body["code"], name)
		require.Equal(t, false, body["success"], name)
		require.NotEmpty(t, body["message"], name)
		require.Equal(t, "application/json; charset=utf-8", tc.a.Header.Get("Content-Type"), name)
		require.NotEmpty(t, tc.a.Header.Get("X-Request-Id"), name)
		require.Empty(t, tc.a.Header.Get("Www-Authenticate"), "%s: a challenge belongs to 401", name)
		for _, no := range []string{secret, "db.internal", "the patient's"} {
			require.NotContains(t, tc.a.body, no, name)
		}
	}
	require.Equal(t, "2", h.do(t, "GET", "/web/fail/limited", "").Header.Get("Retry-After"))
	require.Contains(t, h.log.String(), "panic: string", "the cause is logged, without what it quotes")

	a := h.do(t, "GET", "/api/auth/fail", "")
	require.Equal(t, 500, a.StatusCode)
	require.JSONEq(t, `{"message":"Something went wrong on our side."}`, a.body)
	for _, native := range []string{"/api/v1/auth/nowhere", "/webber", "/api/author", "/api", "/"} {
		require.Equal(t, httpd.ProblemType, h.do(t, "GET", native, "").Header.Get("Content-Type"), native)
	}
}

// A request that is refused while it is being read is also answered in the envelope, if its path was read.
func TestServer_Dialect_HugeBody(t *testing.T) {
	t.Parallel()
	h := older(t)
	c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	require.NoError(t, err)
	defer c.Close()
	_, err = io.WriteString(c,
		"POST /web/user/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n")
	require.NoError(t, err)
	a, err := readResponse(c)
	require.NoError(t, err)
	require.Equal(t, 413, a.StatusCode)
	require.JSONEq(t, `{"success":false,"message":"The request body is too large.","code":"too_large","fields":0}`, a.body)
}

// The older servers did not care about letter case and doubled slashes. Everything else does.
func TestServer_Dialect_spelling(t *testing.T) {
	t.Parallel()
	h := older(t)
	for path, want := range map[string]string{
		"/web/user/7/assignDoc":            "7",
		"/web//user/7/assignDoc":           "7",
		"//web///user/7//assigndoc//":      "7",
		"/WEB/User/AbC/ASSIGNDOC":          "AbC",
		"/web/user/a%2f%2Fb/assignDoc":     "a%2f%2Fb",
		"/web/user/ALL/assigndoc?x=1//2&Y": "ALL",
	} {
		a := h.do(t, "POST", path, "")
		require.Equal(t, 200, a.StatusCode, "%s: %s", path, a.body)
		require.Equal(t, want, a.body, path)
	}
	require.Equal(t, "/web/user/all/assignDoc", h.do(t, "GET", "/Web/USER/ALL/assigndoc", "").body, "the route of its method")
	require.Contains(t, h.log.String(), `"route":"/web/user/:id/assignDoc"`)
	require.NotContains(t, h.log.String(), "AbC")
	for path, status := range map[string]int{
		"/WEB": 404, "//web": 404, "/WEB/nowhere": 404, "/web/user//assignDoc": 404, "/Web/fail/": 404, "/WEB/User/7/AssignDoc": 405,
		"/wEb//fail/missing": 404, "/API/Auth/nowhere": 404, "//api//auth//fail": 500,
	} {
		a := h.do(t, "GET", path, "")
		require.Equal(t, status, a.StatusCode, path)
		require.Equal(t, "application/json; charset=utf-8", a.Header.Get("Content-Type"), path)
	}
	for _, native := range []string{"//api/v1/items/a", "/api//v1/items/a", "/API/v1/items/a", "/WEBBER", "//", "/%77eb/fail/missing"} {
		a := h.do(t, "GET", native, "")
		require.Equal(t, 404, a.StatusCode, native)
		require.Equal(t, httpd.ProblemType, a.Header.Get("Content-Type"), native)
	}
}

// Whatever the path, spelling it again changes nothing more, and only its letter case and slashes can change.
func FuzzServer_spelled(f *testing.F) {
	s, err := httpd.New(httpd.Deps{Registry: prometheus.NewRegistry()})
	require.NoError(f, err)
	s.Dialect("/web", func(status int, _ *errs.Error) (int, any) { return status, nil })
	s.Router().Post("/web/user/:id/assignDoc", func(*fiber.Ctx) error { return nil })
	for _, path := range []string{"/web", "//WEB//user/X/ASSIGNDOC/", "/web/user//assignDoc", "/", "", "/api/v1/me", "/web/%ff/\xff"} {
		f.Add("POST", path)
	}
	f.Fuzz(func(t *testing.T, method, path string) {
		once := s.Spelled(method, path)
		require.Equal(t, once, s.Spelled(method, once))
		plain := func(p string) string { return strings.ReplaceAll(p, "/", "") }
		require.True(t, strings.EqualFold(plain(path), plain(once)), "%q became %q", path, once)
		require.NotContains(t, once, "//")
	})
}
