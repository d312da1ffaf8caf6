package soak

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// rest calls a route of an instance.
func (d *device) rest(addr, token, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(context.Background(), d.patience())
	defer cancel()
	return rest(ctx, addr, token, method, path, in, out)
}

// patience returns how long this client currently waits for an answer.
func (d *device) patience() time.Duration {
	if d.w.calm.Load() {
		return calm
	}
	return hurry
}

// post sends a paper over REST, to any instance.
func (d *device) post(p *paper) {
	if p.action != Send && !d.w.edits {
		d.link.attempt(p)
		return
	}
	instance, addr := d.front()
	path := "/appointments/" + d.place.id + "/messages"
	body := object{"clientId": p.clientID}
	if p.action != Send {
		path += fmt.Sprintf("/%d/%s", p.target, p.action)
	}
	if p.action != Retract {
		body["text"] = p.text
	}
	op := d.w.rec.Op()
	e := Entry{Op: op, Action: p.action, ClientID: p.clientID, Instance: instance}
	begin := e
	begin.What, begin.Text, begin.Target = Begin, p.text, p.target
	d.record(begin)
	var out struct {
		Seq       int64 `json:"seq"`
		Duplicate bool  `json:"duplicate"`
	}
	err := d.rest(addr, d.token, http.MethodPost, path, body, &out)
	var no *refusal
	switch {
	case err == nil:
		e.What, e.Seq, e.Duplicate = Ack, out.Seq, out.Duplicate
		d.record(e)
		d.desk().acked(p.clientID, out.Seq)
	case errors.As(err, &no):
		e.What, e.Status, e.Code = Nack, no.status, no.code
		d.record(e)
		d.desk().refused(p.clientID, no.code)
	default:
		e.What = Lost
		d.record(e)
	}
}

// browse reads a late page of the history over REST.
func (d *device) browse() { d.page(max(0, d.cursor()-d.rnd.Int64N(150))) }

// browseAll reads the whole history, page by page.
func (d *device) browseAll(ctx context.Context, head int64) error {
	for after := int64(0); after < head && ctx.Err() == nil; {
		if last := d.page(after); last > after {
			after = last
			continue
		}
		d.pause(ctx, 50*time.Millisecond, 300*time.Millisecond)
	}
	return ctx.Err()
}

// page reads the page after a seq, from any instance, and returns the last seq in it; 0 if it is empty.
func (d *device) page(after int64) (last int64) {
	instance, addr := d.front()
	op := d.w.rec.Op()
	d.record(Entry{What: Begin, Action: Browse, Op: op, After: after, Instance: instance})
	var page struct {
		Items   []wireEvent `json:"items"`
		HeadSeq int64       `json:"headSeq"`
	}
	path := fmt.Sprintf("/appointments/%s/messages?after=%d&limit=%d", d.place.id, after, pageSize)
	err := d.rest(addr, d.token, http.MethodGet, path, nil, &page)
	if err != nil {
		d.finish(op, Browse, err)
		return 0
	}
	for _, e := range page.Items {
		last = e.Seq
		d.record(Entry{What: Page, Op: op, Event: e.event(d.w.rec), Instance: instance})
	}
	d.record(Entry{What: Done, Op: op, Action: Browse, Head: page.HeadSeq, Instance: instance})
	return last
}

// closeAndOpen has a doctor close the conversation and open it again shortly afterwards.
func (d *device) closeAndOpen(ctx context.Context) {
	if d.user != d.w.doctor || !d.w.closes {
		return
	}
	d.conversation(Close)
	d.pause(ctx, 50*time.Millisecond, 800*time.Millisecond)
	d.reopen(ctx)
}

// reopen keeps trying until it is certain that the conversation is open, or cannot be opened.
func (d *device) reopen(ctx context.Context) {
	for !d.conversation(Open) && d.pause(ctx, 100*time.Millisecond, 300*time.Millisecond) {
	}
}

// conversation closes or opens the conversation; false if the outcome is unknown.
func (d *device) conversation(action Action) bool {
	if d.token == "" && !d.signIn() {
		return false
	}
	_, addr := d.front()
	op := d.w.rec.Op()
	d.record(Entry{What: Begin, Action: action, Op: op})
	return d.finish(op, action,
		d.rest(addr, d.token, http.MethodPost, "/appointments/"+d.place.id+"/conversation/"+string(action), object{}, nil))
}

// cancel keeps trying until the appointment is cancelled.
func (d *device) cancel(ctx context.Context) {
	for {
		if d.token != "" || d.signIn() {
			_, addr := d.front()
			op := d.w.rec.Op()
			d.record(Entry{What: Begin, Action: Cancel, Op: op})
			err := d.rest(addr, d.token, http.MethodPost, "/appointments/"+d.place.id+"/cancel",
				object{"reason": "The soak test ends it"}, nil)
			if d.finish(op, Cancel, err) {
				return
			}
			var no *refusal
			if errors.As(err, &no) && no.status == http.StatusUnauthorized {
				d.token = ""
			}
		}
		if !d.pause(ctx, 100*time.Millisecond, 300*time.Millisecond) {
			return
		}
	}
}

// trespass acts as a stranger until ctx ends.
func (d *device) trespass(ctx context.Context) {
	for d.pause(ctx, 50*time.Millisecond, 300*time.Millisecond) {
		d.place = pick(d.rnd, d.w.places...)
		switch d.rnd.IntN(3) {
		case 0:
			if d.connect() {
				_ = d.await(ctx, func() bool { return false }) // the socket must end; its frames are recorded
				d.hangUp()
			}
		case 1:
			d.browse()
		default:
			d.post(&paper{action: Send, clientID: "6d1c9e0a-5b1f-4f5e-9a53-0d6f3f1c2b7a", text: d.words()})
		}
	}
	d.hangUp()
}
