package chat

import (
	"context"
	"encoding/json"
	"errors"
	"runtime/debug"
	"time"

	"housecall/internal/errs"
)

// frameFlood is how many frames of any kind a connection may send for each message it may send. Pings, receipts and
// malformed frames count too. A connection that sends more is closed with 4029.
const frameFlood = 5

// authCost is how many frames an auth frame counts as, because checking its token takes a query.
const authCost = 20

// understand decodes a frame of any connection. It also answers frames that are malformed or over the limit.
func (c *conn) understand(data []byte) (in Inbound, ok bool) {
	if !c.frames.Allow() {
		c.overLimit(limitFrames, "too many frames")
		return Inbound{}, false
	}
	in, err := Decode(data)
	var bad *badFrame
	switch {
	case errors.As(err, &bad):
		c.refuse(bad)
	case err != nil:
		c.end(closeProtocol, "a frame is a JSON object in UTF-8", 0)
	}
	return in, err == nil
}

func (c *conn) refuse(bad *badFrame) {
	if bad.clientID != "" {
		c.metrics.refused(bad.code)
		c.deliver(encode(nackFrame{ClientID: bad.clientID, Code: bad.code, Detail: bad.detail, Retry: "never"}))
		return
	}
	c.deliver(encode(errorFrame{Code: bad.code, Detail: bad.detail}))
}

func (*Service) pong(c *conn, in Inbound) { c.deliver(encode(pongFrame{ID: json.RawMessage(in.ID)})) }

// renew replaces the connection's token in place.
func (s *Service) renew(c *conn, in Inbound) {
	old := *c.actor.Load()
	if !c.frames.AllowN(time.Now(), authCost) {
		c.overLimit(limitFrames, "too many tokens")
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.d.Options.RequestTimeout)
	defer cancel()
	actor, expires, err := s.d.Accounts.Authenticate(ctx, in.Token)
	switch {
	case err != nil && errs.KindOf(err) != errs.Unauthenticated:
		c.deliver(encode(errorFrame{
			Code: "unavailable", Detail: "The token could not be checked right now. Please send it again.",
		}))
		return
	case err != nil || actor.ID != old.ID || actor.Role != old.Role || actor.MustChangePassword:
		c.end(closeAuth, "the token is not valid for this connection", 0)
		return
	}
	s.connections.rebind(c, actor, expires)
	c.deliver(encode(authOkFrame{ExpiresAt: expires.UTC()}))
}

// guard, when deferred, lets a panic close only its own connection.
func (s *Service) guard(c *conn) {
	if v := recover(); v != nil {
		s.d.Logger.Error().Str("connection", c.id).Bytes("stack", debug.Stack()).Msg("a connection's handler panicked")
		c.end(closeFault, "the server failed", 0)
	}
}
