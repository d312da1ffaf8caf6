package httpd_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"

	"housecall/internal/errs"
	"housecall/internal/httpd"
)

func TestRegister_AnswersEachKindOfError(t *testing.T) {
	t.Parallel()
	h := start(t)
	for how := range failures {
		a := h.do(t, "GET", "/api/v1/fail/"+how, "")
		golden(t, "kind-"+how, a)
		require.NotContains(t, a.body, "db.internal")
	}
	require.Equal(t, 1, strings.Count(h.log.String(), "connect to db.internal as root"), "the cause is logged once")
	require.Contains(t, h.log.String(), `"level":"error"`)
	require.Contains(t, h.log.String(), `"route":"/api/v1/fail/:how"`)
	require.NotContains(t, h.log.String(), "/fail/internal")
}

// Fields have to be spelled as in the schema: none passes unchecked in another letter case.
func TestServer_RefusesOtherSpellings(t *testing.T) {
	t.Parallel()
	a := start(t).do(t, "POST", "/api/v1/items", `{"name":"ab","Name":"cd"}`)
	require.Equal(t, http.StatusUnprocessableEntity, a.StatusCode, a.body)
	require.Contains(t, a.body, "body.Name")
}

// However deeply a client nests a NUL, the answer is short and names the outermost field.
func TestServer_DeepNUL(t *testing.T) {
	t.Parallel()
	const depth = 300
	body := `{"name":` + strings.Repeat(`{"key":`, depth) + `"\u0000"` + strings.Repeat("}", depth+1)
	a := start(t).do(t, "POST", "/api/v1/items", body)
	require.Equal(t, http.StatusUnprocessableEntity, a.StatusCode, a.body)
	require.Contains(t, a.body, `"body.name"`)
	require.Less(t, len(a.body), 500)
}

func TestServer_AnswersBadRequestsAsProblems(t *testing.T) {
	t.Parallel()
	const secret = "hunter2hunter2"
	h := start(t)
	post := func(body string, changes ...change) answer { return h.do(t, "POST", "/api/v1/items", body, changes...) }
	for name, a := range map[string]answer{
		"404":                h.do(t, "GET", "/nowhere/"+secret, ""),
		"404-api":            h.do(t, "GET", "/api/v1/"+secret, ""),
		"405":                h.do(t, "PUT", "/api/v1/items", `{}`),
		"405-unknown":        h.do(t, "BREW", "/api/v1/items", ""),
		"401":                h.do(t, "GET", "/api/v1/items/1", ""),
		"401-basic":          h.do(t, "GET", "/api/v1/items/1", "", header("Authorization", "Basic "+secret)),
		"401-token":          h.do(t, "GET", "/api/v1/items/1", "", as(secret)),
		"401-before-422":     h.do(t, "GET", "/api/v1/items/1?limit=x", ""),
		"403":                h.do(t, "GET", "/api/v1/admin/1", "", as("patient")),
		"413":                post(`{"name":"` + strings.Repeat("x", 5000) + secret + `"}`),
		"415-text":           post(secret, header("Content-Type", "text/plain")),
		"415-form":           post("name="+secret, header("Content-Type", "application/x-www-form-urlencoded")),
		"415-gzip":           post(secret, header("Content-Encoding", "gzip")),
		"400-json":           post(`{"name":"` + secret),
		"400-trailing":       post(`{"name":"ab"} ` + secret),
		"400-raw-nul":        post("{\"name\":\"" + secret + "\x00\"}"),
		"400-utf8":           post("{\"name\":\"" + secret + "\xff\"}"),
		"400-empty":          post(""),
		"422-missing":        post(`{}`),
		"422-unknown":        post(`{"name":"ab","role":"` + secret + `"}`),
		"422-types":          post(`{"name":7,"tags":{"a":"` + secret + `"},"at":"` + secret + `"}`),
		"422-short":          post(`{"name":"ab","password":"` + secret[:7] + `"}`),
		"422-not-an-object":  post(`"` + secret + `"`),
		"422-null":           post(`null`),
		"422-nul":            post(`{"name":"ab","tags":["x","` + secret + `\u0000"]}`),
		"422-twice":          post(`{"name":"ab","name":"` + secret + `"}`),
		"422-nul-key":        post(`{"name":"ab","x\u0000":1}`),
		"422-nul-query":      h.do(t, "GET", "/api/v1/items?cursor=%00"+secret, ""),
		"422-nul-path":       h.do(t, "GET", "/api/v1/open/%00"+secret, ""),
		"422-utf8-query":     h.do(t, "GET", "/api/v1/items?q=%ff"+secret, ""),
		"422-query":          h.do(t, "GET", "/api/v1/open/1?limit=101&count="+secret, ""),
		"422-path":           h.do(t, "GET", "/api/v1/open/"+secret+secret, ""),
		"422-long-name":      post(`{"name":"ab","` + strings.Repeat(secret, 20) + `":1}`),
		"500-panic":          h.do(t, "GET", "/api/v1/fail/panic", ""),
		"500-authentication": h.do(t, "GET", "/api/v1/items/1", "", as("broken")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			golden(t, name, a)
			require.Equal(t, name[:3], fmt.Sprint(a.StatusCode))
			require.NotContains(t, a.body, secret)
			require.NotContains(t, a.body, secret[:7])
			require.NotContains(t, a.body, "patient's secret")
		})
	}
	require.NotContains(t, h.log.String(), secret)
	require.Contains(t, h.log.String(), "panic: ")
	require.NotContains(t, h.log.String(), "the patient's secret", "a panic may quote what somebody wrote")
}

func TestServer_ANULThatIsNone(t *testing.T) {
	t.Parallel()
	a := start(t).do(t, "POST", "/api/v1/items", `{"name":"a\\u0000"}`)
	require.Equal(t, 201, a.StatusCode)
	require.JSONEq(t, `{"name":"a\\u0000"}`, a.body)
}

func TestServer_GivesUpAtTheDeadline(t *testing.T) {
	t.Parallel()
	h := start(t, func(d *httpd.Deps) { d.Options.RequestTimeout = 30 * time.Millisecond })
	golden(t, "503-timeout", h.do(t, "GET", "/api/v1/fail/slow", ""))
}

func TestServer_RefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	h := start(t)
	for name, request := range map[string]string{
		"431":         "GET / HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 17000) + "\r\n\r\n",
		"414":         "GET /?" + strings.Repeat("x", 9000) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"400-request": "GET\r\n\r\n",
		"413-huge":    "POST /api/v1/items HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
			require.NoError(t, err)
			defer c.Close()
			_, err = io.WriteString(c, request)
			require.NoError(t, err)
			response, err := readResponse(c)
			require.NoError(t, err)
			golden(t, name, response)
			require.Equal(t, name[:3], fmt.Sprint(response.StatusCode))
		})
	}
}

func TestProblem_AnswersPlainRoutes(t *testing.T) {
	t.Parallel()
	h := start(t)
	a := h.do(t, http.MethodGet, "/api/v1/fail/conflict", "")
	require.Contains(t, a.body, `"alternatives":["2026-11-23T10:00:00Z"]`)
	require.Contains(t, a.body, `"status":409`)
	require.NotContains(t, a.body, "never replaced")
}

// A page shows the same as a problem would, and the log gets the cause.
func TestRefusalOf(t *testing.T) {
	t.Parallel()
	var refusals []httpd.Refusal
	h := startWith(t, func(s *httpd.Server) {
		for path, err := range map[string]error{
			"/busy":   &errs.Error{Kind: errs.RateLimited, Code: "rate_limited", Message: "Too many.", RetryAfter: time.Minute},
			"/bad":    errs.InvalidField("body.name", "is too long"),
			"/broken": errors.New("dial db.internal as root"),
		} {
			s.Router().Get(path, func(c *fiber.Ctx) error {
				r := httpd.RefusalOf(c.UserContext(), err)
				refusals = append(refusals, r)
				return c.Status(r.Status).SendString(r.Detail)
			})
		}
	})
	for _, path := range []string{"/busy", "/bad", "/broken"} {
		require.NotContains(t, h.do(t, "GET", path, "", header("X-Request-Id", "a-request-id")).body, "db.internal")
	}
	require.Equal(t, []httpd.Refusal{
		{Status: 429, Code: "rate_limited", Detail: "Too many.", RequestID: "a-request-id", RetryAfter: time.Minute},
		{
			Status: 422, Code: "invalid", Detail: "Some fields are not valid.", RequestID: "a-request-id",
			Errors: []errs.Field{{Path: "body.name", Message: "is too long"}},
		},
		{Status: 500, Code: "internal", Detail: "Something went wrong on our side.", RequestID: "a-request-id"},
	}, refusals)
	require.Contains(t, h.log.String(), "dial db.internal as root")
}
