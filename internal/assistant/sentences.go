package assistant

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// mostSentenceBytes is more than any sentence has; a model that writes on without an end talks nonsense.
const mostSentenceBytes = 2000

// sentences cuts a text that comes in pieces into sentences. Together they are the text, spaces included.
type sentences struct{ rest string }

// add takes another piece and returns the sentences that are complete now.
func (s *sentences) add(piece string) (done []string) {
	s.rest += piece
	for {
		n := sentenceEnd(s.rest)
		if n == 0 {
			return done
		}
		done = append(done, s.rest[:n])
		s.rest = s.rest[n:]
	}
}

// end returns what is left, which may be an incomplete sentence; "" for nothing.
func (s *sentences) end() string {
	rest := s.rest
	s.rest = ""
	return rest
}

// sentenceEnd returns the length of the first sentence with the space after it; 0 while it may go on. "2.5 mg" does
// not end at its point.
func sentenceEnd(s string) int {
	stopped, spaced := false, false
	for i, r := range s {
		switch {
		case r == '\n' && strings.TrimSpace(s[:i]) != "":
			return i + 1
		case stopped && unicode.IsSpace(r):
			spaced = true
		case stopped && spaced:
			return i
		case strings.ContainsRune(".!?…", r):
			stopped = true
		case stopped && strings.ContainsRune(`"'”’»)]*_`, r):
		default:
			stopped, spaced = false, false
		}
	}
	return 0
}

// tidy removes markup that the pages do not show, and what no text needs. It keeps the spaces at both ends.
func tidy(s string) string {
	s = strings.NewReplacer("**", "", "__", "", "`", "", "### ", "", "## ", "", "# ", "").Replace(s)
	return strings.Map(func(r rune) rune {
		if r != '\n' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, s)
}

// thoughts removes what a model thinks aloud, between <think> and </think>, from a text that comes in pieces.
type thoughts struct {
	rest   string
	inside bool
}

const thinkBegin, thinkEnd = "<think>", "</think>"

// add takes another piece and returns what is not thought.
func (t *thoughts) add(piece string) string {
	t.rest += piece
	var out strings.Builder
	for {
		mark := thinkBegin
		if t.inside {
			mark = thinkEnd
		}
		before, after, found := strings.Cut(t.rest, mark)
		if !found {
			kept := overlap(t.rest, mark)
			if !t.inside {
				out.WriteString(t.rest[:len(t.rest)-kept])
			}
			t.rest = t.rest[len(t.rest)-kept:]
			return out.String()
		}
		if !t.inside {
			out.WriteString(before)
		}
		t.rest, t.inside = after, !t.inside
	}
}

// end returns what was kept back because it looked like the beginning of a mark.
func (t *thoughts) end() string {
	if t.inside {
		return ""
	}
	return t.rest
}

// overlap returns the length of the longest end of s that begins mark.
func overlap(s, mark string) int {
	for n := min(len(s), len(mark)-1); n > 0; n-- {
		if strings.HasSuffix(s, mark[:n]) {
			return n
		}
	}
	return 0
}
