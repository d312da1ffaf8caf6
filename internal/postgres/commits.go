package postgres

import (
	"context"
	"sync"
	"time"
)

// commitsEvery is how long an answer of Commits holds: the probe writes, and anybody may ask for readiness.
const commitsEvery = time.Second

// Commits tells whether writes can be committed. A ping does not: it also succeeds on a read-only primary, on a full
// disk, and while commits wait for a synchronous standby that is away.
type Commits struct {
	pool *Pool

	mu   sync.Mutex // guards the rest, and is held during a probe
	at   time.Time  // of the latest probe
	last error      // what it found
}

// NewCommits makes the probe.
func NewCommits(pool *Pool) *Commits { return &Commits{pool: pool} }

// Probe commits a row lock, the smallest thing that has to be written to disk; it leaves no dead row behind. The shared
// lock does not wait for other instances.
func (c *Commits) Probe(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.at) < commitsEvery {
		return c.last
	}
	_, c.last = c.pool.Exec(ctx, "select from goose_db_version where version_id = 0 for key share")
	c.at = time.Now()
	return c.last
}
