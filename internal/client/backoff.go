package client

import (
	"errors"
	"time"
)

// Clock tells a conversation the time; tests bring their own.
type Clock struct {
	Now   func() time.Time
	After func(time.Duration) <-chan time.Time
}

// The wait between attempts is random, between zero and a bound that doubles from 1 s to 60 s ("full jitter"), so that
// clients that lost an instance together do not all come back at once.
const (
	backoffBase = time.Second
	backoffMax  = time.Minute
	// A connection that was live for this long resets the bound.
	backoffForgive = 10 * time.Second
	// A connection that was live for this long may come back at once, where PROTOCOL.md allows that.
	backoffSteady = time.Second
)

// backoff counts failed attempts and decides what follows.
type backoff struct {
	random func() float64 // in [0, 1)
	failed int
}

func (b *backoff) reset() { b.failed = 0 }

func (b *backoff) next() time.Duration {
	bound := backoffMax
	if b.failed < 6 {
		bound = min(backoffMax, backoffBase<<b.failed)
	}
	b.failed++
	return time.Duration(b.random() * float64(bound))
}

// ending is how a connection, or an attempt at one, ended.
type ending struct {
	err       error
	token     string        // that opened it
	live      time.Duration // how long it was live; 0 if it never was
	bye       bool          // the service said when to come back:
	comeAfter time.Duration
}

// Close codes, PROTOCOL.md.
const (
	closeRestart  = 1012
	closeSlow     = 4008
	closeNoPong   = 4009
	closeSignedIn = 4401
)

// verdict says what to do after an ending: come back after a wait, renew the token first, or stop.
type verdict struct {
	wait  time.Duration
	renew bool
	stop  error
}

// judge applies PROTOCOL.md's table of close codes, and its equivalent for refusals before the upgrade.
func (b *backoff) judge(e ending) verdict {
	if e.live >= backoffForgive {
		b.reset()
	}
	var closed *CloseError
	if errors.As(e.err, &closed) {
		return b.judgeClose(e, closed)
	}
	if p, ok := AsProblem(e.err); ok {
		return b.judgeProblem(p)
	}
	if errors.Is(e.err, ErrSignedOut) {
		return verdict{stop: e.err}
	}
	return verdict{wait: b.next()} // a network fault
}

func (b *backoff) judgeClose(e ending, c *CloseError) verdict {
	switch {
	case c.Code == closeSignedIn:
		return verdict{renew: true}
	case c.Code >= 4400 && c.Code < 4500:
		return verdict{stop: c}
	case c.Code == closeRestart && e.bye:
		return verdict{wait: e.comeAfter}
	case (c.Code == closeSlow || c.Code == closeNoPong) && e.live >= backoffSteady:
		return verdict{}
	default:
		return verdict{wait: max(b.next(), e.comeAfter)}
	}
}

// judgeProblem stops only for what the service itself says and the client knows to be lasting. A balancer that starts,
// or has no instance, answers 404 or 403 with a page of its own: that is the network, and so is a code that came later.
func (b *backoff) judgeProblem(p *Problem) verdict {
	switch p.Code {
	case "unauthenticated", "session_ended":
		return verdict{renew: true}
	case "origin", "password_change_required", "upgrade_required", "subprotocol_required", "invalid", "forbidden",
		"not_found":
		return verdict{stop: p}
	default:
		return verdict{wait: max(b.next(), p.RetryAfter)}
	}
}
