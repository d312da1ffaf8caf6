package chat

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// partition is one pub/sub connection and the rooms on it.
type partition struct {
	bus     *RedisBus
	name    string // with a hash tag that keeps a partition in one slot
	sharded bool
	beatAt  atomic.Int64 // unix nanoseconds of the last heartbeat that came back
	madeAt  atomic.Int64 // of the connection
	wake    chan struct{}

	mu      sync.Mutex // guards all below
	pubsub  *redis.PubSub
	stopped bool
	wanted  map[int64]*subscription
	changes map[int64]bool // room -> subscribe, not yet told to Redis
}

type subscription struct {
	confirmed chan struct{}
	at        time.Time // when it was wanted
	done      bool
}

func newPartition(b *RedisBus, namespace string, index int, sharded bool) *partition {
	return &partition{
		bus: b, name: namespace + ":{" + strconv.Itoa(index) + "}", sharded: sharded, wake: make(chan struct{}, 1),
		wanted: map[int64]*subscription{}, changes: map[int64]bool{},
	}
}

// run keeps a connection until the bus stops, and makes a new one when it was cut.
func (p *partition) run() {
	for {
		ps := p.connect()
		if ps == nil {
			return
		}
		ended := make(chan struct{})
		var telling sync.WaitGroup
		telling.Go(func() { p.subscribe(ps, ended) })
		p.receive(ps)
		close(ended)
		telling.Wait()
	}
}

// connect makes the connection and asks for everything that is wanted, the heartbeat first: on a cluster the first
// channel decides which node is asked. It fails only when the bus stops: the client repeats what did not get through.
func (p *partition) connect() *redis.PubSub {
	p.mu.Lock()
	if p.stopped || p.bus.ctx.Err() != nil {
		p.mu.Unlock()
		return nil
	}
	channels := []string{p.beatChannel(), p.allChannel()}
	for room := range p.wanted {
		channels = append(channels, p.roomChannel(room))
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
	_ = p.call(ps, true, channels) // remembered by the client, which subscribes again when it reconnects
	return ps
}

// cut ends the connection; run makes a new one unless the bus stops.
func (p *partition) cut() {
	p.mu.Lock()
	ps := p.pubsub
	p.stopped = p.bus.ctx.Err() != nil
	p.mu.Unlock()
	if ps != nil {
		_ = ps.Close() // it is going away either way
	}
}

func (p *partition) roomChannel(room int64) string {
	return p.name + ":room:" + strconv.FormatInt(room, 10)
}
func (p *partition) allChannel() string { return p.name + ":all" }
func (p *partition) beatChannel() string {
	return p.name + ":beat:" + strconv.FormatUint(p.bus.origin, 36)
}

func (p *partition) publish(ctx context.Context, c redis.Cmdable, channel string, payload []byte) *redis.IntCmd {
	if p.sharded {
		return c.SPublish(ctx, channel, payload)
	}
	return c.Publish(ctx, channel, payload)
}

func (p *partition) want(room int64) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &subscription{confirmed: make(chan struct{}), at: time.Now()}
	p.wanted[room] = s
	p.change(room, true)
	return s.confirmed
}

func (p *partition) drop(room int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.wanted, room)
	p.change(room, false)
}

// change (with mu held) notes what Redis must be told; of several changes to one room the last counts.
func (p *partition) change(room int64, subscribe bool) {
	p.changes[room] = subscribe
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// subscribe tells Redis about changes until the connection ends. It blocks while Redis is away; receive does not.
func (p *partition) subscribe(ps *redis.PubSub, ended <-chan struct{}) {
	for {
		select {
		case <-ended:
			return
		case <-p.wake:
		}
		p.mu.Lock()
		changes := p.changes
		p.changes = make(map[int64]bool, 8)
		p.mu.Unlock()
		var on, off []string
		for room, subscribe := range changes {
			if subscribe {
				on = append(on, p.roomChannel(room))
			} else {
				off = append(off, p.roomChannel(room))
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

// receive drains the connection until it is closed; handing over never blocks.
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
	n, err := unmarshalNotice([]byte(m.Payload))
	if err != nil || n.origin == p.bus.origin {
		return // of another release: the sweep brings what it said; or our own
	}
	p.bus.deliver(n)
}

// confirm notes that Redis has a subscription. One that was confirmed before means that the connection was lost
// in between, one that took long that a join did not wait for it: what was published meanwhile is missing.
func (p *partition) confirm(m *redis.Subscription) {
	if m.Kind != "subscribe" && m.Kind != "ssubscribe" {
		return
	}
	at := strings.LastIndexByte(m.Channel, ':')
	room, err := strconv.ParseInt(m.Channel[at+1:], 10, 64)
	if err != nil || !strings.HasSuffix(m.Channel[:at], ":room") {
		return
	}
	p.mu.Lock()
	s := p.wanted[room]
	cut := s != nil && s.done
	late := s != nil && !s.done && time.Since(s.at) > confirmWait
	if s != nil && !s.done {
		s.done = true
		close(s.confirmed)
	}
	p.mu.Unlock()
	if cut || late {
		p.bus.missed(room, cut)
	}
}
