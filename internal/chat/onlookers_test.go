package chat

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
)

// TestSocket_Onlooker: an administrator who broke the glass hears all, says nothing, and is not there.
func TestSocket_Onlooker(t *testing.T) {
	t.Parallel()
	g := newGlassWorld(t, 1)
	in := g.instances[0]
	p := in.dial(t, g.patient, g.room, "")
	p.until("live")
	g.breaks(g.admin)
	p.until("appointment")
	a := in.dial(t, g.admin, g.room, "after=0")
	require.Equal(t, map[string]any{"userId": g.admin.UserID, "role": "ADMIN", "name": g.admin.Name}, a.hello["you"])
	require.Equal(t, []any{false, "read_only"}, []any{a.hello["canReply"], a.hello["whyNot"]})
	there := a.hello["participants"].([]any)
	require.Len(t, there, 2)
	require.Equal(t, []any{g.patient.UserID, true}, []any{there[0].(map[string]any)["userId"], there[0].(map[string]any)["online"]})
	require.Contains(t, a.until("event")["text"], g.admin.Name)
	a.until("live")

	id := uuid.NewString()
	a.say(`{"type":"send","clientId":"` + id + `","text":"x"}`)
	nack := a.until("nack")
	require.Equal(t, []any{id, "forbidden", "never"}, []any{nack["clientId"], nack["code"], nack["retry"]})
	for _, kind := range []string{"retract", "correct"} {
		a.say(`{"type":"` + kind + `","clientId":"` + id + `","target":1,"text":"x"}`)
		require.Equal(t, "forbidden", a.until("nack")["code"], kind)
	}
	for _, frame := range []string{`{"type":"read","upTo":1}`, `{"type":"delivered","upTo":1}`, `{"type":"typing","active":true}`} {
		a.say(frame)
		require.Equal(t, "forbidden", a.until("error")["code"], frame)
	}
	a.say(`{"type":"ping","id":1}`)
	a.until("pong")

	p.say(`{"type":"typing","active":true}`)
	require.Equal(t, g.patient.UserID, a.until("typing")["userId"])
	p.say(map[string]any{"type": "send", "clientId": uuid.New(), "text": "It hurts."})
	require.Equal(t, "It hurts.", a.until("event")["text"])
	_, err := in.svc.CloseConversation(t.Context(), g.doctor, g.id, "")
	require.NoError(t, err)
	require.Equal(t, "closed_by_doctor", a.until("appointment")["whyNot"])
	_, err = in.svc.OpenConversation(t.Context(), g.doctor, g.id)
	require.NoError(t, err)
	require.Equal(t, "read_only", a.until("appointment")["whyNot"], "open, but not for him")
	p.say(`{"type":"read","upTo":1}`)
	require.Equal(t, g.patient.UserID, a.until("receipt")["userId"])
	require.NoError(t, a.Close())

	p.say(`{"type":"ping"}`)
	for f := p.next(); f["type"] != "pong"; f = p.next() {
		require.NotEqual(t, g.admin.UserID, f["userId"], "%v", f)
		require.NotContains(t, []any{"presence", "typing"}, f["type"], "of him nobody hears by the socket")
	}
	require.Zero(t, g.number(`select count(*) from receipts where user_id = $1`, g.admin.ID))
	require.Equal(t, map[int64]int{g.patient.ID: 1}, in.svc.hub.present(g.room))
}

// TestSocket_OnlookerExpires: at its time, and when it is ended, the socket closes on every instance, whatever carries the
// news; that of the patient stays.
func TestSocket_OnlookerExpires(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*glassWorld, Glass){
		"by the clock": func(g *glassWorld, _ Glass) { g.clock.Store(int64(time.Second)) },
		"by another administrator": func(g *glassWorld, glass Glass) {
			_, err := g.instances[0].svc.EndGlass(context.Background(), g.signIn(g.user(auth.Admin)), glass.ID)
			require.NoError(g.t, err)
		},
		"with the session": func(g *glassWorld, _ Glass) {
			g.exec(`update sessions set ended_at = now() where id = $1`, g.admin.Session)
		},
		"with the role": func(g *glassWorld, _ Glass) { g.exec(`update users set role = 'PATIENT' where id = $1`, g.admin.ID) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGlassWorld(t, 2)
			g.clock.Store(-int64(MinGlass)) // so that it ends about now: the sockets' signs of life do not follow this clock
			glass := g.breaks(g.admin)
			var peers []*peer
			for _, in := range g.instances {
				p := in.dial(t, g.admin, g.room, "")
				p.until("live")
				peers = append(peers, p)
			}
			p := g.instances[1].dial(t, g.patient, g.room, "")
			end(g, glass)
			for _, peer := range peers {
				peer.requireBye(closeForbidden)
			}
			p.say(`{"type":"ping"}`)
			p.until("pong")
		})
	}
}

// A right that is renewed in time keeps the socket.
func TestService_judgeOnlookers_renewed(t *testing.T) {
	t.Parallel()
	g := newGlassWorld(t, 1)
	in := g.instances[0]
	g.clock.Store(-int64(time.Minute))
	g.breaks(g.admin)
	a := in.dial(t, g.admin, g.room, "")
	a.until("live")
	_, err := in.svc.BreakGlass(t.Context(), g.admin, g.id, "It takes longer than that.", MaxGlass)
	require.NoError(t, err)
	in.svc.judgeOnlookers()
	require.Len(t, in.svc.onlookers.all(), 1)
	for c, w := range in.svc.onlookers.all() {
		require.Greater(t, w.until.Sub(g.now()), MinGlass)
		require.False(t, c.isClosing())
	}
	require.NoError(t, a.Close())
	require.Eventually(t, func() bool { return len(in.svc.onlookers.all()) == 0 }, time.Minute, time.Millisecond)
}

// While PostgreSQL does not answer, the clock alone ends the right.
func TestService_judgeOnlookers_databaseAway(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	s := socketsAt(&now)
	w := newWorld(t)
	c, client := addRaw(t, s, now.Add(time.Hour))
	svc := &Service{d: Deps{Pool: w.connect(), Now: func() time.Time { return now }}, onlookers: newOnlookers()}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	svc.ctx = ctx
	svc.onlookers.set(c, watching{onlooker{1, 1}, now.Add(time.Second)})
	svc.judgeOnlookers()
	require.False(t, c.isClosing(), "nobody knows better")
	now = now.Add(time.Second)
	svc.judgeOnlookers()
	_, body, err := client.ReadMessage()
	require.NoError(t, err)
	require.EqualValues(t, closeForbidden, fields(t, body)["code"])
}
