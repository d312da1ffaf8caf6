package soak

import (
	"regexp"
	"slices"
	"time"
)

// ruleStrangers: a stranger is told that there is no such conversation, and nothing else.
func ruleStrangers(x *index, v *verdict) {
	type place struct{ user, conversation string }
	strangers := map[place]int{}
	for i, e := range x.entries {
		if e.What == Stranger {
			strangers[place{e.User, e.Conversation}] = i
		}
	}
	for i, e := range x.entries {
		who, is := strangers[place{e.User, e.Conversation}]
		if !is {
			continue
		}
		switch e.What {
		case Ack, Done, Hello, Shown, Live, Reset, Got, Page, Receipt, Unread:
			v.broken(at(who, i), "%s: %s got a %s (entry %d)", e.Conversation, e.User, e.What, e.N)
		case Refused, Nack:
			if e.Status < 500 && !slices.Contains([]int{401, 404, 429}, e.Status) {
				v.broken(at(who, i), "%s: %s was refused with %d, not 404 (entry %d)", e.Conversation, e.User, e.Status, e.N)
			}
		default:
		}
	}
}

// The texts of system events that say that a conversation was closed or opened.
var (
	saysClosed = regexp.MustCompile(`^The doctor closed the conversation|^The appointment.* was cancelled by the `)
	saysOpen   = regexp.MustCompile(`^The doctor opened the conversation again`)
)

// ruleClosed: the log has only system events between a closing and an opening, and nothing is committed that was begun
// after a closing was answered.
func ruleClosed(x *index, v *verdict) {
	for _, r := range x.inOrder() {
		closing := int64(0)
		for _, e := range r.events() {
			switch {
			case e.Kind == kindSystem && saysClosed.MatchString(e.Text):
				closing = e.Seq
			case e.Kind == kindSystem && saysOpen.MatchString(e.Text):
				closing = 0
			case e.Kind != kindSystem && closing != 0:
				v.broken(at(r.where[closing], r.where[e.Seq]), "%s: %d came after %d had closed the conversation", r.name, e.Seq,
					closing)
			}
		}
		for _, p := range x.closedPeriods(r) {
			for _, d := range drafts(r.acks) {
				begun := r.begun[d]
				if len(begun) == 0 || begun[0] < p.from {
					continue
				}
				for _, i := range r.acks[d] {
					if i < p.until && !x.entries[i].Duplicate {
						v.broken(at(p.begin, p.from, begun[0], i),
							"%s: %s was begun after the conversation was closed (op %d), but acknowledged", r.name, d.clientID,
							x.entries[p.begin].Op)
					}
				}
			}
		}
	}
}

// period is a part of the history, by positions, in which a conversation was certainly closed: from the answer to the
// closing (begun at begin) until somebody began to open it.
type period struct{ begin, from, until int }

func (x *index) closedPeriods(r *conversationIndex) []period {
	var out []period
	for _, i := range r.states {
		e := x.entries[i]
		o := x.opOf(e.Op)
		if e.Action == Open || o.end < 0 || x.entries[o.end].What != Done {
			continue
		}
		p := period{begin: i, from: o.end, until: len(x.entries)}
		if e.Action == Close && !x.untilOpened(r, &p) {
			continue
		}
		out = append(out, p)
	}
	return out
}

// untilOpened ends a period where an opening began; false if one may have been under way when the period began.
func (x *index) untilOpened(r *conversationIndex, p *period) bool {
	for _, i := range r.states {
		if x.entries[i].Action != Open {
			continue
		}
		o := x.opOf(x.entries[i].Op)
		settled := o.end >= 0 && o.end < p.begin && x.certain(o.end)
		switch {
		case settled:
		case i < p.from:
			return false
		default:
			p.until = min(p.until, i)
		}
	}
	return true
}

// certain tells whether an answer says what the action did.
func (x *index) certain(i int) bool {
	e := x.entries[i]
	return e.What == Done || e.What == Ack || e.What == Nack && e.Code != "unavailable" ||
		e.What == Refused && e.Status < 500
}

const (
	// sessionWithin is how long a socket may outlive its session; sessionGrace is what a busy machine may add.
	sessionWithin = time.Second
	sessionGrace  = time.Second
)

// ruleSession: a session that has ended can do nothing over REST, and its sockets end within a second.
func ruleSession(x *index, v *verdict) {
	ended := map[int]int{} // session -> position of the answer to its end
	for i, e := range x.entries {
		if e.What == Done && e.Action == Logout {
			ended[e.Session] = i
		}
	}
	for i, e := range x.entries {
		over, is := ended[e.Session]
		if !is || i < over || e.Session == 0 {
			continue
		}
		switch e.What {
		case Done, Page, Hello:
			if begin := x.beginOf(e); begin > over {
				v.broken(at(over, begin, i), "session %d had ended, but began something (entry %d) that succeeded", e.Session,
					x.entries[begin].N)
			}
		case Ack:
			x.sentAfter(v, over, i)
		case Got:
			x.tooLate(v, over, i)
		default:
		}
	}
}

// beginOf returns the begin of what an entry answers; -1 if that is not known.
func (x *index) beginOf(e Entry) int {
	if e.What == Hello {
		return x.connOf(e.Conn).begin
	}
	return x.opOf(e.Op).begin
}

// sentAfter: a message that was begun only after its session had ended is not committed.
func (x *index) sentAfter(v *verdict, over, i int) {
	e := x.entries[i]
	begun := x.conversation(e.Conversation).begun[draft{e.User, e.ClientID}]
	early := func(b int) bool { return b < over || x.entries[b].Session != e.Session }
	if len(begun) > 0 && !slices.ContainsFunc(begun, early) {
		v.broken(at(over, begun[0], i), "session %d had ended, but began %s, which was acknowledged", e.Session,
			e.ClientID)
	}
}

// tooLate: an event committed more than a second after the end of a session does not reach its sockets.
func (x *index) tooLate(v *verdict, over, i int) {
	e := x.entries[i]
	if e.Event == nil {
		return
	}
	end, committed := x.entries[over].At, e.Event.Committed
	if late := committed - end - x.stopped(e.Instance, end, committed); late > sessionWithin+sessionGrace {
		v.broken(at(over, i),
			"session %d got %d of %s on connection %d although it was committed long after the session had ended", e.Session,
			e.Event.Seq, e.Conversation, e.Conn)
	}
}

// ruleRefusals: the reason of a refusal can have been true.
func ruleRefusals(x *index, v *verdict) {
	known := x.known()
	for i, e := range x.entries {
		if e.What != Nack || e.Op == 0 {
			continue
		}
		begin := x.opOf(e.Op).begin
		r := x.conversations[e.Conversation]
		if begin < 0 || r.members[e.User] == "" {
			continue
		}
		switch e.Code {
		case "closed":
			if x.surelyOpen(r, begin, i) {
				v.broken(at(begin, i), "%s: op %d was refused as closed while the conversation was open", e.Conversation, e.Op)
			}
		case "forbidden":
			if !x.logoutBegun(e.Session, i) {
				v.broken(at(begin, i), "%s: op %d of a participant with a valid session was refused as forbidden",
					e.Conversation, e.Op)
			}
		case "empty", "too_long", "invalid":
			v.broken(at(begin, i), "%s: op %d was sound, but refused as %s", e.Conversation, e.Op, e.Code)
		case "not_yours", "not_found":
			x.editRefused(v, r, begin, i, known[begin])
		default:
		}
	}
}

func (x *index) logoutBegun(session, before int) bool {
	return slices.ContainsFunc(x.entries[:before], func(e Entry) bool {
		return e.What == Begin && e.Action == Logout && e.Session == session
	})
}

// surelyOpen tells whether a conversation was certainly open between two positions.
func (x *index) surelyOpen(r *conversationIndex, from, to int) bool {
	for _, i := range r.states {
		if x.entries[i].Action == Open || i > to {
			continue
		}
		o := x.opOf(x.entries[i].Op)
		if o.end >= 0 && x.entries[o.end].What == Refused && x.certain(o.end) {
			continue
		}
		if x.entries[i].Action == Cancel || o.end < 0 || !x.certain(o.end) || !x.openedBetween(r, o.end, from) {
			return false
		}
	}
	return true
}

func (x *index) openedBetween(r *conversationIndex, from, to int) bool {
	return slices.ContainsFunc(r.states, func(i int) bool {
		o := x.opOf(x.entries[i].Op)
		return x.entries[i].Action == Open && i > from && o.end >= 0 && o.end < to && x.entries[o.end].What == Done
	})
}

// editRefused judges a refusal whose reason is the target.
func (x *index) editRefused(v *verdict, r *conversationIndex, begin, i int, known int64) {
	b, e := x.entries[begin], x.entries[i]
	target, ok := r.log[b.Target]
	if !ok || b.Target > known || target.Sender != b.User || !editable(kindOf[b.Action], target.Kind) {
		return
	}
	retracted := slices.ContainsFunc(r.edits[b.Target], func(e Event) bool { return e.Kind == kindRetraction })
	if e.Code == "not_yours" || !retracted {
		v.broken(at(begin, i, r.where[b.Target]), "%s: op %d on %d, their own and not retracted, was refused as %s",
			e.Conversation,
			e.Op, b.Target, e.Code)
	}
}
