// Package bus carries opaque messages between the instances of one deployment, by topic. It delivers at most once and
// may be away at any moment: its users may rely on it for speed, but not for correctness. Redis connects several
// processes; Memory does the same within one.
package bus

import (
	"encoding/binary"
	"errors"
	"time"
)

// Topic decides who gets a message: the instances that have subscribed to it or, for All, every instance.
type Topic int64

// All is the topic that every instance gets without subscribing.
const All Topic = 0

// ConfirmWait is how long a subscriber should wait for the confirmation of a topic. One that takes longer is reported
// as missed, because by then nobody is waiting for it.
const ConfirmWait = 300 * time.Millisecond

// Message is what one instance tells the others.
type Message struct {
	Topic   Topic
	Origin  uint64 // identifies the instance that sent it: a random number chosen when it starts
	Kind    byte   // what Payload is; the bus only carries it
	Payload []byte // owned by the receiver
}

// Payload is what is published. The bus calls AppendTo from any goroutine, so a payload must not change once it is
// published, and only if it is sent.
type Payload interface {
	// AppendTo appends the payload's bytes to b.
	AppendTo(b []byte) []byte
}

// Bus carries messages between instances. Its methods never block, apart from Stop.
type Bus interface {
	// Start connects in the background and starts calling receive and missed, which must not block. missed is called
	// with a topic whose messages may have been missed, because the connection was lost (cut) or because confirming
	// the topic took longer than ConfirmWait. Only buses with the same namespace hear each other. Subscribe and
	// Publish may be called once Start has returned.
	Start(namespace string, receive func(Message), missed func(topic Topic, cut bool))
	// Stop closes the connection and returns when no more calls will be made.
	Stop()
	// Subscribe subscribes to a topic; the channel closes once the bus has confirmed it.
	Subscribe(Topic) <-chan struct{}
	// Unsubscribe ends a subscription.
	Unsubscribe(Topic)
	// Publish queues a payload for the other instances, never for this one. If it cannot be sent, lost is called,
	// either before Publish returns or from another goroutine.
	Publish(topic Topic, kind byte, payload Payload, lost func(Topic))
	// Healthy reports whether the bus has worked recently: this instance hears its own heartbeats.
	Healthy() bool
	// Prompt reports whether the heartbeats are on time. If not, the bus may be away, although that is not certain
	// yet.
	Prompt() bool
}

var errMalformed = errors.New("bus: malformed message")

// version is the first byte of every message, so that instances of different releases notice that they do not
// understand each other.
const version = 1

// header is how long what precedes the topic is: version, kind, origin.
const header = 1 + 1 + 8

// marshal writes a message: version, kind, origin, topic, payload.
func marshal(topic Topic, origin uint64, kind byte, payload Payload) []byte {
	b := make([]byte, 0, header+binary.MaxVarintLen64)
	b = append(b, version, kind)
	b = binary.BigEndian.AppendUint64(b, origin)
	b = binary.AppendVarint(b, int64(topic))
	return payload.AppendTo(b)
}

// unmarshal reads what marshal wrote. The payload is part of data.
func unmarshal(data []byte) (Message, error) {
	if len(data) <= header || data[0] != version {
		return Message{}, errMalformed
	}
	topic, n := binary.Varint(data[header:])
	if n <= 0 {
		return Message{}, errMalformed
	}
	return Message{
		Topic: Topic(topic), Origin: binary.BigEndian.Uint64(data[2:]), Kind: data[1], Payload: data[header+n:],
	}, nil
}
