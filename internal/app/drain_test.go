package app

import (
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/stretchr/testify/require"

	"housecall/internal/config"
)

// An instance that stops under load sends its clients to others, and nothing is lost or duplicated.
func TestApp_Drain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	g := newGate(t, w.apps[0].Addr(), w.apps[1].Addr())
	s := newStorm(w, 12, g)
	raw := w.dial(0, w.token(s.peers[0][0].api), s.appointments[0], "")
	s.talk(12, func() { require.NoError(t, w.stop(0), "within its deadline") })
	code, bye := raw.end()
	require.Equal(t, 1012, code)
	require.Less(t, bye.ReconnectAfterMs, int64(10_000))
	s.same(2 * 2 * 12)
	sentAway := 0
	for _, pair := range s.peers {
		for _, p := range pair {
			p.mu.Lock()
			if slices.Contains(p.codes, 1012) {
				sentAway++
			}
			p.mu.Unlock()
		}
	}
	require.Positive(t, sentAway)
	_, err := net.DialTimeout("tcp", w.apps[0].Addr(), time.Second)
	require.Error(t, err, "the port is free")
	require.NoError(t, w.stop(0))
}

// An instance stops in time whatever its clients do.
func TestApp_StopWithStuckClients(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, func(c *config.Config) { c.ShutdownTimeout = 15 * time.Second })
	patient, _, appointment := w.pair()
	for range 5 {
		w.stuck(0, w.token(patient), appointment)
	}
	require.NoError(t, w.stop(0))
}

// stuck opens a socket whose client never reads.
func (w *world) stuck(n int, token, appointment string) {
	w.t.Helper()
	d := websocket.Dialer{
		Subprotocols: []string{"housecall.v1"}, ReadBufferSize: 128, // it must not read ahead
		NetDial: func(network, addr string) (net.Conn, error) {
			c, err := net.Dial(network, addr)
			if err == nil {
				err = c.(*net.TCPConn).SetReadBuffer(2048)
			}
			return c, err
		},
	}
	ws, resp, err := d.Dial("ws"+strings.TrimPrefix(w.url(n), "http")+"/ws/appointments/"+appointment,
		http.Header{"Authorization": {"Bearer " + token}})
	require.NoError(w.t, err)
	_ = resp.Body.Close()
	w.t.Cleanup(func() { _ = ws.Close() })
}

// A client that stops reading loses its connection, and does not affect others. It is too slow once all buffers are full;
// on a machine that takes long to fill them it is silent (4009) before that.
func TestApp_SlowReader(t *testing.T) {
	t.Parallel()
	long(t)
	w := newWorld(t, 2, func(c *config.Config) { c.MetricsAddr = "127.0.0.1:0" })
	patient, doctor, appointment := w.pair()
	p, d := join(t, patient, appointment, fromStart), join(t, doctor, appointment, fromStart)
	another := w.book(patient, doctor)
	p2, d2 := join(t, patient, another, fromStart), join(t, doctor, another, fromStart)
	w.stuck(0, w.token(patient), appointment)
	w.eventually("the stuck reader is in", func() bool { return w.metric(0, `chat_sockets`) == "3" })

	text := strings.Repeat("🩺", 4000) // 16 kB, so that the kernel's buffers fill soon
	var last int64
	sent := 0
	closed := func(code string) bool { return w.metric(0, `chat_closes_total{code="`+code+`"}`) == "1" }
	for !closed("4008") && !closed("4009") {
		require.Less(t, sent, 5000, "80 MB fill every buffer")
		for range 10 { // fewer than may wait for a reader who is not slow
			_, err := d.conv.Send(text)
			require.NoError(t, err)
		}
		sent += 10
		last = d.say("and on")
		p.hears(last)
		p2.hears(d2.say("the other conversation goes on"))
	}
	w.eventually("its place is free", func() bool { return w.metric(0, `chat_sockets`) == "2" })
	requireSame(t, w.stored(appointment), p, d)
	for _, who := range []*peer{p, d, p2, d2} {
		require.EqualValues(t, 1, who.conv.Stats().Connections, "nobody else was disconnected")
	}
}

// metric reads a metric of an instance; "" if there is none.
func (w *world) metric(n int, name string) string {
	w.t.Helper()
	resp, err := w.http.Get("http://" + w.apps[n].MetricsAddr() + "/metrics")
	require.NoError(w.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	for line := range strings.Lines(string(raw)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
