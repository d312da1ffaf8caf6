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
	mu        sync.Mutex // guards all below
	buckets   map[int64]*rate.Limiter
	forgetAt  int // how many buckets there may be until those of quiet senders are dropped
}

// fewBuckets are not worth looking through.
const fewBuckets = 1024

func newRates(perSecond int) *rates {
	return &rates{perSecond: perSecond, buckets: map[int64]*rate.Limiter{}, forgetAt: fewBuckets}
}

func (r *rates) allow(id int64) bool {
	r.mu.Lock()
	b := r.buckets[id]
	if b == nil {
		r.forget()
		b = rate.NewLimiter(rate.Limit(r.perSecond), burst*r.perSecond)
		r.buckets[id] = b
	}
	r.mu.Unlock()
	return b.Allow()
}

// forget (with mu held) frees buckets that are full again, since allow would make an equal one, whenever there are
// twice as many as were left the last time.
func (r *rates) forget() {
	if len(r.buckets) < r.forgetAt {
		return
	}
	for id, b := range r.buckets {
		if b.Tokens() >= float64(b.Burst()) {
			delete(r.buckets, id)
		}
	}
	r.forgetAt = max(fewBuckets, 2*len(r.buckets))
}
