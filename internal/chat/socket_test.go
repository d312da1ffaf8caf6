package chat

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/doctor"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/patient"
	"housecall/internal/schedule"
)

// accounts knows tokens by heart: a token is the actor's public id.
type accounts struct {
	mu      sync.Mutex // guards all below
	actors  map[string]auth.Actor
	expires time.Time
	ended   []int64
	asked   func() // whenever EndedSessions is asked; may be nil
	away    error  // of PostgreSQL
}

func (a *accounts) Authenticate(_ context.Context, token string) (auth.Actor, time.Time, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	actor, ok := a.actors[token]
	if a.away != nil {
		return auth.Actor{}, time.Time{}, a.away
	}
	if !ok || slices.Contains(a.ended, actor.Session) {
		return auth.Actor{}, time.Time{}, errs.ErrUnauthenticated
	}
	return actor, a.expires, nil
}

func (a *accounts) EndedSessions(context.Context, time.Time) ([]int64, time.Time, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.asked != nil {
		a.asked()
	}
	return slices.Clone(a.ended), time.Now(), a.away
}

// fail has everything fail with an error, or nothing with nil.
func (a *accounts) fail(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.away = err
}

// end ends a session; from then on asked is called. Nobody is told.
func (a *accounts) end(session int64, asked func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended, a.asked = append(a.ended, session), asked
}

// deafBus confirms everything and carries nothing.
type deafBus struct{}

func (deafBus) Start(string, func(notice), func(int64, bool)) {}
func (deafBus) Stop()                                         {}
func (deafBus) Subscribe(int64) <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}
func (deafBus) Unsubscribe(int64)           {}
func (deafBus) Publish(notice, func(int64)) {}
func (deafBus) Healthy() bool               { return true }
func (deafBus) Prompt() bool                { return true }

// instance is a chat service behind a real HTTP server.
type instance struct {
	*world
	svc      *Service
	accounts *accounts
	host     string
}

// serve starts an instance; stopping it at the test's end proves that nothing holds it.
func (w *world) serve(change func(*config.Config)) *instance {
	w.t.Helper()
	return w.serveOn(deafBus{}, change)
}

// serveOn starts an instance on a bus.
func (w *world) serveOn(b bus, change func(*config.Config)) *instance {
	w.t.Helper()
	cfg := config.Default()
	if change != nil {
		change(&cfg)
	}
	pool, log := w.connect(), NewLog()
	hours, err := schedule.New(cfg)
	require.NoError(w.t, err)
	doctors := doctor.New(pool, hours, nil)
	appointments := appointment.New(pool, hours, doctors, patient.New(pool, doctors, appointment.Care{}), log, cfg, w.now)
	in := &instance{world: w, accounts: &accounts{
		actors: map[string]auth.Actor{w.patient.UserID: w.patient, w.doctor.UserID: w.doctor}, expires: time.Now().Add(time.Hour),
	}}
	in.svc = New(Deps{
		Pool: pool, Bus: b, Log: log, Appointments: appointments, Accounts: in.accounts, Config: cfg,
		Registry: prometheus.NewRegistry(), Logger: zerolog.Nop(), Now: w.now,
	})
	srv, err := httpd.New(httpd.Deps{
		Log: zerolog.Nop(), Registry: prometheus.NewRegistry(), Authenticator: in.accounts,
		Options: httpd.Options{
			BodyLimit: cfg.BodyLimit, RequestTimeout: cfg.RequestTimeout, Origins: cfg.Origins(), CursorSecrets: cfg.Secrets(),
		},
	})
	require.NoError(w.t, err)
	Mount(srv, in.svc)
	Routes(srv, in.svc)
	ln, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	require.NoError(w.t, err)
	in.host = ln.Addr().String()
	if w.through != nil {
		ln = w.through(ln)
	}
	require.NoError(w.t, in.svc.Start(context.Background()))
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		in.svc.DrainSockets(ctx)
		require.NoError(w.t, srv.Shutdown(ctx))
		require.NoError(w.t, <-done)
		in.svc.Stop(ctx)
	})
	return in
}

// conn finds the server's side of a socket.
func (in *instance) conn(id string) *conn {
	in.t.Helper()
	for _, c := range in.svc.sockets.all() {
		if c.id == id {
			return c
		}
	}
	require.FailNow(in.t, "no such connection")
	return nil
}

// publicID names a room's appointment as clients do.
func (w *world) publicID(room int64) (id string) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(context.Background(), `select public_id from appointments where id = $1`, room).Scan(&id))
	return id
}

// peer is a client by hand.
type peer struct {
	*websocket.Conn
	t     testing.TB
	hello map[string]any
}

// try asks for a socket; the response is that of a refusal.
func (in *instance) try(room, query string, header http.Header, protocols ...string) (*websocket.Conn, int, error) {
	return in.tryAt("/ws/appointments/"+room, query, header, protocols...)
}

// tryAt is try at any address.
func (in *instance) tryAt(path, query string, header http.Header, protocols ...string) (*websocket.Conn, int, error) {
	u := url.URL{Scheme: "ws", Host: in.host, Path: path, RawQuery: query}
	d := websocket.Dialer{Subprotocols: protocols, HandshakeTimeout: time.Minute}
	c, response, err := d.Dial(u.String(), header)
	if response == nil {
		return nil, 0, err
	}
	_ = response.Body.Close() // a refusal's is already read
	return c, response.StatusCode, err
}

// dial opens a socket and reads its hello.
func (in *instance) dial(t testing.TB, a auth.Actor, room int64, query string) *peer {
	t.Helper()
	c, _, err := in.try(in.publicID(room), query, nil, subprotocol, bearerSubprotocol+a.UserID)
	require.NoError(t, err)
	return greeted(t, c)
}

// greeted reads the hello of a new socket.
func greeted(t testing.TB, c *websocket.Conn) *peer {
	t.Helper()
	t.Cleanup(func() { _ = c.Close() })
	p := &peer{Conn: c, t: t}
	p.hello = p.next()
	require.Equal(t, "hello", p.hello["type"])
	return p
}

// next reads one frame.
func (p *peer) next() map[string]any {
	p.t.Helper()
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(time.Minute)))
	_, body, err := p.ReadMessage()
	require.NoError(p.t, err)
	return fields(p.t, body)
}

// until reads up to a frame of a type.
func (p *peer) until(kind string) map[string]any {
	p.t.Helper()
	for {
		if f := p.next(); f["type"] == kind {
			return f
		}
	}
}

func (p *peer) say(v any) {
	p.t.Helper()
	body, ok := v.(string)
	if !ok {
		b, err := json.Marshal(v)
		require.NoError(p.t, err)
		body = string(b)
	}
	require.NoError(p.t, p.WriteMessage(websocket.TextMessage, []byte(body)))
}

// requireBye reads to the end: bye and the close frame must say the code.
func (p *peer) requireBye(code int) map[string]any {
	p.t.Helper()
	require.NoError(p.t, p.SetReadDeadline(time.Now().Add(time.Minute)))
	var last []byte
	for {
		_, body, err := p.ReadMessage()
		if err == nil {
			last = body
			continue
		}
		var closed *websocket.CloseError
		require.ErrorAs(p.t, err, &closed)
		require.Equal(p.t, code, closed.Code)
		bye := fields(p.t, last)
		require.Equal(p.t, "bye", bye["type"])
		require.EqualValues(p.t, code, bye["code"])
		return bye
	}
}

func isCloseError(err error) bool {
	var closed *websocket.CloseError
	return errors.As(err, &closed)
}
