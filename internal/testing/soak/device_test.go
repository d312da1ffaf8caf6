package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// device is a client program: one person, one conversation, at most one socket. Its methods run on one goroutine; mu
// guards what they share with the socket's reader.
type device struct {
	w       *world
	rnd     *rand.Rand
	name    string
	email   string
	user    string
	place   *place
	steady  bool // never cuts its own socket
	session int
	token   string
	link    *link

	mu      sync.Mutex // guards all below
	after   int64      // the last seq that it has processed; -1: none yet
	epoch   string
	changed chan struct{} // closed at the next change
}

// desk returns the person's desk for this conversation; a stranger gets an empty one.
func (d *device) desk() *desk {
	if k := d.place.desks[d.user]; k != nil {
		return k
	}
	return &desk{}
}

// front draws an instance and returns its public address.
func (d *device) front() (n int, addr string) {
	in := d.w.instances[d.rnd.IntN(len(d.w.instances))]
	return in.n, in.frontAddr
}

func (d *device) wake() {
	d.mu.Lock()
	defer d.mu.Unlock()
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *device) meet(epoch string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.epoch = epoch
}

// jump continues from head: everything before it has been seen, or has to be read over REST.
func (d *device) jump(head int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.after = max(d.after, head)
}

// got moves the cursor as the protocol requires: it ignores events that are not above it.
func (d *device) got(e wireEvent) {
	d.mu.Lock()
	fresh := e.Seq > d.after
	if fresh {
		d.after = e.Seq
	}
	d.mu.Unlock()
	if fresh && e.Kind == kindText && e.Sender != d.user {
		d.desk().saw(e.Seq)
	}
}

func (d *device) cursor() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.after
}

// await waits until ok holds, which depends on what the reader changes; false if ctx or the socket ends first.
func (d *device) await(ctx context.Context, ok func() bool) bool {
	for {
		d.mu.Lock()
		changed := d.changed
		d.mu.Unlock()
		if ok() {
			return true
		}
		select {
		case <-changed:
		case <-d.link.over:
			return ok()
		case <-ctx.Done():
			return false
		}
	}
}

// record adds an entry that does not belong to a socket.
func (d *device) record(e Entry) {
	e.Device, e.User, e.Session = d.name, d.user, d.session
	if e.Conversation == "" {
		e.Conversation = d.place.id
	}
	d.w.rec.Add(e)
}

// pause waits between two actions; false if ctx has ended.
func (d *device) pause(ctx context.Context, least, most time.Duration) bool {
	t := time.NewTimer(least + time.Duration(d.rnd.Int64N(int64(most-least))))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// run does random things until ctx ends. Its socket stays open, so that what it has missed can reach it.
func (d *device) run(ctx context.Context) {
	for d.pause(ctx, 5*time.Millisecond, 70*time.Millisecond) {
		switch {
		case d.link == nil:
			if !d.connect() {
				d.pause(ctx, 20*time.Millisecond, 400*time.Millisecond)
			}
		case d.broken():
			d.hangUp()
		default:
			d.act(ctx)
		}
	}
}

// broken tells whether the socket has ended, or has not answered for longer than this client's patience.
func (d *device) broken() bool {
	select {
	case <-d.link.over:
		return true
	default:
	}
	_, oldest := d.link.waiting()
	return oldest > time.Duration(500+d.rnd.IntN(4000))*time.Millisecond
}

// act does one random thing.
func (d *device) act(ctx context.Context) {
	k := d.desk()
	switch n := d.rnd.IntN(1000); {
	case n < 380:
		d.link.attempt(k.compose(Send, d.words(), 0))
	case n < 440:
		d.post(k.compose(Send, d.words(), 0))
	case n < 520:
		d.again(k)
	case n < 600:
		d.edit(k, n < 540)
	case n < 610:
		if seq := k.foreign(d.rnd); seq > 0 {
			d.link.attempt(k.compose(pick(d.rnd, Retract, Correct), "", seq).said(d))
		}
	case n < 740:
		d.reach()
	case n < 800:
		d.link.send(object{"type": "typing", "active": d.rnd.IntN(2) == 0})
	case n < 850:
		d.browse()
	case n < 940 && d.steady:
		d.reach()
	case n < 900:
		d.hangUp()
	case n < 940:
		d.hangUp()
		d.connect() // to another instance, and perhaps cut before it is live
	case n < 955:
		d.logout(ctx)
	case n < 965:
		d.closeAndOpen(ctx)
	case n < 985:
		d.burst(k)
	default:
		d.link.send(object{"type": "ping"})
	}
}

func pick[T any](rnd *rand.Rand, from ...T) T { return from[rnd.IntN(len(from))] }

// words returns a text that nobody else writes.
func (d *device) words() string {
	text := fmt.Sprintf("%s says %x", d.name, d.rnd.Uint64())
	switch d.rnd.IntN(20) {
	case 0:
		text += strings.Repeat(" and goes on", 1+d.rnd.IntN(200))
	case 1:
		text += ", ünïcødé 🩺\n\"quoted\" \u2028 <b>&amp;"
	}
	return text
}

// said sets the text of a correction.
func (p *paper) said(d *device) *paper {
	if p.action == Correct {
		p.text = d.words()
	}
	return p
}

// again sends something again, whether or not it was answered: over this socket, another instance, or both at once.
func (d *device) again(k *desk) {
	p := k.any(d.rnd, func(*paper) bool { return true })
	if p == nil {
		return
	}
	if n := d.rnd.IntN(3); n > 0 {
		d.link.attempt(p)
		if n == 1 {
			return
		}
	}
	d.post(p)
}

// edit retracts or corrects one of the person's own messages; often one that has been edited before, or is just being
// edited, perhaps by another device.
func (d *device) edit(k *desk, retract bool) {
	target := int64(0)
	if p := k.any(d.rnd, isText); p != nil {
		target = p.seq
	}
	if p := k.any(d.rnd, isEdited); p != nil && d.rnd.IntN(3) == 0 {
		target = p.target
	}
	switch {
	case target == 0:
	case retract:
		d.link.attempt(k.compose(Retract, "", target))
	case d.rnd.IntN(4) == 0:
		d.post(k.compose(Correct, d.words(), target))
	default:
		d.link.attempt(k.compose(Correct, d.words(), target))
	}
}

// burst sends many messages at once, and the last one twice.
func (d *device) burst(k *desk) {
	for range 2 + d.rnd.IntN(30) {
		d.link.attempt(k.compose(Send, d.words(), 0))
	}
	d.again(k)
}

// reach reports a cursor: the true one, a lower one, or one far too high.
func (d *device) reach() {
	upTo := max(0, d.cursor())
	switch d.rnd.IntN(40) {
	case 0:
		upTo += 1000
	case 1, 2, 3, 4:
		upTo = d.rnd.Int64N(upTo + 1)
	}
	d.link.cursor(pick(d.rnd, Read, Delivered), upTo)
}

// signIn begins a session.
func (d *device) signIn() bool {
	_, addr := d.front()
	var in signedIn
	if err := d.rest(addr, "", http.MethodPost, "/auth/login", object{"login": d.email, "password": password},
		&in); err != nil {
		return false
	}
	d.session, d.token = int(d.w.sessions.Add(1)), in.AccessToken
	return true
}

// logout ends the session, and for a while tries what should no longer work with it.
func (d *device) logout(ctx context.Context) {
	_, addr := d.front()
	op := d.w.rec.Op()
	d.record(Entry{What: Begin, Action: Logout, Op: op})
	d.finish(op, Logout, d.rest(addr, d.token, http.MethodPost, "/auth/logout", nil, nil))
	for range 8 {
		select {
		case <-d.link.over:
		default:
			d.link.attempt(d.desk().compose(Send, d.words(), 0))
		}
		if d.rnd.IntN(4) == 0 {
			d.browse()
		}
		if !d.pause(ctx, 100*time.Millisecond, 500*time.Millisecond) {
			break
		}
	}
	d.hangUp()
	if d.rnd.IntN(2) == 0 {
		d.connect() // with the old token
		d.hangUp()
	}
	d.token = ""
}

// finish records how a request ended.
func (d *device) finish(op int, action Action, err error) (known bool) {
	var no *refusal
	switch {
	case err == nil:
		d.record(Entry{What: Done, Op: op, Action: action})
	case errors.As(err, &no):
		d.record(Entry{What: Refused, Op: op, Action: action, Status: no.status, Code: no.code})
		return no.status < 500 && no.status != http.StatusTooManyRequests
	default:
		d.record(Entry{What: Lost, Op: op, Action: action})
	}
	return err == nil
}
