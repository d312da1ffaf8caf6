package hostile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
)

// Crowd is bad clients of every kind, who come again when they are thrown out.
type Crowd struct {
	stop    context.CancelFunc
	work    sync.WaitGroup
	tallies map[string]*Tally
}

// pause is how long a visitor takes to come back, about: the load is to be a nuisance, not a benchmark of accepting.
const pause = 250 * time.Millisecond

// around gives half to one and a half of it, so that visitors who were thrown out at once do not come back at once.
func around(r *rand.Rand, d time.Duration) time.Duration {
	return d/2 + time.Duration(r.Int64N(int64(d)))
}

// Gather lets each of every kind loose, and keeps them coming until Leave.
func Gather(t Target, each int, seed uint64) *Crowd {
	ctx, stop := context.WithCancel(context.Background())
	c := &Crowd{stop: stop, tallies: map[string]*Tally{}}
	for i, kind := range sorted(kinds) {
		tally := &Tally{}
		c.tallies[kind] = tally
		for n := range each {
			r := newRandom(seed, i*each+n)
			c.work.Go(func() {
				for wait(ctx, around(r, pause)) {
					tally.Add("visits")
					kinds[kind](ctx, t, r, tally)
				}
			})
		}
	}
	return c
}

// wait tells whether there is time left after d.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Leave ends all visits and tells, by kind, what came of them.
func (c *Crowd) Leave() map[string]*Tally {
	c.stop()
	c.work.Wait()
	return c.tallies
}

// perSocket is how many mutated frames one socket is given at most: with as many pings between them fewer than its
// limit of frames, so that not all that is tested is the limit.
const perSocket = 60

// breachEvery is how many mutated frames go by between breaches of the framing, which cost the socket.
const breachEvery = 40

// Mutations say which mutated frames are sent, and how.
type Mutations struct {
	Frames   [][]byte      // what is mutated
	Count    int           // of frames to send
	Visitors int           // who share them, with a socket each
	Over     time.Duration // they are spread over at least this time; 0: sent as fast as they are answered
	Seed     uint64
}

// Mutated sends mutated frames, with breaches of the framing between them, and opens a new socket whenever it loses
// one. Each frame counts only once the service has looked at it, as its answer or the socket's end shows. Mutated fails
// if a socket cannot be opened, or neither answers nor ends.
func Mutated(ctx context.Context, t Target, m Mutations) (*Tally, error) {
	tally, failed := &Tally{}, make(chan error, m.Visitors)
	var left atomic.Int64
	left.Store(int64(m.Count))
	var work sync.WaitGroup
	for i := range m.Visitors {
		v := mutator{
			target: t, frames: m.Frames, left: &left, random: newRandom(m.Seed, i), tally: tally,
			pause: m.Over * time.Duration(m.Visitors) / time.Duration(m.Count),
		}
		work.Go(func() {
			for left.Load() > 0 {
				if err := v.visit(ctx); err != nil {
					failed <- fmt.Errorf("after %d frames: %w", tally.Count("frames"), err)
					return
				}
			}
		})
	}
	work.Wait()
	close(failed)
	return tally, <-failed
}

// mutator is one who sends mutated frames.
type mutator struct {
	target Target
	frames [][]byte
	left   *atomic.Int64
	random *rand.Rand
	tally  *Tally
	pause  time.Duration // after each
}

// visit is one socket: a frame, and after it a ping, until the service ends it.
func (v mutator) visit(ctx context.Context) error {
	c, in, end, err := v.target.join(ctx)
	if err != nil {
		return err
	}
	defer end()
	v.tally.Add("sockets")
	for i := range perSocket {
		if v.left.Add(-1) < 0 {
			break
		}
		v.tally.Add("frames")
		if v.random.IntN(breachEvery) == 0 {
			_, _ = c.Write(Breach(v.random)) // what ends it shows below
			break
		}
		how, err := v.say(c, in, v.mutate(), i)
		if err != nil || how != "" {
			v.tally.Add(how)
			return err
		}
		wait(ctx, v.pause)
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	v.tally.Add(howItEnds(in))
	return ctx.Err()
}

// mutate gives one, mostly one that is still JSON and no token: others cost the socket, and a handshake takes longer
// than a frame.
func (v mutator) mutate() []byte {
	whatever := v.random.IntN(10) == 0
	for {
		text := Mutate(v.random, v.frames[v.random.IntN(len(v.frames))])
		if whatever ||
			bytes.HasPrefix(text, []byte("{")) && utf8.Valid(text) && json.Valid(text) &&
				!bytes.Contains(text, []byte(`"auth"`)) {
			return text
		}
	}
}

// say sends a frame and a ping, and reads up to the answer of the ping, or how the socket ends.
func (v mutator) say(c net.Conn, in *bufio.Reader, text []byte, number int) (how string, err error) {
	ping := fmt.Sprintf(`{"type":"ping","id":"frame %d"}`, number)
	if _, err := c.Write(join(frame(final|opText, text), frame(final|opText, []byte(ping)))); err != nil {
		return "cut", nil //nolint:nilerr // it was being closed
	}
	want := fmt.Appendf(nil, `{"type":"pong","id":"frame %d"}`, number)
	for {
		op, payload, err := read(in)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return "", fmt.Errorf("neither an answer nor an end: %w", err)
		case err != nil:
			return "cut", nil //nolint:nilerr // that is what is asked: how it ended
		case op == opClose:
			return ending(payload), nil
		case bytes.Equal(payload, want):
			v.tally.Add("answered")
			return "", nil
		}
	}
}
