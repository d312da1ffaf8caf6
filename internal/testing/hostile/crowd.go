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

// Crowd is a group of bad clients of every kind, which come back when they are thrown out.
type Crowd struct {
	stop    context.CancelFunc
	work    sync.WaitGroup
	tallies map[string]*Tally
}

// pause is about how long a visitor takes to come back: the load should be a nuisance, not a benchmark of accepting.
const pause = 250 * time.Millisecond

// around returns 0.5 to 1.5 times d, so that visitors who were thrown out together do not come back together.
func around(r *rand.Rand, d time.Duration) time.Duration {
	return d/2 + time.Duration(r.Int64N(int64(d)))
}

// Gather starts each visitors of every kind, and keeps them coming until Leave.
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

// wait waits for d; false if ctx has ended.
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

// Leave ends all visits and returns their outcomes, by kind.
func (c *Crowd) Leave() map[string]*Tally {
	c.stop()
	c.work.Wait()
	return c.tallies
}

// perSocket is how many mutated frames are sent on one socket at most: with as many pings in between, fewer than the
// limit of frames, so that the test does not only test the limit.
const perSocket = 60

// breachEvery is how many mutated frames are sent between two breaches of the framing, which cost the socket.
const breachEvery = 40

// Mutations says which mutated frames to send, and how.
type Mutations struct {
	Frames   [][]byte      // the frames to mutate
	Count    int           // how many frames to send
	Visitors int           // how many visitors share them, with a socket each
	Over     time.Duration // the time over which to spread them, at least; 0: as fast as they are answered
	Seed     uint64
}

// Mutated sends mutated frames, with breaches of the framing in between, and opens a new socket whenever it loses one.
// A frame counts once the service has handled it, as its answer or the socket's end shows. Mutated fails if a socket
// cannot be opened, or neither answers nor ends.
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

// mutator is a visitor who sends mutated frames.
type mutator struct {
	target Target
	frames [][]byte
	left   *atomic.Int64
	random *rand.Rand
	tally  *Tally
	pause  time.Duration // after each frame
}

// visit uses one socket until the service ends it: it sends a frame, then a ping, and so on.
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
			_, _ = c.Write(Breach(v.random)) // if this fails, the read shows how the socket ended
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

// mutate returns a mutated frame, mostly one that is still JSON and not an auth frame: others cost the socket, and a
// handshake takes longer than a frame.
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

// say sends a frame and a ping, and reads until the answer to the ping, or the end of the socket.
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
			return "cut", nil //nolint:nilerr // how it ended is the result
		case op == opClose:
			return ending(payload), nil
		case bytes.Equal(payload, want):
			v.tally.Add("answered")
			return "", nil
		}
	}
}
