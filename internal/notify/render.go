package notify

import (
	"embed"
	"fmt"
	htmltemplate "html/template"
	"strings"
	"text/template"
	"time"

	"housecall/internal/text"
	"housecall/internal/zone"
)

//go:embed templates
var files embed.FS

// An email is worded once, in KIND.txt: the subject on the first line, then blocks between empty lines; the block in
// brackets is the link. Both layouts use that wording, so text and HTML cannot say different things.
var (
	wordings = template.Must(template.New("").Option("missingkey=error").
			ParseFS(files, "templates/*.txt", "templates/parts.tmpl", "templates/moves.tmpl"))
	textLayout = template.Must(template.ParseFS(files, "templates/layout.txt.tmpl"))
	htmlLayout = htmltemplate.Must(htmltemplate.ParseFS(files, "templates/layout.html.tmpl"))
)

// view is what an email may say. There is no place in it for anything clinical.
type view struct {
	Name      string // of the reader; "" if that may be a stranger
	UserID    string // the reader's, where they need it to sign in; "" if that may be a stranger
	Other     string // the other participant
	ForDoctor bool
	Former    bool   // for the doctor who handed it over
	Pending   bool   // it waits for the doctor's answer
	ByPatient bool   // the patient did it
	By        string // who did it: "you", "other" (the other participant) or "clinic"; "" if that is not known
	Clinic    string // its name
	WasBooked bool
	// Asked is, of an email address: another one was requested, and this one is still the account's; of an appointment
	// that was handed over: it is a request that was not answered yet.
	Asked     bool
	When      string // "" for a request without a time
	WhenThere string // the same in the doctor's zone, "" if the clocks agree
	Was       times  // the time before a move
	Proposed  times
	Stands    bool // the appointment is booked, whatever becomes of the proposal
	Fate      Fate
	Until     string
	Token     string
	Count     int
	Link      string
	Home      string
}

// block is a paragraph or, with Action, the text of the link.
type block struct {
	Text   string
	Action bool
}

// page is an email before it is laid out.
type page struct {
	Subject, Name, Link, Home, Clinic string
	Optional                          bool // the reader can turn such emails off
	Blocks                            []block
}

// render words an email.
func render(k Kind, v view) (subject, plain, html string, err error) {
	// One line each, so that they can neither begin a block nor end a line. New names are checked; this is for those in
	// older data.
	v.Name, v.Other, v.Token = text.OneLine(v.Name), text.OneLine(v.Other), text.OneLine(v.Token)
	v.Clinic = text.OneLine(v.Clinic)
	var worded strings.Builder
	if err := wordings.ExecuteTemplate(&worded, k.template(), v); err != nil {
		return "", "", "", fmt.Errorf("word an email %s: %w", k, err)
	}
	parts := strings.Split(strings.TrimSpace(worded.String()), "\n\n")
	p := page{Subject: parts[0], Name: v.Name, Link: v.Link, Home: v.Home, Clinic: v.Clinic, Optional: !k.Security()}
	for _, part := range parts[1:] {
		label, action := strings.CutPrefix(part, "[")
		if action {
			part = strings.TrimSuffix(label, "]")
		}
		p.Blocks = append(p.Blocks, block{part, action})
	}
	var t, h strings.Builder
	if err := textLayout.Execute(&t, p); err != nil {
		return "", "", "", fmt.Errorf("lay out an email %s: %w", k, err)
	}
	if err := htmlLayout.Execute(&h, p); err != nil {
		return "", "", "", fmt.Errorf("lay out an email %s: %w", k, err)
	}
	return p.Subject, t.String(), h.String(), nil
}

const (
	dayLayout  = "Monday, 2 January 2006, "
	timeLayout = "15:04"
	zoneLayout = "15:04 (UTC-07:00)" // where the time alone could be misread
)

// moment is a time as people read it, with the name of its zone; with the offset, too, if the clock shows it twice.
func moment(t time.Time, loc *time.Location) string {
	layout := timeLayout
	if twice(t, loc) {
		layout = zoneLayout
	}
	return t.In(loc).Format(dayLayout+layout) + " (" + loc.String() + ")"
}

// span is the time of an appointment. In the night of a change of the clocks it has the offsets and the duration:
// "02:30–02:00" would be a riddle.
func span(start time.Time, end *time.Time, loc *time.Location) string {
	if end == nil {
		return moment(start, loc)
	}
	from, to := start.In(loc), end.In(loc)
	if from.YearDay() != to.YearDay() || from.Year() != to.Year() {
		return moment(start, loc) + " to " + moment(*end, loc)
	}
	if !agreeAcross(from, to) || twice(from, loc) || twice(to, loc) {
		return fmt.Sprintf("%s to %s, %d minutes (%s)", from.Format(dayLayout+zoneLayout), to.Format(zoneLayout),
			int(end.Sub(start).Minutes()), loc)
	}
	return from.Format(dayLayout+timeLayout) + "–" + to.Format(timeLayout) + " (" + loc.String() + ")"
}

// agreeAcross reports whether the clock does not change between two times in one zone.
func agreeAcross(a, b time.Time) bool {
	_, x := a.Zone()
	_, y := b.Zone()
	return x == y
}

// twice reports whether the clock in a zone shows the time of t on two occasions, since it is set back in between.
func twice(t time.Time, loc *time.Location) bool {
	local := t.In(loc)
	_, offset := local.Zone()
	begin, end := local.ZoneBounds()
	if !begin.IsZero() {
		_, before := begin.Add(-time.Second).In(loc).Zone()
		if back := time.Duration(before-offset) * time.Second; back > 0 && local.Sub(begin) < back {
			return true
		}
	}
	if end.IsZero() {
		return false
	}
	_, after := end.In(loc).Zone()
	back := time.Duration(offset-after) * time.Second
	return back > 0 && end.Sub(local) <= back
}

// agree reports whether clocks in two zones show the same at t.
func agree(t time.Time, a, b *time.Location) bool {
	_, x := t.In(a).Zone()
	_, y := t.In(b).Zone()
	return x == y
}

// zoneOf is the zone of that name, or the clinic's.
func (s *Service) zoneOf(name string) *time.Location {
	if loc, err := zone.Load(name); err == nil {
		return loc
	}
	return s.options.Zone
}

// at words a time for a reader in one zone and a doctor in another.
func at(v *view, start time.Time, end *time.Time, reader, doctor *time.Location) {
	v.When = span(start, end, reader)
	if !agree(start, reader, doctor) {
		v.WhenThere = span(start, end, doctor)
	}
}
