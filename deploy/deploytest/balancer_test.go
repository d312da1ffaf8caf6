package deploytest

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// standIn stands in for an instance, to do what a real one cannot be told to do.
type standIn struct {
	address string
	served  atomic.Int32
}

func startStandIn(t testing.TB, answer http.HandlerFunc) *standIn {
	t.Helper()
	s := &standIn{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.served.Add(1)
		answer(w, r)
	}))
	t.Cleanup(server.Close)
	s.address = server.Listener.Addr().String()
	return s
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, "its own words")
	}
}

// answer is a response with its whole body.
type answer struct {
	status int
	header http.Header
	body   string
}

func ask(t testing.TB, method, url string, body io.Reader, header http.Header) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	require.NoError(t, err)
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := webClient(t).Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return answer{resp.StatusCode, resp.Header, string(raw)}
}

func TestBalancer_Headers(t *testing.T) {
	t.Parallel()
	echo := startStandIn(t, func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Host", r.Host)
		_ = json.NewEncoder(w).Encode(r.Header)
	})
	b := startBalancer(t, echo.address, echo.address)
	for name, c := range map[string]struct {
		sent, want http.Header
	}{
		"forged address": {
			sent: http.Header{"X-Forwarded-For": {"203.0.113.9"}, "Forwarded": {"for=203.0.113.9"}, "X-Forwarded-Proto": {"https"}},
			want: http.Header{"X-Forwarded-For": {"127.0.0.1"}, "Forwarded": nil, "X-Forwarded-Proto": {"http"}},
		},
		"forged scheme and host": {
			sent: http.Header{"X-Forwarded-Protocol": {"https"}, "X-Forwarded-Ssl": {"on"}, "X-Url-Scheme": {"https"}, "X-Forwarded-Host": {"a.test"}},
			want: http.Header{"X-Forwarded-Protocol": nil, "X-Forwarded-Ssl": nil, "X-Url-Scheme": nil, "X-Forwarded-Host": nil},
		},
		"host": {want: http.Header{"Host": {strings.TrimPrefix(b.url, "http://")}}},
		"request id": {
			sent: http.Header{"X-Request-Id": {"abc-1.2_3"}},
			want: http.Header{"X-Request-Id": {"abc-1.2_3"}},
		},
		"token": {
			sent: http.Header{"Authorization": {"Bearer x"}},
			want: http.Header{"Authorization": {"Bearer x"}, "Connection": nil},
		},
		"HTTP/2 smuggled": {
			sent: http.Header{"Connection": {"Upgrade, HTTP2-Settings"}, "Upgrade": {"h2c"}, "Http2-Settings": {"AAMAAABk"}},
			want: http.Header{"Connection": nil, "Upgrade": nil},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got http.Header
			require.NoError(t, json.Unmarshal([]byte(ask(t, http.MethodGet, b.url+"/", nil, c.sent).body), &got))
			for header, want := range c.want {
				require.Equal(t, want, got[header], header)
			}
			require.NotEmpty(t, got["X-Request-Id"])
		})
	}
}

func TestBalancer_RequestID(t *testing.T) {
	t.Parallel()
	echo := startStandIn(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("X-Request-Id"))
	})
	b := startBalancer(t, echo.address, echo.address)
	for _, bad := range []string{"", `quote"quote`, "a b", "short", strings.Repeat("x", 65)} {
		got := ask(t, http.MethodGet, b.url+"/", nil, http.Header{"X-Request-Id": {bad}})
		require.Regexp(t, `^[0-9a-f]{32}$`, got.body, "one is made instead of %q", bad)
	}
}

func TestBalancer_AccessLog(t *testing.T) {
	t.Parallel()
	one := startStandIn(t, status(http.StatusOK))
	b := startBalancer(t, one.address, one.address)
	ask(t, http.MethodGet, b.url+"/api/v1/patients/PAT0123456789?q=Doe", nil, http.Header{"X-Request-Id": {"abc-1234"}})
	lines := b.logged(t, 1, func(l logLine) bool { return l.RequestID == "abc-1234" })
	require.Equal(t, logLine{
		Client: "127.0.0.1", Method: "GET", Area: "/api", Status: 200, RequestID: "abc-1234",
		Upstream: one.address, UpstreamStatus: "200",
	}, lines[0], "neither the query nor the path, which name people, is in it")
}

func TestBalancer_Retries(t *testing.T) {
	t.Parallel()
	const requests = 10
	for name, c := range map[string]struct {
		method, path string
		refused      http.HandlerFunc // what the first instance does
		want         []int            // statuses that clients may see
		twice        bool             // whether the second instance may be asked after the first
	}{
		"socket refused by an instance that drains": {http.MethodGet, "/ws/inbox", status(503), []int{200}, true},
		"REST refused":                   {http.MethodGet, "/api/v1/me", status(503), []int{200, 503}, false},
		"POST refused":                   {http.MethodPost, "/api/v1/appointments", status(503), []int{200, 503}, false},
		"GET cut off":                    {http.MethodGet, "/api/v1/me", cutOff, []int{200}, true},
		"POST cut off, perhaps half-way": {http.MethodPost, "/api/v1/appointments", cutOff, []int{200, 502}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, good := startStandIn(t, c.refused), startStandIn(t, status(http.StatusOK))
			b := startBalancer(t, bad.address, good.address)
			for range requests {
				got := ask(t, c.method, b.url+c.path, strings.NewReader("{}"), nil)
				require.Contains(t, c.want, got.status)
			}
			require.Positive(t, bad.served.Load(), "the first one was asked")
			if !c.twice {
				require.EqualValues(t, requests, bad.served.Load()+good.served.Load(), "each request was carried out once")
			} else {
				require.EqualValues(t, requests, good.served.Load())
			}
		})
	}
}

// cutOff is an instance that dies in the middle of a request.
func cutOff(w http.ResponseWriter, _ *http.Request) {
	c, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = c.Close()
	}
}

func TestBalancer_InstanceGone(t *testing.T) {
	t.Parallel()
	good := startStandIn(t, status(http.StatusOK))
	b := startBalancer(t, freeAddress(t), good.address)
	for range 20 {
		got := ask(t, http.MethodPost, b.url+"/api/v1/auth/login", strings.NewReader("{}"), nil)
		require.Equal(t, http.StatusOK, got.status, "what could not be sent goes to another instance, even a POST")
	}
}

// TestBalancer_InstanceFrozen: an instance that accepts connections and answers nothing costs a read and a dial one time-out
// (shortened here), and a POST, which may have been carried out, the truth.
func TestBalancer_InstanceFrozen(t *testing.T) {
	t.Parallel()
	thaw := make(chan struct{})
	frozen := startStandIn(t, func(http.ResponseWriter, *http.Request) { <-thaw })
	good := startStandIn(t, status(http.StatusOK))
	t.Cleanup(func() { close(thaw) }) // before the servers close, which wait for it
	conf := regexp.MustCompile(`proxy_read_timeout \d+s;`).
		ReplaceAllString(read(t, "deploy", "nginx", "nginx.conf"), "proxy_read_timeout 300ms;")
	for name, c := range map[string]struct {
		method, path string
		want         []int
	}{
		"GET":    {http.MethodGet, "/api/v1/me", []int{200}},
		"socket": {http.MethodGet, "/ws/inbox", []int{200}},
		"POST":   {http.MethodPost, "/api/v1/appointments", []int{200, 504}},
	} {
		t.Run(name, func(t *testing.T) {
			asked := frozen.served.Load()
			b := startBalancerWith(t, conf, frozen.address, good.address)
			require.Eventually(t, func() bool {
				require.Contains(t, c.want, ask(t, c.method, b.url+c.path, strings.NewReader("{}"), nil).status)
				return frozen.served.Load() > asked
			}, patience, glance, "the frozen one was asked")
		})
	}
}

func TestBalancer_OwnAnswers(t *testing.T) {
	t.Parallel()
	one := startStandIn(t, status(http.StatusServiceUnavailable))
	dead := startBalancer(t, freeAddress(t), freeAddress(t))
	alive := startBalancer(t, one.address, one.address)
	broken := startStandIn(t, cutOff)
	breaking := startBalancer(t, broken.address, broken.address)
	for name, c := range map[string]struct {
		method, url, code, body string
		status                  int
		retryAfter              string
	}{
		"no instance":     {http.MethodGet, dead.url + "/api/v1/me", "unavailable", "", 503, "1"},
		"no instance, ws": {http.MethodGet, dead.url + "/ws/inbox", "unavailable", "", 503, "1"},
		"POST not sent":   {http.MethodPost, dead.url + "/api/v1/appointments", "unavailable", "{}", 503, "1"},
		"POST cut off":    {http.MethodPost, breaking.url + "/api/v1/appointments", "unanswered", "{}", 502, ""},
		"too large":       {http.MethodPut, alive.url + "/api/v1/me", "too_large", strings.Repeat("x", 3<<20), 413, ""},
		"method":          {http.MethodTrace, alive.url + "/api/v1/me", "method_not_allowed", "", 405, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ask(t, c.method, c.url, strings.NewReader(c.body), http.Header{"X-Request-Id": {"abc-1234"}})
			require.Equal(t, c.status, got.status, got.body)
			require.Equal(t, "application/problem+json", got.header.Get("Content-Type"))
			require.Equal(t, c.retryAfter, got.header.Get("Retry-After"))
			require.Equal(t, "nginx", got.header.Get("Server"), "without its version")
			var problem struct {
				Status          int
				Code, RequestID string
			}
			require.NoError(t, json.Unmarshal([]byte(got.body), &problem))
			require.Equal(t, c.status, problem.Status)
			require.Equal(t, c.code, problem.Code)
			require.Equal(t, "abc-1234", problem.RequestID)
		})
	}
	require.Equal(t, "its own words", ask(t, http.MethodGet, alive.url+"/api/v1/me", nil, nil).body,
		"an instance's 503 is passed on")
}

// Under /web, nginx's own errors have the envelope of the older PMS API.
func TestBalancer_OwnAnswers_Web(t *testing.T) {
	t.Parallel()
	one := startStandIn(t, status(http.StatusOK))
	dead := startBalancer(t, freeAddress(t), freeAddress(t))
	alive := startBalancer(t, one.address, one.address)
	broken := startStandIn(t, cutOff)
	breaking := startBalancer(t, broken.address, broken.address)
	for name, c := range map[string]struct {
		method, url, body string
		status            int
		retryAfter        string
	}{
		"no instance":  {http.MethodGet, dead.url + "/web/patient/list", "", 503, "1"},
		"POST cut off": {http.MethodPost, breaking.url + "/web/appointment/book", "{}", 502, ""},
		"too large":    {http.MethodPut, alive.url + "/web/appointment/edit", strings.Repeat("x", 3<<20), 413, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ask(t, c.method, c.url, strings.NewReader(c.body), nil)
			require.Equal(t, c.status, got.status, got.body)
			require.Equal(t, "application/json; charset=utf-8", got.header.Get("Content-Type"))
			require.Equal(t, c.retryAfter, got.header.Get("Retry-After"))
			var envelope struct {
				Success *bool
				Message string
				Data    map[string]any
			}
			require.NoError(t, json.Unmarshal([]byte(got.body), &envelope), got.body)
			require.False(t, *envelope.Success)
			require.NotEmpty(t, envelope.Message)
			require.NotNil(t, envelope.Data)
		})
	}
	require.Equal(t, http.StatusOK,
		ask(t, http.MethodPost, alive.url+"/web/user/login", strings.NewReader("{}"), nil).status)
}

// A reload must not end a socket, and no traffic may go to an instance that is marked down.
func TestBalancer_Reload(t *testing.T) {
	t.Parallel()
	first, second := startStandIn(t, echoSocket), startStandIn(t, echoSocket)
	b := startBalancer(t, first.address, second.address)
	var sockets []*bufio.ReadWriter
	for range 4 {
		sockets = append(sockets, openSocket(t, b.url))
	}
	require.EqualValues(t, 2, first.served.Load())
	b.reload(t, first.address)
	before := first.served.Load()
	for range 4 {
		openSocket(t, b.url)
	}
	require.Equal(t, before, first.served.Load(), "new ones go to the other instance")
	for _, s := range sockets {
		_, err := s.WriteString("still there\n")
		require.NoError(t, err)
		require.NoError(t, s.Flush())
		line, err := s.ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, "still there\n", line)
	}
}

// echoSocket switches protocols and sends back everything that it receives.
func echoSocket(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "websocket" || r.Header.Get("Connection") != "upgrade" {
		w.WriteHeader(http.StatusUpgradeRequired)
		return
	}
	c, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	_, _ = io.Copy(c, rw)
}

func openSocket(t testing.TB, url string) *bufio.ReadWriter {
	t.Helper()
	address := strings.TrimPrefix(url, "http://")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	_, err = io.WriteString(c,
		"GET /ws/inbox HTTP/1.1\r\nHost: "+address+"\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\r\n")
	require.NoError(t, err)
	rw := bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c))
	resp, err := http.ReadResponse(rw.Reader, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, resp.Body.Close()) }() // a 101 has none
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	return rw
}
