// Package bidi orders text that runs in both directions (Unicode Standard Annex 9, which the names of rules refer to).
//
// Neither golang.org/x/text/unicode/bidi nor go-text/typesetting/bidi tells the levels of its runs, without which runs
// cannot be put in order: the first gives them in reading order, and does not heed brackets; the second joins runs of
// different levels.
package bidi

import "golang.org/x/text/unicode/bidi"

// Direction is the direction of a paragraph.
type Direction uint8

// The directions.
const (
	Auto Direction = iota // that of the first letter; from left to right if there is none
	LeftToRight
	RightToLeft
)

// maxDepth is the deepest level of an embedding (BD2).
const maxDepth = 125

// paragraph is a text while it is resolved.
type paragraph struct {
	text     []rune
	original []bidi.Class // as in Unicode
	classes  []bidi.Class // as rules have changed them
	levels   []uint8
	removed  []bool // by X9
	base     uint8
	pdi      []int // of an isolate's beginning, the place of its end; len(text) if there is none
	opener   []int // of an isolate's end, the place of its beginning; -1 if there is none
}

// Resolve returns the level of each character of a paragraph, without a line break in it, and the paragraph's own.
// Characters at odd levels run from right to left. Those that X9 removes have the level of what is before them.
func Resolve(text []rune, d Direction) (levels []uint8, base uint8) {
	p := &paragraph{
		text: text, original: make([]bidi.Class, len(text)), levels: make([]uint8, len(text)),
		removed: make([]bool, len(text)),
	}
	for i, r := range text {
		properties, _ := bidi.LookupRune(r)
		p.original[i] = properties.Class()
	}
	p.classes = append(p.classes, p.original...)
	p.matchIsolates()
	switch d {
	case RightToLeft:
		p.base = 1
	case Auto:
		p.base = p.firstStrong(0, len(text))
	}
	(&explicit{paragraph: p, stack: []embedding{{p.base, bidi.ON, false}}}).resolve()
	for _, s := range p.sequences() {
		s.resolve()
	}
	p.finish()
	return p.levels, p.base
}

// Order returns the places of characters, or of runs, from left to right, by their levels (L2).
func Order(levels []uint8) []int {
	order := make([]int, len(levels))
	highest, lowestOdd := uint8(0), uint8(255)
	for i, l := range levels {
		order[i] = i
		highest = max(highest, l)
		if l%2 == 1 {
			lowestOdd = min(lowestOdd, l)
		}
	}
	for level := highest; level >= lowestOdd && level > 0; level-- {
		for i := 0; i < len(order); i++ {
			from := i
			for i < len(order) && levels[order[i]] >= level {
				i++
			}
			for a, b := from, i-1; a < b; a, b = a+1, b-1 {
				order[a], order[b] = order[b], order[a]
			}
		}
	}
	return order
}

func isolates(c bidi.Class) bool { return c == bidi.LRI || c == bidi.RLI || c == bidi.FSI }

// matchIsolates is BD9.
func (p *paragraph) matchIsolates() {
	p.pdi, p.opener = make([]int, len(p.text)), make([]int, len(p.text))
	var open []int
	for i, c := range p.original {
		p.opener[i] = -1
		switch {
		case isolates(c):
			p.pdi[i] = len(p.text)
			open = append(open, i)
		case c == bidi.PDI && len(open) > 0:
			last := open[len(open)-1]
			open = open[:len(open)-1]
			p.pdi[last], p.opener[i] = i, last
		}
	}
}

// firstStrong is the level that the first letter gives, outside of isolates (P2, P3).
func (p *paragraph) firstStrong(from, to int) uint8 {
	for i := from; i < to; i++ {
		switch c := p.original[i]; {
		case c == bidi.L:
			return 0
		case c == bidi.R, c == bidi.AL:
			return 1
		case isolates(c):
			i = p.pdi[i]
		}
	}
	return 0
}

// embedding is an entry of the stack of X1.
type embedding struct {
	level    uint8
	override bidi.Class // L or R; ON for none
	isolate  bool
}

// next is the next level above with a direction.
func (e embedding) next(rightToLeft bool) uint8 {
	if rightToLeft {
		return (e.level + 1) | 1
	}
	return (e.level + 2) &^ 1
}

// explicit is X1 to X8: the levels that control characters give.
type explicit struct {
	*paragraph
	stack                                       []embedding
	overIsolates, overEmbeddings, validIsolates int
}

func (e *explicit) top() embedding { return e.stack[len(e.stack)-1] }

func (e *explicit) resolve() {
	for i, c := range e.original {
		e.levels[i] = e.top().level
		switch {
		case c == bidi.RLE, c == bidi.LRE, c == bidi.RLO, c == bidi.LRO:
			e.removed[i] = true
			e.embed(c)
		case isolates(c):
			e.overridden(i)
			e.isolate(c == bidi.RLI || c == bidi.FSI && e.firstStrong(i+1, e.pdi[i]) == 1)
		case c == bidi.PDI:
			e.endIsolate()
			e.levels[i] = e.top().level
			e.overridden(i)
		case c == bidi.PDF:
			e.removed[i] = true
			e.endEmbedding()
		case c == bidi.BN:
			e.removed[i] = true
		case c == bidi.B:
			e.levels[i] = e.base
		default:
			e.overridden(i)
		}
	}
}

// push goes a level deeper, unless that is too deep.
func (e *explicit) push(rightToLeft bool, override bidi.Class, isolate bool) bool {
	n := e.top().next(rightToLeft)
	if n > maxDepth || e.overIsolates > 0 || e.overEmbeddings > 0 {
		return false
	}
	e.stack = append(e.stack, embedding{n, override, isolate})
	return true
}

// embed is X2 to X5.
func (e *explicit) embed(c bidi.Class) {
	override := bidi.ON
	switch c {
	case bidi.RLO:
		override = bidi.R
	case bidi.LRO:
		override = bidi.L
	}
	if !e.push(c == bidi.RLE || c == bidi.RLO, override, false) && e.overIsolates == 0 {
		e.overEmbeddings++
	}
}

// isolate is X5a to X5c.
func (e *explicit) isolate(rightToLeft bool) {
	if e.push(rightToLeft, bidi.ON, true) {
		e.validIsolates++
	} else {
		e.overIsolates++
	}
}

// endIsolate is X6a.
func (e *explicit) endIsolate() {
	switch {
	case e.overIsolates > 0:
		e.overIsolates--
	case e.validIsolates > 0:
		e.overEmbeddings = 0
		e.stack = popIsolate(e.stack)
		e.validIsolates--
	}
}

// endEmbedding is X7.
func (e *explicit) endEmbedding() {
	switch {
	case e.overIsolates > 0:
	case e.overEmbeddings > 0:
		e.overEmbeddings--
	case !e.top().isolate && len(e.stack) > 1:
		e.stack = e.stack[:len(e.stack)-1]
	}
}

func popIsolate(stack []embedding) []embedding {
	for !stack[len(stack)-1].isolate {
		stack = stack[:len(stack)-1]
	}
	return stack[:len(stack)-1]
}

func (e *explicit) overridden(i int) {
	if override := e.top().override; override != bidi.ON {
		e.classes[i] = override
	}
}

// finish resets white space at the end and before separators (L1), and gives removed characters their levels.
func (p *paragraph) finish() {
	for i := range p.levels {
		if p.removed[i] {
			p.levels[i] = p.base
			if i > 0 {
				p.levels[i] = p.levels[i-1]
			}
		}
	}
	trailing := true
	for i := len(p.levels) - 1; i >= 0; i-- {
		switch c := p.original[i]; {
		case c == bidi.S, c == bidi.B:
			trailing = true
		case c == bidi.WS, isolates(c), c == bidi.PDI, p.removed[i]:
		default:
			trailing = false
		}
		if trailing {
			p.levels[i] = p.base
		}
	}
}
