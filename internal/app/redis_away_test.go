package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/devservices"
	"housecall/internal/testing/pgtest"
)

// roads are the connections of each instance to Redis, through its own proxy.
type roads struct {
	t     *testing.T
	redis *devservices.Redis
	each  []*toxiproxy.Proxy
}

// newRoads starts instances that use a Redis; begin can break it before they start.
func newRoads(t *testing.T, instances int, begin func(*roads)) (*world, *roads) {
	t.Helper()
	r := &roads{t: t, redis: pgtest.Redis(t)}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	var urls []config.Secret
	for n := range instances {
		p := toxiproxy.NewProxy(server, fmt.Sprint("redis-", n), "127.0.0.1:0", r.redis.Addr())
		require.NoError(t, p.Start())
		r.each = append(r.each, p)
		urls = append(urls, config.Secret(fmt.Sprintf("redis://:%s@%s/0", r.redis.Password(), p.Listen)))
	}
	t.Cleanup(r.close)
	begin(r)
	w := newWorldOver(t, pgtest.DSN(t), urls[0].Reveal(), 1, func(c *config.Config) { c.MetricsAddr = "127.0.0.1:0" })
	for _, url := range urls[1:] {
		w.cfg.RedisURL = url
		w.start()
	}
	return w, r
}

func (r *roads) close() {
	for _, p := range r.each {
		p.Toxics.ResetToxics(context.Background())
		p.Stop()
	}
}

// open repairs roads.
func (r *roads) open() {
	for _, p := range r.each {
		p.Toxics.ResetToxics(context.Background())
		if err := p.Start(); !errors.Is(err, toxiproxy.ErrProxyAlreadyStarted) {
			require.NoError(r.t, err)
		}
	}
}

// cut breaks roads: their connections end, and nobody gets new ones.
func (r *roads) cut() {
	for _, p := range r.each {
		p.Stop()
	}
}

// swallow drops everything that goes in a direction; connections stay, and new ones are accepted.
func (r *roads) swallow(stream string) {
	for _, p := range r.each {
		_, err := p.Toxics.AddToxicJson(
			strings.NewReader(`{"type":"timeout","stream":"` + stream + `","attributes":{"timeout":0}}`),
		)
		require.NoError(r.t, err)
	}
}

// outages are the ways in which Redis can be away.
var outages = map[string]struct{ begin, end func(*roads) }{
	"killed": {
		func(r *roads) { require.NoError(r.t, r.redis.Kill()) },
		func(r *roads) { require.NoError(r.t, r.redis.Restart(context.Background())) },
	},
	"hanging":            {func(r *roads) { r.redis.Pause() }, func(r *roads) { r.redis.Resume() }},
	"cut off":            {(*roads).cut, (*roads).open},
	"nothing arrives":    {func(r *roads) { r.swallow("upstream") }, (*roads).open},
	"nothing comes back": {func(r *roads) { r.swallow("downstream") }, (*roads).open},
}

// TestApp_RedisAway: Redis fails, in several ways, and comes back. Chat goes on between instances, nobody is
// disconnected, presence is never wrong, readiness is degraded, and the log says once that Redis went and once that it
// came back.
func TestApp_RedisAway(t *testing.T) {
	t.Parallel()
	long(t)
	for name, o := range outages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := newRoads(t, 2, func(*roads) {})
			c := w.consult(t)
			c.wait("online")
			c.p.forget(c.d.id)
			c.d.forget(c.p.id)
			w.bus("1", "ready")
			require.Equal(t, []int{0, 2}, []int{w.busWords(away), w.busWords(up)})
			o.begin(r)
			c.goesOn()
			w.bus("0", "degraded")
			c.wait("unknown")
			c.goesOn()
			c.revokes()
			c.another("unknown")
			o.end(r)
			w.bus("1", "ready")
			c.wait("online")
			c.goesOn()
			c.neverWrong()
			require.Equal(t, []int{2, 4}, []int{w.busWords(away), w.busWords(up)})
		})
	}
}

// TestApp_RedisComesLater: the same, if Redis is not there when the instances start.
func TestApp_RedisComesLater(t *testing.T) {
	t.Parallel()
	long(t)
	for name, o := range outages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := newRoads(t, 2, o.begin)
			c := w.consult(t)
			c.goesOn()
			w.bus("0", "degraded")
			w.eventually("the log says it", func() bool { return w.busWords(away) == 2 })
			c.revokes()
			o.end(r)
			w.bus("1", "ready")
			c.wait("online")
			c.goesOn()
			c.neverWrong()
			require.Equal(t, []int{2, 2}, []int{w.busWords(away), w.busWords(up)})
		})
	}
}

// TestApp_RedisAwayForOne: if only one instance cannot reach Redis, its messages still get through, in both
// directions.
func TestApp_RedisAwayForOne(t *testing.T) {
	t.Parallel()
	long(t)
	for name, begin := range map[string]func(*roads){
		"cut off":            (*roads).cut,
		"nothing arrives":    func(r *roads) { r.swallow("upstream") },
		"nothing comes back": func(r *roads) { r.swallow("downstream") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, r := newRoads(t, 2, func(*roads) {})
			c := w.consult(t)
			c.wait("online")
			w.bus("1", "ready")
			first := &roads{t: t, each: r.each[:1]}
			begin(first)
			w.eventually("the instance knows", func() bool { return w.metric(0, "chat_bus_healthy") == "0" })
			c.p.until("nobody can know", func() bool { return c.p.online[c.d.id] == "unknown" })
			c.goesOn()
			c.revokes()
			require.Equal(t, "1", w.metric(1, "chat_bus_healthy"))
			first.open()
			w.bus("1", "ready")
			c.p.until("they are still there", func() bool { return c.p.online[c.d.id] == "online" })
			c.goesOn()
			require.Equal(t, []int{1, 3}, []int{w.busWords(away), w.busWords(up)})
		})
	}
}

// TestApp_StartsAndStopsWhileRedisHangs: neither waits for it.
func TestApp_StartsAndStopsWhileRedisHangs(t *testing.T) {
	t.Parallel()
	long(t)
	w, r := newRoads(t, 1, func(*roads) {})
	w.bus("1", "ready")
	r.redis.Pause()
	defer r.redis.Resume()
	n := w.start()
	require.Equal(t, "0", w.metric(n, "chat_bus_healthy"))
	require.NoError(t, w.stop(n))
	require.NoError(t, w.stop(0), "which had been connected")
}

// bus waits until all instances report the expected state of the bus.
func (w *world) bus(healthy, readiness string) {
	w.t.Helper()
	for n := range w.apps {
		w.eventually("chat_bus_healthy is "+healthy, func() bool { return w.metric(n, "chat_bus_healthy") == healthy })
		w.ready(n, 200, readiness)
	}
}

// consultation is a conversation of a patient and a doctor on different instances, with the doctor's inbox beside it.
type consultation struct {
	w           *world
	t           *testing.T
	p, d        *peer
	appointment string
	inbox       <-chan frame
}

func (w *world) consult(t *testing.T) *consultation {
	t.Helper()
	patient, doctor, appointment := w.pair()
	return &consultation{
		w: w, t: t,
		p:           join(t, patient, appointment, fromStart),
		d:           join(t, doctor, appointment, fromStart),
		appointment: appointment,
		inbox:       w.inbox(1, w.token(doctor)).attend(),
	}
}

// wait waits until both sides are told this about the other one's presence.
func (c *consultation) wait(online string) {
	c.t.Helper()
	c.p.until("the doctor is "+online, func() bool { return c.p.online[c.d.id] == online })
	c.d.until("the patient is "+online, func() bool { return c.d.online[c.p.id] == online })
}

// forget forgets what was said about somebody before.
func (p *peer) forget(user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onlines[user] = []string{p.online[user]}
}

func (p *peer) allSaidOf(user string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.onlines[user])
}

// neverWrong requires that neither side was told that the other one is offline, and that neither was disconnected.
func (c *consultation) neverWrong() {
	c.t.Helper()
	for _, all := range [][]string{c.p.allSaidOf(c.d.id), c.d.allSaidOf(c.p.id)} {
		require.NotContains(c.t, all, "offline")
		require.Contains(c.t, all, "unknown")
	}
	require.EqualValues(c.t, 1, c.p.conv.Stats().Connections)
	require.EqualValues(c.t, 1, c.d.conv.Stats().Connections)
}

// goesOn has both sides send a message, receive it, and learn that it was read; the inbox shows it.
func (c *consultation) goesOn() {
	c.t.Helper()
	last := c.p.say("can you hear me?")
	c.d.hears(last)
	c.unread(last)
	c.d.conv.Read(last)
	c.p.until("it is read", func() bool { return c.p.receipts[c.d.id] == [2]int64{last, last} })
	c.p.hears(c.d.say("I can"))
	requireSame(c.t, c.w.stored(c.appointment), c.p, c.d)
}

// unread waits until the inbox tells of an event.
func (c *consultation) unread(seq int64) {
	c.t.Helper()
	for f := range c.inbox {
		if f.Type == "unread" && f.HeadSeq >= seq {
			return
		}
	}
	require.FailNow(c.t, "the inbox has closed")
}

// revokes ends a session of the patient's that has a socket on each instance.
func (c *consultation) revokes() {
	c.t.Helper()
	victim := c.w.signIn(c.w.url(0), c.w.emailOf(c.p.api))
	token := c.w.token(victim)
	sockets := []*socket{c.w.dial(0, token, c.appointment, ""), c.w.dial(1, token, c.appointment, "")}
	for _, s := range sockets {
		s.next("live")
	}
	require.NoError(c.t, victim.Logout(c.w.context()))
	for _, s := range sockets {
		code, _ := s.end()
		require.Equal(c.t, 4401, code)
	}
}

// another opens a second device of the doctor's, which is told this about the patient's presence.
func (c *consultation) another(online string) {
	c.t.Helper()
	second := join(c.t, c.w.signIn(c.w.url(1), c.w.emailOf(c.d.api)), c.appointment, fromStart)
	require.Equal(c.t, online, second.online[c.p.id])
	requireSame(c.t, c.w.stored(c.appointment), second)
	require.Equal(c.t, auth.Doctor, auth.Role(second.api.User().Role))
}

// An instance that is alone needs no Redis: its users chat and see each other, and it is ready.
func TestApp_WithoutRedis(t *testing.T) {
	t.Parallel()
	w := newWorldOver(t, pgtest.DSN(t), "", 1, func(c *config.Config) { c.RedisMode = config.RedisNone })
	patient, doctor, appointment := w.pair()
	p, d := join(t, patient, appointment, fromStart), join(t, doctor, appointment, fromStart)
	p.until("the doctor is online", func() bool { return p.online[d.id] == "online" })
	p.hears(d.say("hello"))
	d.hears(p.say("hello"))
	require.NoError(t, patient.Logout(w.context()))
	r := w.call(0, "", "GET", "/readyz", "")
	require.Equal(t, 200, r.status)
	require.Equal(t, "ready", r.body["status"], "%s", r.raw)
}
