package calendar

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"

	ics "github.com/arran4/golang-ical"
)

// Methods of messages (RFC 5546, 3.2).
const (
	Request = "REQUEST" // the event is on, or has changed
	Cancel  = "CANCEL"  // it is cancelled: the UID that was sent before, with a higher sequence
)

const (
	product = "-//Housecall//Housecall//EN"
	// refresh is how often a calendar program is asked to read a feed again (RFC 7986, 5.7).
	refresh = "PT1H"
)

// What is wrong with an event. None quotes it.
var (
	errMethod    = errors.New("calendar: the method must be REQUEST or CANCEL")
	errCancelled = errors.New("calendar: CANCEL is for cancelled events, and REQUEST for all others")
	errNameless  = errors.New("calendar: an event needs a UID and a sequence that is not negative")
	errTimes     = errors.New("calendar: an event needs a stamp and an end after its start, in years of four digits")
	errParties   = errors.New("calendar: an event needs an organizer and an attendee with addresses")
	errURL       = errors.New("calendar: an event's URL must be an absolute one of http or https")
)

// Message makes the iTIP message about an event, to be sent as text/calendar with the same method as a parameter. A
// CANCEL is for a cancelled event, a REQUEST for any other. A message is about one event, since several would have to
// be occurrences of the same one (RFC 5546, 3.2.2). Texts may contain anything: what cannot be written is replaced or
// left out.
func Message(method string, e Event) ([]byte, error) {
	if method != Request && method != Cancel {
		return nil, errMethod
	}
	if err := e.sendable(method); err != nil {
		return nil, err
	}
	c := newCalendar(ics.Method(method))
	c.AddVEvent(e.component(true))
	return serialize(c), nil
}

// Feed makes the calendar that is published under a name. Attendees are left out of it (RFC 5546, 3.2.1), and so are
// events that cannot be written: one bad row must not remove all others from somebody's calendar.
func Feed(name string, events ...Event) []byte {
	c := newCalendar(ics.MethodPublish)
	c.SetName(line(name)) // NAME (RFC 7986), and X-WR-CALNAME for the programs that do not know it
	c.SetRefreshInterval(refresh)
	c.SetXPublishedTTL(refresh)
	for _, e := range events {
		if e.valid() == nil {
			c.AddVEvent(e.component(false))
		}
	}
	return serialize(c)
}

func newCalendar(method ics.Method) *ics.Calendar {
	c := ics.NewCalendar()
	c.SetProductId(product)
	c.SetCalscale("GREGORIAN")
	c.SetMethod(method)
	return c
}

// serialize writes CRLF, and folds lines at 75 octets between characters (RFC 5545, 3.1).
func serialize(c *ics.Calendar) []byte { return []byte(c.Serialize(ics.WithNewLineWindows)) }

// valid returns the reason why the event cannot be written, nil if it can.
func (e Event) valid() error {
	year := func(t time.Time) bool { return !t.IsZero() && t.UTC().Year() >= 1 && t.UTC().Year() <= 9999 }
	_, ok := webAddress(e.URL)
	switch {
	case line(e.UID) == "" || e.Sequence < 0:
		return errNameless
	case !year(e.Stamp) || !year(e.StartsAt) || !year(e.EndsAt) || !seconds(e.EndsAt).After(seconds(e.StartsAt)):
		return errTimes
	case e.URL != "" && !ok:
		return errURL
	}
	return nil
}

// sendable returns the reason why the event cannot be sent with a method, nil if it can.
func (e Event) sendable(method string) error {
	if err := e.valid(); err != nil {
		return err
	}
	if e.Cancelled != (method == Cancel) {
		return errCancelled
	}
	if !addressed(e.Organizer) || len(e.Attendees) == 0 {
		return errParties
	}
	for _, p := range e.Attendees {
		if !addressed(p) {
			return errParties
		}
	}
	return nil
}

// addressed reports whether the party's address looks like one; mailto makes any such text harmless.
func addressed(p Party) bool {
	at := strings.LastIndexByte(p.Email, '@')
	return at > 0 && at < len(p.Email)-1
}

func seconds(t time.Time) time.Time { return t.Truncate(time.Second) }

// component writes the event.
func (e Event) component(withAttendees bool) *ics.VEvent {
	v := ics.NewEvent(line(e.UID))
	v.SetDtStampTime(e.Stamp)
	v.SetLastModifiedAt(e.Stamp)
	v.SetSequence(e.Sequence)
	v.SetStartAt(e.StartsAt)
	v.SetEndAt(e.EndsAt)
	if e.Cancelled {
		v.SetSummary("Cancelled: " + line(e.Summary))
	} else {
		v.SetSummary(line(e.Summary))
	}
	if d := text(e.Description); d != "" {
		v.SetDescription(d)
	}
	if address, ok := webAddress(e.URL); ok {
		v.SetURL(address)
	}
	v.SetClass(ics.ClassificationPrivate) // in a shared calendar, others see only that the time is taken
	if e.Cancelled {
		v.SetStatus(ics.ObjectStatusCancelled)
		v.SetTimeTransparency(ics.TransparencyTransparent)
	} else {
		v.SetStatus(ics.ObjectStatusConfirmed)
		v.SetTimeTransparency(ics.TransparencyOpaque)
	}
	if addressed(e.Organizer) {
		addParty(v, ics.ComponentPropertyOrganizer, e.Organizer, "")
	}
	if !withAttendees {
		return v
	}
	for _, p := range e.Attendees {
		// The appointment is already agreed on, and nobody would read a reply by mail.
		addParty(v, ics.ComponentPropertyAttendee, p, ";CUTYPE=INDIVIDUAL;ROLE=REQ-PARTICIPANT;PARTSTAT=ACCEPTED;RSVP=FALSE")
	}
	return v
}

// addParty writes a party. It passes the parameters as part of the property's name: the library would escape the value
// of a CN, such as O'Brien, with backslashes, which RFC 5545 (3.2) allows in texts only.
func addParty(v *ics.VEvent, property ics.ComponentProperty, p Party, parameters string) {
	if name := parameter(p.Name); name != "" {
		parameters = `;CN="` + name + `"` + parameters
	}
	v.AddProperty(property+ics.ComponentProperty(parameters), mailto(p.Email))
}

// mailto is the URI of an address (RFC 6068), with every character encoded that has a meaning in a URI or to the
// library.
func mailto(email string) string {
	var b strings.Builder
	b.WriteString("mailto:")
	for i := range len(email) {
		c := email[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("@.-_~+!$'*", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// webAddress returns s as a URL that a line may contain; ok only if it is absolute and has printable ASCII alone.
func webAddress(s string) (string, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", false
	}
	s = u.String()
	return s, !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= unicode.MaxASCII })
}

// text makes a text of several lines fit to be written: valid UTF-8, lines that end in LF alone (the library escapes
// it), and no control characters except tabs (RFC 5545, 3.3.11).
func text(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case breaks(r):
			return '\n'
		case r != '\t' && unicode.IsControl(r):
			return -1
		}
		return r
	}, s)
}

// breaks reports whether a program may begin a new line at r.
func breaks(r rune) bool { return strings.ContainsRune("\n\r\v\f\u0085\u2028\u2029", r) }

// line is text for one line: line breaks and tabs become spaces, and spaces at both ends are removed.
func line(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		return r
	}, text(s)))
}

// parameter is line for a parameter's value. Quotes would allow all characters in it but a quotation mark (RFC 5545,
// 3.2). But programs cut a quoted value at a semicolon, and do not know the escapes of RFC 6868, which begin with a
// caret. So what has a meaning in a line is replaced by what looks like it.
func parameter(s string) string {
	return strings.NewReplacer(`"`, "”", "^", "ˆ", ";", "；", ",", "‚", ":", "∶").Replace(line(s))
}
