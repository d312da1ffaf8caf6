package soak

import "time"

// clockSlack is how much the clocks of PostgreSQL and of the run may differ.
const clockSlack = 100 * time.Millisecond

// person is somebody in a conversation.
type person struct{ conversation, user string }

// ledger follows cursors through a history.
type ledger struct {
	x      *index
	v      *verdict
	asked  map[person]cursors         // the highest upTo of each kind so far
	seen   map[person]cursors         // the highest cursors that anybody was told of so far
	before map[int]map[person]cursors // seen, as it was when a connection began
	onConn map[int]map[person]cursors // the last cursors that a connection was told of
	proof  map[person]int             // the positions that seen comes from
}

// ruleReceipts: cursors never go back, are not beyond the head, and come from what the participant reported.
func ruleReceipts(x *index, v *verdict) {
	l := &ledger{
		x: x, v: v, asked: map[person]cursors{}, seen: map[person]cursors{}, before: map[int]map[person]cursors{},
		onConn: map[int]map[person]cursors{}, proof: map[person]int{},
	}
	for i, e := range x.entries {
		who := person{e.Conversation, e.Subject}
		switch e.What {
		case Begin:
			l.begin(e)
		case Shown:
			if old := l.before[e.Conn][who]; e.Delivered < old.delivered || e.Read < old.read {
				v.broken(at(x.connOf(e.Conn).begin, i, l.proof[who]),
					"connection %d: hello has older cursors of %s than had been seen", e.Conn, e.Subject)
			}
			l.told(i, e, who)
		case Receipt:
			l.told(i, e, who)
		case Cursors:
			if old := l.seen[who]; e.Delivered < old.delivered || e.Read < old.read {
				v.broken(at(i, l.proof[who]), "%s: the cursors of %s at the end are older than had been seen",
					e.Conversation, e.Subject)
			}
			l.sound(i, e, who)
		default:
		}
	}
}

func (l *ledger) begin(e Entry) {
	who := person{e.Conversation, e.User}
	switch e.Action {
	case Connect:
		now := map[person]cursors{}
		for subject, c := range l.seen {
			if subject.conversation == e.Conversation {
				now[subject] = c
			}
		}
		l.before[e.Conn] = now
	case Read, Delivered:
		c := l.asked[who]
		c.delivered = max(c.delivered, e.UpTo)
		if e.Action == Read {
			c.read = max(c.read, e.UpTo)
		}
		l.asked[who] = c
	default:
	}
}

// told judges cursors that a connection was told of.
func (l *ledger) told(i int, e Entry, who person) {
	if l.onConn[e.Conn] == nil {
		l.onConn[e.Conn] = map[person]cursors{}
	}
	if old := l.onConn[e.Conn][who]; e.Delivered < old.delivered || e.Read < old.read {
		l.v.broken(at(append(l.x.framesOf(e.Conn, e.Subject), i)...), "connection %d: the cursors of %s went back (entry %d)",
			e.Conn, e.Subject, e.N)
	}
	l.onConn[e.Conn][who] = cursors{e.Delivered, e.Read}
	l.sound(i, e, who)
	old := l.seen[who]
	if e.Delivered > old.delivered || e.Read > old.read {
		l.seen[who], l.proof[who] = cursors{max(e.Delivered, old.delivered), max(e.Read, old.read)}, i
	}
}

// framesOf returns the positions at which a connection was told of somebody's cursors.
func (x *index) framesOf(conn int, subject string) []int {
	var out []int
	for _, i := range x.connOf(conn).frames {
		if e := x.entries[i]; e.Subject == subject && (e.What == Shown || e.What == Receipt) {
			out = append(out, i)
		}
	}
	return out
}

// sound judges one report of cursors by itself.
func (l *ledger) sound(i int, e Entry, who person) {
	r, asked := l.x.conversations[e.Conversation], l.asked[who]
	if e.Read > e.Delivered {
		l.v.broken(at(i), "%s: %s has read more than was delivered to them (entry %d)", e.Conversation, e.Subject, e.N)
	}
	if e.Delivered > asked.delivered || e.Read > asked.read {
		l.v.broken(at(i), "%s: the cursors of %s are beyond what they reported (entry %d)", e.Conversation, e.Subject, e.N)
	}
	if !r.logged || e.Delivered == 0 {
		return
	}
	last, ok := r.log[e.Delivered]
	if !ok || last.Committed > e.At+clockSlack {
		l.v.broken(at(i, r.whereOr(e.Delivered)), "%s: the cursors of %s are beyond the head (entry %d)",
			e.Conversation, e.Subject,
			e.N)
	}
}

// ruleUnread: unread counts are correct.
func ruleUnread(x *index, v *verdict) {
	cursorAt := map[person]int{}
	for i, e := range x.entries {
		if e.What == Cursors {
			cursorAt[person{e.Conversation, e.Subject}] = i
		}
	}
	for i, e := range x.entries {
		if e.What != Unread {
			continue
		}
		read, evidence := int64(0), at(i)
		if c, ok := cursorAt[person{e.Conversation, e.User}]; ok {
			read, evidence = x.entries[c].Read, append(evidence, c)
		}
		r, count := x.conversations[e.Conversation], int64(0)
		for _, m := range r.events() {
			if m.Seq > read && m.Sender != e.User && (m.Kind == kindText || m.Kind == kindAttachment) &&
				!r.view(m, r.last).Retracted {
				count++
				evidence = append(evidence, r.where[m.Seq])
			}
		}
		if count != e.Count {
			v.broken(evidence, "%s: %s was told of %d unread, but there are %d", e.Conversation, e.User, e.Count, count)
		}
	}
}

// ruleComplete: once everything is healed, each device gets to the end of the log.
func ruleComplete(x *index, v *verdict) {
	for i, e := range x.entries {
		if e.What != Final {
			continue
		}
		r, reached, last := x.conversations[e.Conversation], int64(0), -1
		for _, f := range x.connOf(e.Conn).frames {
			switch frame := x.entries[f]; {
			case frame.What == Live:
				reached, last = frame.Head, f
			case frame.What == Got && frame.Event != nil:
				reached, last = frame.Event.Seq, f
			}
		}
		if r.logged && reached != r.last {
			v.broken(at(i, last, r.whereOr(r.last)), "%s: %s ended at %d, the log at %d (entry %d)",
				e.Conversation, e.Device, reached,
				r.last, e.N)
		}
	}
}
