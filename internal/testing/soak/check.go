package soak

import (
	"fmt"
	"slices"
)

// Violation is a broken promise. Its Text stays the same when other entries of the history are left out.
type Violation struct {
	Rule     string
	Text     string
	Evidence []int // the N of the entries that show it
}

// Rule is one promise of the protocol.
type Rule struct {
	Name    string
	Promise string
	find    func(x *index, v *verdict)
}

// Rules are all the promises that Check judges.
var Rules = []Rule{
	{"acked", "an acknowledged message is in the log, at that seq, as it was sent", ruleAcked},
	{"once", "one clientId is one message, with one seq", ruleOnce},
	{"gapless", "seq begins at 1 and has no gaps; times rise with it", ruleGapless},
	{"authors", "a participant wrote what is in the log, and wrote it like that", ruleAuthors},
	{"same", "everyone sees what is in the log", ruleSame},
	{"order", "a connection shows each event once, in order, without gaps, from where it resumed", ruleOrder},
	{"fresh", "a new connection is told of everything that others have seen before", ruleFresh},
	{"served", "events are served as they are now: without retracted texts, with the latest correction", ruleServed},
	{"edits", "people edit only their own messages, and nothing that was retracted", ruleEdits},
	{"strangers", "people who do not take part in a conversation get nothing from it", ruleStrangers},
	{"closed", "nothing is committed while the conversation is closed", ruleClosed},
	{"session", "after a session has ended, REST refuses it at once, and its sockets end within a second", ruleSession},
	{"receipts", "cursors only rise, never past the head or what clients reported; read implies delivered", ruleReceipts},
	{"unread", "unread counts are others' unretracted messages after the reader's cursor", ruleUnread},
	{"refusals", "the reason of a refusal is true", ruleRefusals},
	{"complete", "a device that follows a conversation to the end has seen all of it", ruleComplete},
}

// mostPerRule limits how much one rule reports: the first few are enough.
const mostPerRule = 20

// verdict collects what one rule finds.
type verdict struct {
	x     *index
	rule  string
	found []Violation
}

// broken reports a violation that the entries at these positions show.
func (v *verdict) broken(evidence []int, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	numbers := make([]int, 0, len(evidence))
	for _, i := range evidence {
		if i >= 0 {
			numbers = append(numbers, v.x.entries[i].N)
		}
	}
	slices.Sort(numbers)
	v.found = append(v.found, Violation{Rule: v.rule, Text: text, Evidence: slices.Compact(numbers)})
}

// at makes a list of positions.
func at(positions ...int) []int { return positions }

// Check returns every violation in a history.
func Check(history []Entry) []Violation {
	x := newIndex(history)
	var all []Violation
	for _, r := range Rules {
		found := r.check(x)
		all = append(all, found[:min(len(found), mostPerRule)]...)
	}
	return all
}

func (r Rule) check(x *index) []Violation {
	v := &verdict{x: x, rule: r.Name}
	r.find(x, v)
	return v.found
}
