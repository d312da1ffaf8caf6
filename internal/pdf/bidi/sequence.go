package bidi

import "golang.org/x/text/unicode/bidi"

// sequence is an isolating run sequence (BD13): characters that influence each other.
type sequence struct {
	p        *paragraph
	at       []int // places in the text
	level    uint8
	sos, eos bidi.Class // L or R
}

// sequences is X10: it divides the text into sequences.
func (p *paragraph) sequences() []*sequence {
	runs, runOf := p.levelRuns()
	var all []*sequence
	for _, run := range runs {
		if p.opener[run[0]] >= 0 {
			continue // it is a part of the sequence that its isolate interrupts
		}
		s := &sequence{p: p, level: p.levels[run[0]]}
		s.at = append(s.at, run...)
		for {
			last := s.at[len(s.at)-1]
			if !isolates(p.original[last]) || p.pdi[last] == len(p.text) {
				break
			}
			s.at = append(s.at, runs[runOf[p.pdi[last]]]...)
		}
		s.bounds()
		all = append(all, s)
	}
	return all
}

// levelRuns returns the places of each run of one level (BD7), and the run of each place.
func (p *paragraph) levelRuns() (runs [][]int, runOf []int) {
	runOf = make([]int, len(p.text))
	last := -1
	for i, l := range p.levels {
		if p.removed[i] {
			continue
		}
		if last < 0 || p.levels[last] != l {
			runs = append(runs, nil)
		}
		last = i
		runs[len(runs)-1] = append(runs[len(runs)-1], i)
		runOf[i] = len(runs) - 1
	}
	return runs, runOf
}

// bounds finds what the sequence begins and ends beside.
func (s *sequence) bounds() {
	p := s.p
	before, after := p.base, p.base
	for i := s.at[0] - 1; i >= 0; i-- {
		if !p.removed[i] {
			before = p.levels[i]
			break
		}
	}
	last := s.at[len(s.at)-1]
	if !isolates(p.original[last]) {
		for i := last + 1; i < len(p.text); i++ {
			if !p.removed[i] {
				after = p.levels[i]
				break
			}
		}
	}
	s.sos, s.eos = direction(max(s.level, before)), direction(max(s.level, after))
}

func direction(level uint8) bidi.Class {
	if level%2 == 1 {
		return bidi.R
	}
	return bidi.L
}

func (s *sequence) class(i int) bidi.Class      { return s.p.classes[s.at[i]] }
func (s *sequence) set(i int, c bidi.Class)     { s.p.classes[s.at[i]] = c }
func (s *sequence) is(i int, c bidi.Class) bool { return i >= 0 && i < len(s.at) && s.class(i) == c }
func (s *sequence) original(i int) bidi.Class   { return s.p.original[s.at[i]] }
func (s *sequence) fill(from, to int, c bidi.Class) {
	for i := from; i < to; i++ {
		s.set(i, c)
	}
}

func (s *sequence) resolve() {
	s.marks()
	s.numbers()
	s.separators()
	s.brackets()
	s.neutrals()
	for i, at := range s.at { // I1, I2
		switch c := s.class(i); {
		case s.level%2 == 0 && c == bidi.R:
			s.p.levels[at]++
		case s.level%2 == 0 && (c == bidi.AN || c == bidi.EN):
			s.p.levels[at] += 2
		case s.level%2 == 1 && (c == bidi.L || c == bidi.AN || c == bidi.EN):
			s.p.levels[at]++
		}
	}
}

// marks is W1.
func (s *sequence) marks() {
	before := s.sos
	for i := range s.at {
		switch c := s.class(i); {
		case c == bidi.NSM:
			s.set(i, before)
		case isolates(c), c == bidi.PDI:
			before = bidi.ON
		default:
			before = c
		}
	}
}

// numbers is W2 and W3.
func (s *sequence) numbers() {
	strong := s.sos
	for i := range s.at {
		switch c := s.class(i); c {
		case bidi.L, bidi.R:
			strong = c
		case bidi.AL:
			strong = c
			s.set(i, bidi.R)
		case bidi.EN:
			if strong == bidi.AL {
				s.set(i, bidi.AN)
			}
		}
	}
}

// separators is W4 to W7.
func (s *sequence) separators() {
	for i := 1; i+1 < len(s.at); i++ {
		c, before := s.class(i), s.class(i-1)
		if s.class(i+1) == before && (before == bidi.EN && (c == bidi.ES || c == bidi.CS) ||
			before == bidi.AN && c == bidi.CS) {
			s.set(i, before)
		}
	}
	for i := 0; i < len(s.at); i++ {
		from := i
		for s.is(i, bidi.ET) {
			i++
		}
		if i > from && (s.is(from-1, bidi.EN) || s.is(i, bidi.EN)) {
			s.fill(from, i, bidi.EN)
		}
	}
	strong := s.sos
	for i := range s.at {
		switch c := s.class(i); c {
		case bidi.ES, bidi.ET, bidi.CS:
			s.set(i, bidi.ON)
		case bidi.L, bidi.R:
			strong = c
		case bidi.EN:
			if strong == bidi.L {
				s.set(i, bidi.L)
			}
		}
	}
}

// strong is the direction of a character for its neighbours (N0, N1); ON for none.
func strong(c bidi.Class) bidi.Class {
	switch c {
	case bidi.L:
		return bidi.L
	case bidi.R, bidi.EN, bidi.AN:
		return bidi.R
	default:
		return bidi.ON
	}
}

// neutrals is N1 and N2.
func (s *sequence) neutrals() {
	before := s.sos
	for i := 0; i < len(s.at); i++ {
		from := i
		for i < len(s.at) && strong(s.class(i)) == bidi.ON {
			i++
		}
		after := s.eos
		if i < len(s.at) {
			after = strong(s.class(i))
		}
		if before == after {
			s.fill(from, i, before)
		} else {
			s.fill(from, i, direction(s.level))
		}
		before = after
	}
}
