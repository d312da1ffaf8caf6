package app

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/client"
	"housecall/internal/config"
	"housecall/internal/testing/pgtest"
)

// While PostgreSQL is lost, REST answers 503, sends are deferred, and sockets stay; everything recovers by itself.
func TestApp_PostgresDies(t *testing.T) {
	t.Parallel()
	server, dsn := pgtest.Own(t)
	w := newWorldOver(t, dsn, pgtest.Redis(t).URL(), 2)
	patient, doctor, appointment := w.pair()
	p, d := join(t, patient, appointment, fromStart), join(t, doctor, appointment, fromStart)
	raw := w.dial(0, w.token(patient), appointment, "")
	raw.next("live")
	p.say("before")
	require.NoError(t, server.Kill())

	id := client.NewClientID()
	draft := object{"type": "send", "clientId": id, "text": "meanwhile"}
	raw.write(draft)
	nack := raw.next("nack")
	require.Equal(t, `"unavailable"`, string(nack.Code))
	require.Equal(t, "later", nack.Retry)
	put, err := d.conv.Send("also meanwhile")
	require.NoError(t, err)
	d.until("it is put off", func() bool { return d.deferred[put] == "unavailable" })
	for n := range w.apps {
		r := w.call(n, w.token(patient), "GET", "/api/v1/me", "").problem(t, 503)
		require.NotEmpty(t, r.header.Get("Retry-After"))
		body := fmt.Sprintf(`{"clientId":%q,"text":"over REST"}`, id)
		w.call(n, w.token(patient), "POST", "/api/v1/appointments/"+appointment+"/messages", body).problem(t, 503)
		w.ready(n, 503, "unavailable")
	}
	s, r := w.tryDial(0, "/ws/appointments/"+appointment, http.Header{"Authorization": {"Bearer " + w.token(patient)}},
		"housecall.v1")
	require.Nil(t, s)
	r.problem(t, 503)

	require.NoError(t, server.Restart(w.context()))
	w.ready(0, 200, "ready")
	w.ready(1, 200, "ready")
	w.eventually("the resent message is committed", func() bool {
		raw.write(draft)
		var f frame
		for f.Type != "ack" && f.Type != "nack" {
			require.NoError(t, raw.ReadJSON(&f))
		}
		return f.Type == "ack"
	})
	d.drained()
	p.say("after")
	requireSame(t, w.stored(appointment), p, d)
	for _, who := range []*peer{p, d} {
		require.EqualValues(t, 1, who.conv.Stats().Connections, "sockets stay")
	}
}

// A PostgreSQL that hangs is worse than one that is gone: what was under way may or may not be committed.
func TestApp_PostgresHangs(t *testing.T) {
	t.Parallel()
	long(t)
	server, dsn := pgtest.Own(t)
	w := newWorldOver(t, dsn, pgtest.Redis(t).URL(), 2, func(c *config.Config) { c.RequestTimeout = 8 * time.Second })
	s := newStorm(w, 6, newGate(t, w.apps[0].Addr()), newGate(t, w.apps[1].Addr()))
	token := w.token(s.peers[0][0].api)
	s.talk(20, func() {
		server.Pause()
		defer server.Resume()
		w.call(0, token, "GET", "/api/v1/me", "").problem(t, 503)
		w.ready(1, 503, "unavailable")
		// The lanes' attempts time out, too, and are repeated without duplicating anything.
		w.eventually("a message is put off", func() bool { return s.deferred() })
	})
	s.same(2 * 2 * 20)
	w.ready(0, 200, "ready")
}

func (s *storm) deferred() bool {
	for _, pair := range s.peers {
		for _, p := range pair {
			p.mu.Lock()
			n := len(p.deferred)
			p.mu.Unlock()
			if n > 0 {
				return true
			}
		}
	}
	return false
}
