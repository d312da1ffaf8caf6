package httpd_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	dialer "github.com/fasthttp/websocket"
	"github.com/gofiber/contrib/websocket"
	"github.com/gofiber/fiber/v2"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"housecall/internal/errs"
	"housecall/internal/httpd"
)

func readResponse(c net.Conn) (answer, error) {
	response, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	return answer{response, string(b)}, err
}

func item(t *testing.T, a answer) (out struct {
	ID, Actor  string
	Client     httpd.Client
	InDeadline bool
},
) {
	t.Helper()
	require.Equal(t, 200, a.StatusCode, a.body)
	require.NoError(t, json.Unmarshal([]byte(a.body), &out))
	return out
}

// A plus sign in a query is a space, but in an offset or a zone there is none; in other text it stays one.
func TestServer_RestoresPlusSigns(t *testing.T) {
	t.Parallel()
	h := startWith(t, func(s *httpd.Server) {
		s.Router().Get("/echo", func(c *fiber.Ctx) error { return c.SendString(c.Query("x")) })
	})
	for given, want := range map[string]string{
		"2026-12-01T10:00:00+01:00":         "2026-12-01T10:00:00+01:00",
		"2026-12-01T10:00:00.123456+05:30":  "2026-12-01T10:00:00.123456+05:30",
		"2026-12-01T10:00%2B0100":           "2026-12-01T10:00+0100",
		"Etc/GMT+5":                         "Etc/GMT+5",
		"2026-12-01+10:00":                  "2026-12-01 10:00",
		"Ann+Other":                         "Ann Other",
		"from+2026-12-01T10:00:00+01:00+on": "from 2026-12-01T10:00:00 01:00 on",
	} {
		require.Equal(t, want, h.do(t, "GET", "/echo?y=1&x="+given, "").body)
	}
}

// Whoever invents methods raises no alarm.
func TestServer_UnknownMethodIsNoFailure(t *testing.T) {
	t.Parallel()
	h := start(t)
	require.Equal(t, 405, h.do(t, "BREW", "/api/v1/items", "").StatusCode)
	require.Equal(t, 404, h.do(t, "BREW", "/nowhere", "").StatusCode)
	require.Contains(t, h.log.String(), `"level":"info","method":"other"`)
	require.NotContains(t, h.log.String(), `"level":"error"`)
	all, err := h.registry.Gather()
	require.NoError(t, err)
	require.NotContains(t, fmt.Sprint(all), "5xx")
}

// An invented method becomes no label and no log text, wherever its request is refused.
func TestServer_UnknownMethodIsNoLabel(t *testing.T) {
	t.Parallel()
	h := start(t)
	for request, status := range map[string]int{
		"Content-Length: 2000000\r\n\r\n":                                  413,
		"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n":                   400,
		"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": 405,
	} {
		all := h.raw(t, "BREW /api/v1/items HTTP/1.1\r\nHost: x\r\n"+request)
		require.Len(t, all, 1)
		require.Equal(t, status, all[0].StatusCode)
	}
	all, err := h.registry.Gather()
	require.NoError(t, err)
	require.NotContains(t, fmt.Sprint(all), "BREW")
	require.Equal(t, 3, strings.Count(h.log.String(), `"method":"other"`))
	require.NotContains(t, h.log.String(), "BREW")
}

// Some clients say of every request how its body is compressed.
func TestServer_NoBodyIsNotCompressed(t *testing.T) {
	t.Parallel()
	h := start(t)
	gzip := header("Content-Encoding", "gzip")
	require.Equal(t, 200, h.do(t, "GET", "/api/v1/items", "", gzip).StatusCode)
	golden(t, "422-missing", h.do(t, "POST", "/api/v1/items", "{}", header("Content-Encoding", "identity")))
	require.Equal(t, 415, h.do(t, "POST", "/api/v1/items", "{}", gzip).StatusCode)
}

func TestRegister_ServesTypedRoutes(t *testing.T) {
	t.Parallel()
	h := start(t)
	a := h.do(t, "GET", "/api/v1/items/7?limit=5", "", as("patient"))
	got := item(t, a)
	require.Equal(t, "7", got.ID)
	require.Equal(t, "PAT1", got.Actor)
	require.True(t, got.InDeadline)
	require.Equal(t, "application/json", a.Header.Get("Content-Type"))
	require.Equal(t, `"7"`, a.Header.Get("ETag"))
	require.Equal(t, "ADM1", item(t, h.do(t, "GET", "/api/v1/admin/7", "", header("Authorization", "bearer admin"))).Actor)
	require.Equal(t, 204, h.do(t, "DELETE", "/api/v1/items/7", "", as("patient")).StatusCode)
	list := h.do(t, "GET", "/api/v1/items", "")
	require.JSONEq(t, `{"items":[]}`, list.body)
}

func TestRegister_PublicRouteTakesAnyToken(t *testing.T) {
	t.Parallel()
	h := start(t)
	for token, actor := range map[string]string{"": "", "patient": "PAT1", "forged": "", "broken": ""} {
		require.Equal(t, actor, item(t, h.do(t, "GET", "/api/v1/open/7", "", as(token))).Actor)
	}
}

func TestServer_RequestID(t *testing.T) {
	t.Parallel()
	h := start(t)
	given := h.do(t, "GET", "/api/v1/open/7", "", header("X-Request-Id", "trace-0123.abc"))
	require.Equal(t, "trace-0123.abc", given.Header.Get("X-Request-Id"))
	require.Equal(t, "trace-0123.abc", item(t, given).Client.RequestID)
	require.Contains(t, h.log.String(), `"request":"trace-0123.abc"`)
	for _, bad := range []string{"", "short", "with space and more", strings.Repeat("x", 65), `"},{"level":"x`} {
		a := h.do(t, "GET", "/api/v1/open/7", "", header("X-Request-Id", bad))
		require.Regexp(t, `^[0-9a-f-]{36}$`, a.Header.Get("X-Request-Id"), bad)
	}
}

func TestServer_ClientAddress(t *testing.T) {
	t.Parallel()
	forwarded := header("X-Forwarded-For", "6.6.6.6, 203.0.113.9, 10.1.2.3")
	from := func(h *house, changes ...change) string {
		return item(t, h.do(t, "GET", "/api/v1/open/7", "", changes...)).Client.Address
	}
	direct := start(t)
	require.Equal(t, "127.0.0.1", from(direct, forwarded), "nobody is trusted")
	behind := start(t, func(d *httpd.Deps) { d.Options.TrustedProxies = []string{"127.0.0.1", "10.0.0.0/8"} })
	require.Equal(t, "203.0.113.9", from(behind, forwarded), "what is left of it can be invented")
	require.Equal(t, "127.0.0.1", from(behind))
	require.Equal(t, "127.0.0.1", from(behind, header("X-Forwarded-For", "nonsense")))
	require.Equal(t, "10.9.9.9", from(behind, header("X-Forwarded-For", "10.9.9.9")), "all are proxies")
	require.Equal(t, "2001:db8::1", from(behind, header("X-Forwarded-For", "2001:db8::1")))
}

// HAProxy adds its own line after the client's.
func TestServer_ClientAddress_severalLines(t *testing.T) {
	t.Parallel()
	h := start(t, func(d *httpd.Deps) { d.Options.TrustedProxies = []string{"127.0.0.1"} })
	a := h.do(t, "GET", "/api/v1/open/7", "", func(r *http.Request) {
		r.Header.Add("X-Forwarded-For", "6.6.6.6")
		r.Header.Add("X-Forwarded-For", "203.0.113.9")
	})
	require.Equal(t, "203.0.113.9", item(t, a).Client.Address)
}

func TestServer_UserAgentIsStorable(t *testing.T) {
	t.Parallel()
	h := start(t)
	got := item(t,
		h.do(t, "GET", "/api/v1/open/7", "", header("User-Agent", "a\xffb\tc"+strings.Repeat("é", 300)))).Client.UserAgent
	require.True(t, strings.HasPrefix(got, "abcéé"), got)
	require.LessOrEqual(t, len(got), 200)
}

func TestServer_SecurityHeaders(t *testing.T) {
	t.Parallel()
	h := start(t, func(d *httpd.Deps) { d.Options.HTTPS = true })
	a := h.do(t, "GET", "/api/v1/open/7", "")
	for name, want := range map[string]string{
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
		"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'", "Cache-Control": "no-store",
		"Strict-Transport-Security": "max-age=31536000", "Server": "",
	} {
		require.Equal(t, want, a.Header.Get(name), name)
	}
	require.Empty(t, start(t).do(t, "GET", "/healthz", "").Header.Get("Strict-Transport-Security"))
}

func TestServer_CORS(t *testing.T) {
	t.Parallel()
	h := start(t)
	require.True(t, h.OriginAllowed("http://localhost:6001"))
	require.False(t, h.OriginAllowed(""))
	for origin, allowed := range map[string]string{
		"https://clinic.example": "https://clinic.example", "http://localhost:6001": "http://localhost:6001",
		"https://evil.example": "", "https://clinic.example.evil": "", "null": "", "": "",
	} {
		a := h.do(t, "GET", "/api/v1/open/7", "", header("Origin", origin))
		require.Equal(t, allowed, a.Header.Get("Access-Control-Allow-Origin"), origin)
		require.Contains(t, a.Header.Get("Vary"), "Origin")
		require.Empty(t, a.Header.Get("Access-Control-Allow-Credentials"))
		require.Equal(
			t, allowed != "",
			strings.Contains(a.Header.Get("Access-Control-Expose-Headers"),
				"ETag, Idempotent-Replayed, Location, Retry-After, X-Request-Id"),
		)
		if origin == "" {
			continue
		}
		a = h.do(t, "OPTIONS", "/api/v1/items/7", "", header("Origin", origin),
			header("Access-Control-Request-Method", "DELETE"))
		require.Equal(t, 204, a.StatusCode)
		require.Equal(t, allowed, a.Header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, allowed != "", strings.Contains(a.Header.Get("Access-Control-Allow-Methods"), "DELETE"))
		require.Equal(t, allowed != "", strings.Contains(a.Header.Get("Access-Control-Allow-Headers"), "Authorization"))
	}
	require.Equal(t, 405, h.do(t, "OPTIONS", "/api/v1/items/7", "").StatusCode, "no preflight")
}

func TestServer_ErrorsCarryCORS(t *testing.T) {
	t.Parallel()
	a := start(t).do(t, "GET", "/api/v1/items/7", "", header("Origin", "https://clinic.example"))
	require.Equal(t, 401, a.StatusCode)
	require.Equal(t, "https://clinic.example", a.Header.Get("Access-Control-Allow-Origin"))
}

func TestServer_LogsPatternsNotPaths(t *testing.T) {
	t.Parallel()
	h := start(t)
	h.do(t, "GET", "/api/v1/open/PAT0SECRET?cursor=hidden", "", as("patient"))
	h.do(t, "GET", "/PAT0SECRET", "")
	h.do(t, "SECRET", "/", "")
	log := h.log.String()
	require.NotContains(t, log, "SECRET")
	require.NotContains(t, log, "hidden")
	require.Contains(t, log, `"method":"GET","route":"/api/v1/open/:id","status":200`)
	require.Contains(t, log, `"route":"unmatched","status":404`)
	require.Contains(t, log, `"address":"127.0.0.1"`)
	families, err := h.registry.Gather()
	require.NoError(t, err)
	i := slices.IndexFunc(families,
		func(f *dto.MetricFamily) bool { return f.GetName() == "http_request_duration_seconds" })
	require.Len(t, families[i].GetMetric(), 3)
	require.NotContains(t, fmt.Sprint(families), "SECRET")
}

func TestServer_PlainRoutes(t *testing.T) {
	t.Parallel()
	deadline := make(chan bool, 1)
	h := startWith(t, func(s *httpd.Server) {
		s.Router().Get("/ws/:id", func(c *fiber.Ctx) error {
			_, ok := c.UserContext().Deadline()
			deadline <- ok
			_, _, err := s.Authenticate(c)
			return httpd.Problem(c, err)
		})
		s.Router().Get("/page", func(c *fiber.Ctx) error {
			_ = c.SendString("half a page")
			return &errs.Error{Kind: errs.Conflict, Code: "taken", Message: "It is taken.", Err: errors.New("why")}
		})
	}, func(d *httpd.Deps) { d.Authenticator = nil })
	a := h.do(t, "GET", "/ws/1", "")
	require.Equal(t, 401, a.StatusCode)
	require.Equal(t, "application/problem+json", a.Header.Get("Content-Type"))
	require.False(t, <-deadline, "a socket outlives its request")
	a = h.do(t, "GET", "/page", "")
	require.Equal(t, 409, a.StatusCode)
	require.NotContains(t, a.body, "half")
	_, _, err := h.AuthenticateToken(t.Context(), "patient")
	require.ErrorIs(t, err, errs.ErrUnauthenticated, "nobody can sign in")
}

func TestServer_SocketsPass(t *testing.T) {
	t.Parallel()
	h := startWith(t, func(s *httpd.Server) {
		s.Router().Get("/ws/:id", websocket.New(func(c *websocket.Conn) {
			kind, text, err := c.ReadMessage()
			if err == nil {
				_ = c.WriteMessage(kind, text)
			}
		}))
	}, func(d *httpd.Deps) { d.Options.RequestTimeout = time.Nanosecond })
	c, response, err := dialer.DefaultDialer.Dial("ws"+strings.TrimPrefix(h.url, "http")+"/ws/PAT0SECRET?token=SECRET",
		nil)
	require.NoError(t, err)
	defer c.Close()
	defer response.Body.Close()
	require.NotEmpty(t, response.Header.Get("X-Request-Id"))
	require.NoError(t, c.WriteMessage(websocket.TextMessage, []byte("hello SECRET")))
	_, text, err := c.ReadMessage()
	require.NoError(t, err)
	require.Equal(t, "hello SECRET", string(text))
	require.Contains(t, h.log.String(), `"route":"/ws/:id","status":101`)
	require.NotContains(t, h.log.String(), "SECRET")
}

func TestServer_ShutdownFinishesWhatRuns(t *testing.T) {
	t.Parallel()
	running, goOn := make(chan struct{}), make(chan struct{})
	h := startWith(t, func(s *httpd.Server) {
		s.Router().Get("/long", func(c *fiber.Ctx) error {
			close(running)
			<-goOn
			return c.SendString("done")
		})
	})
	answered := make(chan answer, 1)
	go func() {
		c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
		if err != nil {
			t.Error(err)
			close(running)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "GET /long HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		a, err := readResponse(c)
		if err != nil {
			t.Error(err)
		}
		answered <- a
	}()
	<-running
	stopped := make(chan error, 1)
	go func() { stopped <- h.Shutdown(context.Background()) }()
	require.Eventually(t, func() bool {
		c, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
		if err == nil {
			c.Close()
		}
		return err != nil
	}, time.Minute, 10*time.Millisecond, "nothing new is accepted")
	close(goOn)
	require.Equal(t, "done", (<-answered).body)
	require.NoError(t, <-stopped)
}
