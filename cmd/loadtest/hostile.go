package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"housecall/internal/testing/hostile"
)

// HostileResult is how bad clients affected well-behaved ones.
type HostileResult struct {
	Rate     int          `json:"rate"` // messages per second of well-behaved clients
	Rounds   []BesetRound `json:"rounds"`
	RatioP50 float64      `json:"ratioP50"` // send to delivery, with bad clients to without; the median of the rounds
	RatioP99 float64      `json:"ratioP99"`
	Frames   int          `json:"frames"` // mutated frames, over all rounds
	Visits   int          `json:"visits"` // visits of all other kinds
	Sockets  int          `json:"sockets"`
	// Memory of the servers, if --pids names them.
	Memory []BesetMemory `json:"memory,omitempty"`
}

// BesetRound is the time from send to delivery, measured once without and once with bad clients.
type BesetRound struct {
	Alone *Latency `json:"alone"`
	Beset *Latency `json:"beset"`
}

// BesetMemory is a server's resident memory: before the bad clients came, at its highest, and after they left.
type BesetMemory struct {
	PID       int   `json:"pid"`
	BeforeKiB int64 `json:"beforeKiB"`
	MostKiB   int64 `json:"mostKiB"`
	AfterKiB  int64 `json:"afterKiB"`
}

func (r *HostileResult) print(w io.Writer) {
	fmt.Fprintf(w, "  load\t%d messages/s from well-behaved clients\n", r.Rate)
	fmt.Fprintf(w, "  bad clients\t%d mutated frames, %d visits of other kinds, %d of which opened a socket\n",
		r.Frames, r.Visits, r.Sockets)
	for i, round := range r.Rounds {
		fmt.Fprintf(w, "  send to delivery, ms, round %d\talone p50 %.1f   p99 %.1f   beset p50 %.1f   p99 %.1f\n",
			i+1, round.Alone.P50, round.Alone.P99, round.Beset.P50, round.Beset.P99)
	}
	fmt.Fprintf(w, "  beset / alone, median\tp50 %.2f   p99 %.2f\n", r.RatioP50, r.RatioP99)
	for _, m := range r.Memory {
		fmt.Fprintf(w, "  memory of process %d\t%.1f MiB, at most %.1f MiB, afterwards %.1f MiB\n",
			m.PID, float64(m.BeforeKiB)/1024, float64(m.MostKiB)/1024, float64(m.AfterKiB)/1024)
	}
}

// mutatedFrames is the number of mutated frames over all rounds and servers.
const mutatedFrames = 10_000

// siege is one run of the mode.
type siege struct {
	plan    *plan
	site    *site
	targets []hostile.Target // for each server, a conversation that only bad clients use
	result  *HostileResult
}

func runHostile(ctx context.Context, p *plan, s *site) (Result, error) {
	if p.rounds < 1 {
		return Result{}, errors.New("--rounds must be at least 1")
	}
	g := &siege{plan: p, site: s, result: &HostileResult{Rate: p.rate}}
	total := Result{
		Mode: "hostile", Conversations: len(s.conversations), Rate: p.rate, Hostile: g.result,
		Violations: map[string]int64{},
	}
	for i := range p.servers {
		target, err := g.target(ctx, i)
		if err != nil {
			return Result{}, explain("make bad clients", err)
		}
		g.targets = append(g.targets, target)
	}
	for round := range p.rounds {
		if err := g.round(ctx, round, &total); err != nil {
			return Result{}, err
		}
	}
	g.result.RatioP50 = g.ratio(func(l *Latency) float64 { return l.P50 })
	g.result.RatioP99 = g.ratio(func(l *Latency) float64 { return l.P99 })
	return total, g.settle(ctx)
}

// target makes a conversation on a server that nobody else uses: bad clients must get in to do harm.
func (g *siege) target(ctx context.Context, server int) (hostile.Target, error) {
	u, err := url.Parse(g.plan.servers[server])
	if err != nil {
		return hostile.Target{}, err
	}
	patient, err := g.site.makePatient(ctx, g.plan, fmt.Sprintf("bad%d", server))
	if err != nil {
		return hostile.Target{}, err
	}
	slots, err := g.site.freeSlots(ctx, 1)
	if err != nil {
		return hostile.Target{}, err
	}
	r, err := book(ctx, patient, g.site.doctors[0], slots[0])
	if err != nil {
		return hostile.Target{}, err
	}
	token, err := patient.api.Token(ctx)
	return hostile.Target{Addr: u.Host, Path: "/ws/appointments/" + r.id, Token: token}, err
}

// round measures once without and once with bad clients. A well-behaved client that loses its connection counts as a
// violation.
func (g *siege) round(ctx context.Context, number int, total *Result) error {
	alone, err := runOpen(ctx, g.plan, g.site)
	if err != nil {
		return err
	}
	if number == 0 {
		for _, pid := range g.plan.pids {
			g.result.Memory = append(g.result.Memory, BesetMemory{PID: pid, BeforeKiB: residentKiB(pid)})
		}
	}
	beset, err := g.beset(ctx, number)
	if err != nil {
		return err
	}
	for _, r := range []Result{alone, beset} {
		for name, n := range r.Violations {
			total.Violations[name] += n
		}
		if r.Reconnects > 0 {
			total.Violations["connections lost"] += r.Reconnects
		}
		for code, n := range r.Refusals {
			total.Violations["refused, "+code] += n
		}
	}
	if alone.Delivery == nil || beset.Delivery == nil {
		return errors.New("nothing was delivered: raise --rate or --duration")
	}
	g.result.Rounds = append(g.result.Rounds, BesetRound{Alone: alone.Delivery, Beset: beset.Delivery})
	return nil
}

// beset runs the open loop beside bad clients of all kinds. They run in a process of low priority: otherwise they
// would take the processor from the well-behaved clients.
func (g *siege) beset(ctx context.Context, number int) (Result, error) {
	c, err := startCrowd(ctx, crowdOrder{
		Targets: g.targets, Frames: mutatedFrames / g.plan.rounds, Over: g.plan.duration, Seed: uint64(number + 1),
	})
	if err != nil {
		return Result{}, err
	}
	watching, stop := context.WithCancel(ctx)
	var watch errgroup.Group
	watch.Go(func() error { g.watch(watching); return nil })
	r, err := runOpen(ctx, g.plan, g.site)
	did, failed := c.leave()
	g.result.Frames += did.Frames
	g.result.Visits += did.Visits
	g.result.Sockets += did.Sockets
	stop()
	return r, errors.Join(err, failed, watch.Wait())
}

// watch notes the servers' highest memory.
func (g *siege) watch(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		for i := range g.result.Memory {
			m := &g.result.Memory[i]
			m.MostKiB = max(m.MostKiB, residentKiB(m.PID))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// settle reads the servers' memory, after time for them to return what they no longer need.
func (g *siege) settle(ctx context.Context) error {
	if len(g.result.Memory) == 0 {
		return nil
	}
	fmt.Fprintf(g.plan.progress, "hostile  the bad clients have left, waiting %s\n", g.plan.hold)
	if err := pause(ctx, g.plan.hold); err != nil {
		return err
	}
	for i := range g.result.Memory {
		g.result.Memory[i].AfterKiB = residentKiB(g.result.Memory[i].PID)
	}
	return nil
}

// ratio returns the median of beset to alone over the rounds.
func (g *siege) ratio(of func(*Latency) float64) float64 {
	var all []float64
	for _, round := range g.result.Rounds {
		all = append(all, of(round.Beset)/of(round.Alone)) // a latency is at least a microsecond
	}
	slices.Sort(all)
	return all[len(all)/2]
}
