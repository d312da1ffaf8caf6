package chat

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// bus carries wake-ups between instances. It is at most once and may be away: nothing depends on it but speed.
type bus interface {
	// Start begins to connect in the background and to call deliver and missed; both must not block. missed is told of a
	// room for which notices may have come while this instance could not hear them: cut says that it heard before, else
	// it took longer than a join waits until it did. Only buses of one namespace hear each other. Subscribe and Publish
	// may be called once it has returned.
	Start(namespace string, deliver func(notice), missed func(room int64, cut bool))
	// Stop ends the connection; synchronous.
	Stop()
	// Subscribe asks for a room; the channel closes once the bus has confirmed it. It does not block.
	Subscribe(room int64) <-chan struct{}
	// Unsubscribe ends that.
	Unsubscribe(room int64)
	// Publish queues a notice and never blocks; lost is called, at once or from elsewhere, if it could not be sent.
	Publish(n notice, lost func(room int64))
	// Healthy tells whether what is published lately came back.
	Healthy() bool
	// Prompt tells whether it came back at once. Without that the bus may be away, though nobody can say so yet.
	Prompt() bool
}

// noticeKind tells notices apart on the bus; the values are wire format and never reused.
type noticeKind byte

const (
	noticeEvents   noticeKind = 'E' // committed events, as the frames that sockets get
	noticeHead     noticeKind = 'H' // how far a room's log goes, after a publish failed
	noticeSoft     noticeKind = 'S' // typing, presence, receipts: JSON, never stored
	noticeSessions noticeKind = 'X' // sessions that ended; to all instances, room 0
	noticeInbox    noticeKind = 'I' // rooms to look at for inboxes; to all instances, room 0
)

// notice is one message on the bus. Origin is the instance that sent it.
type notice struct {
	kind   noticeKind
	origin uint64
	room   int64
	items  []item    // noticeEvents
	head   int64     // noticeHead
	soft   *softNote // noticeSoft
	ids    []int64   // noticeSessions

	stirred map[int64]stir // noticeInbox
}

// toAll tells whether a notice concerns every instance, whatever rooms it has.
func (n notice) toAll() bool { return n.kind == noticeSessions || n.kind == noticeInbox }

// softNote is soft state about one user of a room.
type softNote struct {
	What      string `json:"what"` // typing, presence, who, receipt
	User      int64  `json:"user,omitempty"`
	UserID    string `json:"userId,omitempty"`
	Active    bool   `json:"active,omitempty"`
	Delivered int64  `json:"delivered,omitempty"`
	Read      int64  `json:"read,omitempty"`
}

var errNotice = errors.New("malformed notice")

// noticeVersion begins every notice, so that instances of two releases can tell that they do not understand.
const noticeVersion = 1

// What marks an item of an events notice.
const (
	flagSystem  = 1
	flagRegroup = 2
)

// marshal writes a notice: version, kind, origin, room, then what the kind has.
func (n notice) marshal() []byte {
	size := 32
	for _, it := range n.items {
		size += len(it.frame) + 16
	}
	b := make([]byte, 0, size)
	b = append(b, noticeVersion, byte(n.kind))
	b = binary.BigEndian.AppendUint64(b, n.origin)
	b = binary.AppendVarint(b, n.room)
	switch n.kind {
	case noticeEvents:
		for _, it := range n.items {
			var flags byte
			if it.system {
				flags |= flagSystem
			}
			if it.regroup {
				flags |= flagRegroup
			}
			b = append(binary.AppendVarint(b, it.seq), flags)
			b = append(binary.AppendUvarint(b, uint64(len(it.frame))), it.frame...)
		}
	case noticeHead:
		b = binary.AppendVarint(b, n.head)
	case noticeSoft:
		body, err := json.Marshal(n.soft)
		if err != nil {
			panic("chat: a soft note does not marshal: " + err.Error()) // strings and numbers only
		}
		b = append(b, body...)
	case noticeSessions:
		for _, id := range n.ids {
			b = binary.AppendVarint(b, id)
		}
	case noticeInbox:
		for _, room := range slices.Sorted(maps.Keys(n.stirred)) {
			b = append(binary.AppendVarint(b, room), byte(n.stirred[room]))
		}
	}
	return b
}

// unmarshalNotice reads what marshal wrote. The frames are parts of data.
func unmarshalNotice(data []byte) (notice, error) {
	if len(data) < 11 || data[0] != noticeVersion {
		return notice{}, errNotice
	}
	n := notice{kind: noticeKind(data[1]), origin: binary.BigEndian.Uint64(data[2:])}
	r := noticeReader{rest: data[10:]}
	n.room = r.varint()
	switch n.kind {
	case noticeEvents:
		for len(r.rest) > 0 && !r.bad {
			it := item{seq: r.varint()}
			flags := r.byte()
			it.system, it.regroup = flags&flagSystem != 0, flags&flagRegroup != 0
			it.frame = r.bytes()
			n.items = append(n.items, it)
		}
	case noticeHead:
		n.head = r.varint()
	case noticeSoft:
		n.soft = new(softNote)
		if err := json.Unmarshal(r.rest, n.soft); err != nil {
			return notice{}, fmt.Errorf("%w: soft note", errNotice)
		}
	case noticeSessions:
		for len(r.rest) > 0 && !r.bad {
			n.ids = append(n.ids, r.varint())
		}
	case noticeInbox:
		n.stirred = map[int64]stir{}
		for len(r.rest) > 0 && !r.bad {
			room := r.varint()
			n.stirred[room] = stir(r.byte()) & stirAnew // what is here is not here there
		}
	default:
		return notice{}, errNotice
	}
	if r.bad {
		return notice{}, errNotice
	}
	return n, nil
}

type noticeReader struct {
	rest []byte
	bad  bool
}

func (r *noticeReader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *noticeReader) byte() byte {
	if len(r.rest) == 0 {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *noticeReader) bytes() []byte {
	size, n := binary.Uvarint(r.rest)
	if n <= 0 || size > uint64(len(r.rest)-n) {
		r.fail()
		return nil
	}
	out := r.rest[n : n+int(size)]
	r.rest = r.rest[n+int(size):]
	return out
}

func (r *noticeReader) fail() { r.bad, r.rest = true, nil }
