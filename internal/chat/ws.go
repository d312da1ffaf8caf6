package chat

import (
	"encoding/base64"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gofiber/contrib/websocket"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
)

// Subprotocols (RFC 6455, 1.9). Browsers cannot set headers, so the token may come as a second subprotocol, which the
// server never selects.
const (
	subprotocol       = "housecall.v1"
	bearerSubprotocol = "housecall.bearer."
)

// admissionKey names the Fiber local that passes an admission from the checks before the upgrade to accept.
const admissionKey = "admission"

// admission is the result of the checks before the upgrade.
type admission struct {
	actor   auth.Actor
	expires time.Time
	address string
	id      int64 // of the conversation; 0: the inbox
	at      cursor
	until   time.Time // when an observer's access ends; zero: a participant
	request *fasthttp.RequestCtx
}

// Mount adds the WebSocket routes. Refused clients get a problem document instead of an upgrade.
func Mount(srv *httpd.Server, s *Service) {
	describe(srv, s.d.Options.PublicURL)
	upgrade := websocket.New(s.accept, websocket.Config{
		Subprotocols:   []string{subprotocol},
		ReadBufferSize: 512, // small, because thousands of idle connections keep one each
		// Writes bypass the library, so its buffers only exist while it answers a broken frame.
		WriteBufferPool: &sync.Pool{},
		RecoverHandler:  func(*websocket.Conn) {}, // accept recovers; the default would show the panic to the client
	})
	open := func(admit func(*httpd.Server, *fiber.Ctx) (*admission, error)) fiber.Handler {
		return func(c *fiber.Ctx) error {
			a, err := admit(srv, c)
			if err != nil {
				return err
			}
			strip(c)
			c.Locals(admissionKey, a)
			return upgrade(c)
		}
	}
	srv.Router().Get("/ws/appointments/:id", open(s.admitToConversation))
	srv.Router().Get("/ws/inbox", open(s.admit))
}

// admitToConversation makes all checks of a connection to a conversation that can be made before the upgrade.
func (s *Service) admitToConversation(srv *httpd.Server, c *fiber.Ctx) (*admission, error) {
	a, err := s.admit(srv, c)
	if err != nil {
		return nil, err
	}
	if a.at, err = parseCursor(c.Query("after"), c.Query("epoch")); err != nil {
		return nil, err
	}
	ctx, cancel := srv.Timeout(c.UserContext())
	defer cancel()
	found, err := s.d.Conversations.Readable(ctx, a.actor, c.Params("id"))
	if err != nil {
		return nil, err
	}
	a.id, a.until = found.Conversation(), found.Until()
	return a, nil
}

// admit makes the checks that all connections share.
func (s *Service) admit(srv *httpd.Server, c *fiber.Ctx) (*admission, error) {
	if err := checkHandshake(c); err != nil {
		return nil, err
	}
	if origin := c.Get(fiber.HeaderOrigin); origin != "" && !srv.OriginAllowed(origin) {
		return nil, errs.New(errs.Forbidden, "origin", "Connections from this origin are not allowed.")
	}
	offered := protocols(c)
	actor, expires, err := s.authenticate(srv, c, offered)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(offered, subprotocol) {
		return nil, errs.New(errs.UpgradeRequired, "subprotocol_required", "Offer the subprotocol "+subprotocol+".")
	}
	address := httpd.ClientFrom(c.UserContext()).Address
	if err := s.connections.admits(actor.ID, address); err != nil {
		return nil, err
	}
	return &admission{actor: actor, expires: expires, address: address, request: c.Context()}, nil
}

// checkHandshake refuses requests that do not ask for a WebSocket as RFC 6455, 4.2.1 says. The library would refuse
// most of them too, but without a problem document, and it takes any key.
func checkHandshake(c *fiber.Ctx) error {
	if !websocket.IsWebSocketUpgrade(c) || c.Get(fiber.HeaderSecWebSocketVersion) != "13" {
		return errs.New(errs.UpgradeRequired, "upgrade_required",
			"This address only accepts WebSocket connections of version 13 (RFC 6455).")
	}
	keys := c.Request().Header.PeekAll(fiber.HeaderSecWebSocketKey)
	if len(keys) == 1 {
		nonce, err := base64.StdEncoding.Strict().DecodeString(string(keys[0]))
		if err == nil && len(nonce) == 16 {
			return nil
		}
	}
	return errs.New(errs.BadRequest, "bad_request", "Send one Sec-WebSocket-Key: 16 random bytes in base64.")
}

func (s *Service) authenticate(srv *httpd.Server, c *fiber.Ctx, offered []string) (auth.Actor, time.Time, error) {
	if c.Get(fiber.HeaderAuthorization) != "" {
		return srv.Authenticate(c)
	}
	for _, p := range offered {
		if token, ok := strings.CutPrefix(p, bearerSubprotocol); ok {
			return srv.AuthenticateToken(c.UserContext(), token)
		}
	}
	return auth.Actor{}, time.Time{}, errs.ErrUnauthenticated
}

// protocols returns the subprotocols that a client offers. The header may come in several lines (RFC 6455, 11.3.4).
func protocols(c *fiber.Ctx) []string {
	var out []string
	for _, line := range c.Request().Header.PeekAll(fiber.HeaderSecWebSocketProtocol) {
		for p := range strings.SplitSeq(string(line), ",") {
			if p = strings.TrimSpace(p); p != "" {
				out = append(out, p)
			}
		}
	}
	return out
}

func parseCursor(after, epoch string) (cursor, error) {
	if after == "" {
		return cursor{after: -1, epoch: epoch}, nil
	}
	n, err := strconv.ParseInt(after, 10, 64)
	if err != nil || n < 0 {
		return cursor{}, errs.InvalidField("query.after", "must be the seq of the last event you have processed")
	}
	return cursor{after: n, epoch: epoch}, nil
}

// strip removes everything from the request that the upgrade does not need. The library copies headers, cookies and
// the query, including any token, into maps that live as long as the connection.
func strip(c *fiber.Ctx) {
	needed := map[string]string{fiber.HeaderSecWebSocketProtocol: subprotocol}
	for _, name := range []string{
		fiber.HeaderConnection, fiber.HeaderUpgrade, fiber.HeaderSecWebSocketKey, fiber.HeaderSecWebSocketVersion,
	} {
		needed[name] = c.Get(name)
	}
	h := &c.Request().Header
	var drop []string
	for name := range h.All() {
		drop = append(drop, string(name))
	}
	for _, name := range drop {
		h.Del(name)
	}
	for name, value := range needed {
		h.Set(name, value)
	}
	c.Request().URI().SetQueryString("")
	c.Context().ResetUserValues()
}

// accept runs one connection. The library reuses its objects, so nothing may touch the connection once accept has
// returned; accept therefore always waits for the writer.
func (s *Service) accept(ws *websocket.Conn) {
	a, _ := ws.Locals(admissionKey).(*admission)
	ws.Locals(admissionKey, nil)
	// The request has been answered but stays in memory with the connection; an empty one holds no buffers.
	a.request.Request = fasthttp.Request{}
	a.request.Response = fasthttp.Response{}
	c := s.connectionOf(ws, a)
	if err := s.connections.add(c); err != nil {
		s.turnAway(c, err)
		return
	}
	defer s.connections.remove(c)
	defer c.finish()
	defer s.guard(c)
	if a.id == 0 {
		s.serveInbox(c)
		return
	}
	s.serve(c, a.id, a.at)
}

func (s *Service) connectionOf(ws *websocket.Conn, a *admission) *conn {
	c := newConn(rawConn(ws.NetConn()), ws, a, connPorts{s.d.Options.PerSecond, s.metrics, s.d.Now})
	ws.SetPingHandler(func(data string) error {
		if c.control(); !c.frames.Allow() {
			c.overLimit(limitFrames, "too many frames")
			return nil
		}
		c.deliver(seal(opPong, append(make([]byte, wireHeader, wireHeader+len(data)), data...)))
		return nil
	})
	ws.SetPongHandler(func(string) error {
		c.control()
		return nil
	})
	ws.SetCloseHandler(func(int, string) error {
		c.answerClose()
		return nil
	})
	return c
}

// turnAway closes a connection that was within the limits before the upgrade but no longer is.
func (s *Service) turnAway(c *conn, err error) {
	if errors.Is(err, errDraining) {
		c.restart()
	} else {
		c.end(closeLimits, "too many open connections", 0)
	}
	c.receive(func([]byte) {})
	c.finish()
}

// rawConn unwraps the connection below fasthttp's pooled wrapper.
func rawConn(nc net.Conn) net.Conn {
	if wrapped, ok := nc.(interface{ UnsafeConn() net.Conn }); ok {
		return wrapped.UnsafeConn()
	}
	return nc
}
