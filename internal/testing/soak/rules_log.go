package soak

import "slices"

// kindOf says which kind of event an action makes.
var kindOf = map[Action]string{Send: kindText, Retract: kindRetraction, Correct: kindCorrection}

// ruleAcked: the log has an acknowledged message at the seq that its ack names.
func ruleAcked(x *index, v *verdict) {
	for _, r := range x.inOrder() {
		if !r.logged {
			continue
		}
		for _, d := range drafts(r.acks) {
			for _, i := range r.acks[d] {
				a := x.entries[i]
				e, ok := r.log[a.Seq]
				switch {
				case !ok:
					v.broken(at(i), "%s: %s was acknowledged as %d, but the log has no such event", r.name, a.ClientID, a.Seq)
				case e.ClientID != a.ClientID || e.Sender != a.User:
					v.broken(at(i, r.where[a.Seq]), "%s: %s was acknowledged as %d, but the log has %s of %s there", r.name,
						a.ClientID, a.Seq, e.ClientID, e.Sender)
				}
			}
		}
	}
}

// ruleOnce: the log has a clientId once, and all its acks name one seq. At most one ack is not marked as a duplicate,
// and none for an attempt that began after an earlier ack had arrived.
func ruleOnce(x *index, v *verdict) {
	for _, r := range x.inOrder() {
		seen := map[draft]int64{}
		for _, e := range r.events() {
			d := draft{e.Sender, e.ClientID}
			if e.ClientID == "" {
				continue
			}
			if first, twice := seen[d]; twice {
				v.broken(at(r.where[first], r.where[e.Seq]), "%s: %s of %s is in the log as %d and as %d", r.name, d.clientID,
					d.user, first, e.Seq)
			}
			seen[d] = e.Seq
		}
		for _, d := range drafts(r.acks) {
			r.acksAgree(x, v, d)
		}
	}
}

func (r *conversationIndex) acksAgree(x *index, v *verdict, d draft) {
	acks := r.acks[d]
	first, fresh := acks[0], -1
	for _, i := range acks {
		a := x.entries[i]
		if a.Seq != x.entries[first].Seq {
			v.broken(at(first, i), "%s: %s was acknowledged as %d and as %d", r.name, d.clientID, x.entries[first].Seq, a.Seq)
		}
		if a.Duplicate {
			continue
		}
		if fresh >= 0 {
			v.broken(at(fresh, i), "%s: %s was acknowledged twice as new, by %d and %d", r.name, d.clientID, x.entries[fresh].N,
				a.N)
		}
		fresh = i
	}
}

// ruleGapless: seq counts from 1 without gaps, times rise with it, and the conversation's counter is the last seq.
func ruleGapless(x *index, v *verdict) {
	for _, r := range x.inOrder() {
		var before Event
		for _, e := range r.events() {
			if e.Seq != before.Seq+1 {
				v.broken(at(r.whereOr(before.Seq), r.where[e.Seq]), "%s: the log goes from %d to %d", r.name, before.Seq, e.Seq)
			}
			if e.Committed < before.Committed {
				v.broken(at(r.where[before.Seq], r.where[e.Seq]), "%s: %d is older than %d before it", r.name, e.Seq, before.Seq)
			}
			before = e
		}
	}
	for i, e := range x.entries {
		if r := x.conversations[e.Conversation]; e.What == Head && e.Head != r.last {
			v.broken(at(i, r.whereOr(r.last)), "%s: the counter is %d, but the log ends with %d", e.Conversation, e.Head, r.last)
		}
	}
}

// whereOr returns the position of a log event, or -1.
func (r *conversationIndex) whereOr(seq int64) int {
	if i, ok := r.where[seq]; ok {
		return i
	}
	return -1
}

// ruleAuthors: everything in the log is what a participant wrote.
func ruleAuthors(x *index, v *verdict) {
	for _, r := range x.inOrder() {
		for _, e := range r.events() {
			if e.Kind == kindSystem {
				continue
			}
			if r.members[e.Sender] == "" {
				v.broken(at(r.where[e.Seq]), "%s: %d is by %s, who does not take part", r.name, e.Seq, e.Sender)
				continue
			}
			begun := r.begun[draft{e.Sender, e.ClientID}]
			if !slices.ContainsFunc(begun, func(i int) bool { return wrote(x.entries[i], e) }) {
				v.broken(append(at(r.where[e.Seq]), begun...), "%s: nobody wrote %d as it is in the log", r.name, e.Seq)
			}
		}
	}
}

// wrote tells whether an event can come from an action.
func wrote(begin Entry, e Event) bool {
	return kindOf[begin.Action] == e.Kind && begin.Text == e.Text && begin.Target == e.Target
}

// ruleEdits: people retract and correct only their own messages, and nothing follows a retraction.
func ruleEdits(x *index, v *verdict) {
	for _, r := range x.inOrder() {
		for _, e := range r.events() {
			if !isEdit(e.Kind) {
				continue
			}
			target, ok := r.log[e.Target]
			evidence := at(r.where[e.Seq], r.whereOr(e.Target))
			switch {
			case !ok || e.Target >= e.Seq:
				v.broken(evidence, "%s: %d edits %d, which does not exist", r.name, e.Seq, e.Target)
			case target.Sender != e.Sender:
				v.broken(evidence, "%s: %d of %s edits %d of %s", r.name, e.Seq, e.Sender, e.Target, target.Sender)
			case !editable(e.Kind, target.Kind):
				v.broken(evidence, "%s: %d, a %s, edits %d, a %s", r.name, e.Seq, e.Kind, e.Target, target.Kind)
			}
			for _, earlier := range r.edits[e.Target] {
				if earlier.Kind == kindRetraction && earlier.Seq < e.Seq {
					v.broken(append(evidence, r.where[earlier.Seq]), "%s: %d edits %d, which %d had retracted", r.name, e.Seq,
						e.Target, earlier.Seq)
				}
			}
		}
	}
}

func editable(edit, kind string) bool {
	return kind == kindText || kind == kindAttachment && edit == kindRetraction
}
