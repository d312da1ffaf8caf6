package bus

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// partition is one pub/sub connection and the topics on it.
type partition struct {
	bus     *Redis
	name    string // with a hash tag that keeps a partition in one slot
	sharded bool
	beatAt  atomic.Int64 // Unix nanoseconds of the last heartbeat that came back
	madeAt  atomic.Int64 // when the connection was made, Unix nanoseconds
	saidAt  int64        // when Redis took the first heartbeat that has not come back; of the goroutine that sends them
	wake    chan struct{}

	mu      sync.Mutex // guards all below
	pubsub  *redis.PubSub
	stopped bool
	wanted  map[Topic]*subscription
	changes map[Topic]bool // not yet sent to Redis; true: subscribe
}

// topicInfix separates a partition's name from a topic's number in the name of a Redis channel. All releases have to
// use the same.
const topicInfix = ":room:"

type subscription struct {
	confirmed chan struct{}
	at        time.Time // when the subscription was requested
	done      bool
}

func newPartition(b *Redis, namespace string, index int, sharded bool) *partition {
	return &partition{
		bus: b, name: namespace + ":{" + strconv.Itoa(index) + "}", sharded: sharded, wake: make(chan struct{}, 1),
		wanted: map[Topic]*subscription{}, changes: map[Topic]bool{},
	}
}

// run keeps a connection open until the bus stops, and makes a new one whenever it is cut.
func (p *partition) run() {
	for {
		ps := p.connect()
		if ps == nil {
			return
		}
		ended := make(chan struct{})
		var sending sync.WaitGroup
		sending.Go(func() { p.follow(ps, ended) })
		p.receive(ps)
		close(ended)
		sending.Wait()
	}
}

// connect makes the connection and subscribes to all wanted topics, the heartbeat first, because on a cluster the
// first channel decides which node is used. It fails only when the bus stops: the client repeats whatever did not get
// through.
func (p *partition) connect() *redis.PubSub {
	p.mu.Lock()
	if p.stopped || p.bus.ctx.Err() != nil {
		p.mu.Unlock()
		return nil
	}
	channels := []string{p.beatChannel(), p.channel(All)}
	for topic := range p.wanted {
		channels = append(channels, p.channel(topic))
	}
	clear(p.changes)
	if p.sharded {
		p.pubsub = p.bus.rdb.SSubscribe(p.bus.ctx)
	} else {
		p.pubsub = p.bus.rdb.Subscribe(p.bus.ctx)
	}
	ps := p.pubsub
	p.madeAt.Store(time.Now().UnixNano())
	p.mu.Unlock()
	// An error is harmless: the client remembers the channels and subscribes again when it reconnects.
	_ = p.call(ps, true, channels)
	return ps
}

// cut closes the connection; run makes a new one unless the bus stops.
func (p *partition) cut() {
	p.mu.Lock()
	ps := p.pubsub
	p.stopped = p.bus.ctx.Err() != nil
	p.mu.Unlock()
	if ps != nil {
		_ = ps.Close() // it is unusable either way
	}
}

// silent tells whether the connection has to be replaced. If Redis took a heartbeat and did not bring it back, the
// connection is deaf: on a cluster a sharded subscription does not follow its slot to another node, and the client
// library neither notices nor returns an error.
func (p *partition) silent(now int64) bool {
	heard := max(p.beatAt.Load(), p.madeAt.Load())
	return p.saidAt > heard && now-p.saidAt > int64(deafAfter) || now-heard > int64(remakeAfter)
}

func (p *partition) channel(topic Topic) string {
	if topic == All {
		return p.name + ":all"
	}
	return p.name + topicInfix + strconv.FormatInt(int64(topic), 10)
}

func (p *partition) beatChannel() string {
	return p.name + ":beat:" + strconv.FormatUint(p.bus.origin, 36)
}

func (p *partition) say(ctx context.Context, c redis.Cmdable, channel string, payload []byte) *redis.IntCmd {
	if p.sharded {
		return c.SPublish(ctx, channel, payload)
	}
	return c.Publish(ctx, channel, payload)
}

func (p *partition) want(topic Topic) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &subscription{confirmed: make(chan struct{}), at: time.Now()}
	p.wanted[topic] = s
	p.change(topic, true)
	return s.confirmed
}

func (p *partition) drop(topic Topic) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.wanted, topic)
	p.change(topic, false)
}

// change (with mu held) records a change that Redis must be told about. Of several changes to one topic, the last one
// counts.
func (p *partition) change(topic Topic, subscribe bool) {
	p.changes[topic] = subscribe
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// follow sends the changes to Redis until the connection ends. It blocks while Redis is away; receive does not.
func (p *partition) follow(ps *redis.PubSub, ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case <-p.wake:
		}
		p.mu.Lock()
		changes := p.changes
		p.changes = make(map[Topic]bool, 8)
		p.mu.Unlock()
		var on, off []string
		for topic, subscribe := range changes {
			if subscribe {
				on = append(on, p.channel(topic))
			} else {
				off = append(off, p.channel(topic))
			}
		}
		_ = p.call(ps, true, on) // as in connect
		_ = p.call(ps, false, off)
	}
}

func (p *partition) call(ps *redis.PubSub, subscribe bool, channels []string) error {
	ctx := p.bus.ctx
	switch {
	case len(channels) == 0:
		return nil
	case subscribe && p.sharded:
		return ps.SSubscribe(ctx, channels...)
	case subscribe:
		return ps.Subscribe(ctx, channels...)
	case p.sharded:
		return ps.SUnsubscribe(ctx, channels...)
	default:
		return ps.Unsubscribe(ctx, channels...)
	}
}

// receive drains the connection until it is closed. Passing messages on never blocks.
func (p *partition) receive(ps *redis.PubSub) {
	for msg := range ps.ChannelWithSubscriptions(redis.WithChannelSize(4096)) {
		switch m := msg.(type) {
		case *redis.Subscription:
			p.confirm(m)
		case *redis.Message:
			p.take(m)
		}
	}
}

func (p *partition) take(m *redis.Message) {
	if m.Payload == "" {
		now := time.Now()
		p.beatAt.Store(now.UnixNano())
		if !p.bus.Healthy() {
			p.bus.judge(now)
		}
		return
	}
	msg, err := unmarshal([]byte(m.Payload))
	if err != nil || msg.Origin == p.bus.origin {
		return // from another release, with which the bus cannot work, or our own
	}
	p.bus.deliver(msg)
}

// confirm records that Redis has confirmed a subscription. If it had been confirmed before, the connection was lost
// in between; if it took too long, nobody waited for it. Either way, messages published in the meantime were missed.
func (p *partition) confirm(m *redis.Subscription) {
	if m.Kind != "subscribe" && m.Kind != "ssubscribe" {
		return
	}
	name, isTopic := strings.CutPrefix(m.Channel, p.name+topicInfix)
	number, err := strconv.ParseInt(name, 10, 64)
	if err != nil || !isTopic {
		return
	}
	topic := Topic(number)
	p.mu.Lock()
	s := p.wanted[topic]
	cut := s != nil && s.done
	late := s != nil && !s.done && time.Since(s.at) > ConfirmWait
	if s != nil && !s.done {
		s.done = true
		close(s.confirmed)
	}
	p.mu.Unlock()
	if cut || late {
		p.bus.missed(topic, cut)
	}
}
