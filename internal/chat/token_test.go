package chat

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/testing/pgtest"
)

func TestSocket_SessionEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(nil), w.Conversation()
	told, polled := in.dial(t, w.Patient, id, ""), in.dial(t, w.Doctor, id, "")
	stays, foreign := in.dial(t, w.Patient, id, ""), in.dial(t, w.Patient, id, "")
	again := w.SignIn(w.Patient) // the third connection renews with a token of another session
	in.accounts.mu.Lock()
	in.accounts.actors["again"] = again
	in.accounts.actors["other"] = w.Doctor
	in.accounts.mu.Unlock()
	stays.say(`{"type":"auth","token":"again"}`)
	stays.until("authOk")
	foreign.say(`{"type":"auth","token":"other"}`)
	foreign.requireBye(closeAuth)
	in.svc.SessionsEnded([]int64{w.Patient.Session})
	told.requireBye(closeAuth)
	in.requireFound(polled, w.Doctor.Session)
	stays.say(`{"type":"ping"}`)
	stays.until("pong")
}

// requireFound ends the session of a peer without telling anybody: the next poll finds it, and polls come
// twice a second.
func (in *instance) requireFound(p *peer, session int64) {
	p.t.Helper()
	socket, open := in.conn(p.hello["connection"].(string)), atomic.Int64{}
	in.accounts.end(session, func() {
		if !socket.isClosing() {
			open.Add(1)
		}
	})
	p.requireBye(closeAuth)
	require.EqualValues(p.t, 1, open.Load())
	require.LessOrEqual(p.t, 2*sessionPoll, time.Second, "the query and the close frame included")
}

// TestSocket_SessionEndsWhileRedisHangs: ending a session does not wait for the bus, neither for one that hung from the
// start nor for one that worked before.
func TestSocket_SessionEndsWhileRedisHangs(t *testing.T) {
	t.Parallel()
	for name, early := range map[string]bool{"from the start": true, "in the middle": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, server := newWorld(t), pgtest.Redis(t)
			b := redisBus(t, server)
			t.Cleanup(server.Resume)
			if early {
				server.Pause()
			}
			in, id := w.serveOn(b, nil), w.Conversation()
			if !early {
				require.Eventually(t, in.svc.bus.Healthy, time.Minute, time.Millisecond)
				server.Pause()
			}
			told, polled := in.dial(t, w.Patient, id, ""), in.dial(t, w.Doctor, id, "")
			for range 256 { // more than are sent at once
				in.svc.SessionsEnded([]int64{1 << 40}) // each is a broadcast that does not get through
			}
			in.requireFound(polled, w.Doctor.Session)
			in.svc.SessionsEnded([]int64{w.Patient.Session})
			told.requireBye(closeAuth)
		})
	}
}

// TestSocket_AuthInBand: whoever's token is sent, the connection stays that of its first user, in their role.
func TestSocket_AuthInBand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(nil), w.Conversation()
	promoted, lapsed := w.Patient, w.Patient
	promoted.Role, lapsed.MustChangePassword = auth.Doctor, true
	in.accounts.mu.Lock()
	in.accounts.actors["promoted"], in.accounts.actors["lapsed"] = promoted, lapsed
	in.accounts.actors["the other side's"], in.accounts.actors["a stranger's"] = w.Doctor, w.SignIn(w.User(auth.Patient))
	in.accounts.mu.Unlock()
	for _, token := range []string{"promoted", "lapsed", "the other side's", "a stranger's", "nobody's"} {
		p := in.dial(t, w.Patient, id, "")
		p.say(map[string]any{"type": "auth", "token": token})
		p.requireBye(closeAuth)
	}
	p := in.dial(t, w.Patient, id, "")
	p.say(`{"type":"auth","token":""}`)
	require.Equal(t, "invalid", p.until("error")["code"], "that is no token at all")
}

// TestSocket_ExpiredWhilePostgresIsAway: users who could not renew their token stay for a while, and only read.
func TestSocket_ExpiredWhilePostgresIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(nil), w.Conversation()
	p := in.dial(t, w.Patient, id, "")
	p.until("live")
	in.accounts.fail(errors.New("no connection"))
	require.Eventually(t, in.svc.dbAway.Load, time.Minute, time.Millisecond)
	in.conn(p.hello["connection"].(string)).expires.Store(time.Now().Add(-time.Minute).Unix())
	p.say(map[string]any{"type": "send", "clientId": uuid.New(), "text": "x"})
	nack := p.until("nack")
	require.Equal(t, []any{"nack", "unavailable", "later"}, []any{nack["type"], nack["code"], nack["retry"]})
	require.InDelta(t, 1, in.refusals("token_expired"), 0)
	p.say(`{"type":"read","upTo":1}`)
	p.say(map[string]any{"type": "auth", "token": w.Patient.UserID})
	require.Equal(t, "unavailable", p.until("error")["code"], "send it again")
	require.Empty(t, in.svc.receipts.take())
	in.accounts.fail(nil)
	p.requireBye(closeAuth)
	require.Empty(t, in.events(id))
}

// TestSocket_TokenFlood: each token costs a query, so they count more than other frames.
func TestSocket_TokenFlood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(func(c *setup) { c.chat.PerSecond = 10 })
	in.accounts.mu.Lock()
	in.accounts.actors["mine"] = w.Patient
	in.accounts.mu.Unlock()
	p := in.dial(t, w.Patient, w.Conversation(), "")
	for range frameFlood*burst*10/authCost + 100 {
		if p.WriteMessage(1, []byte(`{"type":"auth","token":"mine"}`)) != nil {
			break // it is being closed
		}
	}
	p.requireBye(closeLimits)
}
