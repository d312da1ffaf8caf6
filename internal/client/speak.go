package client

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

const (
	receiptEvery = 500 * time.Millisecond // receipts are batched for that long
	typingEvery  = 2 * time.Second        // more often has no effect
	authPause    = 5 * time.Second        // between attempts to get a new token
)

// upTo is a receipt's cursor: what it should be, and what the current connection was last told.
type upTo struct{ want, told int64 }

// signals are the client's frames that are not messages; only the latest of each kind matters.
type signals struct {
	auth            string // a token to send; empty: none
	typing          bool
	typingDue       bool
	typedAt         time.Time
	delivered, read upTo
	receiptAt       time.Time
}

// typed notes a change; false if it need not be sent.
func (s *signals) typed(active bool, now time.Time) bool {
	switch {
	case active == s.typing && (!active || now.Sub(s.typedAt) < typingEvery):
		return false
	case active:
		s.typedAt = now
	}
	s.typing, s.typingDue = active, true
	return true
}

// rewind has the cursors sent again, to a new connection; a token and typing belonged to the old one.
func (s *signals) rewind() {
	s.auth, s.typing, s.typingDue = "", false, false
	s.delivered.told, s.read.told = 0, 0
}

// frame appends the next signal that is due. If none is, wait says when one will be; 0 means never.
func (s *signals) frame(dst []byte, now time.Time) (frame []byte, wait time.Duration) {
	switch {
	case s.auth != "":
		dst, s.auth = appendAuth(dst, s.auth), ""
		return dst, 0
	case s.typingDue:
		s.typingDue = false
		return appendTyping(dst, s.typing), 0
	}
	if s.delivered.want <= s.delivered.told && s.read.want <= s.read.told {
		return nil, 0
	}
	if left := receiptEvery - now.Sub(s.receiptAt); left > 0 && left <= receiptEvery {
		return nil, left
	}
	s.receiptAt = now
	if s.read.want > s.read.told {
		s.read.told = s.read.want
		s.delivered.told = max(s.delivered.told, s.read.want) // read implies delivered
		return appendUpTo(dst, "read", s.read.want), 0
	}
	s.delivered.told = s.delivered.want
	return appendUpTo(dst, "delivered", s.delivered.want), 0
}

// nextFrame appends the next frame to write. If there is none, wait says when to ask again; 0 means when stirred.
func (c *Conversation) nextFrame(dst []byte) (frame []byte, wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.opts.Clock.Now()
	frame, wait = c.signals.frame(dst, now)
	if frame != nil {
		return frame, 0
	}
	frame, pause := c.nextSend(dst, now)
	if frame == nil && pause > 0 && (wait == 0 || pause < wait) {
		wait = pause
	}
	return frame, wait
}

// nextSend appends the next message's frame. If there is none, wait says when to ask again; 0 means when stirred.
func (c *Conversation) nextSend(dst []byte, now time.Time) (frame []byte, wait time.Duration) {
	if pause := c.out.resume.Sub(now); pause > 0 {
		return nil, pause
	}
	turn := c.pace.ReserveN(now, 1)
	if pause := turn.DelayFrom(now); pause > 0 {
		turn.CancelAt(now)
		return nil, pause
	}
	d := c.out.take()
	if d == nil {
		turn.CancelAt(now)
		return nil, 0
	}
	return appendDraft(dst, d), 0
}

// newPace limits messages to the rate that hello names, so that a long queue does not exceed the service's limits: one
// second's worth at once, the rest evenly. 0 means no limit.
func newPace(perSecond int) *rate.Limiter {
	if perSecond <= 0 {
		return rate.NewLimiter(rate.Inf, 0)
	}
	return rate.NewLimiter(rate.Limit(perSecond), perSecond)
}

// speak writes frames until ctx ends or the connection breaks. Frames that wait at the same time go out together.
func (c *Conversation) speak(ctx context.Context, conn *Conn) {
	var buf []byte
	for {
		wait, err := c.speakNow(conn, &buf)
		if err != nil {
			_ = conn.Cut() // the reader notices and starts over
			return
		}
		var timer <-chan time.Time
		if wait > 0 {
			timer = c.opts.Clock.After(wait)
		}
		select {
		case <-c.wake:
		case <-timer:
		case <-ctx.Done():
			return
		}
	}
}

func (c *Conversation) speakNow(conn *Conn, buf *[]byte) (wait time.Duration, err error) {
	conn.wire.cork()
	for {
		var frame []byte
		frame, wait = c.nextFrame((*buf)[:0])
		if frame == nil {
			return wait, conn.wire.uncork()
		}
		*buf = frame
		if err := conn.WriteFrame(frame); err != nil {
			return 0, err
		}
	}
}

// keepAuth sends a new token before the old one expires, or when the service warns that it will.
func (c *Conversation) keepAuth(ctx context.Context, token string, expiring <-chan struct{}) {
	var pause time.Duration
	for {
		warned := false
		select {
		case <-c.opts.Clock.After(max(pause, c.api.renewDue().Sub(c.opts.Clock.Now()))):
		case <-expiring:
			warned = true
		case <-ctx.Done():
			return
		}
		fresh, err := c.freshToken(ctx, token, warned)
		pause = authPause
		if err != nil || fresh == token {
			continue // if no token comes in time, the service closes with 4401
		}
		token = fresh
		c.mu.Lock()
		c.signals.auth = fresh
		c.mu.Unlock()
		c.stir()
	}
}

// freshToken gets a token to send. If the service has warned, it renews even if our own clock says that there is time.
func (c *Conversation) freshToken(ctx context.Context, token string, warned bool) (string, error) {
	if warned {
		return c.api.renew(ctx, token)
	}
	return c.api.Token(ctx)
}
