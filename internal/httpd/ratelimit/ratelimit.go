// Package ratelimit counts events under a key, such as sign-in attempts from one address, and says when there are too
// many: over all instances through Redis, or in this process while Redis is away.
package ratelimit

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

// Limit is how much is allowed: N at once, and after that N spread evenly over Per.
type Limit struct {
	N   int
	Per time.Duration
}

// Limiter counts events under a key. Allow takes one from the key's allowance; if nothing is left, retryAfter is how
// long to wait. Take does the same for events that may turn out not to count: giveBack returns one to where it was
// taken, and is nil if nothing was left.
type Limiter interface {
	Allow(ctx context.Context, key string, l Limit) (ok bool, retryAfter time.Duration)
	Take(ctx context.Context, key string, l Limit) (giveBack func(context.Context), retryAfter time.Duration)
}

const (
	// redisPatience is how long a caller waits for Redis before it is counted locally.
	redisPatience = 150 * time.Millisecond
	// localTurn is how long counting stays local after a failure; then one caller asks Redis again.
	localTurn = time.Second
	// localKeys limits the memory of local counting: the least recently used key is dropped first.
	localKeys = 10_000
)

// New makes a limiter that counts in Redis, so that all instances share one allowance (GCRA, redis_rate). While Redis
// is away or slow, each instance counts by itself, so that several instances together allow several times as much.
// With a nil rdb it always counts locally. Keys may be email addresses, so Redis gets only their hashes.
func New(rdb redis.UniversalClient, log zerolog.Logger) Limiter {
	local := newLocalLimiter(localKeys)
	if rdb == nil {
		return local
	}
	return &sharedLimiter{redis: redis_rate.NewLimiter(rdb), local: local, log: log, patience: redisPatience}
}

var (
	_ Limiter = (*sharedLimiter)(nil)
	_ Limiter = (*localLimiter)(nil)
)

type sharedLimiter struct {
	redis *redis_rate.Limiter
	local *localLimiter
	log   zerolog.Logger
	// patience is redisPatience, except in tests.
	patience time.Duration
	// localUntil is when to ask Redis again, in nanoseconds of Unix time; 0 while Redis answers.
	localUntil atomic.Int64
}

// Allow implements Limiter.
func (s *sharedLimiter) Allow(ctx context.Context, key string, l Limit) (bool, time.Duration) {
	giveBack, retryAfter := s.Take(ctx, key, l)
	return giveBack != nil, retryAfter
}

// Take implements Limiter.
func (s *sharedLimiter) Take(ctx context.Context, key string, l Limit) (func(context.Context), time.Duration) {
	until := s.localUntil.Load()
	now := time.Now().UnixNano()
	if until != 0 {
		// After the turn, one caller asks Redis; the others do not wait for the answer.
		if now < until || !s.localUntil.CompareAndSwap(until, now+int64(localTurn)) {
			return s.local.Take(ctx, key, l)
		}
	}
	result, err := s.ask(ctx, key, l, 1)
	switch {
	case err == nil:
		if s.localUntil.Swap(0) != 0 {
			s.log.Info().Msg("rate limits are shared through Redis again")
		}
		if result.Allowed <= 0 {
			return nil, max(result.RetryAfter, 0)
		}
		return func(ctx context.Context) { s.giveBack(ctx, key, l) }, 0
	case ctx.Err() != nil: // the caller gave up, Redis did not fail
	default:
		if s.localUntil.Swap(time.Now().Add(localTurn).UnixNano()) == 0 {
			s.log.Warn().Err(err).Msg("Redis does not answer: rate limits are counted locally")
		}
	}
	return s.local.Take(ctx, key, l)
}

// giveBack gives one back to Redis, which keeps the last event of a key all the same, until it would have run out.
// While Redis is away, the event stays counted: what is counted locally is another allowance.
func (s *sharedLimiter) giveBack(ctx context.Context, key string, l Limit) {
	if s.localUntil.Load() == 0 {
		_, _ = s.ask(ctx, key, l, -1) // a failure shows at the next Take, and is logged there
	}
}

var errSlow = errors.New("no answer in time")

// ask asks Redis, but waits no longer than patience. go-redis heeds a context only if configured to, so the request
// runs in a goroutine that ends with the client's own timeouts. There are few of these, since only one caller in a
// localTurn asks while Redis is away.
func (s *sharedLimiter) ask(ctx context.Context, key string, l Limit, n int) (*redis_rate.Result, error) {
	type answer struct {
		result *redis_rate.Result
		err    error
	}
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	hash := sha256.Sum256([]byte(key))
	done := make(chan answer, 1)
	go func() {
		limit := redis_rate.Limit{Rate: l.N, Burst: l.N, Period: l.Per}
		result, err := s.redis.AllowN(ctx, hex.EncodeToString(hash[:16]), limit, n)
		done <- answer{result, err}
	}()
	select {
	case a := <-done:
		return a.result, a.err
	case <-ctx.Done():
		return nil, errSlow
	}
}

// localLimiter counts in this process.
type localLimiter struct {
	mu    sync.Mutex // guards the rest
	keys  map[string]*list.Element
	order *list.List // of *bucket, the most recently used first
	max   int
}

type bucket struct {
	key string
	*rate.Limiter
}

func newLocalLimiter(most int) *localLimiter {
	return &localLimiter{keys: map[string]*list.Element{}, order: list.New(), max: most}
}

// Allow implements Limiter.
func (s *localLimiter) Allow(ctx context.Context, key string, l Limit) (bool, time.Duration) {
	giveBack, retryAfter := s.Take(ctx, key, l)
	return giveBack != nil, retryAfter
}

// Take implements Limiter.
func (s *localLimiter) Take(_ context.Context, key string, l Limit) (func(context.Context), time.Duration) {
	if l.N <= 0 || l.Per <= 0 {
		return nil, l.Per
	}
	now := time.Now()
	r := s.bucket(key, l).ReserveN(now, 1)
	if wait := r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return nil, wait
	}
	return func(context.Context) { s.bucket(key, l).ReserveN(time.Now(), -1) }, 0
}

func (s *localLimiter) bucket(key string, l Limit) *rate.Limiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e, ok := s.keys[key]; ok {
		s.order.MoveToFront(e)
		return bucketOf(e).Limiter
	}
	b := &bucket{key: key, Limiter: rate.NewLimiter(rate.Limit(float64(l.N)/l.Per.Seconds()), l.N)}
	s.keys[key] = s.order.PushFront(b)
	if s.order.Len() > s.max {
		oldest := s.order.Back()
		s.order.Remove(oldest)
		delete(s.keys, bucketOf(oldest).key)
	}
	return b.Limiter
}

// bucketOf returns the bucket in an element of order.
func bucketOf(e *list.Element) *bucket {
	b, _ := e.Value.(*bucket)
	return b
}
