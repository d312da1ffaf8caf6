package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// bench is the mode that starts its own servers.
type bench struct {
	binary   string
	profiles string
	logs     string
	modes    []string
	env      []string
}

// run starts everything, runs the modes, reports, and stops everything. Each mode gets new server processes, so that
// one mode's memory does not count in another.
func (b *bench) run(ctx context.Context, p *plan) (err error) {
	modes := map[string]func(context.Context, *plan, *site) (Result, error){
		"closed": runClosed, "open": runOpen, "idle": runIdle, "hostile": runHostile,
	}
	for _, m := range b.modes {
		if modes[m] == nil {
			return fmt.Errorf("--modes: unknown mode %q; the modes are closed, open, idle and hostile", m)
		}
	}
	p.admin = "" // our own
	if err := p.check(); err != nil {
		return err
	}
	raiseFileLimit()
	farm, err := startFarm(ctx, b, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, farm.stop()) }()
	p.admin, p.password = farmAdmin, farm.password
	s, err := prepare(ctx, p)
	if err != nil {
		return err
	}
	defer s.close()
	var results []Result
	for i, m := range b.modes {
		if i > 0 || m == "idle" || m == "hostile" {
			farm.limited = m == "hostile"
			if err := farm.restart(ctx); err != nil {
				return err
			}
		}
		p.pids = farm.pids()
		r, err := b.measure(ctx, p, farm, m, func() (Result, error) { return modes[m](ctx, p, s) })
		if err != nil {
			return fmt.Errorf("%s: %w", m, err)
		}
		results = append(results, r)
	}
	return report(p, results)
}

// measure runs a mode, watches the processors and, if wanted, takes profiles.
func (b *bench) measure(
	ctx context.Context, p *plan, f *farm, mode string, run func() (Result, error),
) (Result, error) {
	var captures errgroup.Group
	switch {
	case b.profiles == "":
	case mode == "idle":
		p.atRest = func(ctx context.Context) { b.captureAll(ctx, p, f, profile{mode, "heap", "/debug/pprof/heap?gc=1"}) }
	default:
		captures.Go(func() error {
			select {
			case <-time.After(p.warmup + time.Second):
				seconds := max(1, int(p.duration.Seconds())-2)
				path := fmt.Sprintf("/debug/pprof/profile?seconds=%d", seconds)
				b.captureAll(ctx, p, f, profile{mode, "cpu", path})
			case <-ctx.Done():
			}
			return nil
		})
	}
	meter := startMeter(p.pids)
	r, err := run()
	r.CPU = meter.shares()
	_ = captures.Wait() // captureAll reports failures: the numbers are valid without profiles
	return r, err
}

// profile is a profile of the servers: the mode to take it in, its kind, and its path.
type profile struct{ mode, kind, path string }

// captureAll fetches one profile from each server.
func (b *bench) captureAll(ctx context.Context, p *plan, f *farm, of profile) {
	var group errgroup.Group
	for i, address := range f.metrics {
		group.Go(func() error {
			name := filepath.Join(b.profiles, fmt.Sprintf("%s-%s-server%d.pb.gz", of.mode, of.kind, i+1))
			return capture(ctx, p.duration+30*time.Second, "http://"+address+of.path, name)
		})
	}
	if err := group.Wait(); err != nil {
		fmt.Fprintf(p.progress, "profile failed: %v\n", err)
	}
}

func capture(ctx context.Context, limit time.Duration, url, name string) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, resp.Status)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return err
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, resp.Body)
	return errors.Join(err, file.Close())
}

// meter measures who uses the processors.
type meter struct {
	began time.Time
	pids  []int
	names []string
	used  []time.Duration
	busy  time.Duration
}

func startMeter(pids []int) *meter {
	m := &meter{began: time.Now(), busy: machineBusy()}
	for i, pid := range pids {
		m.pids, m.names = append(m.pids, pid), append(m.names, fmt.Sprintf("server %d", i+1))
	}
	m.pids, m.names = append(m.pids, os.Getpid()), append(m.names, "loadtest")
	for _, pid := range m.pids {
		m.used = append(m.used, cpuTime(pid))
	}
	return m
}

// shares returns averages over the whole run, from joining to draining. On a machine that does nothing else, whatever
// is neither a server nor this tool is PostgreSQL, Redis and the kernel.
func (m *meter) shares() []CPUShare {
	span := time.Since(m.began).Seconds()
	rest := machineBusy() - m.busy
	var out []CPUShare
	for i, pid := range m.pids {
		used := cpuTime(pid) - m.used[i]
		rest -= used
		out = append(out, CPUShare{Process: m.names[i], Cores: used.Seconds() / span})
	}
	return append(out, CPUShare{Process: "PostgreSQL, Redis and the rest", Cores: rest.Seconds() / span})
}
