package search

import (
	"cmp"
	"slices"
	"unicode"
)

const (
	snippetMax    = 200 // how many code points of a text a result shows
	snippetBefore = 60  // how many of them may come before the first highlight
	ellipsis      = '…'
)

// union sorts spans and joins those that overlap or touch.
func union(all []Span) []Span {
	slices.SortFunc(all, func(a, b Span) int { return cmp.Compare(a.From, b.From) })
	out := all[:0]
	for _, s := range all {
		if n := len(out); n > 0 && s.From <= out[n-1].To {
			out[n-1].To = max(out[n-1].To, s.To)
			continue
		}
		out = append(out, s)
	}
	return out
}

// snippet returns the part of a text around the first highlight, on one line, and where the highlights are in it.
// Highlights outside the snippet are left out.
func snippet(text string, highlights []Span) (string, []Span) {
	runes := []rune(text)
	from, to := 0, len(runes)
	if to > snippetMax {
		if len(highlights) > 0 && highlights[0].From > snippetBefore {
			from = breakAfter(runes, highlights[0].From-snippetBefore, highlights[0].From)
		}
		from = min(from, to-snippetMax)
		to = from + snippetMax
	}
	for from > 0 && unicode.Is(unicode.M, runes[from]) {
		from-- // a letter stays with its marks
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
	shown := make([]Span, 0, len(highlights))
	for _, h := range highlights {
		if h.To = min(h.To, to); h.From < h.To && h.From >= from {
			shown = append(shown, Span{h.From + shift, h.To + shift})
		}
	}
	return string(out), shown
}

// breakAfter returns the first place at or after at that follows a space, or at itself if there is none before end.
func breakAfter(runes []rune, at, end int) int {
	for i := at; i < end; i++ {
		if unicode.IsSpace(runes[i]) {
			return i + 1
		}
	}
	return at
}
