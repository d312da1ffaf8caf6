package chat

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/testing/pgtest"
)

func TestSocket_SessionEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, room := w.serve(nil), w.room()
	told, polled := in.dial(t, w.patient, room, ""), in.dial(t, w.doctor, room, "")
	stays, foreign := in.dial(t, w.patient, room, ""), in.dial(t, w.patient, room, "")
	again := w.signIn(w.patient) // the third socket renews with a token of another session
	in.accounts.mu.Lock()
	in.accounts.actors["again"] = again
	in.accounts.actors["other"] = w.doctor
	in.accounts.mu.Unlock()
	stays.say(`{"type":"auth","token":"again"}`)
	stays.until("authOk")
	foreign.say(`{"type":"auth","token":"other"}`)
	foreign.requireBye(closeAuth)
	in.svc.SessionsEnded([]int64{w.patient.Session})
	told.requireBye(closeAuth)
	in.requireFound(polled, w.doctor.Session)
	stays.say(`{"type":"ping"}`)
	stays.until("pong")
}

// requireFound ends the session of a peer. Nobody tells; the first question after it finds it, and questions come twice a second.
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

// TestSocket_SessionEndsWhileRedisHangs: nothing of it waits for the bus, neither for one that hung from the start nor for one that
// did its work before.
func TestSocket_SessionEndsWhileRedisHangs(t *testing.T) {
	t.Parallel()
	for name, early := range map[string]bool{"from the start": true, "in the middle": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, server := newWorld(t), pgtest.Redis(t)
			rdb := singleNode(t, server)
			t.Cleanup(func() { require.NoError(t, rdb.Close()) })
			t.Cleanup(server.Resume)
			if early {
				server.Pause()
			}
			in, room := w.serveOn(NewRedisBus(rdb, zerolog.Nop()), nil), w.room()
			if !early {
				require.Eventually(t, in.svc.bus.Healthy, time.Minute, time.Millisecond)
				server.Pause()
			}
			told, polled := in.dial(t, w.patient, room, ""), in.dial(t, w.doctor, room, "")
			for range 2 * publishBatch {
				in.svc.SessionsEnded([]int64{1 << 40}) // each is a notice that does not get through
			}
			in.requireFound(polled, w.doctor.Session)
			in.svc.SessionsEnded([]int64{w.patient.Session})
			told.requireBye(closeAuth)
		})
	}
}

// TestSocket_AuthInBand: whoever the token is of, the socket stays its first user's, in his role.
func TestSocket_AuthInBand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, room := w.serve(nil), w.room()
	promoted, lapsed := w.patient, w.patient
	promoted.Role, lapsed.MustChangePassword = auth.Doctor, true
	in.accounts.mu.Lock()
	in.accounts.actors["promoted"], in.accounts.actors["lapsed"] = promoted, lapsed
	in.accounts.actors["the other side's"], in.accounts.actors["a stranger's"] = w.doctor, w.signIn(w.user(auth.Patient))
	in.accounts.mu.Unlock()
	for _, token := range []string{"promoted", "lapsed", "the other side's", "a stranger's", "nobody's"} {
		p := in.dial(t, w.patient, room, "")
		p.say(map[string]any{"type": "auth", "token": token})
		p.requireBye(closeAuth)
	}
	p := in.dial(t, w.patient, room, "")
	p.say(`{"type":"auth","token":""}`)
	require.Equal(t, "invalid", p.until("error")["code"], "that is no token at all")
}

// TestSocket_ExpiredWhilePostgresIsAway: who could not renew his token stays for a while, and only reads.
func TestSocket_ExpiredWhilePostgresIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, room := w.serve(nil), w.room()
	p := in.dial(t, w.patient, room, "")
	p.until("live")
	in.accounts.fail(errors.New("no connection"))
	require.Eventually(t, in.svc.dbAway.Load, time.Minute, time.Millisecond)
	in.conn(p.hello["connection"].(string)).expires.Store(time.Now().Add(-time.Minute).Unix())
	id := uuid.New()
	nack := p.ask(map[string]any{"type": "send", "clientId": id, "text": "x"})
	require.Equal(t, []any{"nack", "unavailable", "later"}, []any{nack["type"], nack["code"], nack["retry"]})
	require.InDelta(t, 1, testutil.ToFloat64(in.svc.metrics.refused.WithLabelValues("token_expired")), 0)
	p.say(`{"type":"read","upTo":1}`)
	p.say(map[string]any{"type": "auth", "token": w.patient.UserID})
	require.Equal(t, "unavailable", p.until("error")["code"], "send it again")
	require.Empty(t, in.svc.receipts.take())
	in.accounts.fail(nil)
	p.requireBye(closeAuth)
	require.Empty(t, w.log(room))
}

// TestSocket_TokenFlood: each token costs a query, so they count more than other frames.
func TestSocket_TokenFlood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(func(c *config.Config) { c.MessagesPerSecond = 10 })
	in.accounts.mu.Lock()
	in.accounts.actors["mine"] = w.patient
	in.accounts.mu.Unlock()
	p := in.dial(t, w.patient, w.room(), "")
	for range frameFlood*burst*10/authCost + 100 {
		if p.WriteMessage(1, []byte(`{"type":"auth","token":"mine"}`)) != nil {
			break // it is being closed
		}
	}
	p.requireBye(closeLimits)
}
