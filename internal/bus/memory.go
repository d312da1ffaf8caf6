package bus

import (
	"slices"
	"sync"
)

// Network joins buses in memory, one for each instance: for a single instance, which needs no Redis, and for tests of
// several instances in one process.
type Network struct {
	mu    sync.Mutex // guards all below, and the subscriptions and the state of all members
	next  uint64
	buses []*Memory
}

// NewNetwork returns a network without members.
func NewNetwork() *Network { return &Network{} }

// Join returns a bus that is connected to all others of the network once it has started.
func (n *Network) Join() *Memory {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.next++
	return &Memory{network: n, origin: n.next, topics: map[Topic]struct{}{}}
}

// Memory is one member of a Network. Messages reach the others in order, from a goroutine of the receiver.
type Memory struct {
	network *Network
	origin  uint64
	work    sync.WaitGroup

	namespace string
	topics    map[Topic]struct{}
	queue     []Message
	wake      chan struct{}
	started   bool
}

var _ Bus = (*Memory)(nil)

// Start implements Bus. Nothing is ever lost, so missed is never called.
func (m *Memory) Start(namespace string, receive func(Message), _ func(topic Topic, cut bool)) {
	m.network.mu.Lock()
	defer m.network.mu.Unlock()
	m.namespace, m.wake, m.started = namespace, make(chan struct{}, 1), true
	m.network.buses = append(m.network.buses, m)
	m.work.Go(func() {
		for range m.wake {
			for _, msg := range m.take() {
				receive(msg)
			}
		}
	})
}

// take empties the queue and returns its messages.
func (m *Memory) take() []Message {
	m.network.mu.Lock()
	defer m.network.mu.Unlock()
	out := m.queue
	m.queue = nil
	return out
}

// Stop implements Bus.
func (m *Memory) Stop() {
	m.network.mu.Lock()
	if m.started {
		m.started = false
		close(m.wake)
		m.network.buses = slices.DeleteFunc(m.network.buses, func(other *Memory) bool { return other == m })
	}
	m.network.mu.Unlock()
	m.work.Wait()
}

// Subscribe implements Bus; it is confirmed at once.
func (m *Memory) Subscribe(topic Topic) <-chan struct{} {
	m.network.mu.Lock()
	defer m.network.mu.Unlock()
	m.topics[topic] = struct{}{}
	confirmed := make(chan struct{})
	close(confirmed)
	return confirmed
}

// Unsubscribe implements Bus.
func (m *Memory) Unsubscribe(topic Topic) {
	m.network.mu.Lock()
	defer m.network.mu.Unlock()
	delete(m.topics, topic)
}

// Publish implements Bus.
func (m *Memory) Publish(topic Topic, kind byte, payload Payload, lost func(Topic)) {
	m.network.mu.Lock()
	if !m.started {
		m.network.mu.Unlock()
		lost(topic)
		return
	}
	defer m.network.mu.Unlock()
	for _, other := range m.network.buses {
		if other == m || other.namespace != m.namespace {
			continue
		}
		if _, subscribed := other.topics[topic]; !subscribed && topic != All {
			continue
		}
		other.queue = append(other.queue, Message{topic, m.origin, kind, payload.AppendTo(nil)})
		select {
		case other.wake <- struct{}{}:
		default:
		}
	}
}

// Healthy implements Bus.
func (m *Memory) Healthy() bool {
	m.network.mu.Lock()
	defer m.network.mu.Unlock()
	return m.started
}

// Prompt implements Bus.
func (m *Memory) Prompt() bool { return m.Healthy() }
