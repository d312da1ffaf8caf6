package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	helloTimeout = 10 * time.Second // for the first frame
	deferPause   = time.Second      // before a message that was deferred is sent again
	reloadPage   = 100              // events per page when history is reloaded
	reloadMax    = 10_000           // a larger gap is not filled: the user starts over
	recentEvents = 50               // shown after starting over
)

// errHole means that a connection skipped an event; the next connection asks for it.
var errHole = errors.New("the service skipped an event")

// run keeps the conversation connected until it ends. Its goroutine calls the Handler.
func (c *Conversation) run(ctx context.Context) {
	defer close(c.done)
	tries := backoff{random: c.opts.Random}
	renewed := false // since the last connection that went live
	for {
		end := c.connection(ctx)
		if ctx.Err() != nil {
			c.finish(ErrClosed)
			return
		}
		renewed = renewed && end.live == 0
		v := tries.judge(end)
		if v.renew {
			v = c.renewAfter(ctx, end, renewed, &tries)
			renewed = true
		}
		if v.stop != nil {
			c.finish(v.stop)
			return
		}
		c.move(Connecting, end.err)
		if h := c.opts.Handler.Retry; h != nil {
			h(v.wait)
		}
		if v.wait > 0 {
			select {
			case <-c.opts.Clock.After(v.wait):
			case <-ctx.Done():
			}
		}
	}
}

// renewAfter renews a refused token, once; then it stops the conversation.
func (c *Conversation) renewAfter(ctx context.Context, end ending, renewed bool, tries *backoff) verdict {
	if renewed || end.token == "" {
		return verdict{stop: errors.Join(ErrSignedOut, end.err)}
	}
	_, err := c.api.renew(ctx, end.token)
	switch {
	case err == nil:
		return verdict{}
	case errors.Is(err, ErrSignedOut):
		return verdict{stop: err}
	default:
		return verdict{wait: tries.next()}
	}
}

// finish closes the conversation.
func (c *Conversation) finish(why error) {
	c.mu.Lock()
	left := c.out.clear()
	c.mu.Unlock()
	c.move(Closed, why)
	for _, d := range left {
		if d.result != nil {
			d.result <- result{err: errors.Join(ErrClosed, why)}
		}
	}
}

// move changes the state and tells the handler.
func (c *Conversation) move(s State, why error) {
	c.mu.Lock()
	c.state, c.why = s, why
	c.changed()
	c.mu.Unlock()
	if h := c.opts.Handler.State; h != nil {
		h(s, why)
	}
}

// link is one connection of a conversation.
type link struct {
	conn     *Conn
	liveAt   time.Time // zero until live
	expiring chan struct{}
	end      ending
}

// connection opens one connection and lives on it until it ends.
func (c *Conversation) connection(ctx context.Context) ending {
	token, err := c.api.Token(ctx)
	if err != nil {
		return ending{err: err}
	}
	conn, err := dial(ctx, c.api, token, c.id, c.at)
	if err != nil {
		return ending{err: err, token: token}
	}
	l := &link{conn: conn, expiring: make(chan struct{}, 1), end: ending{token: token}}
	ctx, cancel := context.WithCancel(ctx)
	var others sync.WaitGroup
	left := context.AfterFunc(ctx, conn.leave)
	l.end.err = c.converse(ctx, l, &others)
	if !l.liveAt.IsZero() {
		l.end.live = max(1, c.opts.Clock.Now().Sub(l.liveAt))
	}
	left() // there is no goodbye on a connection that has ended
	cancel()
	_ = conn.Cut() // also releases a stuck writer
	others.Wait()
	return l.end
}

// converse reads until the connection ends. After hello, one goroutine writes and another renews the token.
func (c *Conversation) converse(ctx context.Context, l *link, others *sync.WaitGroup) error {
	l.conn.SetIdleTimeout(helloTimeout)
	var f Frame
	if err := l.conn.ReadFrame(&f); err != nil {
		return err
	}
	if f.Type != "hello" {
		if f.Type != "bye" {
			return fmt.Errorf("the service said %q instead of hello", f.Type)
		}
		l.noteBye(&f)
	} else {
		c.greet(l, f.Hello)
		others.Go(func() { c.speak(ctx, l.conn) })
		others.Go(func() { c.keepAuth(ctx, l.end.token, l.expiring) })
	}
	for {
		if err := l.conn.ReadFrame(&f); err != nil {
			return err
		}
		if err := c.handle(ctx, l, &f); err != nil {
			return err
		}
	}
}

// greet starts a connection: it has everything unacknowledged written again.
func (c *Conversation) greet(l *link, h *Hello) {
	// After two missed heartbeats and a little, the connection is dead, whatever TCP believes.
	if beat := time.Duration(h.HeartbeatSeconds) * time.Second; beat > 0 {
		l.conn.SetIdleTimeout(2*beat + beat/2)
	} else {
		l.conn.SetIdleTimeout(time.Minute)
	}
	c.connections.Add(1)
	c.rewritten = c.at.Epoch != "" && c.at.Epoch != h.Epoch || c.at.Set && c.at.Seq > h.HeadSeq
	c.at.Epoch = h.Epoch
	c.mu.Lock()
	c.hello = h
	c.out.rewind()
	c.pace = newPace(h.Limits.PerSecond)
	c.signals.rewind()
	c.mu.Unlock()
	if f := c.opts.Handler.Hello; f != nil {
		f(h)
	}
	c.move(CatchingUp, nil)
}

func (l *link) noteBye(f *Frame) {
	l.end.bye = true
	l.end.comeAfter = time.Duration(f.ReconnectAfterMs) * time.Millisecond
}

// Cursor returns how far the conversation has got, for Options.Resume of a later one. Call it after Close, or from a
// function of the Handler.
func (c *Conversation) Cursor() Cursor { return c.at }

// reload fills the gap that made the service send reset, up to the head. If the gap is too large, or the epoch of the
// log has changed, the user starts over instead.
func (c *Conversation) reload(ctx context.Context, head int64, reason string) error {
	c.resets.Add(1)
	from := c.at.Seq
	if c.rewritten || !c.at.Set || head-from > reloadMax {
		if h := c.opts.Handler.Reset; h != nil {
			h(reason)
		}
		from = max(0, head-recentEvents)
		c.rewritten = false
	}
	c.at.Seq, c.at.Set = from, true
	for c.at.Seq < head {
		page, err := c.api.MessagesAfter(ctx, c.id, c.at.Seq, reloadPage)
		if err != nil {
			return fmt.Errorf("reload the history: %w", err)
		}
		before := c.at.Seq
		for _, e := range page.Items {
			if e.Seq > head {
				break // comes live
			}
			if err := c.event(e); err != nil {
				return err
			}
		}
		if c.at.Seq == before {
			return fmt.Errorf("reload the history: it ends at %d, not at %d", before, head)
		}
	}
	return nil
}
