package chat

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
)

// TestSocket_BadFrames: a frame that is none ends the connection, one that is wrong gets an answer.
func TestSocket_BadFrames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(nil), w.Conversation()
	t.Run("answered", func(t *testing.T) {
		t.Parallel()
		p, id := in.dial(t, w.Patient, id, ""), uuid.New().String()
		for name, c := range map[string]struct {
			frame string
			want  map[string]any
		}{
			"unknown type": {`{"type":"shout"}`, map[string]any{"type": "error", "code": "unknown_type"}},
			"bad field":    {`{"type":"read","upTo":"x"}`, map[string]any{"type": "error", "code": "invalid"}},
			"bad text":     {`{"type":"send","clientId":"` + id + `","text":7}`, map[string]any{"type": "nack", "code": "invalid", "clientId": id, "retry": "never"}},
			"no text":      {`{"type":"send","clientId":"` + id + `"}`, map[string]any{"type": "nack", "code": "invalid", "clientId": id, "retry": "never"}},
			"blank text":   {`{"type":"send","clientId":"` + id + `","text":" "}`, map[string]any{"type": "nack", "code": "empty", "clientId": id, "retry": "never"}},
			"U+0000":       {`{"type":"send","clientId":"` + id + `","text":"a\u0000"}`, map[string]any{"type": "nack", "code": "invalid", "clientId": id, "retry": "never"}},
			"a long text":  {`{"type":"send","clientId":"` + id + `","text":"` + strings.Repeat("x", 4001) + `"}`, map[string]any{"type": "nack", "code": "too_long", "clientId": id, "retry": "never"}},
			"no clientId":  {`{"type":"send","text":"x"}`, map[string]any{"type": "error", "code": "invalid"}},
			"the largest":  {`{"type":"shout","x":"` + strings.Repeat("x", MaxFrameBytes-23) + `"}`, map[string]any{"type": "error", "code": "unknown_type"}},
		} {
			p.say(c.frame)
			got := p.until(fmt.Sprint(c.want["type"]))
			delete(got, "detail")
			require.Equal(t, c.want, got, name)
		}
		p.say(`{"type":"ping","id":[1]}`)
		require.Equal(t, map[string]any{"type": "pong", "id": []any{1.0}}, p.until("pong"), "the connection has stayed")
		for reason, n := range map[string]float64{"invalid": 3, "empty": 1, "too_long": 1} {
			require.InDelta(t, n, in.refusals(reason), 0, reason)
		}
	})
	for name, c := range map[string]struct {
		kind  int
		frame string
		code  closeCode
	}{
		"bad JSON":  {websocket.TextMessage, `{"type":`, closeProtocol},
		"no object": {websocket.TextMessage, `[]`, closeProtocol},
		"not UTF-8": {websocket.TextMessage, "{\"type\":\"\xff\"}", closeProtocol},
		"empty":     {websocket.TextMessage, "", closeProtocol},
		"binary":    {websocket.BinaryMessage, `{"type":"ping"}`, closeProtocol},
		"over 64 K": {websocket.TextMessage, `{"type":"ping","x":"` + strings.Repeat("x", MaxFrameBytes) + `"}`, closeTooBig},
		"over 1 MB": {websocket.TextMessage, strings.Repeat("x", 1<<20), closeTooBig},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := in.dial(t, w.Patient, id, "")
			_ = p.WriteMessage(c.kind, []byte(c.frame)) // it may be refused before all of it is written
			p.requireBye(c.code)
		})
	}
}

func TestSocket_FrameFlood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(func(c *setup) { c.chat.PerSecond = 1 })
	p := in.dial(t, w.Patient, w.Conversation(), "")
	for range 2 * frameFlood * burst {
		p.say(`{"type":"ping"}`)
	}
	p.requireBye(closeLimits)
}

// countingListener counts what is read of the connections that it accepts.
type countingListener struct {
	net.Listener
	read *atomic.Int64
}

type countingConn struct {
	net.Conn
	read *atomic.Int64
}

func (l countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countingConn{c, l.read}, err
}

func (c countingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

// TestSocket_FloodIsNotRead: a client that keeps flooding after it was closed for that is read only as much as it takes
// to let it read why; the rest of what it sends stays on its side.
func TestSocket_FloodIsNotRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var read atomic.Int64
	w.through = func(l net.Listener) net.Listener { return countingListener{l, &read} }
	in := w.serve(nil)
	p := in.dial(t, w.Patient, w.Conversation(), "")
	p.SetCloseHandler(func(int, string) error { return nil }) // it does not answer
	flooding := make(chan struct{})
	ping := append(
		[]byte{0x81, 0x80 | 15, 0, 0, 0, 0},
		`{"type":"ping"}`...) // masked with zeros; the library would stop at the close
	go func() {
		defer close(flooding)
		for err := error(nil); err == nil; { // until the connection is gone
			_, err = p.NetConn().Write(ping)
		}
	}()
	p.requireBye(closeLimits)
	<-flooding
	require.Less(t, read.Load(), int64(2*readAtOnce+4*readEnded), "of millions of bytes")
}

func TestSocket_MessageRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(func(c *setup) { c.chat.PerSecond = 1 })
	id := w.Conversation()
	p := in.dial(t, w.Patient, id, "")
	for range burst + 3 {
		p.say(map[string]any{"type": "send", "clientId": uuid.New(), "text": "x"})
	}
	for range 2 {
		nack := p.until("nack")
		require.Equal(t, []any{"rate", "later"}, []any{nack["code"], nack["retry"]})
	}
}

func TestSocket_ControlFrames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	p := in.dial(t, w.Patient, w.Conversation(), "")
	pongs := make(chan string, 1)
	p.SetPongHandler(func(data string) error {
		pongs <- data
		return nil
	})
	c := in.conn(fmt.Sprint(p.hello["connection"]))
	before := time.Now().Add(-heartbeat / 2).Unix()
	c.lastSeen.Store(before)
	require.NoError(t, p.WriteControl(websocket.PingMessage, []byte("are you there?"), time.Now().Add(time.Second)))
	p.say(`{"type":"ping"}`)
	p.until("pong")
	require.Equal(t, "are you there?", <-pongs)
	require.Greater(t, c.lastSeen.Load(), before, "a sign of life")
	require.NoError(
		t,
		p.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""),
			time.Now().Add(time.Second)),
	)
	_, _, err := p.ReadMessage()
	require.True(t, websocket.IsCloseError(err, int(closeNormal)), "the close is answered: %v", err)
	require.Eventually(t, func() bool { return len(in.svc.connections.all()) == 0 }, time.Minute, time.Millisecond)
}

// TestSocket_EndlessMessage: pings and pongs between its pieces do not keep the connection of a message that never
// ends.
func TestSocket_EndlessMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	p := in.dial(t, w.Patient, w.Conversation(), "")
	pongs, ended := make(chan struct{}, 1), make(chan int, 1)
	p.SetPongHandler(func(string) error {
		pongs <- struct{}{}
		return nil
	})
	go func() {
		for {
			if _, _, err := p.ReadMessage(); err != nil {
				var closed *websocket.CloseError
				_ = errors.As(err, &closed)
				ended <- closed.Code
				return
			}
		}
	}()
	ping := func() {
		require.NoError(t, p.WriteControl(websocket.PongMessage, nil, time.Now().Add(time.Minute)))
		require.NoError(t, p.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Minute)))
		<-pongs
	}
	out, err := p.NextWriter(websocket.TextMessage)
	require.NoError(t, err)
	_, err = out.Write(bytes.Repeat([]byte(" "), 8<<10)) // more than the library keeps back
	require.NoError(t, err)
	ping()
	in.conn(
		fmt.Sprint(p.hello["connection"]),
	).lastSeen.Store(time.Now().Add(-heartbeat - heartbeatGrace - time.Second).Unix())
	ping()
	in.svc.connections.look(seal(opPing, make([]byte, wireHeader)), false)
	require.EqualValues(t, closeSilent, <-ended)
}

// TestSocket_PingFlood: control frames count too, and the limit is counted once, however much still comes.
func TestSocket_PingFlood(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(func(c *setup) { c.chat.PerSecond = 1 })
	p := in.dial(t, w.Patient, w.Conversation(), "")
	for range 4 * frameFlood * burst {
		_ = p.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Minute)) // it may be closed by then
	}
	p.requireBye(closeLimits)
	require.NoError(t, p.Close())
	require.Eventually(t, func() bool { return len(in.svc.connections.all()) == 0 }, time.Minute, time.Millisecond)
	require.InDelta(t, 1, testutil.ToFloat64(in.svc.metrics.limited.WithLabelValues(limitFrames)), 0)
	require.InDelta(t, 1, testutil.ToFloat64(in.svc.metrics.closed.WithLabelValues("4029")), 0)
}
