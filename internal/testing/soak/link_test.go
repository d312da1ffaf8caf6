package soak

import (
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"time"
)

// link is one socket of a device, from dialling to its end.
type link struct {
	d        *device
	n        int
	instance int
	session  int
	s        *socket
	over     chan struct{} // closed at the end of the socket

	mu      sync.Mutex // guards all below
	pending map[string][]asked
	live    bool
	last    int64 // the seq of the last event, or where it went live
	pongs   int
}

// asked is an action that the socket has not answered yet.
type asked struct {
	op     int
	action Action
	since  time.Time
}

// inbound is any frame of the server.
type inbound struct {
	wireEvent
	Type         string `json:"type"`
	Code         any    `json:"code"`
	HeadSeq      int64  `json:"headSeq"`
	Epoch        string `json:"epoch"`
	Duplicate    bool   `json:"duplicate"`
	UserID       string `json:"userId"`
	DeliveredSeq int64  `json:"deliveredSeq"`
	ReadSeq      int64  `json:"readSeq"`
	Participants []struct {
		UserID       string `json:"userId"`
		DeliveredSeq int64  `json:"deliveredSeq"`
		ReadSeq      int64  `json:"readSeq"`
	} `json:"participants"`
}

// connect dials an instance, resuming from the device's cursor; false if that fails.
func (d *device) connect() bool {
	if d.token == "" && !d.signIn() {
		return false
	}
	instance, addr := d.front()
	l := &link{
		d: d, n: d.w.rec.Conn(), instance: instance, session: d.session, over: make(chan struct{}),
		pending: map[string][]asked{},
	}
	d.mu.Lock()
	after, epoch := d.after, d.epoch
	d.mu.Unlock()
	path := "/ws/appointments/" + d.place.id
	if after >= 0 {
		path += "?after=" + strconv.FormatInt(after, 10) + "&epoch=" + epoch
	}
	op := d.w.rec.Op()
	l.record(Entry{What: Begin, Action: Connect, Op: op, After: after})
	s, err := dial(addr, path, d.token, d.patience())
	var no *refusal
	switch {
	case errors.As(err, &no):
		l.record(Entry{What: Refused, Op: op, Status: no.status, Code: no.code})
		if no.status == 401 {
			d.token = ""
		}
		return false
	case err != nil:
		l.record(Entry{What: Lost, Op: op})
		return false
	}
	l.s = s
	d.link = l
	d.w.readers.Go(l.read)
	return true
}

// record adds an entry that belongs to this link.
func (l *link) record(e Entry) {
	e.Device, e.User, e.Session, e.Conversation = l.d.name, l.d.user, l.session, l.d.place.id
	e.Conn, e.Instance = l.n, l.instance
	l.d.w.rec.Add(e)
}

// read records everything that comes until the socket ends.
func (l *link) read() {
	defer close(l.over)
	defer l.d.wake()
	for {
		body, err := l.s.read()
		if err != nil {
			l.end(err)
			return
		}
		var f inbound
		if err := json.Unmarshal(body, &f); err != nil {
			l.end(err)
			return
		}
		l.frame(f)
		l.d.wake()
	}
}

// end records that the socket has ended, and that the outcome of unanswered actions is unknown.
func (l *link) end(err error) {
	_ = l.s.tcp.Close() // a second Close does no harm
	l.record(Entry{What: Gone, Text: err.Error()})
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, all := range l.pending {
		for _, a := range all {
			l.record(Entry{What: Lost, Op: a.op, Action: a.action, ClientID: id})
		}
	}
	l.pending = map[string][]asked{}
}

func (l *link) frame(f inbound) {
	switch f.Type {
	case "hello":
		l.record(Entry{What: Hello, Head: f.HeadSeq})
		for _, p := range f.Participants {
			l.record(Entry{What: Shown, Subject: p.UserID, Delivered: p.DeliveredSeq, Read: p.ReadSeq})
		}
		l.d.meet(f.Epoch)
	case "event":
		l.record(Entry{What: Got, Event: f.event(l.d.w.rec)})
		l.reached(f.Seq, false)
		l.d.got(f.wireEvent)
	case "live":
		l.record(Entry{What: Live, Head: f.HeadSeq})
		l.reached(f.HeadSeq, true)
		l.d.jump(f.HeadSeq)
	case "reset":
		l.record(Entry{What: Reset, Head: f.HeadSeq})
		l.d.jump(f.HeadSeq)
	case "ack":
		l.answered(f.ClientID, Entry{What: Ack, ClientID: f.ClientID, Seq: f.Seq, Duplicate: f.Duplicate})
		l.d.desk().acked(f.ClientID, f.Seq)
	case "nack":
		code, _ := f.Code.(string)
		l.answered(f.ClientID, Entry{What: Nack, ClientID: f.ClientID, Code: code})
		l.d.desk().refused(f.ClientID, code)
	case "receipt":
		l.record(Entry{What: Receipt, Subject: f.UserID, Delivered: f.DeliveredSeq, Read: f.ReadSeq})
	case "pong":
		l.mu.Lock()
		l.pongs++
		l.mu.Unlock()
	case "bye":
		code, _ := f.Code.(float64)
		l.record(Entry{What: Bye, Count: int64(code)})
	}
}

func (l *link) reached(seq int64, live bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = seq
	l.live = l.live || live
}

// state returns how far the link has got.
func (l *link) state() (live bool, last int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.live, l.last
}

// heard returns how many pings were answered.
func (l *link) heard() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pongs
}

// answered records the answer to the first unanswered action with a clientId.
func (l *link) answered(clientID string, e Entry) {
	l.mu.Lock()
	if all := l.pending[clientID]; len(all) > 0 {
		e.Op, e.Action = all[0].op, all[0].action
		if l.pending[clientID] = all[1:]; len(all) == 1 {
			delete(l.pending, clientID)
		}
	}
	l.mu.Unlock()
	l.record(e)
}

// waiting returns how many actions have no answer, and since when the oldest has been waiting.
func (l *link) waiting() (n int, oldest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, all := range l.pending {
		n += len(all)
		oldest = max(oldest, time.Since(all[0].since))
	}
	return n, oldest
}

// attempt sends a paper over the socket.
func (l *link) attempt(p *paper) {
	op := l.d.w.rec.Op()
	l.mu.Lock()
	l.pending[p.clientID] = append(l.pending[p.clientID], asked{op, p.action, time.Now()})
	l.mu.Unlock()
	l.record(Entry{What: Begin, Action: p.action, Op: op, ClientID: p.clientID, Text: p.text, Target: p.target})
	frame := object{"type": string(p.action), "clientId": p.clientID}
	if p.action != Retract {
		frame["text"] = p.text
	}
	if p.action != Send {
		frame["target"] = p.target
	}
	l.send(frame)
}

// cursor reports how far the user has received or read.
func (l *link) cursor(action Action, upTo int64) {
	l.record(Entry{What: Begin, Action: action, UpTo: upTo})
	l.send(object{"type": string(action), "upTo": upTo})
}

// send sends a frame. If that fails, it ends the link.
func (l *link) send(frame object) {
	if l.s.send(frame) != nil {
		l.s.cut()
	}
}

// hangUp cuts the link and waits until its reader has noticed.
func (d *device) hangUp() {
	if d.link == nil {
		return
	}
	d.link.s.cut()
	<-d.link.over
	d.link = nil
}
