package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/stretchr/testify/require"
)

// nemesis breaks things and repairs them, one at a time.
type nemesis struct {
	w   *world
	rnd *rand.Rand
	bad []fault
}

// fault is something that is broken for a while.
type fault struct {
	name string
	// stops is the instance that may not be able to act meanwhile; 0: none.
	stops int
	most  time.Duration
	do    func()
	undo  func()
}

func (m *nemesis) run(ctx context.Context) {
	for {
		if !m.wait(ctx, 100*time.Millisecond, 1200*time.Millisecond) {
			return
		}
		f := m.bad[m.rnd.IntN(len(m.bad))]
		since := m.w.rec.Clock(time.Now())
		m.w.rec.Add(Entry{What: Nemesis, Text: f.name, Instance: f.stops})
		f.do()
		m.wait(ctx, f.most/8, f.most)
		f.undo()
		m.w.rec.Add(Entry{What: Nemesis, Text: "end of: " + f.name, Instance: f.stops})
		if f.stops > 0 {
			m.w.rec.Add(Entry{What: Fault, Instance: f.stops, Since: since, Text: f.name})
		}
	}
}

func (m *nemesis) wait(ctx context.Context, least, most time.Duration) bool {
	t := time.NewTimer(least + time.Duration(m.rnd.Int64N(int64(most-least))))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// processFaults kill, stop and freeze instances.
func (w *world) processFaults() (out []fault) {
	for _, in := range w.instances {
		again := func() { w.must(in.start()) }
		out = append(
			out,
			fault{fmt.Sprintf("SIGKILL of instance %d", in.n), in.n, 2 * time.Second, in.kill, again},
			fault{fmt.Sprintf("SIGKILL of instance %d, back at once", in.n), in.n, 10 * time.Millisecond, in.kill, again},
			fault{
				fmt.Sprintf("SIGTERM of instance %d", in.n), in.n, 2 * time.Second, func() { in.signal(syscall.SIGTERM) },
				func() { in.end(); again() },
			},
			fault{
				fmt.Sprintf("SIGSTOP of instance %d", in.n), in.n, 4 * time.Second, func() { in.signal(syscall.SIGSTOP) },
				func() { in.signal(syscall.SIGCONT) },
			},
			fault{
				fmt.Sprintf("a short SIGSTOP of instance %d", in.n), in.n, 500 * time.Millisecond,
				func() { in.signal(syscall.SIGSTOP) }, func() { in.signal(syscall.SIGCONT) },
			},
		)
	}
	return out
}

// busFaults are faults of Redis and of the proxies to it: broadcasts get lost.
func (w *world) busFaults() (out []fault) {
	back := func() { w.must(w.redis.Restart(context.Background())) }
	kill := func() { w.must(w.redis.Kill()) }
	out = append(out,
		fault{"Redis is killed", 0, 4 * time.Second, kill, back},
		fault{"Redis is killed, and back at once", 0, 10 * time.Millisecond, kill, back},
		fault{"Redis hangs", 0, 3 * time.Second, w.redis.Pause, w.redis.Resume},
	)
	for _, in := range w.instances {
		out = append(out, w.onRoad(in.redis, 0, 4*time.Second)...)
	}
	return out
}

// roadFaults are faults of the proxies for clients and for PostgreSQL.
func (w *world) roadFaults() (out []fault) {
	for _, in := range w.instances {
		out = append(out, w.onRoad(in.front, 0, 3*time.Second)...)
		out = append(out, w.onRoad(in.front, 0, 500*time.Millisecond)...)
		out = append(out, w.onRoad(in.store, in.n, 2*time.Second)...)
	}
	return out
}

// onRoad returns the faults that one proxy can have.
func (w *world) onRoad(p *toxiproxy.Proxy, stops int, most time.Duration) []fault {
	whole := func(name, kind, attributes string, streams ...string) fault {
		return fault{
			p.Name + " " + name, stops, most, func() { add(p, kind, attributes, streams) },
			func() { p.Toxics.ResetToxics(context.Background()) },
		}
	}
	return []fault{
		{p.Name + " is cut", stops, most, p.Stop, func() { w.mend(p) }},
		whole("is slow", "latency", `{"latency":150,"jitter":140}`, "upstream", "downstream"),
		whole("is narrow", "bandwidth", `{"rate":8}`, "upstream", "downstream"),
		whole("comes in pieces", "slicer", `{"average_size":40,"size_variation":30,"delay":2000}`, "downstream"),
		whole("is half open: nothing arrives", "timeout", `{"timeout":0}`, "upstream"),
		whole("is half open: nothing comes back", "timeout", `{"timeout":0}`, "downstream"),
		whole("is reset", "reset_peer", `{"timeout":20}`, "downstream"),
	}
}

func add(p *toxiproxy.Proxy, kind, attributes string, streams []string) {
	for _, stream := range streams {
		_, err := p.Toxics.AddToxicJson(
			strings.NewReader(
				fmt.Sprintf(`{"name":"%s-%s","type":"%[1]s","stream":"%[2]s","attributes":%s}`, kind, stream, attributes),
			),
		)
		if err != nil {
			panic(err) // a toxic is misspelled
		}
	}
}

// mend starts a proxy that was cut.
func (w *world) mend(p *toxiproxy.Proxy) {
	if err := p.Start(); !errors.Is(err, toxiproxy.ErrProxyAlreadyStarted) {
		w.must(err)
	}
}

// must reports a fault that could not be made or repaired.
func (w *world) must(err error) {
	if err != nil {
		w.t.Errorf("the nemesis failed: %v", err)
	}
}

// heal repairs everything and waits until all instances are ready.
func (w *world) heal(t *testing.T) {
	t.Helper()
	w.redis.Resume()
	for _, in := range w.instances {
		in.signal(syscall.SIGCONT)
		for _, p := range in.roads() {
			p.Toxics.ResetToxics(context.Background())
			w.mend(p)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, in := range w.instances {
		require.NoError(t, in.awaitReady(ctx))
	}
	w.rec.Add(Entry{What: Nemesis, Text: "all is well"})
}

const (
	stallTick = 50 * time.Millisecond
	stallFrom = 100 * time.Millisecond // a longer delay counts as standing still
)

// watch records when this process or an instance stands still, since nobody can expect anything from it then. It asks
// instances directly, not through proxies.
func (w *world) watch(ctx context.Context) {
	w.readers.Go(func() {
		every(ctx, stallTick, func(late time.Duration) {
			if late > stallFrom {
				now := w.rec.Clock(time.Now())
				w.rec.Add(Entry{What: Fault, Since: now - late, Text: "the test itself stood still"})
			}
		})
	})
	for _, in := range w.instances {
		w.readers.Go(func() {
			every(ctx, stallTick, func(time.Duration) {
				since := time.Now()
				if ok := in.ready(ctx); ctx.Err() == nil && (!ok || time.Since(since) > stallFrom) {
					w.rec.Add(Entry{What: Fault, Instance: in.n, Since: w.rec.Clock(since), Text: "it answers slowly or not at all"})
				}
			})
		})
	}
}

// every calls f at intervals of d until ctx ends, with how late the call is.
func every(ctx context.Context, d time.Duration, f func(late time.Duration)) {
	for {
		due := time.Now().Add(d)
		t := time.NewTimer(d)
		select {
		case <-t.C:
			f(time.Since(due))
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}
