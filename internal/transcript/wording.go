package transcript

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// How times are written for people. The events of a day are listed under its date.
const (
	dayFormat   = "Monday, 2 January 2006"
	clockFormat = "15:04:05 MST"
	fullFormat  = "2 January 2006, 15:04:05 MST"
)

// fact is a line in a transcript's heading.
type fact struct {
	name, value string
	typed       bool // whether a person wrote all of the value
}

// quote marks what people wrote inside of other words.
type quote func(string) string

func asItIs(s string) string { return s }

// isolated keeps the direction of a text from changing the order of what is around it, and the other way round (Unicode
// Standard Annex 9, 2.4).
func isolated(s string) string {
	if plain(s) {
		return s
	}
	return "\u2068" + s + "\u2069"
}

// plain tells whether a text is printable ASCII.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// facts returns the heading of a transcript for people.
func (f Facts) facts(q quote) []fact {
	a := f.Appointment
	out := []fact{{"Appointment", a.ID + " (" + strings.ToLower(strings.ReplaceAll(a.Status, "_", " ")) + ")", false}}
	if a.StartsAt != nil && a.EndsAt != nil {
		from, to := a.StartsAt.In(f.Zone), a.EndsAt.In(f.Zone)
		out = append(out, fact{"Time", from.Format("Monday, 2 January 2006, 15:04") + " to " + to.Format("15:04 MST"), false})
	}
	for _, p := range f.Participants {
		out = append(out, fact{capitalized(p.Role), q(oneLine(p.Name)) + " (" + p.UserID + ")", false})
	}
	if a.Reason != "" {
		out = append(out, fact{"Reason", a.Reason, true})
	}
	return append(out,
		fact{"Events", strconv.FormatInt(f.HeadSeq, 10), false},
		fact{"Generated", f.GeneratedAt.In(f.Zone).Format(fullFormat), false},
		fact{"Times are in", f.Zone.String(), false})
}

func capitalized(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + strings.ToLower(s[1:])
}

// paragraph is an entry in words for people.
type paragraph struct {
	head  string // when and who
	text  string // what they said; "" for nothing
	notes []string
}

// writer puts entries into words.
type writer struct {
	facts Facts
	quote quote
	names map[string]string // by user id
	day   string            // of the last entry
}

func newWriter(f Facts, q quote) *writer {
	w := &writer{facts: f, quote: q, names: map[string]string{}}
	for _, p := range f.Participants {
		w.names[p.UserID] = p.Name
	}
	return w
}

// newDay returns the date of an entry, and whether it is the first of that date.
func (w *writer) newDay(e Entry) (day string, first bool) {
	day = e.At.In(w.facts.Zone).Format(dayFormat)
	first = day != w.day
	w.day = day
	return day, first
}

func (w *writer) tell(e Entry) paragraph {
	p := paragraph{head: fmt.Sprintf("%d  %s  %s", e.Seq, e.At.In(w.facts.Zone).Format(clockFormat), w.quote(w.who(e)))}
	switch {
	case e.Kind == kindRetraction:
		p.notes = append(p.notes, fmt.Sprintf("[retracted message %d]", e.Target))
	case e.Kind == kindCorrection:
		p.notes = append(p.notes, fmt.Sprintf("[corrected message %d]", e.Target))
	case e.RetractedAt != nil:
		p.notes = append(p.notes, "[message retracted at "+w.full(*e.RetractedAt)+"]")
	case e.Attachment != nil:
		a := e.Attachment
		p.notes = append(p.notes,
			fmt.Sprintf("[file %s, %s, %d bytes, SHA-256 %s]", w.quote(oneLine(a.Name)), a.MediaType, a.Size, a.SHA256))
	case e.Text != nil:
		p.text = *e.Text
	}
	if e.CorrectedAt != nil && e.RetractedAt == nil && e.Kind != kindCorrection {
		p.notes = append(p.notes, fmt.Sprintf("[corrected at %s, by %d]", w.full(*e.CorrectedAt), e.CorrectedBy))
	}
	if e.Original != nil {
		p.notes = append(p.notes, "[originally: "+w.quote(*e.Original)+"]")
	}
	return p
}

func (w *writer) who(e Entry) string {
	if e.Kind == kindSystem {
		return "System"
	}
	if name := w.names[e.Sender]; name != "" {
		return oneLine(name)
	}
	return e.Sender
}

func (w *writer) full(t time.Time) string { return t.In(w.facts.Zone).Format(fullFormat) }

// oneLine removes line breaks, with which a name could imitate lines of the transcript itself.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
}

// newlines replaces all line separators with U+000A, and tabs with spaces.
var newlines = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\v", "\n", "\f", "\n",
	"\u0085", "\n", "\u2028", "\n", "\u2029", "\n", "\t", "    ")

// lines returns the lines of a text, whatever separates them, without characters that would affect a terminal or a
// page.
func lines(s string) []string {
	out := strings.Split(newlines.Replace(s), "\n")
	for i, line := range out {
		out[i] = oneLine(line)
	}
	return out
}

// closing returns the lines at the end of a transcript.
func closing(f Facts, sum string) []string {
	return []string{
		fmt.Sprintf("End of the transcript of %d events.", f.HeadSeq),
		"SHA-256 " + sum,
		"Computed over the events of the JSON transcript, one per line, each in canonical form (RFC 8785) without " +
			"\"local\", after a first line with version, appointmentId and headSeq.",
	}
}
