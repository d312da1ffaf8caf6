package soak

import (
	"fmt"
	"slices"
)

// Violation is a broken promise. Text names it by what never changes when entries are left out.
type Violation struct {
	Rule     string
	Text     string
	Evidence []int // N of the entries that show it
}

// Rule is one promise of the protocol.
type Rule struct {
	Name    string
	Promise string
	find    func(x *index, v *verdict)
}

// Rules are all promises that Check looks after.
var Rules = []Rule{
	{"acked", "what was acknowledged is in the log, at that seq, as it was sent", ruleAcked},
	{"once", "one clientId is one message, with one seq", ruleOnce},
	{"gapless", "seq begins at 1 and has no hole; times rise with it", ruleGapless},
	{"authors", "what is in the log was written by a participant, and as they wrote it", ruleAuthors},
	{"same", "everyone sees what is in the log", ruleSame},
	{"order", "a connection shows each event once, in order, without a hole, and joins on to where it resumed", ruleOrder},
	{"fresh", "who joins is not told of less than others have seen before", ruleFresh},
	{"served", "events are served as they stand: without what was retracted, with the latest correction", ruleServed},
	{"edits", "only one's own messages are edited, and nothing after their retraction", ruleEdits},
	{"strangers", "who takes no part in a conversation gets nothing of it", ruleStrangers},
	{"closed", "nothing is committed while the conversation is closed", ruleClosed},
	{"session", "an ended session is out of REST at once and out of sockets within a second", ruleSession},
	{"receipts", "cursors only rise, never beyond the head or what was asked for; read implies delivered", ruleReceipts},
	{"unread", "unread counts are others' messages after the reader's cursor that still stand", ruleUnread},
	{"refusals", "refusals are true", ruleRefusals},
	{"complete", "who follows a conversation to the end has seen all of it", ruleComplete},
}

// mostPerRule bounds what one rule reports: the first few say it all.
const mostPerRule = 20

// verdict gathers what one rule finds.
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

// at names positions.
func at(positions ...int) []int { return positions }

// Check gives every promise that a history breaks.
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
