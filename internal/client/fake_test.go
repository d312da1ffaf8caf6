package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/stretchr/testify/require"

	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// fakeService makes faults that the real service does not make on demand. script plays the server's side of the n-th
// connection (from 0); when it returns, the connection is cut.
type fakeService struct {
	t         *testing.T
	server    *httptest.Server
	script    func(n int, s *fakeSocket)
	refuse    func(n int) int // the status that refuses the n-th dial, negative for a balancer's page; 0 accepts it
	expiresIn int             // seconds, of tokens
	log       []Event         // that REST serves

	dials, tokens atomic.Int64
	refreshStatus atomic.Int64
	running       sync.WaitGroup
}

// fakeSocket is one connection seen from the server.
type fakeSocket struct {
	t     *testing.T
	ws    *websocket.Conn
	query map[string]string
	token string
}

func (f *fakeService) start(t *testing.T) *API {
	t.Helper()
	f.t = t
	if f.expiresIn == 0 {
		f.expiresIn = 900
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/auth/login", func(w http.ResponseWriter, _ *http.Request) { f.signIn(w) })
	mux.HandleFunc("POST /api/v1/auth/refresh", func(w http.ResponseWriter, _ *http.Request) {
		if status := int(f.refreshStatus.Load()); status != 0 {
			fakeProblem(w, status)
			return
		}
		f.signIn(w)
	})
	mux.HandleFunc("GET /api/v1/appointments/APP1/messages", f.messages)
	mux.HandleFunc("GET /ws/appointments/APP1", f.socket)
	f.server = httptest.NewServer(mux)
	httpClient := NewHTTPClient(2)
	api, err := New(f.server.URL, WithHTTPClient(httpClient))
	require.NoError(t, err)
	t.Cleanup(func() {
		httpClient.CloseIdleConnections()
		f.server.Close()
		f.running.Wait()
	})
	_, err = api.Login(t.Context(), "p@x.test", "secret")
	require.NoError(t, err)
	return api
}

func (f *fakeService) signIn(w http.ResponseWriter) {
	_ = json.NewEncoder(w).Encode(signIn{
		AccessToken: fmt.Sprintf("token-%d", f.tokens.Add(1)), ExpiresIn: int64(f.expiresIn), RefreshToken: "r",
		User: User{UserID: "PAT1", Role: "PATIENT"},
	})
}

func fakeProblem(w http.ResponseWriter, status int) {
	if status < 0 {
		http.Error(w, "a balancer's page", -status)
		return
	}
	code := map[int]string{401: "unauthenticated", 404: "not_found"}[status]
	if code == "" {
		code = "fake"
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"status": status, "code": code, "detail": "because"})
}

func (f *fakeService) messages(w http.ResponseWriter, r *http.Request) {
	var after int64
	_, _ = fmt.Sscan(r.URL.Query().Get("after"), &after)
	out := History{HeadSeq: int64(len(f.log))}
	for _, e := range f.log {
		if e.Seq > after && len(out.Items) < 100 {
			out.Items = append(out.Items, e)
		}
	}
	_ = json.NewEncoder(w).Encode(out)
}

func (f *fakeService) socket(w http.ResponseWriter, r *http.Request) {
	n := int(f.dials.Add(1)) - 1
	if f.refuse != nil {
		if status := f.refuse(n); status != 0 {
			fakeProblem(w, status)
			return
		}
	}
	up := websocket.Upgrader{Subprotocols: []string{"housecall.v1"}}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		f.t.Errorf("upgrade: %v", err)
		return
	}
	s := &fakeSocket{
		t: f.t, ws: ws, query: map[string]string{}, token: strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "),
	}
	for k := range r.URL.Query() {
		s.query[k] = r.URL.Query().Get(k)
	}
	f.running.Go(func() {
		defer func() { _ = ws.Close() }()
		f.script(n, s)
	})
}

// say sends frames unchanged.
func (s *fakeSocket) say(frames ...string) {
	for _, f := range frames {
		_ = s.ws.WriteMessage(websocket.TextMessage, []byte(f)) // the client may have gone: then its test fails
	}
}

func (s *fakeSocket) sayHello(head int64) {
	s.say(
		fmt.Sprintf(
			`{"type":"hello","headSeq":%d,"epoch":"e1","canReply":true,"heartbeatSeconds":25,"you":{"userId":"PAT1"}}`, head,
		),
	)
}

func (s *fakeSocket) event(seq int64) {
	s.say(
		fmt.Sprintf(`{"type":"event","seq":%d,"kind":"text","sender":"DOC1","text":"no. %d","at":"2026-11-22T10:00:00Z"}`,
			seq, seq),
	)
}

func (s *fakeSocket) live(head int64) { s.say(fmt.Sprintf(`{"type":"live","headSeq":%d}`, head)) }

func (s *fakeSocket) closeWith(code int) {
	_ = s.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, "test"), time.Now().Add(time.Second))
	s.untilGone()
}

// fromClient is a client's frame.
type fromClient struct {
	Type, ClientID, Text, Token string
	UpTo                        int64
	Active                      bool
}

// hear waits for the client's next frame; ok is false when it has gone.
func (s *fakeSocket) hear() (f fromClient, ok bool) {
	_ = s.ws.SetReadDeadline(time.Now().Add(time.Minute))
	_, raw, err := s.ws.ReadMessage()
	if err != nil {
		return f, false
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		s.t.Errorf("the client sent no JSON: %s", raw)
	}
	return f, true
}

func (s *fakeSocket) untilGone() {
	for {
		if _, ok := s.hear(); !ok {
			return
		}
	}
}

// fakeClock never waits: timers fire at once, and its time moves on instead.
type fakeClock struct {
	mu    sync.Mutex
	now   time.Time
	waits []time.Duration
}

// longest is the longest wait that is skipped. A token's life is longer and never ends in a test.
const longest = 5 * time.Minute

func (c *fakeClock) clock() Clock {
	c.now = time.Now()
	return Clock{
		Now: func() time.Time {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.now
		},
		After: func(d time.Duration) <-chan time.Time {
			ch := make(chan time.Time, 1)
			if d > longest {
				return ch
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.waits = append(c.waits, d)
			c.now = c.now.Add(d)
			ch <- c.now
			return ch
		},
	}
}

func (c *fakeClock) clockNow() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) asked() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]time.Duration(nil), c.waits...)
}

// within limits a test's waits.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}
