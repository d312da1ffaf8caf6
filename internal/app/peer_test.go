package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/stretchr/testify/require"

	"housecall/internal/client"
)

// peer is a participant of a conversation who remembers everything.
type peer struct {
	t    *testing.T
	api  *client.API
	id   string
	conv *client.Conversation

	mu       sync.Mutex // guards the rest
	changed  chan struct{}
	events   []client.Event
	acks     map[string]client.Ack
	again    map[string]int64 // seq of acks that were marked as duplicates
	refused  map[string]string
	deferred map[string]string
	receipts map[string][2]int64
	typing   map[string]bool
	online   map[string]string
	onlines  map[string][]string // everything that was said about somebody's presence, without repetitions
	canReply bool
	whyNot   string
	status   string
	resets   []string
	codes    []int // of closes
	waits    []time.Duration
}

// join opens a conversation until the test ends.
func join(t *testing.T, api *client.API, appointment string, change ...func(*client.Options)) *peer {
	t.Helper()
	p := &peer{
		t: t, api: api, id: api.User().UserID, changed: make(chan struct{}), acks: map[string]client.Ack{},
		again: map[string]int64{}, refused: map[string]string{}, deferred: map[string]string{},
		receipts: map[string][2]int64{}, typing: map[string]bool{}, online: map[string]string{},
		onlines: map[string][]string{},
	}
	o := client.Options{Handler: p.handler(), QueueMax: 10_000, Random: func() float64 { return 0.02 }}
	for _, f := range change {
		f(&o)
	}
	p.conv = client.Open(api, appointment, o)
	t.Cleanup(p.conv.Close)
	p.live()
	return p
}

// fromStart asks for the whole log.
func fromStart(o *client.Options) { o.Resume = client.Cursor{Set: true} }

func (p *peer) handler() client.Handler {
	return client.Handler{
		Hello: func(h *client.Hello) {
			p.note(func() {
				p.canReply, p.whyNot, p.status = h.CanReply, h.WhyNot, h.Appointment.Status
				for _, who := range h.Participants {
					p.shown(who.UserID, who.Online)
					p.receipts[who.UserID] = [2]int64{who.DeliveredSeq, who.ReadSeq}
				}
			})
		},
		Event: func(e client.Event) { p.note(func() { p.events = append(p.events, e) }) },
		Ack: func(a client.Ack) {
			p.note(func() {
				if a.Duplicate {
					p.again[a.ClientID] = a.Seq
				}
				if _, there := p.acks[a.ClientID]; !there {
					p.acks[a.ClientID] = a
				}
			})
		},
		Refused:  func(r client.Refusal) { p.note(func() { p.refused[r.ClientID] = r.Code }) },
		Deferred: func(id, code string) { p.note(func() { p.deferred[id] = code }) },
		Reset:    func(reason string) { p.note(func() { p.resets, p.events = append(p.resets, reason), nil }) },
		State: func(_ client.State, why error) {
			var closed *client.CloseError
			if errors.As(why, &closed) {
				p.note(func() { p.codes = append(p.codes, closed.Code) })
				return
			}
			p.note(func() {})
		},
		Retry: func(in time.Duration) { p.note(func() { p.waits = append(p.waits, in) }) },
		Receipt: func(user string, delivered, read int64) {
			p.note(func() { p.receipts[user] = [2]int64{delivered, read} })
		},
		Typing:   func(user string, active bool) { p.note(func() { p.typing[user] = active }) },
		Presence: func(user string, online *bool) { p.note(func() { p.shown(user, online) }) },
		Appointment: func(s client.AppointmentState, can bool, why string) {
			p.note(func() { p.status, p.canReply, p.whyNot = s.Status, can, why })
		},
	}
}

// shown remembers somebody's presence. The caller holds mu.
func (p *peer) shown(user string, online *bool) {
	is := presence(online)
	if was := p.onlines[user]; len(was) == 0 || was[len(was)-1] != is {
		p.onlines[user] = append(was, is)
	}
	p.online[user] = is
}

func presence(online *bool) string {
	switch {
	case online == nil:
		return "unknown"
	case *online:
		return "online"
	default:
		return "offline"
	}
}

func (p *peer) note(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

// until waits until ok, which it checks after everything that happens.
func (p *peer) until(what string, ok func() bool) {
	p.t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		p.mu.Lock()
		done, changed := ok(), p.changed
		p.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			state, why := p.conv.State()
			require.FailNow(p.t, "this did not happen: "+what, "%s is %s (%v), has %d events", p.id, state, why, p.count())
		}
	}
}

func (p *peer) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.events)
}

func (p *peer) live() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(p.t, p.conv.WaitLive(ctx))
}

// say sends a text and waits for its commit.
func (p *peer) say(text string) int64 {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	seq, err := p.conv.SendWait(ctx, text)
	require.NoError(p.t, err)
	return seq
}

// drained waits until everything that was sent is committed.
func (p *peer) drained() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	require.NoError(p.t, p.conv.Drain(ctx))
}

// hears waits for the event with a seq.
func (p *peer) hears(seq int64) {
	p.t.Helper()
	p.until("the event arrives", func() bool { return len(p.events) > 0 && p.events[len(p.events)-1].Seq >= seq })
}

// seen returns what the peer saw, without times.
func (p *peer) seen() []client.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := slices.Clone(p.events)
	for i := range out {
		out[i].At = time.Time{}
	}
	return out
}

// requireSame requires that everybody saw what PostgreSQL has, in the same order, each clientId once.
func requireSame(t *testing.T, stored []client.Event, peers ...*peer) {
	t.Helper()
	ids := map[string]bool{}
	for i, e := range stored {
		require.EqualValues(t, i+1, e.Seq, "the log has no gap")
		require.False(t, e.ClientID != "" && ids[e.ClientID], "a clientId is one message")
		ids[e.ClientID] = true
	}
	for _, p := range peers {
		if len(stored) > 0 {
			p.hears(stored[len(stored)-1].Seq)
		}
		require.Equal(t, stored, p.seen())
	}
}

// frame has the fields of all frames that tests look at.
type frame struct {
	Type             string          `json:"type"`
	Seq              int64           `json:"seq"`
	ClientID         string          `json:"clientId"`
	Text             string          `json:"text"`
	Duplicate        bool            `json:"duplicate"`
	Code             json.RawMessage `json:"code"`
	Retry            string          `json:"retry"`
	Reason           string          `json:"reason"`
	HeadSeq          int64           `json:"headSeq"`
	Epoch            string          `json:"epoch"`
	ReconnectAfterMs int64           `json:"reconnectAfterMs"`
	CanReply         bool            `json:"canReply"`
	WhyNot           string          `json:"whyNot"`
}

// socket is a connection that does not reconnect.
type socket struct {
	*websocket.Conn
	t *testing.T
}

// try dials a conversation's socket; if it is refused, it returns the reply.
func (w *world) tryDial(n int, path string, header http.Header, protocols ...string) (*socket, reply) {
	w.t.Helper()
	d := websocket.Dialer{Subprotocols: protocols, HandshakeTimeout: patience}
	address := "ws" + strings.TrimPrefix(w.url(n), "http") + path
	ws, resp, err := d.Dial(address, header) //nolint:bodyclose // the library has read and closed it
	if err != nil {
		require.NotNil(w.t, resp, "%v", err)
		r := reply{status: resp.StatusCode, header: resp.Header}
		// The library keeps the first part of the body.
		buf := make([]byte, 4096)
		size, _ := resp.Body.Read(buf)
		r.raw = buf[:size]
		_ = json.Unmarshal(r.raw, &r.body)
		return nil, r
	}
	w.t.Cleanup(func() { _ = ws.Close() })
	return &socket{ws, w.t}, reply{status: resp.StatusCode, header: resp.Header}
}

// dial opens a conversation's socket.
func (w *world) dial(n int, token, appointment, query string) *socket {
	w.t.Helper()
	s, r := w.tryDial(n, "/ws/appointments/"+appointment+query,
		http.Header{"Authorization": {"Bearer " + token}}, "housecall.v1")
	require.NotNil(w.t, s, "%d %s", r.status, r.raw)
	return s
}

// read waits for the next frame.
func (s *socket) read() (f frame, err error) {
	if err = s.SetReadDeadline(time.Now().Add(patience)); err == nil {
		err = s.ReadJSON(&f)
	}
	return f, err
}

// attend reads frames all the time, as clients do: a connection that answers no ping is closed. The channel closes with
// the connection.
func (s *socket) attend() <-chan frame {
	frames := make(chan frame, 4096)
	go func() {
		defer close(frames)
		for {
			f, err := s.read()
			if err != nil {
				return
			}
			frames <- f
		}
	}()
	return frames
}

// next waits for a frame of a type, skipping others.
func (s *socket) next(kind string) frame {
	s.t.Helper()
	for {
		f, err := s.read()
		require.NoError(s.t, err, "waiting for %s", kind)
		if f.Type == kind {
			return f
		}
	}
}

// end waits for the close and returns its code, and what bye said before it.
func (s *socket) end() (code int, bye frame) {
	s.t.Helper()
	for {
		f, err := s.read()
		if err != nil {
			var closed *websocket.CloseError
			require.ErrorAs(s.t, err, &closed)
			return closed.Code, bye
		}
		if f.Type == "bye" {
			bye = f
		}
	}
}

func (s *socket) write(v any) {
	s.t.Helper()
	require.NoError(s.t, s.WriteJSON(v))
}

type object = map[string]any
