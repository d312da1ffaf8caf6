package conversation

import (
	"sync"

	"golang.org/x/time/rate"
)

// burst is how many seconds' worth of the sustained rate may come at once.
const burst = 5

// rates limits the drafts per second for each id (a user's or a conversation's), over all connections to this
// instance.
type rates struct {
	perSecond int
	mu        sync.Mutex // guards buckets
	buckets   map[int64]*rate.Limiter
}

func newRates(perSecond int) *rates {
	return &rates{perSecond: perSecond, buckets: map[int64]*rate.Limiter{}}
}

func (r *rates) allow(id int64) bool {
	r.mu.Lock()
	b := r.buckets[id]
	if b == nil {
		b = rate.NewLimiter(rate.Limit(r.perSecond), burst*r.perSecond)
		r.buckets[id] = b
	}
	r.mu.Unlock()
	return b.Allow()
}

// forget drops buckets that are full again: allow would make an equal one.
func (r *rates) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, b := range r.buckets {
		if b.Tokens() >= float64(b.Burst()) {
			delete(r.buckets, id)
		}
	}
}
