package chat

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"housecall/internal/bus"
)

// broadcastKind says what a broadcast is about. The values are wire format and never reused.
type broadcastKind byte

const (
	broadcastEvents   broadcastKind = 'E' // committed events, as the frames that connections get
	broadcastHead     broadcastKind = 'H' // a conversation's head, after a failed publish
	broadcastSignal   broadcastKind = 'S' // typing, presence, receipts: JSON, never stored
	broadcastSessions broadcastKind = 'X' // sign-in sessions that have ended; to all instances
	broadcastInbox    broadcastKind = 'I' // conversations that inboxes must look at again; to all instances
)

// broadcast is what one instance tells the others over the bus. Its kind decides which fields are used.
type broadcast struct {
	kind       broadcastKind
	origin     uint64          // the instance that sent it
	id         int64           // of the conversation; 0: for all instances
	deliveries []delivery      // of broadcastEvents
	head       int64           // of broadcastHead
	signal     *signal         // of broadcastSignal
	sessions   []int64         // of broadcastSessions
	touched    map[int64]touch // of broadcastInbox
}

// topic is where a broadcast is published: its conversation's topic, or the one that every instance hears.
func (b broadcast) topic() bus.Topic { return bus.Topic(b.id) }

// signal says something about one user of a conversation that is never stored.
type signal struct {
	What      signalKind `json:"what"`
	User      int64      `json:"user,omitempty"`
	UserID    string     `json:"userId,omitempty"`
	Active    bool       `json:"active,omitempty"`
	Delivered int64      `json:"delivered,omitempty"`
	Read      int64      `json:"read,omitempty"`
}

// signalKind says what a signal is about.
type signalKind string

const (
	signalTyping  signalKind = "typing"
	signalOnline  signalKind = "online"
	signalOffline signalKind = "offline"
	signalWho     signalKind = "who"
	signalReceipt signalKind = "receipt"
)

var errBroadcast = errors.New("malformed broadcast")

// Flags of an event in a broadcast of events.
const (
	flagSystem  = 1
	flagRegroup = 2
)

var _ bus.Payload = broadcast{}

// AppendTo implements bus.Payload with the fields of a broadcast's kind. The bus carries the topic, the origin and the
// kind.
func (b broadcast) AppendTo(out []byte) []byte {
	size := 32
	for _, d := range b.deliveries {
		size += len(d.frame) + 16
	}
	out = slices.Grow(out, size)
	switch b.kind {
	case broadcastEvents:
		for _, d := range b.deliveries {
			var flags byte
			if d.system {
				flags |= flagSystem
			}
			if d.regroup {
				flags |= flagRegroup
			}
			out = append(binary.AppendVarint(out, d.seq), flags)
			out = append(binary.AppendUvarint(out, uint64(len(d.frame))), d.frame...)
		}
	case broadcastHead:
		out = binary.AppendVarint(out, b.head)
	case broadcastSignal:
		body, err := json.Marshal(b.signal)
		if err != nil {
			panic("chat: a signal does not marshal: " + err.Error()) // it has only strings and numbers
		}
		out = append(out, body...)
	case broadcastSessions:
		for _, id := range b.sessions {
			out = binary.AppendVarint(out, id)
		}
	case broadcastInbox:
		for _, id := range slices.Sorted(maps.Keys(b.touched)) {
			out = append(binary.AppendVarint(out, id), byte(b.touched[id]))
		}
	}
	return out
}

// decodeBroadcast reads what AppendTo wrote. The frames share the payload's memory.
func decodeBroadcast(m bus.Message) (broadcast, error) {
	b := broadcast{kind: broadcastKind(m.Kind), origin: m.Origin, id: int64(m.Topic)}
	r := broadcastReader{rest: m.Payload}
	switch b.kind {
	case broadcastEvents:
		for len(r.rest) > 0 && !r.bad {
			d := delivery{seq: r.varint()}
			flags := r.byte()
			d.system, d.regroup = flags&flagSystem != 0, flags&flagRegroup != 0
			d.frame = r.bytes()
			b.deliveries = append(b.deliveries, d)
		}
	case broadcastHead:
		b.head = r.varint()
	case broadcastSignal:
		b.signal = new(signal)
		if err := json.Unmarshal(r.rest, b.signal); err != nil {
			return broadcast{}, fmt.Errorf("%w: signal", errBroadcast)
		}
	case broadcastSessions:
		for len(r.rest) > 0 && !r.bad {
			b.sessions = append(b.sessions, r.varint())
		}
	case broadcastInbox:
		b.touched = map[int64]touch{}
		for len(r.rest) > 0 && !r.bad {
			id := r.varint()
			b.touched[id] = touch(r.byte()) & touchedParticipants // touchedHere was about the sender
		}
	default:
		return broadcast{}, errBroadcast
	}
	if r.bad {
		return broadcast{}, errBroadcast
	}
	return b, nil
}

// broadcastReader reads a payload field by field; bad is set once a field is incomplete.
type broadcastReader struct {
	rest []byte
	bad  bool
}

func (r *broadcastReader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *broadcastReader) byte() byte {
	if len(r.rest) == 0 {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *broadcastReader) bytes() []byte {
	size, n := binary.Uvarint(r.rest)
	if n <= 0 || size > uint64(len(r.rest)-n) {
		r.fail()
		return nil
	}
	out := r.rest[n : n+int(size)]
	r.rest = r.rest[n+int(size):]
	return out
}

func (r *broadcastReader) fail() { r.bad, r.rest = true, nil }
