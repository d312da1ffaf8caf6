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
	heartbeatGrace = 15 * time.Second // for the pong, then 4009
	expiryWarning  = time.Minute      // authExpiring before the token's end
	expiryGrace    = 10 * time.Minute // for expired tokens while PostgreSQL is away: they can only read
	drainBatches   = 20
	drainPause     = 50 * time.Millisecond
	// reconnectSpread is over how long the clients of a stopping instance come back elsewhere, so that they do
	// not come all at once.
	reconnectSpread = 2 * time.Second
)

// Refusals of an upgrade.
var (
	errUserSockets    = tooManySockets("of this user")
	errAddressSockets = tooManySockets("from this address")
	errDraining       = &errs.Error{
		Kind:       errs.Unavailable,
		Code:       "draining",
		Message:    "This instance is stopping. Connect again.",
		RetryAfter: time.Second,
	}
)

func tooManySockets(whose string) *errs.Error {
	return &errs.Error{
		Kind:       errs.RateLimited,
		Code:       "too_many_sockets",
		Message:    "Too many open connections " + whose + ". Close some and try again.",
		RetryAfter: 10 * time.Second,
	}
}

// connections is every open connection of this instance, whatever it listens to.
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
	served    sync.WaitGroup // handlers
}

func newConnections(perUser, perAddress int, m *metrics, now func() time.Time) *connections {
	return &connections{
		perUser: perUser, perAddress: perAddress, metrics: m, now: now, open: map[*conn]struct{}{},
		sessions: map[int64]map[*conn]struct{}{}, users: map[int64]int{}, addresses: map[string]int{},
	}
}

// admits tells, before an upgrade, whether another connection may open. add asks again.
func (s *connections) admits(user int64, address string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refusal(user, address)
}

// refusal (with mu held) tells, and counts, why no other connection may open; nil if it may.
func (s *connections) refusal(user int64, address string) error {
	switch {
	case s.draining:
		return errDraining
	case s.users[user] >= s.perUser:
		s.metrics.limited.WithLabelValues(limitUser).Inc()
		return errUserSockets
	case s.addresses[address] >= s.perAddress:
		s.metrics.limited.WithLabelValues(limitAddress).Inc()
		return errAddressSockets
	}
	return nil
}

// add registers a connection; whoever called it calls remove.
func (s *connections) add(c *conn) error {
	a := c.actor.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refusal(a.ID, c.address); err != nil {
		return err
	}
	s.open[c] = struct{}{}
	s.users[a.ID]++
	s.addresses[c.address]++
	s.bind(c, a.Session)
	s.served.Add(1)
	s.metrics.sockets.Inc()
	return nil
}

func (s *connections) bind(c *conn, session int64) {
	if s.sessions[session] == nil {
		s.sessions[session] = map[*conn]struct{}{}
	}
	s.sessions[session][c] = struct{}{}
}

func (s *connections) unbind(c *conn, session int64) {
	delete(s.sessions[session], c)
	if len(s.sessions[session]) == 0 {
		delete(s.sessions, session)
	}
}

// rebind replaces a connection's token: from now on it lives and ends with the new one's session.
func (s *connections) rebind(c *conn, a auth.Actor, expires time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unbind(c, c.actor.Load().Session)
	s.bind(c, a.Session)
	c.actor.Store(&a)
	c.expires.Store(expires.Unix())
	c.warned.Store(false)
}

func (s *connections) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := c.actor.Load()
	delete(s.open, c)
	s.unbind(c, a.Session)
	if s.users[a.ID]--; s.users[a.ID] == 0 {
		delete(s.users, a.ID)
	}
	if s.addresses[c.address]--; s.addresses[c.address] == 0 {
		delete(s.addresses, c.address)
	}
	s.metrics.sockets.Dec()
	s.served.Done()
}

// restart tells a client to come back elsewhere, at a time of its own.
func (c *conn) restart() {
	c.end(closeRestart, "this instance restarts", rand.N(reconnectSpread)) //nolint:gosec // spreading, not secrecy
}

func (s *connections) all() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.open))
}

// endSessions closes the connections of ended sessions.
func (s *connections) endSessions(ids []int64) {
	s.mu.Lock()
	var hit []*conn
	for _, id := range ids {
		for c := range s.sessions[id] {
			hit = append(hit, c)
		}
	}
	s.mu.Unlock()
	for _, c := range hit {
		c.end(closeAuth, "the session has ended", 0)
	}
}

// look goes over all connections: pings those that are due, ends silent ones and those whose token has run out.
// lenient says that PostgreSQL is away, so that nobody could renew a token.
func (s *connections) look(ping wire, lenient bool) {
	now := s.now()
	limit := now
	if lenient {
		limit = now.Add(-expiryGrace)
	}
	for _, c := range s.all() {
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

// drain refuses new connections, tells all that are open to come back elsewhere, in batches, and waits until their
// handlers have returned or ctx ends; then it cuts what is left.
func (s *connections) drain(ctx context.Context) {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	all := s.all()
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
		s.served.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-ctx.Done():
		for _, c := range s.all() {
			_ = c.raw.Close() // the deadline is over
		}
		<-gone
	}
}
