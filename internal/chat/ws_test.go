package chat

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/conversation"
	"housecall/internal/postgres"
)

func TestSocket_Conversation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(nil), w.Conversation()
	w.fill(id, recentLimit+5)
	p, d := in.dial(t, w.Patient, id, ""), in.dial(t, w.Doctor, id, "after=54&epoch=")
	require.Equal(t, w.Patient.UserID, p.hello["you"].(map[string]any)["userId"])
	require.Equal(t, true, p.hello["canReply"])
	for seq := 6; seq <= recentLimit+5; seq++ {
		require.EqualValues(t, seq, p.next()["seq"])
	}
	require.Equal(t, map[string]any{"type": "live", "headSeq": 55.0}, p.until("live"))
	require.EqualValues(t, 55, d.until("event")["seq"])
	d.until("live")

	clientID := uuid.New()
	for _, sent := range []struct {
		spelled   string
		duplicate any
	}{
		{strings.ToUpper(clientID.String()), nil}, // as Swift writes a UUID: one that compares strings knows its ack
		{clientID.String(), true},
	} {
		p.say(map[string]any{"type": "send", "clientId": sent.spelled, "text": "Good morning 🩺\u2028"})
		ack := p.until("ack")
		require.Equal(t, []any{sent.spelled, 56.0, sent.duplicate}, []any{ack["clientId"], ack["seq"], ack["duplicate"]})
	}
	p.say(map[string]any{"type": "send", "clientId": strings.ToUpper(clientID.String()), "text": " "})
	refused := p.until("nack")
	require.Equal(t, []any{strings.ToUpper(clientID.String()), "empty"}, []any{refused["clientId"], refused["code"]})
	got := d.until("event")
	require.Equal(t, []any{56.0, "text", clientID.String(), w.Patient.UserID, "Good morning 🩺\u2028"},
		[]any{got["seq"], got["kind"], got["clientId"], got["sender"], got["text"]})

	d.say(map[string]any{"type": "read", "upTo": 999})
	receipt := p.until("receipt")
	require.Equal(t, []any{w.Doctor.UserID, 56.0, 56.0},
		[]any{receipt["userId"], receipt["deliveredSeq"], receipt["readSeq"]})
	d.say(map[string]any{"type": "typing", "active": true})
	require.Equal(t, map[string]any{"type": "typing", "userId": w.Doctor.UserID, "active": true}, p.until("typing"))

	w.cancel(id) // by another process: the sweep finds it
	in.svc.sweepSoon()
	require.Equal(t, "system", p.until("event")["kind"])
	require.Equal(t, "cancelled", p.until("appointment")["whyNot"])
	p.say(map[string]any{"type": "send", "clientId": uuid.New(), "text": "too late"})
	nack := p.until("nack")
	require.Equal(t, []any{"closed", "never"}, []any{nack["code"], nack["retry"]})
	in.requireGapless(id)
}

// TestSocket_HandOver: the doctor who handed an appointment over hears nothing that comes after it, whether their
// connection was ended by its own instance or by the sweep; the patient reconnects at once.
func TestSocket_HandOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(nil), w.Conversation()
	next := w.SignIn(w.User(auth.Doctor))
	in.accounts.actors[next.UserID] = next
	p, d := in.dial(t, w.Patient, id, ""), in.dial(t, w.Doctor, id, "")
	require.NoError(t, w.Pool.InTx(context.Background(), func(tx *postgres.Tx) error { // by another process
		if _, err := tx.Exec(context.Background(), `update appointments set doctor_id = $2 where id = $1`, id,
			next.ID); err != nil {
			return err
		}
		return conversation.NewLog().Regroup(context.Background(), tx, id, "Handed over.")
	}))
	_, err := in.conversations.Send(context.Background(), draft(id, w.Patient, "For the new doctor only"))
	require.NoError(t, err)
	in.svc.sweepSoon()
	for _, peer := range []*peer{p, d} {
		require.Equal(t, "Handed over.", peer.until("event")["text"])
		peer.requireBye(closeRestart)
	}
	_, status, err := in.try(in.PublicID(id), "", nil, subprotocol, bearerSubprotocol+w.Doctor.UserID)
	require.Error(t, err)
	require.Equal(t, http.StatusNotFound, status)
	for _, actor := range []auth.Actor{w.Patient, next} {
		back := in.dial(t, actor, id, "after=1")
		require.Equal(t, next.UserID, back.hello["participants"].([]any)[1].(map[string]any)["userId"])
		require.Equal(t, "For the new doctor only", back.until("event")["text"])
	}
}

func TestSocket_Reset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(nil), w.Conversation()
	w.fill(id, catchUpLimit+10)
	for query, reason := range map[string]string{"after=9": "gap", "after=9999": "history", "after=505&epoch=ffffffffffff": "history"} {
		p := in.dial(t, w.Patient, id, query)
		require.Equal(t, map[string]any{"type": "reset", "headSeq": 510.0, "reason": reason}, p.next())
		require.Equal(t, map[string]any{"type": "live", "headSeq": 510.0}, p.next())
	}
	p := in.dial(t, w.Patient, id, "after=10")
	for seq := 11; seq <= 510; seq++ {
		require.EqualValues(t, seq, p.next()["seq"])
	}
	require.Equal(t, "live", p.next()["type"])
}

func TestSocket_Admission(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	id := w.PublicID(w.Conversation())
	stranger, admin := w.SignIn(w.User(auth.Doctor)), w.SignIn(w.User(auth.Admin))
	in.accounts.actors[stranger.UserID], in.accounts.actors[admin.UserID] = stranger, admin
	as := func(a auth.Actor) string { return bearerSubprotocol + a.UserID }
	origin := func(o string) http.Header { return http.Header{"Origin": {o}} }
	for name, c := range map[string]struct {
		id, query string
		header    http.Header
		protocols []string
		want      int
	}{
		"token as subprotocol":   {id, "", nil, []string{subprotocol, as(w.Patient)}, 101},
		"token in a header":      {id, "", http.Header{"Authorization": {"Bearer " + w.Patient.UserID}}, []string{subprotocol}, 101},
		"the service's origin":   {id, "", origin("http://localhost:6001"), []string{subprotocol, as(w.Patient)}, 101},
		"an allowed origin":      {id, "", origin("https://clinic.test"), []string{subprotocol, as(w.Patient)}, 101},
		"as people write it":     {id, "", origin("HTTPS://Clinic.test:443"), []string{subprotocol, as(w.Patient)}, 101},
		"an app's origin":        {id, "", origin("capacitor://localhost"), []string{subprotocol, as(w.Patient)}, 101},
		"a foreign origin":       {id, "", origin("https://evil.test"), []string{subprotocol, as(w.Patient)}, 403},
		"an opaque origin":       {id, "", origin("null"), []string{subprotocol, as(w.Patient)}, 403},
		"no token":               {id, "", nil, []string{subprotocol}, 401},
		"a wrong token":          {id, "", nil, []string{subprotocol, bearerSubprotocol + "x"}, 401},
		"a token in the address": {id, "token=" + w.Patient.UserID, nil, []string{subprotocol}, 401},
		"no subprotocol":         {id, "", nil, []string{as(w.Patient)}, 426},
		"somebody else's":        {id, "", nil, []string{subprotocol, as(stranger)}, 404},
		"an administrator":       {id, "", nil, []string{subprotocol, as(admin)}, 404},
		"no such appointment":    {"APP0000000000", "", nil, []string{subprotocol, as(w.Patient)}, 404},
		"a bad cursor":           {id, "after=x", nil, []string{subprotocol, as(w.Patient)}, 422},
		"a negative cursor":      {id, "after=-1", nil, []string{subprotocol, as(w.Patient)}, 422},
	} {
		conn, status, err := in.try(c.id, c.query, c.header, c.protocols...)
		require.Equal(t, c.want, status, name)
		if err == nil {
			require.Equal(t, subprotocol, conn.Subprotocol(), "the token is never selected")
			require.NoError(t, conn.Close())
		}
	}
}

// TestSocket_Handshake: what RFC 6455, 4.2.1 asks of a handshake is checked before the upgrade, and nothing else is.
func TestSocket_Handshake(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	id := w.PublicID(w.Conversation())
	const (
		host, ups, list = "Host: x\r\n", "Upgrade: websocket\r\n", "Connection: Upgrade\r\n"
		version, key    = "Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	)
	for name, c := range map[string]struct {
		fields string
		want   int
	}{
		"complete":              {host + ups + list + version + key, 101},
		"lists in one line":     {host + "Upgrade: h2c, WebSocket\r\nConnection: keep-alive, upgrade\r\n" + version + key, 101},
		"lists in several":      {host + "Upgrade: h2c\r\n" + ups + "Connection: keep-alive\r\n" + list + version + key, 101},
		"cookies of a domain":   {host + ups + list + version + key + "Cookie: a=" + strings.Repeat("x", 12_000) + "\r\n", 101},
		"plain":                 {host, 426},
		"no connection":         {host + ups + version + key, 426},
		"another version":       {host + ups + list + "Sec-WebSocket-Version: 8\r\n" + key, 426},
		"no key":                {host + ups + list + version, 400},
		"two keys":              {host + ups + list + version + key + key, 400},
		"a short key":           {host + ups + list + version + "Sec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n", 400},
		"a key that is no text": {host + ups + list + version + "Sec-WebSocket-Key: the sample nonce\r\n", 400},
		"no host":               {ups + list + version + key, 400},
		"two hosts":             {host + host + ups + list + version + key, 400},
	} {
		conn, err := net.Dial("tcp", in.host)
		require.NoError(t, err)
		_, err = fmt.Fprintf(conn, "GET /ws/appointments/%s HTTP/1.1\r\n%sSec-WebSocket-Protocol: %s, %s\r\n\r\n",
			id, c.fields, subprotocol, bearerSubprotocol+w.Patient.UserID)
		require.NoError(t, err)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err, name)
		require.NoError(t, response.Body.Close())
		require.Equal(t, c.want, response.StatusCode, name)
		if c.want == http.StatusUpgradeRequired {
			require.Equal(t, []string{"websocket", "Upgrade", "13"}, []string{
				response.Header.Get("Upgrade"),
				response.Header.Get("Connection"), response.Header.Get("Sec-WebSocket-Version"),
			}, name)
		}
		require.NoError(t, conn.Close())
	}
}

// TestSocket_WritesNeverReachAnother guards against the pools of the libraries below: goroutines go on delivering to
// connections whose clients have left, while new clients get, perhaps, the same buffers. Each client checks that
// what it reads is its own.
func TestSocket_WritesNeverReachAnother(t *testing.T) {
	t.Parallel()
	const workers, each = 8, 30
	w := newWorld(t)
	in := w.serve(nil)
	var clients, writers sync.WaitGroup
	for n := range workers {
		id := w.Conversation()
		clients.Go(func() {
			for i := range each {
				p := in.dial(t, w.Patient, id, "")
				id := fmt.Sprint(p.hello["connection"])
				c := in.conn(id)
				frame := encode(errorFrame{Code: id, Detail: strings.Repeat("x", 500)})
				writers.Go(func() {
					for range 400 {
						c.deliver(frame)
						c.sign()
					}
				})
				for range 30 {
					f := p.next()
					if f["type"] == "error" && f["code"] != id || f["type"] == "hello" {
						t.Errorf("a frame of another connection: %v", f)
					}
				}
				if (n+i)%2 == 0 {
					_ = p.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(int(closeNormal), ""),
						time.Now().Add(time.Second))
				}
				_ = p.Close()
			}
		})
	}
	clients.Wait()
	writers.Wait()
	require.Eventually(t, func() bool { return len(in.svc.connections.all()) == 0 }, time.Minute, time.Millisecond)
}

// TestSocket_SlowReader: a client that does not read loses its connection and costs a bounded number of bytes; the
// others in the conversation notice nothing.
func TestSocket_SlowReader(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(nil), w.Conversation()
	slow, dead, quick := in.dial(t, w.Patient, id, ""), in.dial(t, w.Patient, id, ""), in.dial(t, w.Doctor, id, "")
	quick.until("live")
	slowConn, deadConn := in.conn(fmt.Sprint(slow.hello["connection"])), in.conn(fmt.Sprint(dead.hello["connection"]))
	frame := encode(errorFrame{Code: "x", Detail: strings.Repeat("x", 60_000)})
	for i := 0; !slowConn.isClosing() || !deadConn.isClosing(); i++ {
		require.Less(t, i, 5000, "300 MB and no end")
		in.svc.hub.tellOthers(id, 0, frame)
		require.Equal(t, "x", quick.until("error")["code"])
		slowConn.mu.Lock()
		cost := 0
		for _, f := range slowConn.queue {
			cost += len(f)
		}
		slowConn.mu.Unlock()
		require.LessOrEqual(t, cost, queueBytes)
	}
	slow.requireBye(closeSlow) // it reads again: what the kernel had, then bye
	require.Eventually(t, func() bool { return len(in.svc.connections.all()) == 1 }, time.Minute, time.Millisecond,
		"the other one is cut")
	quick.say(`{"type":"ping"}`)
	quick.until("pong")
}

// TestSocket_SlowJoin: history larger than the queue's bound is paced, not refused.
func TestSocket_SlowJoin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(nil), w.Conversation()
	w.fill(id, catchUpLimit)
	w.Exec(`update messages set body = repeat('é', 4000) where room_id = $1`, id)
	require.Greater(t, catchUpLimit*8000, queueBytes)
	p := in.dial(t, w.Patient, id, "after=0")
	for seq := 1; seq <= catchUpLimit; seq++ {
		require.EqualValues(t, seq, p.next()["seq"])
	}
	require.Equal(t, "live", p.next()["type"])
}

func TestSocket_Limits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(func(c *setup) { c.chat.SocketsPerUser, c.chat.SocketsPerAddress = 2, 3 })
	id := w.Conversation()
	first := in.dial(t, w.Patient, id, "")
	in.dial(t, w.Patient, id, "")
	ask := func(a auth.Actor) int {
		c, status, _ := in.try(in.PublicID(id), "", nil, subprotocol, bearerSubprotocol+a.UserID)
		if c != nil {
			t.Cleanup(func() { _ = c.Close() })
		}
		return status
	}
	require.Equal(t, http.StatusTooManyRequests, ask(w.Patient), "of one user")
	in.dial(t, w.Doctor, id, "") // hello says that it counts
	require.Equal(t, http.StatusTooManyRequests, ask(w.Doctor), "of one address")
	require.NoError(t, first.Close())
	require.Eventually(t, func() bool { return ask(w.Patient) == http.StatusSwitchingProtocols }, time.Minute,
		5*time.Millisecond)
}

// TestSocket_Drain: all are told to come back, at different times, and have gone when drain returns.
func TestSocket_Drain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(func(c *setup) { c.chat.SocketsPerUser = 100 })
	id := w.Conversation()
	peers := make([]*peer, 45)
	for i := range peers {
		peers[i] = in.dial(t, w.Patient, id, "")
	}
	in.dial(t, w.Doctor, id, "") // never reads, never answers
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		in.svc.Drain(context.Background())
	}()
	waits := map[any]bool{}
	for _, p := range peers {
		bye := p.requireBye(closeRestart)
		require.Less(t, bye["reconnectAfterMs"], float64(reconnectSpread.Milliseconds()))
		waits[bye["reconnectAfterMs"]] = true
	}
	require.Greater(t, len(waits), 10)
	<-drained
	require.Empty(t, in.svc.connections.all())
	_, status, err := in.try(in.PublicID(id), "", nil, subprotocol, bearerSubprotocol+w.Patient.UserID)
	require.Error(t, err)
	require.Equal(t, http.StatusServiceUnavailable, status)
}

// TestSocket_DrainDeadline: when the time is over, connections are cut.
func TestSocket_DrainDeadline(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	p := in.dial(t, w.Patient, w.Conversation(), "")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	in.svc.Drain(ctx)
	require.Empty(t, in.svc.connections.all())
	require.Eventually(t, func() bool { _, _, err := p.ReadMessage(); return err != nil }, time.Minute, time.Millisecond)
}

// TestSocket_TypingIsThrottled: stopping and starting again at once does not tell the other side each time.
func TestSocket_TypingIsThrottled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(nil), w.Conversation()
	typist, reader := in.dial(t, w.Patient, id, ""), in.dial(t, w.Doctor, id, "")
	typist.until("live")
	reader.until("live")
	for range 5 {
		typist.say(`{"type":"typing","active":true}`)
		typist.say(`{"type":"typing","active":false}`)
	}
	typist.say(`{"type":"ping"}`)
	typist.until("pong") // all of it has been handled
	reader.say(`{"type":"ping"}`)
	typing := 0
	for f := reader.next(); f["type"] != "pong"; f = reader.next() {
		if f["type"] == "typing" {
			typing++
		}
	}
	require.Equal(t, 2, typing, "one start and its stop")
}

// TestSocket_TypingEndsWithTheSocket: nobody has to wait until it runs out.
func TestSocket_TypingEndsWithTheSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(nil), w.Conversation()
	typist, reader := in.dial(t, w.Patient, id, ""), in.dial(t, w.Doctor, id, "")
	reader.until("live")
	typist.say(`{"type":"typing","active":true}`)
	require.Equal(t, true, reader.until("typing")["active"])
	require.NoError(t, typist.Close())
	require.Equal(t, false, reader.until("typing")["active"])
}
