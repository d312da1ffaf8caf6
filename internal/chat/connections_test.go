package chat

import (
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
)

// socketsAt makes connections whose clock the test sets.
func socketsAt(now *time.Time) *connections {
	return newConnections(3, 5, newMetrics(prometheus.NewRegistry(), func(string) {}), func() time.Time { return *now })
}

// addRaw registers a conn over a raw connection; the client reads what it is sent.
func addRaw(t *testing.T, s *connections, expires time.Time) (*conn, *websocket.Conn) {
	t.Helper()
	client, server := dialRaw(t)
	c := newConn(server, nil, &admission{actor: auth.Actor{ID: 1, Session: 2}, expires: expires},
		connPorts{1, s.metrics, s.now})
	c.warned.Store(false) // as after hello
	require.NoError(t, s.add(c))
	t.Cleanup(func() {
		c.finish()
		s.remove(c)
	})
	return c, client
}

func TestConnections_Look(t *testing.T) {
	t.Parallel()
	ping := seal(opPing, make([]byte, wireHeader))
	start := time.Now().Truncate(time.Second)
	for name, c := range map[string]struct {
		silent  time.Duration // since the last sign of life
		left    time.Duration // of the token
		lenient bool
		code    closeCode // 0: stays
		ping    bool
		warning bool
	}{
		"fresh":                              {0, time.Hour, false, 0, false, false},
		"quiet":                              {heartbeat - time.Second, time.Hour, false, 0, false, false},
		"due":                                {heartbeat, time.Hour, false, 0, true, false},
		"silent, within the grace":           {heartbeat + heartbeatGrace, time.Hour, false, 0, true, false},
		"silent":                             {heartbeat + heartbeatGrace + time.Second, time.Hour, false, closeSilent, false, false},
		"the token ends soon":                {0, expiryWarning, false, 0, false, true},
		"the token ends not so soon":         {0, expiryWarning + time.Second, false, 0, false, false},
		"the token has ended":                {0, 0, false, closeAuth, false, false},
		"ended while PostgreSQL is away":     {0, -time.Minute, true, 0, false, true},
		"ended long ago, PostgreSQL is away": {0, -expiryGrace, true, closeAuth, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now := start
			s := socketsAt(&now)
			conn, client := addRaw(t, s, now.Add(c.left))
			conn.lastSeen.Store(now.Add(-c.silent).Unix())
			pings := 0
			client.SetPingHandler(func(string) error {
				pings++
				return nil
			})
			s.look(ping, c.lenient)
			s.look(nil, c.lenient) // the second look must not warn again
			conn.deliver(encode(liveFrame{}))
			var got []any
			for {
				_, body, err := client.ReadMessage()
				if isCloseError(err) {
					require.True(t, websocket.IsCloseError(err, int(c.code)), "%v", err)
					break
				}
				require.NoError(t, err)
				f := fields(t, body)
				if f["type"] == "live" {
					break
				}
				got = append(got, f["type"])
			}
			var want []any
			if c.warning {
				want = append(want, "authExpiring")
			}
			if c.code != 0 {
				want = append(want, "bye")
			}
			require.Equal(t, want, got)
			require.Equal(t, c.ping, pings > 0)
		})
	}
}

func TestConnections_RebindWarnsAgain(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	s := socketsAt(&now)
	c, client := addRaw(t, s, now.Add(time.Second))
	next := func() any {
		_, body, err := client.ReadMessage()
		require.NoError(t, err)
		return fields(t, body)["type"]
	}
	s.look(nil, false)
	require.Equal(t, "authExpiring", next())
	s.rebind(c, auth.Actor{ID: 1, Session: 9}, now.Add(time.Hour))
	now = now.Add(time.Minute)
	c.lastSeen.Store(now.Unix())
	s.look(nil, false)
	s.endSessions([]int64{2}) // the old session's end is not this connection's
	require.False(t, c.isClosing())
	now = now.Add(time.Hour - time.Minute - expiryWarning)
	c.lastSeen.Store(now.Unix())
	s.look(nil, false)
	require.Equal(t, "authExpiring", next())
	s.endSessions([]int64{9})
	require.Equal(t, "bye", next())
}

// TestConnections_LimitsHold: however many come at once, no more get in than the limits allow.
func TestConnections_LimitsHold(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := socketsAt(&now)
	var mu sync.Mutex
	users, total := map[int64]int{}, 0
	var in []*conn
	var work sync.WaitGroup
	start := make(chan struct{})
	for n := range 200 {
		work.Go(func() {
			a := &admission{actor: auth.Actor{ID: int64(n % 4), Session: 1}, address: "192.0.2.1"}
			c := newConn(nil, nil, a, connPorts{1, s.metrics, s.now})
			<-start
			if err := s.add(c); err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			users[int64(n%4)]++
			total++
			in = append(in, c)
		})
	}
	close(start)
	work.Wait()
	require.Equal(t, 5, total)
	for _, n := range users {
		require.LessOrEqual(t, n, 3)
	}
	for _, c := range in {
		s.remove(c)
	}
	require.Empty(t, s.users)
	require.Empty(t, s.addresses)
	require.Empty(t, s.sessions)
	require.Empty(t, s.open)
}

func TestWindows(t *testing.T) {
	t.Parallel()
	w, now := newWindows(), time.Now()
	w.set(1, now.Add(time.Second))
	w.set(2, now)
	w.set(3, now)
	w.set(3, time.Time{})
	require.Equal(t, []int64{2}, w.over(now))
	require.Empty(t, w.over(now))
	require.Equal(t, []int64{1}, w.over(now.Add(time.Minute)))
}

// stuckConn is a network connection whose peer takes nothing: each write ends at its deadline.
type stuckConn struct{ net.Conn }

func (stuckConn) Write([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

// A reader who takes nothing until a write times out counts as slow, as one whose queue is full does.
func TestConn_WriteTimeout(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	t.Cleanup(func() { _ = client.Close() })
	m := newMetrics(prometheus.NewRegistry(), func(string) {})
	c := newConn(stuckConn{server}, nil, &admission{}, connPorts{1, m, time.Now})
	c.deliver(wire("frame"))
	c.writer.Wait()
	require.True(t, c.isClosing())
	require.InDelta(t, 1, testutil.ToFloat64(m.closed.WithLabelValues("4008")), 0)
	_, err := client.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF, "the connection is cut")
}
