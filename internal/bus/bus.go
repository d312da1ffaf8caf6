// Package bus carries opaque messages between the instances of one deployment, by topic. It delivers at most once and
// may be away at any moment: its users depend on it for speed, never for truth. Redis connects several processes;
// Memory does the same within one.
package bus

import (
	"encoding/binary"
	"errors"
	"time"
)

// Topic decides who hears a message: the instances that have subscribed to it or, for All, every instance.
type Topic int64

// All is the topic that every instance hears without subscribing.
const All Topic = 0

// ConfirmWait is how long a subscriber should wait for the confirmation of a topic. One that takes longer is reported
// as missed, because by then nobody is waiting for it.
const ConfirmWait = 300 * time.Millisecond

// Message is what one instance tells the others.
type Message struct {
	Topic   Topic
	Origin  uint64 // the instance that sent it, a number drawn at its start
	Kind    byte   // what Payload is; the bus only carries it
	Payload []byte // belongs to the receiver, and is shared by nobody
}

// Bus carries messages between instances. Its methods never block, apart from Stop.
type Bus interface {
	// Start begins to connect in the background and to call receive and missed, which must not block. missed is called
	// with a topic of which messages may have been missed: cut says that the connection was lost, otherwise confirming
	// the topic took longer than ConfirmWait. Only buses of one namespace hear each other.
	// Subscribe and Publish may be called once Start has returned.
	Start(namespace string, receive func(Message), missed func(topic Topic, cut bool))
	// Stop ends the connection and returns once nothing is called any more.
	Stop()
	// Subscribe asks for a topic; the channel closes once the bus has confirmed it.
	Subscribe(Topic) <-chan struct{}
	// Unsubscribe ends a subscription.
	Unsubscribe(Topic)
	// Publish queues a payload for the other instances, never for this one. lost is called, at once or from another
	// goroutine, if it could not be sent. The payload belongs to the bus from then on.
	Publish(topic Topic, kind byte, payload []byte, lost func(Topic))
	// Healthy reports whether recent publishes have come back.
	Healthy() bool
	// Prompt reports whether they came back at once. If not, the bus may be away, even if that is not certain yet.
	Prompt() bool
}

var errMalformed = errors.New("bus: malformed message")

// version begins every message, so that instances of two releases can tell that they do not understand each other.
const version = 1

// header is how long what precedes the topic is: version, kind, origin.
const header = 1 + 1 + 8

// marshal writes a message: version, kind, origin, topic, payload.
func (m Message) marshal() []byte {
	b := make([]byte, 0, header+binary.MaxVarintLen64+len(m.Payload))
	b = append(b, version, m.Kind)
	b = binary.BigEndian.AppendUint64(b, m.Origin)
	b = binary.AppendVarint(b, int64(m.Topic))
	return append(b, m.Payload...)
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
