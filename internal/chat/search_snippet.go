package chat

import (
	"cmp"
	"slices"
	"unicode"
)

const (
	snippetMax    = 200 // code points of a text that a result shows
	snippetBefore = 60  // how many of them may stand before the first highlight
	ellipsis      = '…'
)

// union puts spans in order and joins those that overlap or touch.
func union(all []span) []span {
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	out := all[:0]
	for _, s := range all {
		if n := len(out); n > 0 && s.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
			continue
		}
		out = append(out, s)
	}
	return out
}

// snippet cuts what a result shows out of a text: the surroundings of the first highlight, on one line. highlights come
// back as they stand in the snippet; those that it does not reach are left out.
func snippet(text string, highlights []span) (string, []span) {
	runes := []rune(text)
	from, to := 0, len(runes)
	if to > snippetMax {
		if len(highlights) > 0 && highlights[0].from > snippetBefore {
			from = breakAfter(runes, highlights[0].from-snippetBefore, highlights[0].from)
		}
		from = min(from, to-snippetMax)
		to = from + snippetMax
	}
	for from > 0 && unicode.Is(unicode.M, runes[from]) {
		from-- // never part a letter from its marks
	}
	out := make([]rune, 0, to-from+2)
	if from > 0 {
		out = append(out, ellipsis)
	}
	shift := len(out) - from
	for _, r := range runes[from:to] {
		if unicode.IsSpace(r) || unicode.IsControl(r) {
			r = ' '
		}
		out = append(out, r)
	}
	if to < len(runes) {
		out = append(out, ellipsis)
	}
	shown := make([]span, 0, len(highlights))
	for _, h := range highlights {
		if h.to = min(h.to, to); h.from < h.to && h.from >= from {
			shown = append(shown, span{h.from + shift, h.to + shift})
		}
	}
	return string(out), shown
}

// breakAfter gives the first place after a space from at on, or at if there is none before end.
func breakAfter(runes []rune, at, end int) int {
	for i := at; i < end; i++ {
		if unicode.IsSpace(runes[i]) {
			return i + 1
		}
	}
	return at
}
