package chat

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"housecall/internal/auth"
	"housecall/internal/errs"
)

const (
	heartbeat      = 25 * time.Second // between pings
	heartbeatGrace = 15 * time.Second // for the pong; after that, 4009
	expiryWarning  = time.Minute      // how long before a token expires authExpiring is sent
	expiryGrace    = 10 * time.Minute // how long expired tokens can still read while PostgreSQL is away
	drainBatches   = 20
	drainPause     = 50 * time.Millisecond
	// reconnectSpread is the time over which the clients of a stopping instance reconnect elsewhere, so that they do
	// not all arrive at once.
	reconnectSpread = 2 * time.Second
)

// Reasons for refusing an upgrade.
var (
	errUserSockets    = tooManySockets("from this user")
	errAddressSockets = tooManySockets("from this address")
	errDraining       = &errs.Error{
		Kind: errs.Unavailable, Code: "draining", Message: "This instance is stopping. Connect again.",
		RetryAfter: time.Second,
	}
)

func tooManySockets(whose string) *errs.Error {
	return &errs.Error{
		Kind: errs.RateLimited, Code: "too_many_sockets",
		Message:    "Too many open connections " + whose + ". Close some and try again.",
		RetryAfter: 10 * time.Second,
	}
}

// connections are all open connections to this instance, to conversations and inboxes.
type connections struct {
	perUser, perAddress int
	metrics             *metrics
	now                 func() time.Time

	mu        sync.Mutex // guards all below
	open      map[*conn]struct{}
	sessions  map[int64]map[*conn]struct{}
	users     map[int64]int
	addresses map[string]int
	draining  bool
	served    sync.WaitGroup // handlers that have not returned
}

func newConnections(perUser, perAddress int, m *metrics, now func() time.Time) *connections {
	return &connections{
		perUser: perUser, perAddress: perAddress, metrics: m, now: now, open: map[*conn]struct{}{},
		sessions: map[int64]map[*conn]struct{}{}, users: map[int64]int{}, addresses: map[string]int{},
	}
}

// admits reports, before an upgrade, whether another connection may be opened. add checks again.
func (cs *connections) admits(user int64, address string) error {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return cs.refusal(user, address)
}

// refusal (with mu held) returns why no further connection may be opened, and counts the refusal; nil if one may.
func (cs *connections) refusal(user int64, address string) error {
	switch {
	case cs.draining:
		return errDraining
	case cs.users[user] >= cs.perUser:
		cs.metrics.limited.WithLabelValues(limitUser).Inc()
		return errUserSockets
	case cs.addresses[address] >= cs.perAddress:
		cs.metrics.limited.WithLabelValues(limitAddress).Inc()
		return errAddressSockets
	}
	return nil
}

// add registers a connection. If it succeeds, the caller must call remove.
func (cs *connections) add(c *conn) error {
	a := c.actor.Load()
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if err := cs.refusal(a.ID, c.address); err != nil {
		return err
	}
	cs.open[c] = struct{}{}
	cs.users[a.ID]++
	cs.addresses[c.address]++
	cs.bind(c, a.Session)
	cs.served.Add(1)
	cs.metrics.sockets.Inc()
	return nil
}

func (cs *connections) bind(c *conn, session int64) {
	if cs.sessions[session] == nil {
		cs.sessions[session] = map[*conn]struct{}{}
	}
	cs.sessions[session][c] = struct{}{}
}

func (cs *connections) unbind(c *conn, session int64) {
	delete(cs.sessions[session], c)
	if len(cs.sessions[session]) == 0 {
		delete(cs.sessions, session)
	}
}

// rebind replaces a connection's token: from now on the connection ends with the new token's session.
func (cs *connections) rebind(c *conn, a auth.Actor, expires time.Time) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.unbind(c, c.actor.Load().Session)
	cs.bind(c, a.Session)
	c.actor.Store(&a)
	c.expires.Store(expires.Unix())
	c.warned.Store(false)
}

func (cs *connections) remove(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	a := c.actor.Load()
	delete(cs.open, c)
	cs.unbind(c, a.Session)
	if cs.users[a.ID]--; cs.users[a.ID] == 0 {
		delete(cs.users, a.ID)
	}
	if cs.addresses[c.address]--; cs.addresses[c.address] == 0 {
		delete(cs.addresses, c.address)
	}
	cs.metrics.sockets.Dec()
	cs.served.Done()
}

// restart tells a client to reconnect after a random pause, which leads it to another instance.
func (c *conn) restart() {
	c.end(closeRestart, "this instance is restarting", rand.N(reconnectSpread)) //nolint:gosec // spreading, not secrecy
}

func (cs *connections) all() []*conn {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	return slices.Collect(maps.Keys(cs.open))
}

// endSessions closes the connections of ended sessions.
func (cs *connections) endSessions(ids []int64) {
	cs.mu.Lock()
	var hit []*conn
	for _, id := range ids {
		for c := range cs.sessions[id] {
			hit = append(hit, c)
		}
	}
	cs.mu.Unlock()
	for _, c := range hit {
		c.end(closeAuth, "the sign-in session has ended", 0)
	}
}

// look checks all connections: it pings those that are due, and closes those that are silent or whose token has
// expired. lenient means that PostgreSQL is away, so that nobody can renew a token.
func (cs *connections) look(ping wire, lenient bool) {
	now := cs.now()
	limit := now
	if lenient {
		limit = now.Add(-expiryGrace)
	}
	for _, c := range cs.all() {
		expires := time.Unix(c.expires.Load(), 0)
		idle := now.Sub(time.Unix(c.lastSeen.Load(), 0))
		switch {
		case !expires.After(limit):
			c.end(closeAuth, "the access token has expired", 0)
		case idle > heartbeat+heartbeatGrace:
			c.end(closeSilent, "no sign of life", 0)
		case idle >= heartbeat:
			c.deliver(ping)
		}
		if expires.Sub(now) <= expiryWarning && c.warned.CompareAndSwap(false, true) {
			c.deliver(encode(authExpiringFrame{At: expires.UTC()}))
		}
	}
}

// sendAway refuses new connections, tells the open ones in batches to reconnect elsewhere, and waits for their
// handlers to return. If ctx ends first, it cuts the remaining ones.
func (cs *connections) sendAway(ctx context.Context) {
	cs.mu.Lock()
	cs.draining = true
	cs.mu.Unlock()
	all := cs.all()
	size := max(1, (len(all)+drainBatches-1)/drainBatches)
	tick := time.NewTicker(drainPause)
	defer tick.Stop()
	for batch := range slices.Chunk(all, size) {
		for _, c := range batch {
			c.restart()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	gone := make(chan struct{})
	go func() {
		cs.served.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-ctx.Done():
		for _, c := range cs.all() {
			_ = c.raw.Close() // the deadline has passed
		}
		<-gone
	}
}
