package chat

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/bus"
	"housecall/internal/config"
	"housecall/internal/conversation"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
	"housecall/internal/testing/apitest"
	"housecall/internal/testing/clinic"
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

// instance is a chat service behind a real HTTP server, with the conversations that it stands on.
type instance struct {
	*world
	svc           *Service
	conversations *conversation.Service
	log           *conversation.Log
	registry      *prometheus.Registry
	accounts      *accounts
	api           *apitest.API
	host          string
}

// setup is what tests change of an instance before it starts.
type setup struct {
	conversation.Options
	chat Options
}

// alone is the bus of an instance that has no others.
func alone() bus.Bus { return bus.NewNetwork().Join() }

// serve starts an instance; stopping it at the test's end proves that nothing holds it.
func (w *world) serve(change func(*setup)) *instance {
	w.T.Helper()
	return w.serveOn(alone(), change)
}

// serveOn starts an instance on a bus.
func (w *world) serveOn(b bus.Bus, change func(*setup)) *instance {
	w.T.Helper()
	in := w.instanceOn(b, change)
	in.conversations.Start()
	require.NoError(w.T, in.svc.Start(context.Background()))
	w.T.Cleanup(func() { // once nobody is served any more
		in.conversations.Stop(context.Background())
		in.svc.Stop()
	})
	in.answer()
	w.T.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		in.svc.Drain(ctx)
	})
	return in
}

// answer serves an instance's routes.
func (in *instance) answer() {
	in.T.Helper()
	in.api = apitest.Serve(in.T, apitest.Options{
		Routes: func(s *httpd.Server) {
			Mount(s, in.svc)
			Routes(s, in.svc)
			conversation.Routes(s, in.conversations)
		},
		Authenticator: in.accounts, Through: in.through, Origins: []string{"https://clinic.test", "capacitor://localhost"},
	})
	in.host = strings.TrimPrefix(in.api.Root, "http://")
}

// defaultOptions are chat's with nothing configured.
func defaultOptions() Options {
	d := config.Default()
	return Options{
		BusNamespace: d.RedisNamespace, RequestTimeout: d.RequestTimeout, UnreadAfter: d.UnreadAfter,
		PerSecond: d.MessagesPerSecond, UserPerSecond: d.UserMessagesPerSecond,
		ConversationPerSecond: d.ConversationMessagesPerSecond, SocketsPerUser: d.SocketsPerUser,
		SocketsPerAddress: d.SocketsPerAddress, PublicURL: d.PublicURL, ClinicNotice: d.Notice(),
	}
}

// instanceOn makes an instance that has not started.
func (w *world) instanceOn(b bus.Bus, change func(*setup)) *instance {
	w.T.Helper()
	return w.instanceOver(w.Connect(), b, change)
}

// instanceOver is instanceOn over a pool.
func (w *world) instanceOver(pool *postgres.Pool, b bus.Bus, change func(*setup)) *instance {
	w.T.Helper()
	c := config.Default()
	o := setup{
		Options: conversation.Options{
			CommitLanes: c.CommitLanes, FollowUp: followUp, Zone: time.UTC, ClinicNotice: c.Notice(),
			PerSecond: c.ConversationMessagesPerSecond, UserPerSecond: c.UserMessagesPerSecond,
		},
		chat: defaultOptions(),
	}
	if change != nil {
		change(&o)
	}
	log, registry := conversation.NewLog(), prometheus.NewRegistry()
	in := &instance{world: w, log: log, registry: registry, accounts: &accounts{
		actors:  map[string]auth.Actor{w.Patient.UserID: w.Patient, w.Doctor.UserID: w.Doctor},
		expires: time.Now().Add(time.Hour),
	}}
	in.conversations = conversation.New(conversation.Deps{
		Pool: pool, Log: log, Registry: registry, Logger: zerolog.Nop(), Now: w.now, Options: o.Options,
		Appointments: clinic.New(clinic.Deps{
			Pool: pool, Now: w.now, Config: c,
			Conversations: struct {
				*conversation.Log
				Counts
			}{log, Counts{}},
		}).Appointments,
	})
	in.svc = New(Deps{
		Pool: pool, Bus: b, Conversations: in.conversations, Accounts: in.accounts, Registry: registry, Logger: zerolog.Nop(),
		Now: w.now, Options: o.chat,
	})
	return in
}

// conn finds the server's side of a connection.
func (in *instance) conn(id string) *conn {
	in.T.Helper()
	for _, c := range in.svc.connections.all() {
		if c.id == id {
			return c
		}
	}
	require.FailNow(in.T, "no such connection")
	return nil
}

// peer is a client by hand.
type peer struct {
	*websocket.Conn
	t     testing.TB
	hello map[string]any
}

// try asks for a connection; the response is that of a refusal.
func (in *instance) try(id, query string, header http.Header, protocols ...string) (*websocket.Conn, int, error) {
	return in.tryAt("/ws/appointments/"+id, query, header, protocols...)
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

// dial opens a connection and reads its hello.
func (in *instance) dial(t testing.TB, a auth.Actor, id int64, query string) *peer {
	t.Helper()
	c, _, err := in.try(in.PublicID(id), query, nil, subprotocol, bearerSubprotocol+a.UserID)
	require.NoError(t, err)
	return greeted(t, c)
}

// greeted reads the hello of a new connection.
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
func (p *peer) requireBye(code closeCode) map[string]any {
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
		require.EqualValues(p.t, code, closed.Code)
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
