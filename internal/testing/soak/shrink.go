package soak

import (
	"fmt"
	"slices"
	"strings"
)

// Shrink returns a minimal part of a history that still shows a violation: no entry can be left out. It is delta
// debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002) over the rule's
// evidence if that is enough, otherwise over the whole history.
func Shrink(history []Entry, violation Violation) []Entry {
	rule := slices.IndexFunc(Rules, func(r Rule) bool { return r.Name == violation.Rule })
	if rule < 0 {
		return nil
	}
	shows := func(entries []Entry) bool {
		found := Rules[rule].check(newIndex(entries))
		return slices.ContainsFunc(found, func(v Violation) bool { return v.Text == violation.Text })
	}
	for _, part := range [][]Entry{evidenceOf(history, violation, false), evidenceOf(history, violation, true), history} {
		if shows(part) {
			return minimize(part, shows)
		}
	}
	return nil // not a violation of this history
}

// evidenceOf returns the entries that a violation names; if related, also those of the same actions, connections and
// drafts.
func evidenceOf(history []Entry, violation Violation, related bool) []Entry {
	ops, conns, drafts := map[int]bool{}, map[int]bool{}, map[draft]bool{}
	var named []Entry
	for _, e := range history {
		if slices.Contains(violation.Evidence, e.N) {
			named = append(named, e)
			ops[e.Op], conns[e.Conn], drafts[draft{e.User, e.ClientID}] = true, true, e.ClientID != ""
		}
	}
	if !related {
		return named
	}
	var out []Entry
	for _, e := range history {
		switch {
		case slices.Contains(violation.Evidence, e.N), e.What == Member, e.What == Stranger, e.What == Fault,
			e.Op != 0 && ops[e.Op], e.Conn != 0 && conns[e.Conn], drafts[draft{e.User, e.ClientID}],
			e.Action == Logout, e.Action == Connect, e.Action == Close, e.Action == Open, e.Action == Cancel, e.What == Log:
			out = append(out, e)
		}
	}
	return out
}

// minimize leaves out ever smaller parts as long as the rest still shows the violation (ddmin without its first half:
// a single part rarely shows anything).
func minimize(entries []Entry, shows func([]Entry) bool) []Entry {
	for size := (len(entries) + 1) / 2; size >= 1; {
		shorter := false
		for start := 0; start < len(entries); {
			rest := slices.Concat(entries[:start], entries[min(start+size, len(entries)):])
			if shows(rest) {
				entries, shorter = rest, true
				continue
			}
			start += size
		}
		switch {
		case size > 1:
			size /= 2
		case !shorter:
			return entries
		}
	}
	return entries
}

// Counterexample describes a violation and a minimal list of entries that show it.
func Counterexample(history []Entry, v Violation) string {
	var b strings.Builder
	for _, r := range Rules {
		if r.Name == v.Rule {
			fmt.Fprintf(&b, "broken: %s (rule %s)\n  %s\n", r.Promise, r.Name, v.Text)
		}
	}
	for _, e := range Shrink(history, v) {
		fmt.Fprintf(&b, "  %s\n", e)
	}
	return b.String()
}
