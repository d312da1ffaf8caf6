package app

import (
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/client"
	"housecall/internal/config"
	"housecall/internal/testing/pgtest"
)

// ready waits until an instance's /readyz gives an answer.
func (w *world) ready(n, status int, word string) {
	w.t.Helper()
	w.eventually("/readyz is "+word, func() bool {
		r, err := w.try(n, "", "GET", "/readyz", "")
		return err == nil && r.status == status && r.body["status"] == word
	})
}

// Redis may die at any moment without a message being lost.
func TestApp_RedisDies(t *testing.T) {
	t.Parallel()
	server := pgtest.Redis(t)
	w := newWorldOver(t, pgtest.DSN(t), server.URL(), 2)
	a, b := newGate(t, w.apps[0].Addr()), newGate(t, w.apps[1].Addr())
	s := newStorm(w, 10, a, b)
	s.talk(10, func() { require.NoError(t, server.Kill()) })
	s.same(2 * 2 * 10) // by the sweep alone
	w.ready(0, 200, "degraded")
	w.ready(1, 200, "degraded")

	s.talk(10, func() { require.NoError(t, server.Restart(w.context())) })
	w.ready(0, 200, "ready")
	w.ready(1, 200, "ready")
	s.talk(5, func() { server.Pause() })
	server.Resume()
	s.same(2 * 2 * 25)
	w.eventually("the bus is healthy again", func() bool {
		return w.apps[0].chat.ProbeBus(w.context()) == nil && w.apps[1].chat.ProbeBus(w.context()) == nil
	})
	for _, pair := range s.peers { // nobody was disconnected
		require.EqualValues(t, 1, pair[0].conv.Stats().Connections)
		require.EqualValues(t, 1, pair[1].conv.Stats().Connections)
	}
}

// What the log says about the bus.
const (
	away = "the bus is unavailable"
	up   = "the bus is up"
)

// busWords counts what the log says about the bus.
func (w *world) busWords(what string) int { return strings.Count(w.log.String(), what) }

// Broadcasts that are published while a subscriber is cut off are lost, but the messages arrive all the same.
func TestApp_SubscriberCutOff(t *testing.T) {
	t.Parallel()
	server := pgtest.Redis(t)
	w := newWorldOver(t, pgtest.DSN(t), server.URL(), 2)
	g := newGate(t, w.apps[0].Addr())
	h := newGate(t, w.apps[1].Addr())
	s := newStorm(w, 5, g, h)
	o, err := redis.ParseURL(server.URL())
	require.NoError(t, err)
	rdb := redis.NewClient(o)
	defer rdb.Close()
	for range 5 {
		s.talk(8, func() {
			killed, err := rdb.ClientKillByFilter(w.context(), "TYPE", "pubsub").Result()
			require.NoError(t, err)
			require.Positive(t, killed)
		})
	}
	s.same(5 * 2 * 2 * 8)
}

// Without Redis from the start, the instances start, and everything works, but slower.
func TestApp_NoRedis(t *testing.T) {
	t.Parallel()
	w := newWorldOver(t, pgtest.DSN(t), "redis://127.0.0.1:1/0", 2)
	w.ready(0, 200, "degraded")
	patient, doctor, appointment := w.pair()
	p, d := join(t, patient, appointment, fromStart), join(t, doctor, appointment, fromStart)
	require.Equal(t, "unknown", p.online[d.id], "nobody can know")
	d.hears(p.say("without Redis"))
	p.hears(d.say("I hear you"))
	requireSame(t, w.stored(appointment), p, d)
	last := p.say("the last one")
	d.hears(last)
	d.conv.Read(last)
	p.until("it is read", func() bool { return p.receipts[d.id] == [2]int64{last, last} })
	w.eventually("the log says it", func() bool { return w.busWords(away) == 2 })
	_, err := doctor.Cancel(w.context(), appointment, "Ill")
	require.NoError(t, err)
	d.until("the cancellation arrives", func() bool { return d.whyNot == "cancelled" })
}

// Rate limits are counted locally while Redis is away.
func TestApp_NoRedisLimits(t *testing.T) {
	t.Parallel()
	w := newWorldOver(t, pgtest.DSN(t), "redis://127.0.0.1:1/0", 1, few)
	requireThrottled(t, w, []int{0})
}

// Rate limits are shared while Redis is there.
func TestApp_SharedLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, few)
	requireThrottled(t, w, []int{0, 1})
}

// requireThrottled tries again with somebody else if Redis did not answer in time, so that an instance counted by
// itself.
func requireThrottled(t *testing.T, w *world, instances []int) {
	t.Helper()
	want := slices.Concat([]int{401, 401, 401}, slices.Repeat([]int{429}, len(instances)))
	for {
		p, words := w.person(auth.Patient), w.limiterWords()
		got := w.guesses(p, instances)
		if words != w.limiterWords() && !slices.Equal(want, got) {
			continue
		}
		require.Equal(t, want, got)
		_, err := w.anyone(w.url(0)).Login(w.context(), p.email, password)
		_, refused := client.AsProblem(err)
		require.True(t, refused, "the right password does not help")
		return
	}
}

// limiterWords counts what the log says about rate limits.
func (w *world) limiterWords() int { return strings.Count(w.log.String(), "rate limits are") }

// guesses returns the statuses of three wrong passwords, and of one more on each instance.
func (w *world) guesses(p *person, instances []int) (statuses []int) {
	body := `{"login":"` + p.email + `","password":"not the password"}`
	for i := range 3 {
		statuses = append(statuses, w.call(instances[i%len(instances)], "", "POST", "/api/v1/auth/login", body).status)
	}
	for _, n := range instances {
		r := w.call(n, "", "POST", "/api/v1/auth/login", body)
		if r.status == 429 {
			require.NotEmpty(w.t, r.problem(w.t, 429).header.Get("Retry-After"))
		}
		statuses = append(statuses, r.status)
	}
	return statuses
}

func few(c *config.Config) { c.LoginsPerAccount = 3 }
