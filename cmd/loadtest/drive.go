package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// drive is one run of the closed or open loop.
type drive struct {
	counters
	plan  *plan
	mode  string
	began time.Time
	sides []*side

	loop     atomic.Bool // this is a closed loop, and it is still sending
	from, to time.Duration
}

// now returns the time since the run began.
func (d *drive) now() time.Duration { return time.Since(d.began) }

func (d *drive) measuring(at time.Duration) bool { return at >= d.from && at < d.to }

// onDelivered has a sender in the closed loop send its next message.
func (d *drive) onDelivered(sender *side) {
	if d.loop.Load() {
		sender.send(d.now())
	}
}

func newDrive(p *plan, mode string) *drive {
	d := &drive{plan: p, mode: mode, began: time.Now()}
	d.from, d.to = 1<<62, 1<<62 // not measuring yet
	return d
}

// join opens both sides of every conversation, from the current end of the log, and waits until they are live.
func (d *drive) join(ctx context.Context, s *site) error {
	d.sides = make([]*side, 2*len(s.conversations))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(d.plan.parallel)
	for i := range s.conversations {
		patient, doctor := &side{drive: d}, &side{drive: d}
		patient.peer, doctor.peer = doctor, patient
		d.sides[2*i], d.sides[2*i+1] = patient, doctor
		group.Go(func() error {
			r := &s.conversations[i]
			page, err := r.patient.api.MessagesBefore(ctx, r.id, 0, 1)
			if err != nil {
				return err
			}
			patient.open(r, r.patient, page.HeadSeq)
			doctor.open(r, r.doctor, page.HeadSeq)
			return errors.Join(patient.conv.WaitLive(ctx), doctor.conv.WaitLive(ctx))
		})
	}
	if err := group.Wait(); err != nil {
		d.leave()
		return explain("open the conversations", err)
	}
	return nil
}

// leave closes the conversations; after that, the sides belong to the caller.
func (d *drive) leave() {
	var group errgroup.Group
	group.SetLimit(64)
	for _, s := range d.sides {
		if s != nil && s.conv != nil {
			group.Go(func() error { s.conv.Close(); return nil })
		}
	}
	_ = group.Wait() // Close cannot fail
}

// start starts the clock: first the warm-up, then the measured time.
func (d *drive) start() {
	d.began = time.Now()
	d.from, d.to = d.plan.warmup, d.plan.warmup+d.plan.duration
}

func runClosed(ctx context.Context, p *plan, s *site) (Result, error) {
	d := newDrive(p, "closed")
	if err := d.join(ctx, s); err != nil {
		return Result{}, err
	}
	d.start()
	d.loop.Store(true)
	for i, side := range d.sides {
		share := p.outstanding / 2
		if i%2 == 0 {
			share = p.outstanding - share
		}
		for range share {
			side.send(d.now())
		}
	}
	err := d.untilEnd(ctx)
	d.loop.Store(false)
	return d.finish(ctx, err)
}

func runOpen(ctx context.Context, p *plan, s *site) (Result, error) {
	if p.rate < 1 {
		return Result{}, errors.New("--rate must be at least 1")
	}
	d := newDrive(p, "open")
	if err := d.join(ctx, s); err != nil {
		return Result{}, err
	}
	order := rand.Perm(len(d.sides)) //nolint:gosec // not a secret: keeps the two sides out of step
	gap := time.Second / time.Duration(p.rate)
	d.start()
	pace := make(chan struct{})
	stop, cancel := context.WithCancel(ctx)
	go func() {
		defer close(pace)
		d.pace(stop, order, gap)
	}()
	err := d.untilEnd(ctx)
	cancel()
	<-pace
	return d.finish(ctx, err)
}

// pace sends message i when it is due, or as soon as it can after that; the delay counts in its latency.
func (d *drive) pace(ctx context.Context, order []int, gap time.Duration) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := 0; ; i++ {
		due := time.Duration(i) * gap
		if due >= d.to {
			return
		}
		if wait := due - d.now(); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		} else if ctx.Err() != nil {
			return
		}
		d.sides[order[i%len(order)]].send(due)
	}
}

// untilEnd shows progress every second until the measured time is over.
func (d *drive) untilEnd(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	end := time.NewTimer(d.to - d.now())
	defer end.Stop()
	var last int64
	for {
		select {
		case <-end.C:
			return nil
		case <-ctx.Done():
			return errors.New("interrupted")
		case <-tick.C:
			delivered := d.delivered.Load()
			fmt.Fprintf(d.plan.progress, "%-6s %3.0f/%.0f s  %6d delivered/s  %6d under way\n", d.mode,
				d.now().Seconds(), d.to.Seconds(), delivered-last, d.sent.Load()-d.refused.Load()-delivered)
			last = delivered
			if f := d.failed.Load(); f != nil {
				return f.err
			}
		}
	}
}

// finish waits for what is under way, closes everything, and checks it all.
func (d *drive) finish(ctx context.Context, err error) (Result, error) {
	defer d.leave()
	if err != nil {
		return Result{}, d.whyClosed(err)
	}
	limit := time.NewTimer(d.plan.drain)
	defer limit.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !d.settled() {
		select {
		case <-tick.C:
			continue
		case <-ctx.Done():
			return Result{}, errors.New("interrupted")
		case <-limit.C:
			fmt.Fprintf(d.plan.progress, "%s: not everything arrived within %s\n", d.mode, d.plan.drain)
		}
		break
	}
	d.leave()
	return d.result(), nil
}

// whyClosed adds to an error why the service ended a conversation, if it did.
func (d *drive) whyClosed(err error) error {
	for _, s := range d.sides {
		select {
		case <-s.conv.Done():
			_, why := s.conv.State()
			return errors.Join(err, why)
		default:
		}
	}
	return err
}
