package bidi

import (
	"cmp"
	"slices"

	"golang.org/x/text/unicode/bidi"
)

// maxOpen is how many brackets can be open at once (BD16).
const maxOpen = 63

// bracket tells whether a character is a bracket, and names the pair by its closing one (BidiBrackets.txt).
func bracket(r rune) (pair rune, opening, ok bool) {
	properties, _ := bidi.LookupRune(r)
	if !properties.IsBracket() {
		return 0, false, false
	}
	if !properties.IsOpeningBracket() {
		if r == 0x232A { // canonically equivalent
			r = 0x3009
		}
		return r, false, true
	}
	switch r {
	case '[', '{', 0xFF3B, 0xFF5B:
		return r + 2, true, true
	case 0x298D:
		return 0x2990, true, true
	case 0x298F:
		return 0x298E, true, true
	case 0x2329:
		return 0x3009, true, true
	default:
		return r + 1, true, true
	}
}

// pairs finds the brackets that belong together (BD16), in the order of the opening ones.
func (s *sequence) pairs() (found [][2]int) {
	type open struct {
		pair rune
		at   int
	}
	var stack []open
	for i, at := range s.at {
		if s.class(i) != bidi.ON {
			continue
		}
		pair, opening, ok := bracket(s.p.text[at])
		switch {
		case !ok:
		case opening && len(stack) == maxOpen:
			return nil
		case opening:
			stack = append(stack, open{pair, i})
		default:
			for n := len(stack) - 1; n >= 0; n-- {
				if stack[n].pair == pair {
					found = append(found, [2]int{stack[n].at, i})
					stack = stack[:n]
					break
				}
			}
		}
	}
	slices.SortFunc(found, func(a, b [2]int) int { return cmp.Compare(a[0], b[0]) })
	return found
}

// brackets is N0: brackets have the direction of what they enclose, or of what is before them.
func (s *sequence) brackets() {
	for _, pair := range s.pairs() {
		if d := s.enclosed(pair[0], pair[1]); d != bidi.ON {
			s.setBracket(pair[0], d)
			s.setBracket(pair[1], d)
		}
	}
}

func (s *sequence) enclosed(from, to int) bidi.Class {
	own, other := direction(s.level), false
	for i := from + 1; i < to; i++ {
		switch d := strong(s.class(i)); d {
		case bidi.ON:
		case own:
			return own
		default:
			other = true
		}
	}
	if !other {
		return bidi.ON
	}
	before := s.sos
	for i := from - 1; i >= 0; i-- {
		if d := strong(s.class(i)); d != bidi.ON {
			before = d
			break
		}
	}
	return before // where it is not the other direction, it is the sequence's own
}

// setBracket also sets the marks behind a bracket.
func (s *sequence) setBracket(i int, d bidi.Class) {
	s.set(i, d)
	for i++; i < len(s.at) && (s.original(i) == bidi.NSM || s.p.removed[s.at[i]]); i++ {
		s.set(i, d)
	}
}
