package client

import (
	"crypto/rand"
	"encoding/hex"
	"time"
)

// draft is a message, a retraction or a correction that the service has not acknowledged yet.
type draft struct {
	clientID string
	text     string
	file     string        // id of an attachment to send instead of a text
	kind     string        // retract or correct; empty: send
	target   int64         // the seq to retract or correct
	written  bool          // to the current connection
	settled  bool          // acknowledged or refused, and about to leave
	result   chan<- result // of SendWait; nil otherwise
}

type result struct {
	seq int64
	err error
}

// outbox is the ack queue: drafts in the order in which they were sent. A draft stays until the service has
// acknowledged or permanently refused it; every new connection gets all of them again, in order.
type outbox struct {
	drafts []*draft
	byID   map[string]*draft
	next   int       // all drafts before this index are written
	resume time.Time // nothing is written before then: the service asked for a pause
}

func (o *outbox) len() int { return len(o.byID) }

// add queues a draft; false if one with its clientID is already waiting.
func (o *outbox) add(d *draft) bool {
	if o.byID == nil {
		o.byID = make(map[string]*draft)
	}
	if _, there := o.byID[d.clientID]; there {
		return false
	}
	o.byID[d.clientID] = d
	o.drafts = append(o.drafts, d)
	return true
}

// take returns the next draft to write and marks it as written; nil if there is none.
func (o *outbox) take() *draft {
	for o.next < len(o.drafts) {
		d := o.drafts[o.next]
		o.next++
		if !d.written && !d.settled {
			d.written = true
			return d
		}
	}
	return nil
}

// settle removes a draft; false if it is not in the queue.
func (o *outbox) settle(clientID string) bool {
	d := o.byID[clientID]
	if d == nil {
		return false
	}
	delete(o.byID, clientID)
	d.settled = true
	for len(o.drafts) > 0 && o.drafts[0].settled {
		o.drafts[0] = nil // otherwise the array would keep it
		o.drafts = o.drafts[1:]
		o.next = max(0, o.next-1)
	}
	return true
}

// putBack has a draft written again, not before resume. Drafts behind it that are not written yet wait, too.
func (o *outbox) putBack(clientID string, resume time.Time) {
	d := o.byID[clientID]
	if d == nil {
		return
	}
	d.written = false
	o.next = 0
	o.resume = resume
}

// rewind has everything written again, for a new connection.
func (o *outbox) rewind() {
	for _, d := range o.drafts {
		d.written = false
	}
	o.next = 0
	o.resume = time.Time{}
}

// clear removes everything and returns it.
func (o *outbox) clear() []*draft {
	var left []*draft
	for _, d := range o.drafts {
		if !d.settled {
			left = append(left, d)
		}
	}
	*o = outbox{}
	return left
}

// NewClientID makes the UUID (RFC 9562, version 4) of a new message.
func NewClientID() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand crashes the program instead
	raw[6] = raw[6]&0x0f | 0x40
	raw[8] = raw[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[0:8], raw[0:4])
	hex.Encode(out[9:13], raw[4:6])
	hex.Encode(out[14:18], raw[6:8])
	hex.Encode(out[19:23], raw[8:10])
	hex.Encode(out[24:], raw[10:])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
}
