package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"housecall/internal/client"
)

// IdleResult is what idle connections cost.
type IdleResult struct {
	Connections int64           `json:"connections"` // open at the end
	Wanted      int             `json:"wanted"`
	OpenSeconds float64         `json:"openSeconds"` // how long it took to open them
	Processes   []ProcessMemory `json:"processes"`
}

// ProcessMemory is a server's memory before and after; the connections before are the warm-up's.
type ProcessMemory struct {
	PID               int     `json:"pid"`
	BeforeKiB         int64   `json:"beforeKiB"`
	AfterKiB          int64   `json:"afterKiB"`
	Connections       int64   `json:"connections"` // opened in between
	KiBPerConnection  float64 `json:"kibPerConnection"`
	connectionsBefore int64
}

func (r *IdleResult) print(w io.Writer) {
	fmt.Fprintf(w, "  connections\t%d of %d, opened in %.1f s\n", r.Connections, r.Wanted, r.OpenSeconds)
	for _, p := range r.Processes {
		fmt.Fprintf(w, "  memory of process %d\t%.1f MiB -> %.1f MiB, %.1f KiB for each of %d connections\n",
			p.PID, float64(p.BeforeKiB)/1024, float64(p.AfterKiB)/1024, p.KiBPerConnection, p.Connections)
	}
}

// idlers are the idle connections.
type idlers struct {
	site    *site
	open    atomic.Int64
	servers [2]atomic.Int64 // open at the first and at the last server
	lost    atomic.Int64    // closed unexpectedly
	leaving atomic.Bool

	mu      sync.Mutex // guards what follows
	conns   []*client.Conn
	reading sync.WaitGroup
}

const (
	// idleWarmup connections come first, so that what a server allocates once does not count.
	idleWarmup = 200
	// idleDials is how many dials run at a time.
	idleDials = 32
	// idleSilence is how long a connection may go without pings before it counts as dead.
	idleSilence = 2 * time.Minute
)

func runIdle(ctx context.Context, p *plan, s *site) (Result, error) {
	c := &idlers{site: s}
	defer c.leave()
	if err := c.grow(ctx, p, min(idleWarmup, p.connections/2)); err != nil {
		return Result{}, explain("open idle connections", err)
	}
	if err := c.settle(ctx, p, p.hold/3); err != nil {
		return Result{}, err
	}
	r := &IdleResult{Wanted: p.connections}
	for i, pid := range p.pids {
		r.Processes = append(r.Processes, ProcessMemory{
			PID: pid, BeforeKiB: residentKiB(pid), connectionsBefore: c.at(i, len(p.pids)),
		})
	}
	began := time.Now()
	if err := c.grow(ctx, p, p.connections); err != nil {
		return Result{}, explain("open idle connections", err)
	}
	r.OpenSeconds = time.Since(began).Seconds()
	if err := c.settle(ctx, p, p.hold); err != nil {
		return Result{}, err
	}
	for i := range r.Processes {
		r.Processes[i].measure(c.at(i, len(p.pids)))
	}
	if p.atRest != nil {
		p.atRest(ctx)
	}
	r.Connections = c.open.Load()
	result := Result{Mode: "idle", Conversations: len(s.conversations), Idle: r, Violations: map[string]int64{}}
	if n := c.lost.Load(); n > 0 {
		result.Violations["connections lost"] = n
	}
	return result, nil
}

func (m *ProcessMemory) measure(connections int64) {
	m.AfterKiB = residentKiB(m.PID)
	m.Connections = connections - m.connectionsBefore
	if m.Connections > 0 {
		m.KiBPerConnection = float64(m.AfterKiB-m.BeforeKiB) / float64(m.Connections)
	}
}

// at returns how many connections process i of n holds; a single process holds all.
func (c *idlers) at(i, n int) int64 {
	if n == 1 {
		return c.open.Load()
	}
	return c.servers[min(i, 1)].Load()
}

// grow opens connections until there are that many.
func (c *idlers) grow(ctx context.Context, p *plan, to int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(idleDials)
	for i := len(c.conns); i < to; i++ {
		group.Go(func() error { return c.join(ctx, i) })
		if i%1000 == 999 {
			fmt.Fprintf(p.progress, "idle   %d of %d connections\n", i+1, p.connections)
		}
	}
	return group.Wait()
}

// join opens connection i, waits until it is live, and starts a goroutine that answers pings.
func (c *idlers) join(ctx context.Context, i int) error {
	conversations := c.site.conversations
	one, which := &conversations[i/2%len(conversations)], i%2
	who := [2]*account{one.patient, one.doctor}[which]
	conn, err := client.Dial(ctx, who.api, one.id, client.Cursor{})
	if err != nil {
		return err
	}
	conn.SetIdleTimeout(idleSilence)
	var f client.Frame
	for f.Type != "live" {
		if err := conn.ReadFrame(&f); err != nil {
			return errors.Join(err, conn.Cut())
		}
	}
	c.mu.Lock()
	c.conns = append(c.conns, conn)
	c.mu.Unlock()
	c.open.Add(1)
	c.servers[which].Add(1)
	c.reading.Go(func() {
		for {
			if _, err := conn.ReadRaw(); err != nil {
				break
			}
		}
		c.open.Add(-1)
		c.servers[which].Add(-1)
		if !c.leaving.Load() {
			c.lost.Add(1)
		}
	})
	return nil
}

// settle waits until the servers are quiet again after the opening.
func (c *idlers) settle(ctx context.Context, p *plan, d time.Duration) error {
	fmt.Fprintf(p.progress, "idle   %d connections, waiting %s\n", c.open.Load(), d)
	return pause(ctx, d)
}

// pause waits, or fails when the run is interrupted.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errors.New("interrupted")
	}
}

func (c *idlers) leave() {
	c.leaving.Store(true)
	for _, conn := range c.conns {
		_ = conn.Cut() // ten thousand goodbyes would measure nothing
	}
	c.reading.Wait()
}
