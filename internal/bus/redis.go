package bus

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
	beatLate          = 1250 * time.Millisecond // a little more than two missed heartbeats
	deafAfter         = 1500 * time.Millisecond // without hearing what Redis took before the connection is replaced
	remakeAfter       = 10 * time.Second        // the same while Redis takes nothing
	standstill        = 4 * beatEvery           // a process that has not checked for this long was not running
)

// SilenceLimit is how long an instance goes without its own heartbeat before the bus counts as away.
const SilenceLimit = 3 * time.Second

// Redis is the bus over Redis pub/sub: plain on one node or behind Sentinel, sharded on a cluster. On a cluster each
// partition has its own connection, because a sharded subscription must not cross slots.
type Redis struct {
	rdb    redis.UniversalClient
	log    zerolog.Logger
	origin uint64
	parts  []*partition
	queue  chan outgoing
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	failedAt atomic.Int64 // Unix nanoseconds of the last failed publish; 0 after a good one
	state    atomic.Int32 // a state; written with judging held

	judging sync.Mutex // guards both below
	looked  time.Time
	silence time.Time // silence counts from here: the start, or when this process resumed after a standstill

	deliver func(Message)
	missed  func(topic Topic, cut bool)
}

// state is what was last logged about the bus.
type state = int32

const (
	starting state = iota // not known yet
	up
	away
)

type outgoing struct {
	topic   Topic
	kind    byte
	payload Payload
	lost    func(Topic)
}

var _ Bus = (*Redis)(nil)

// NewRedis returns a bus for one instance. It connects in Start.
func NewRedis(rdb redis.UniversalClient, log zerolog.Logger) *Redis {
	origin := rand.Uint64() //nolint:gosec // identifies instances, is not a secret
	b := &Redis{rdb: rdb, log: log, origin: origin, queue: make(chan outgoing, publishQueue)}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// Start implements Bus.
func (b *Redis) Start(namespace string, receive func(Message), missed func(topic Topic, cut bool)) {
	b.deliver, b.missed = receive, missed
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
	b.work.Go(b.publishLoop)
	b.work.Go(b.beat)
	b.work.Go(b.watch)
}

// Stop implements Bus. What is queued is still sent if Redis accepts it at once.
func (b *Redis) Stop() {
	b.cancel()
	for _, p := range b.parts {
		p.cut()
	}
	b.work.Wait()
}

// Healthy implements Bus.
func (b *Redis) Healthy() bool { return b.state.Load() == up }

// Prompt implements Bus.
func (b *Redis) Prompt() bool { return b.lastBeat() > time.Now().Add(-beatLate).UnixNano() }

// lastBeat is when the last heartbeat came back through the partition that has been silent longest, in Unix
// nanoseconds; 0 if none ever has.
func (b *Redis) lastBeat() int64 {
	oldest := int64(math.MaxInt64)
	for _, p := range b.parts {
		oldest = min(oldest, p.beatAt.Load())
	}
	return oldest
}

// Subscribe implements Bus.
func (b *Redis) Subscribe(topic Topic) <-chan struct{} { return b.part(topic).want(topic) }

// Unsubscribe implements Bus.
func (b *Redis) Unsubscribe(topic Topic) { b.part(topic).drop(topic) }

// Publish implements Bus. While Redis is away, it tries one message a second; the others are lost at once.
func (b *Redis) Publish(topic Topic, kind byte, payload Payload, lost func(Topic)) {
	if b.gaveUp() {
		lost(topic)
		return
	}
	select {
	case b.queue <- outgoing{topic, kind, payload, lost}:
	default:
		lost(topic)
	}
}

// gaveUp reports whether a publish failed within the last second.
func (b *Redis) gaveUp() bool {
	at := b.failedAt.Load()
	return at != 0 && time.Now().UnixNano()-at < int64(publishTimeout)
}

func (b *Redis) part(topic Topic) *partition {
	return b.parts[uint64(topic)%uint64(len(b.parts))]
}

// publishLoop sends queued messages, one batch per pipeline, until the bus stops; then it empties the queue.
func (b *Redis) publishLoop() {
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

// more fills a batch with queued messages.
func (b *Redis) more(batch []outgoing) []outgoing {
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

func (b *Redis) send(batch []outgoing) {
	if b.gaveUp() { // nothing in the queue would get through
		for _, o := range batch {
			o.lost(o.topic)
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.ctx), publishTimeout)
	defer cancel()
	results := make([]*redis.IntCmd, len(batch))
	_, _ = b.rdb.Pipelined(ctx, func(p redis.Pipeliner) error { // the commands' errors are checked below
		for i, o := range batch {
			part := b.part(o.topic)
			results[i] = part.say(ctx, p, part.channel(o.topic), marshal(o.topic, b.origin, o.kind, o.payload))
		}
		return nil
	})
	failed := false
	for i, r := range results {
		if r.Err() != nil {
			failed = true
			batch[i].lost(batch[i].topic)
		}
	}
	if failed {
		b.failedAt.Store(time.Now().UnixNano())
		return
	}
	b.failedAt.Store(0)
}

// beat sends this instance a heartbeat through every partition. Getting it back is the only proof that both
// publishing and subscriptions work. A partition that stays silent gets a new connection.
func (b *Redis) beat() {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		b.sendBeats()
		select {
		case <-b.ctx.Done():
			return
		case <-tick.C:
		}
		for _, p := range b.parts {
			if p.silent(time.Now().UnixNano()) {
				p.cut()
			}
		}
	}
}

func (b *Redis) sendBeats() {
	ctx, cancel := context.WithTimeout(b.ctx, publishTimeout)
	defer cancel()
	now := time.Now().UnixNano()
	taken := make([]*redis.IntCmd, len(b.parts))
	_, _ = b.rdb.Pipelined(ctx, func(c redis.Pipeliner) error { // each command's error is checked below
		for i, p := range b.parts {
			taken[i] = p.say(ctx, c, p.beatChannel(), nil)
		}
		return nil
	})
	for i, p := range b.parts {
		if taken[i].Err() == nil && p.saidAt <= max(p.beatAt.Load(), p.madeAt.Load()) {
			p.saidAt = now
		}
	}
}

// watch checks whether heartbeats come back. beat cannot do that, because it blocks while Redis hangs.
func (b *Redis) watch() {
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

// judge logs once when the bus goes away or does not come up, and once when it comes up.
func (b *Redis) judge(now time.Time) {
	b.judging.Lock()
	defer b.judging.Unlock()
	if now.Sub(b.looked) > standstill {
		b.silence = now
	}
	b.looked = now
	is, last := b.state.Load(), b.lastBeat()
	switch {
	case now.UnixNano()-max(last, b.silence.UnixNano()) > int64(SilenceLimit):
		is = away
	case now.UnixNano()-last <= int64(SilenceLimit):
		is = up
	}
	if b.state.Swap(is) == is {
		return
	}
	if is == away {
		b.log.Warn().Msg("the bus is unavailable: instances sweep PostgreSQL instead")
		return
	}
	b.log.Info().Msg("the bus is up")
}
