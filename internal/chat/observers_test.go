package chat

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/bus"
	"housecall/internal/conversation"
)

// glassWorld is a conversation and an administrator who takes no part in it, on instances whose clock the test holds.
type glassWorld struct {
	*world
	clock     atomic.Int64 // what is to be added to the time
	instances []*instance
	admin     auth.Actor
	id        int64
	publicID  string
}

func newGlassWorld(t *testing.T, instances int) *glassWorld {
	t.Helper()
	g := &glassWorld{world: newWorld(t)}
	g.now = func() time.Time { return time.Now().Add(time.Duration(g.clock.Load())) }
	g.admin = g.SignIn(g.User(auth.Admin))
	for range instances {
		in := g.serve(nil)
		in.knows(g.admin)
		g.instances = append(g.instances, in)
	}
	g.id = g.Conversation()
	g.publicID = g.PublicID(g.id)
	return g
}

// breaks gives an administrator five minutes' access to the world's conversation.
func (g *glassWorld) breaks(a auth.Actor) conversation.Glass {
	g.T.Helper()
	glass, err := g.instances[0].conversations.BreakGlass(context.Background(), a, conversation.GlassRequest{
		Appointment: g.publicID, Reason: "A complaint by the patient.", Lasts: conversation.MinGlass,
	})
	require.NoError(g.T, err)
	return glass
}

// hookedBus does something once, when a connection that has been admitted subscribes.
type hookedBus struct {
	bus.Bus
	once sync.Once
	hook func()
}

func (b *hookedBus) Subscribe(topic bus.Topic) <-chan struct{} {
	b.once.Do(b.hook)
	return b.Bus.Subscribe(topic)
}

// An administrator who becomes a participant while their connection is being opened has to connect again: as an
// observer they would be neither present nor able to write.
func TestSocket_ObserverBecomesParticipant(t *testing.T) {
	t.Parallel()
	g := newGlassWorld(t, 1)
	g.breaks(g.admin)
	g.Exec(`insert into doctors (user_id) values ($1)`, g.admin.ID)
	in := g.serveOn(&hookedBus{Bus: alone(), hook: func() {
		g.Exec(`update appointments set doctor_id = $2 where id = $1`, g.id, g.admin.ID)
	}}, nil)
	in.knows(g.admin)
	c, _, err := in.try(g.publicID, "", nil, subprotocol, bearerSubprotocol+g.admin.UserID)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	(&peer{Conn: c, t: t}).requireBye(closeRestart)
	in.dial(t, g.admin, g.id, "").until("live")
}

// TestSocket_Observer: an administrator with break-glass access hears everything, says nothing, and is not present.
func TestSocket_Observer(t *testing.T) {
	t.Parallel()
	g := newGlassWorld(t, 1)
	in := g.instances[0]
	p := in.dial(t, g.Patient, g.id, "")
	p.until("live")
	g.breaks(g.admin)
	p.until("appointment")
	a := in.dial(t, g.admin, g.id, "after=0")
	require.Equal(t, map[string]any{"userId": g.admin.UserID, "role": "ADMIN", "name": g.admin.Name}, a.hello["you"])
	require.Equal(t, []any{false, "read_only"}, []any{a.hello["canReply"], a.hello["whyNot"]})
	there := a.hello["participants"].([]any)
	require.Len(t, there, 2)
	require.Equal(t, []any{g.Patient.UserID, true},
		[]any{there[0].(map[string]any)["userId"], there[0].(map[string]any)["online"]})
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
	require.Equal(t, g.Patient.UserID, a.until("typing")["userId"])
	p.say(map[string]any{"type": "send", "clientId": uuid.New(), "text": "It hurts."})
	require.Equal(t, "It hurts.", a.until("event")["text"])
	_, err := in.conversations.Close(t.Context(), g.Doctor, g.publicID, "")
	require.NoError(t, err)
	require.Equal(t, "closed_by_doctor", a.until("appointment")["whyNot"])
	_, err = in.conversations.Reopen(t.Context(), g.Doctor, g.publicID)
	require.NoError(t, err)
	require.Equal(t, "read_only", a.until("appointment")["whyNot"], "open, but not for them")
	p.say(`{"type":"read","upTo":1}`)
	require.Equal(t, g.Patient.UserID, a.until("receipt")["userId"])
	require.NoError(t, a.Close())

	p.say(`{"type":"ping"}`)
	for f := p.next(); f["type"] != "pong"; f = p.next() {
		require.NotEqual(t, g.admin.UserID, f["userId"], "nobody hears of them: %v", f)
		require.NotEqual(t, "typing", f["type"])
	}
	require.Zero(t, g.Number(`select count(*) from receipts where user_id = $1`, g.admin.ID))
	require.Equal(t, map[int64]int{g.Patient.ID: 1}, in.svc.hub.present(g.id))
}

// TestSocket_ObserverExpires: at its time, and when it is ended, the connection closes on every instance, whatever
// carries the news; that of the patient stays.
func TestSocket_ObserverExpires(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*glassWorld, conversation.Glass){
		"by the clock": func(g *glassWorld, _ conversation.Glass) { g.clock.Store(int64(time.Second)) },
		"by another administrator": func(g *glassWorld, glass conversation.Glass) {
			_, err := g.instances[0].conversations.EndGlass(context.Background(), g.SignIn(g.User(auth.Admin)), glass.ID)
			require.NoError(g.T, err)
		},
		"with the session": func(g *glassWorld, _ conversation.Glass) {
			g.Exec(`update sessions set ended_at = now() where id = $1`, g.admin.Session)
		},
		"with the role": func(g *glassWorld, _ conversation.Glass) {
			g.Exec(`update users set role = 'PATIENT' where id = $1`, g.admin.ID)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGlassWorld(t, 2)
			g.clock.Store(
				-int64(conversation.MinGlass),
			) // so that it ends about now: the connections' signs of life do not follow this clock
			glass := g.breaks(g.admin)
			var peers []*peer
			for _, in := range g.instances {
				p := in.dial(t, g.admin, g.id, "")
				p.until("live")
				peers = append(peers, p)
			}
			p := g.instances[1].dial(t, g.Patient, g.id, "")
			end(g, glass)
			for _, peer := range peers {
				peer.requireBye(closeForbidden)
			}
			p.say(`{"type":"ping"}`)
			p.until("pong")
		})
	}
}

// A right that is renewed in time keeps the connection.
func TestService_judgeObservers_renewed(t *testing.T) {
	t.Parallel()
	g := newGlassWorld(t, 1)
	in := g.instances[0]
	g.clock.Store(-int64(time.Minute))
	g.breaks(g.admin)
	a := in.dial(t, g.admin, g.id, "")
	a.until("live")
	_, err := in.conversations.BreakGlass(t.Context(), g.admin, conversation.GlassRequest{
		Appointment: g.publicID, Reason: "It takes longer than that.", Lasts: conversation.MaxGlass,
	})
	require.NoError(t, err)
	in.svc.judgeObservers()
	require.Len(t, in.svc.observers.all(), 1)
	for c, w := range in.svc.observers.all() {
		require.Greater(t, w.until.Sub(g.now()), conversation.MinGlass)
		require.False(t, c.isClosing())
	}
	require.NoError(t, a.Close())
	require.Eventually(t, func() bool { return len(in.svc.observers.all()) == 0 }, time.Minute, time.Millisecond)
}

// While PostgreSQL does not answer, the clock alone ends the right.
func TestService_judgeObservers_databaseAway(t *testing.T) {
	t.Parallel()
	now := time.Now().Truncate(time.Second)
	s := socketsAt(&now)
	w := newWorld(t)
	c, client := addRaw(t, s, now.Add(time.Hour))
	in := w.instanceOn(alone(), nil)
	svc := &Service{
		d:         Deps{Conversations: in.conversations, Now: func() time.Time { return now }},
		observers: newObservers(),
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	svc.ctx = ctx
	svc.observers.set(c, watching{conversation.Observer{Conversation: 1, Admin: 1}, now.Add(time.Second)})
	svc.judgeObservers()
	require.False(t, c.isClosing(), "nobody knows better")
	now = now.Add(time.Second)
	svc.judgeObservers()
	_, body, err := client.ReadMessage()
	require.NoError(t, err)
	require.EqualValues(t, closeForbidden, fields(t, body)["code"])
}
