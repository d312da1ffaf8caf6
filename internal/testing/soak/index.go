package soak

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// index is a history with what the rules look up. Positions are those in entries.
type index struct {
	entries       []Entry
	conversations map[string]*conversationIndex
	conns         map[int]*connIndex
	ops           map[int]*opIndex
	order         []int // the keys of conns, in the order in which they began
	faults        []Entry
}

// conversationIndex is everything that is known about one conversation.
type conversationIndex struct {
	name    string
	log     map[int64]Event
	where   map[int64]int      // the positions of the log's entries
	last    int64              // the highest seq in log
	edits   map[int64][]Event  // the edits of a message, in order
	begun   map[draft][]int    // sends, retractions, corrections
	acks    map[draft][]int    // their acks
	members map[string]string  // user -> role
	asked   map[string]cursors // the highest upTo that a user ever sent
	states  []int              // the begins of close, open and cancel
	logged  bool               // the log is part of the history
}

type cursors struct{ delivered, read int64 }

// draft identifies what one user sent under one clientId.
type draft struct{ user, clientID string }

// connIndex is one connection: its begin, and its frames in order.
type connIndex struct {
	begin  int
	frames []int
}

// opIndex is one action: its begin (-1: none) and its end (-1: no answer).
type opIndex struct{ begin, end int }

func newIndex(entries []Entry) *index {
	x := &index{
		entries: entries, conversations: map[string]*conversationIndex{}, conns: map[int]*connIndex{},
		ops: map[int]*opIndex{},
	}
	for i, e := range entries {
		x.enter(i, e)
	}
	for _, r := range x.conversations {
		r.connect()
	}
	return x
}

func (x *index) conversation(name string) *conversationIndex {
	r := x.conversations[name]
	if r == nil {
		r = &conversationIndex{
			name: name, log: map[int64]Event{}, where: map[int64]int{}, edits: map[int64][]Event{}, begun: map[draft][]int{},
			acks: map[draft][]int{}, members: map[string]string{}, asked: map[string]cursors{},
		}
		x.conversations[name] = r
	}
	return r
}

// inOrder returns the conversations in the order of their names, so that every check reports the same.
func (x *index) inOrder() []*conversationIndex {
	var out []*conversationIndex
	for _, name := range slices.Sorted(maps.Keys(x.conversations)) {
		out = append(out, x.conversations[name])
	}
	return out
}

// events returns a conversation's log in order, without missing events.
func (r *conversationIndex) events() []Event {
	out := make([]Event, 0, len(r.log))
	for _, seq := range slices.Sorted(maps.Keys(r.log)) {
		out = append(out, r.log[seq])
	}
	return out
}

// drafts returns the keys of a map in order.
func drafts(m map[draft][]int) []draft {
	return slices.SortedFunc(maps.Keys(m), func(a, b draft) int {
		return cmp.Or(cmp.Compare(a.user, b.user), cmp.Compare(a.clientID, b.clientID))
	})
}

func (x *index) connOf(n int) *connIndex {
	c := x.conns[n]
	if c == nil {
		c = &connIndex{begin: -1}
		x.conns[n] = c
		x.order = append(x.order, n)
	}
	return c
}

func (x *index) opOf(n int) *opIndex {
	o := x.ops[n]
	if o == nil {
		o = &opIndex{-1, -1}
		x.ops[n] = o
	}
	return o
}

func (x *index) enter(i int, e Entry) {
	r := x.conversation(e.Conversation)
	switch e.What {
	case Member:
		r.members[e.User] = e.Role
	case Begin:
		x.begin(i, e)
	case Ack:
		r.acks[draft{e.User, e.ClientID}] = append(r.acks[draft{e.User, e.ClientID}], i)
		x.end(i, e)
	case Nack, Done, Refused:
		x.end(i, e)
	case Hello, Shown, Live, Reset, Got, Receipt, Bye, Gone:
		c := x.connOf(e.Conn)
		c.frames = append(c.frames, i)
	case Fault:
		x.faults = append(x.faults, e)
	case Log:
		if e.Event != nil {
			r.log[e.Event.Seq], r.where[e.Event.Seq] = *e.Event, i
			r.last, r.logged = max(r.last, e.Event.Seq), true
		}
	default: // the others say nothing about members
	}
}

func (x *index) begin(i int, e Entry) {
	r := x.conversation(e.Conversation)
	if e.Op != 0 {
		x.opOf(e.Op).begin = i
	}
	switch e.Action {
	case Send, Retract, Correct:
		r.begun[draft{e.User, e.ClientID}] = append(r.begun[draft{e.User, e.ClientID}], i)
	case Read, Delivered:
		c := r.asked[e.User]
		c.delivered = max(c.delivered, e.UpTo)
		if e.Action == Read {
			c.read = max(c.read, e.UpTo)
		}
		r.asked[e.User] = c
	case Connect:
		x.connOf(e.Conn).begin = i
	case Close, Open, Cancel:
		r.states = append(r.states, i)
	default:
	}
}

func (x *index) end(i int, e Entry) {
	if e.Op != 0 && x.opOf(e.Op).end < 0 {
		x.opOf(e.Op).end = i
	}
}

// connect lists the edits of each message.
func (r *conversationIndex) connect() {
	for _, e := range r.events() {
		if isEdit(e.Kind) {
			r.edits[e.Target] = append(r.edits[e.Target], e)
		}
	}
}

func isEdit(kind string) bool { return kind == kindRetraction || kind == kindCorrection }

// The kinds of events.
const (
	kindText       = "text"
	kindAttachment = "attachment"
	kindSystem     = "system"
	kindRetraction = "retraction"
	kindCorrection = "correction"
)

// view returns an event as it must be shown when the log ends with upTo.
func (r *conversationIndex) view(e Event, upTo int64) Event {
	about := e.Seq
	switch e.Kind {
	case kindCorrection:
		about = e.Target
	case kindText, kindAttachment:
	default:
		e.Text = textOf(e)
		return e
	}
	for _, edit := range r.edits[about] {
		switch {
		case edit.Seq > upTo:
		case edit.Kind == kindRetraction:
			e.Retracted, e.Text, e.CorrectedBy = true, "", 0
			return e
		default:
			e.Text, e.CorrectedBy = edit.Text, edit.Seq
		}
	}
	if e.CorrectedBy == e.Seq {
		e.CorrectedBy = 0 // the latest correction
	}
	return e
}

func textOf(e Event) string {
	if e.Kind == kindRetraction {
		return ""
	}
	return e.Text
}

// known gives, for each entry, the highest seq of its conversation that anybody had heard of before it: by an event,
// an ack or a head.
func (x *index) known() []int64 {
	out := make([]int64, len(x.entries))
	highest := map[string]int64{}
	for i, e := range x.entries {
		out[i] = highest[e.Conversation]
		seq := int64(0)
		switch e.What {
		case Ack:
			seq = e.Seq
		case Hello, Live, Reset:
			seq = e.Head
		case Got, Page:
			if e.Event != nil {
				seq = e.Event.Seq
			}
		default:
		}
		highest[e.Conversation] = max(highest[e.Conversation], seq)
	}
	return out
}

// stopped returns how long an instance could not act between two times. Instance 0 means all.
func (x *index) stopped(instance int, from, to time.Duration) time.Duration {
	var windows []Entry
	for _, f := range x.faults {
		if f.Instance == 0 || f.Instance == instance {
			windows = append(windows, f)
		}
	}
	slices.SortFunc(windows, func(a, b Entry) int { return cmp.Compare(a.Since, b.Since) })
	var sum time.Duration
	for _, f := range windows {
		sum += max(0, min(to, f.At)-max(from, f.Since))
		from = max(from, f.At) // overlaps count once
	}
	return sum
}
