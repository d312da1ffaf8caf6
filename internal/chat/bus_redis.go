package chat

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"
)

const (
	clusterPartitions = 16
	publishQueue      = 8192
	publishBatch      = 128
	publishTimeout    = time.Second
	beatEvery         = 500 * time.Millisecond
	beatLate          = 1250 * time.Millisecond // two missed, and some
	beatLimit         = 3 * time.Second         // without one's own heartbeat for so long the bus counts as away
	remakeAfter       = 10 * time.Second        // and after so long the connection is made anew
	standstill        = 4 * beatEvery           // who has not looked for so long was not awake to hear anything either
)

// RedisBus is the bus over Redis pub/sub: plain on one node or behind Sentinel, sharded on a cluster, where
// one connection serves one partition, because a sharded subscription must not cross slots.
type RedisBus struct {
	rdb    redis.UniversalClient
	log    zerolog.Logger
	origin uint64
	parts  []*partition
	queue  chan outgoing
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	failedAt atomic.Int64 // unix nanoseconds of the last failed publish; 0 after a good one
	state    atomic.Int32 // a busState; written with judging held

	judging sync.Mutex // guards both below
	looked  time.Time
	silence time.Time // when it began to count: at the start, or as this process went on after it had stood still

	deliver func(notice)
	missed  func(room int64, cut bool)
}

// busState is what was said of the bus last.
type busState = int32

const (
	busStarting busState = iota // nobody can know yet
	busUp
	busAway
)

type outgoing struct {
	n    notice
	lost func(int64)
}

var _ bus = (*RedisBus)(nil)

// NewRedisBus makes a bus for one instance; it connects once the service starts it.
func NewRedisBus(rdb redis.UniversalClient, log zerolog.Logger) *RedisBus {
	origin := rand.Uint64() //nolint:gosec // tells instances apart, keeps no secret
	b := &RedisBus{rdb: rdb, log: log, origin: origin, queue: make(chan outgoing, publishQueue)}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// Start implements bus.
func (b *RedisBus) Start(namespace string, deliver func(notice), missed func(room int64, cut bool)) {
	b.deliver, b.missed = deliver, missed
	b.looked, b.silence = time.Now(), time.Now()
	count, sharded := 1, false
	if _, ok := b.rdb.(*redis.ClusterClient); ok {
		count, sharded = clusterPartitions, true
	}
	for i := range count {
		b.parts = append(b.parts, newPartition(b, namespace, i, sharded))
	}
	for _, p := range b.parts {
		b.work.Go(p.run)
	}
	b.work.Go(b.publish)
	b.work.Go(b.beat)
	b.work.Go(b.watch)
}

// Stop implements bus. What is queued is still sent, if Redis takes it at once.
func (b *RedisBus) Stop() {
	b.cancel()
	for _, p := range b.parts {
		p.cut()
	}
	b.work.Wait()
}

// Healthy implements bus.
func (b *RedisBus) Healthy() bool { return b.state.Load() == busUp }

// Prompt implements bus.
func (b *RedisBus) Prompt() bool { return b.lastBeat() > time.Now().Add(-beatLate).UnixNano() }

// lastBeat is when the last heartbeat came back through the partition that has been silent for longest, in unix
// nanoseconds; 0 if none has ever come through it.
func (b *RedisBus) lastBeat() int64 {
	oldest := int64(math.MaxInt64)
	for _, p := range b.parts {
		oldest = min(oldest, p.beatAt.Load())
	}
	return oldest
}

// Subscribe implements bus.
func (b *RedisBus) Subscribe(room int64) <-chan struct{} { return b.part(room).want(room) }

// Unsubscribe implements bus.
func (b *RedisBus) Unsubscribe(room int64) { b.part(room).drop(room) }

// Publish implements bus. While Redis is away one notice a second tries it; the others are lost at once.
func (b *RedisBus) Publish(n notice, lost func(int64)) {
	n.origin = b.origin
	if b.givenUp() {
		lost(n.room)
		return
	}
	select {
	case b.queue <- outgoing{n, lost}:
	default:
		lost(n.room)
	}
}

// givenUp tells whether a publish failed within the last second.
func (b *RedisBus) givenUp() bool {
	at := b.failedAt.Load()
	return at != 0 && time.Now().UnixNano()-at < int64(publishTimeout)
}

func (b *RedisBus) part(room int64) *partition {
	return b.parts[uint64(room)%uint64(len(b.parts))]
}

// publish sends what has queued, as one pipeline each, until the bus stops; then it empties the queue.
func (b *RedisBus) publish() {
	batch := make([]outgoing, 0, publishBatch)
	for {
		batch = batch[:0]
		select {
		case o := <-b.queue:
			batch = append(batch, o)
		case <-b.ctx.Done():
			for batch = b.more(batch); len(batch) > 0 && b.failedAt.Load() == 0; batch = b.more(batch[:0]) {
				b.send(batch)
			}
			return
		}
		b.send(b.more(batch))
	}
}

// more fills a batch with what is queued.
func (b *RedisBus) more(batch []outgoing) []outgoing {
	for len(batch) < publishBatch {
		select {
		case o := <-b.queue:
			batch = append(batch, o)
		default:
			return batch
		}
	}
	return batch
}

func (b *RedisBus) send(batch []outgoing) {
	if b.givenUp() { // what queued before would each wait for Redis in vain
		for _, o := range batch {
			o.lost(o.n.room)
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), publishTimeout)
	defer cancel()
	results := make([]*redis.IntCmd, len(batch))
	_, _ = b.rdb.Pipelined(ctx, func(p redis.Pipeliner) error { // each command has its own error below
		for i, o := range batch {
			part := b.part(o.n.room)
			channel := part.roomChannel(o.n.room)
			if o.n.toAll() {
				channel = part.allChannel()
			}
			results[i] = part.publish(ctx, p, channel, o.n.marshal())
		}
		return nil
	})
	failed := false
	for i, r := range results {
		if r.Err() != nil {
			failed = true
			batch[i].lost(batch[i].n.room)
		}
	}
	if failed {
		b.failedAt.Store(time.Now().UnixNano())
		return
	}
	b.failedAt.Store(0)
}

// beat sends a heartbeat to oneself through every partition: that it comes back is the only proof that both publishing
// and being subscribed work. A partition that stays silent gets a new connection.
func (b *RedisBus) beat() {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(b.ctx, publishTimeout)
		_, _ = b.rdb.Pipelined(ctx, func(c redis.Pipeliner) error { // a lost beat is what it measures
			for _, p := range b.parts {
				p.publish(ctx, c, p.beatChannel(), nil)
			}
			return nil
		})
		cancel()
		select {
		case <-b.ctx.Done():
			return
		case <-tick.C:
		}
		for _, p := range b.parts {
			if time.Now().UnixNano()-max(p.beatAt.Load(), p.madeAt.Load()) > int64(remakeAfter) {
				p.cut()
			}
		}
	}
}

// watch looks whether heartbeats come back. It is not beat that does, which waits for a Redis that hangs.
func (b *RedisBus) watch() {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case <-tick.C:
			b.judge(time.Now())
		}
	}
}

// judge says, once each, that the bus has gone, or was never there, and that it is up.
func (b *RedisBus) judge(now time.Time) {
	b.judging.Lock()
	defer b.judging.Unlock()
	if now.Sub(b.looked) > standstill {
		b.silence = now
	}
	b.looked = now
	state, last := b.state.Load(), b.lastBeat()
	switch {
	case now.UnixNano()-max(last, b.silence.UnixNano()) > int64(beatLimit):
		state = busAway
	case now.UnixNano()-last <= int64(beatLimit):
		state = busUp
	}
	if b.state.Swap(state) == state {
		return
	}
	if state == busAway {
		b.log.Warn().Msg("the bus is away: chat between instances goes on by sweeping PostgreSQL")
		return
	}
	b.log.Info().Msg("the bus is up")
}
