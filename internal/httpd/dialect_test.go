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
	require.Contains(t, h.log.String(), "the patient's secret", "the cause is logged")

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
