package calendar

import (
	"bytes"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-ical"
	"github.com/stretchr/testify/require"

	"housecall/internal/testing/apitest"
)

var (
	tuesday = time.Date(2026, time.March, 3, 9, 0, 0, 0, time.UTC)
	clinic  = Party{Name: "Housecall", Email: "clinic@clinic.example"}
	ada     = Party{Name: "Ada O'Brien, Jr.", Email: "ada+care@patient.example"}
)

func booked() Event {
	return Event{
		UID: UID("APP0123456789"), Sequence: 2, Stamp: tuesday.Add(-48 * time.Hour), StartsAt: tuesday,
		EndsAt:      tuesday.Add(30 * time.Minute),
		Summary:     "Appointment with Dr Cara Lim",
		Description: "Please be there five minutes early; bring letters, if any.\nSee you soon!",
		URL:         "https://clinic.example/appointments/APP0123456789", Organizer: clinic, Attendees: []Party{ada},
	}
}

// sheet parses a file, first by the rules for lines, then with another library than the writer's.
func sheet(t require.TestingT, file []byte) *ical.Calendar {
	lines := strings.Split(string(file), "\r\n")
	require.Empty(t, lines[len(lines)-1], "the last line ends, too")
	for _, l := range lines {
		require.LessOrEqual(t, len(l), 75, "%q", l)
		require.True(t, utf8.ValidString(l), "no fold within a character: %q", l)
		require.False(t, strings.ContainsFunc(l, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }), "%q", l)
		require.False(t, strings.ContainsAny(l, "\u2028\u2029"), "%q", l)
	}
	c, err := ical.NewDecoder(bytes.NewReader(file)).Decode()
	require.NoError(t, err)
	// The parser's encoder refuses components that lack a required property, repeat one, or break a line.
	for _, child := range c.Children {
		delete(child.Props, "ATTENDEE") // the encoder accepts only one
	}
	var again bytes.Buffer
	require.NoError(t, ical.NewEncoder(&again).Encode(c))
	c, err = ical.NewDecoder(bytes.NewReader(file)).Decode()
	require.NoError(t, err)
	return c
}

// value returns the text of the only property of that name.
func value(t require.TestingT, p ical.Props, name string) string {
	require.Len(t, p.Values(name), 1, name)
	prop := p.Get(name)
	if prop.ValueType() != ical.ValueText {
		return prop.Value
	}
	s, err := prop.Text()
	require.NoError(t, err)
	return s
}

func names(p ical.Props) []string {
	var out []string
	for name, all := range p {
		for range all {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	apitest.GoldenFile(t, name+".ics", got)
}

// A request, its change and its end are one event to a calendar program: one UID, with a sequence that rises.
func TestMessage_RequestChangeCancel(t *testing.T) {
	t.Parallel()
	moved, off := booked(), booked()
	moved.Sequence, moved.StartsAt, moved.EndsAt = 3, tuesday.Add(24*time.Hour), tuesday.Add(25*time.Hour)
	off.Sequence, off.Cancelled, off.StartsAt, off.EndsAt = 4, true, moved.StartsAt, moved.EndsAt
	sequence := ""
	for i, c := range []struct {
		name, method, status string
		event                Event
	}{
		{
			"request", Request, "CONFIRMED", booked(),
		}, {"changed", Request, "CONFIRMED", moved}, {"cancel", Cancel, "CANCELLED", off},
	} {
		file, err := Message(c.method, c.event)
		require.NoError(t, err)
		golden(t, c.name, file)
		got := sheet(t, file)
		require.Equal(t, c.method, value(t, got.Props, "METHOD"))
		require.Equal(t, "2.0", value(t, got.Props, "VERSION"))
		require.Equal(t, product, value(t, got.Props, "PRODID"))
		require.Len(t, got.Children, 1)
		e := got.Events()[0]
		require.Equal(t, "APP0123456789@housecall", value(t, e.Props, "UID"))
		require.Equal(t, c.status, value(t, e.Props, "STATUS"))
		require.Greater(t, value(t, e.Props, "SEQUENCE"), sequence)
		sequence = value(t, e.Props, "SEQUENCE")
		require.Equal(t, fmt.Sprint(i+2), sequence)
		start, err := e.DateTimeStart(nil)
		require.NoError(t, err)
		require.Equal(t, c.event.StartsAt, start)
		end, err := e.DateTimeEnd(nil)
		require.NoError(t, err)
		require.Equal(t, c.event.EndsAt, end)
		prefix := map[bool]string{true: "Cancelled: "}[c.event.Cancelled] // for programs that ignore STATUS
		require.Equal(t, prefix+booked().Summary, value(t, e.Props, "SUMMARY"))
		require.Equal(t, booked().Description, value(t, e.Props, "DESCRIPTION"))
		require.Equal(t, booked().URL, value(t, e.Props, "URL"))
		require.Equal(t, "mailto:clinic@clinic.example", value(t, e.Props, "ORGANIZER"))
		require.Equal(t, "mailto:ada+care@patient.example", value(t, e.Props, "ATTENDEE"))
		attendee := e.Props.Get("ATTENDEE")
		require.Equal(t, []string{"Ada O'Brien‚ Jr."}, attendee.Params.Values("CN"),
			"no backslash in it, and one name of it")
		require.Equal(t, "FALSE", attendee.Params.Get("RSVP"), "nobody reads an answer")
		require.Equal(t, "ACCEPTED", attendee.Params.Get("PARTSTAT"))
	}
}

func TestMessage_SeveralAttendees(t *testing.T) {
	t.Parallel()
	e := booked()
	e.Attendees = []Party{ada, {Name: "\r\n", Email: "second@patient.example"}}
	file, err := Message(Request, e)
	require.NoError(t, err)
	all := sheet(t, file).Events()[0].Props.Values("ATTENDEE")
	require.Len(t, all, 2)
	require.Equal(t, "mailto:second@patient.example", all[1].Value)
	require.NotContains(t, all[1].Params, "CN", "an invalid name is left out")
}

func TestMessage_Refusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method string
		change func(*Event)
		want   error
	}{
		"method":             {"PUBLISH", func(*Event) {}, errMethod},
		"no UID":             {Request, func(e *Event) { e.UID = " \r\n" }, errNameless},
		"before the first":   {Request, func(e *Event) { e.Sequence = -1 }, errNameless},
		"no stamp":           {Request, func(e *Event) { e.Stamp = time.Time{} }, errTimes},
		"no start":           {Request, func(e *Event) { e.StartsAt = time.Time{} }, errTimes},
		"end before start":   {Request, func(e *Event) { e.EndsAt = e.StartsAt }, errTimes},
		"less than a second": {Request, func(e *Event) { e.EndsAt = e.StartsAt.Add(time.Millisecond) }, errTimes},
		"five digits":        {Request, func(e *Event) { e.EndsAt = e.StartsAt.AddDate(8000, 0, 0) }, errTimes},
		"cancelled":          {Request, func(e *Event) { e.Cancelled = true }, errCancelled},
		"not cancelled":      {Cancel, func(*Event) {}, errCancelled},
		"no organizer":       {Request, func(e *Event) { e.Organizer.Email = "" }, errParties},
		"nobody":             {Request, func(e *Event) { e.Attendees = nil }, errParties},
		"no address":         {Request, func(e *Event) { e.Attendees = []Party{ada, {Name: "B", Email: "@"}} }, errParties},
		"URL":                {Request, func(e *Event) { e.URL = "javascript:alert(1)" }, errURL},
		"URL with a break":   {Request, func(e *Event) { e.URL = "https://a.example/\r\nX:1" }, errURL},
		"relative URL":       {Request, func(e *Event) { e.URL = "/appointments" }, errURL},
	} {
		e := booked()
		c.change(&e)
		_, err := Message(c.method, e)
		require.ErrorIs(t, err, c.want, name)
	}
}

func TestMessage_Texts(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("größer als 75 Zeichen 🩺", 20)
	for name, c := range map[string]struct{ summary, wantSummary, description, wantDescription, cn, wantCN string }{
		"escapes": {`a,b;c\d:e"f`, `a,b;c\d:e"f`, "a,b;c\\d\\n\ne", "a,b;c\\d\\n\ne", `a,b;c:d`, `a‚b；c∶d`},
		"line breaks": {
			"a\r\nb\nc\rd", "a b c d", "a\r\nb\nc\rd\u2028e\u0085f", "a\nb\nc\nd\ne\nf", "a\r\nb\u2029c", "a b c",
		},
		"injection": {
			"a\r\nATTENDEE:mailto:x@x.example", "a ATTENDEE:mailto:x@x.example", "\r\nEND:VEVENT\r\n", "\nEND:VEVENT\n",
			"a\":mailto:x\r\nX-Y:1", "a”∶mailto∶x X-Y∶1",
		},
		"controls": {"a\x00b\x07c\x7fd\te", "abcd e", "a\x00b\tc", "ab\tc", "\x00a\tb", "a b"},
		"long":     {long, long, long, long, long, long},
		"no spaces": {
			strings.Repeat("ü", 300), strings.Repeat("ü", 300), strings.Repeat("🩺", 300), strings.Repeat("🩺", 300),
			strings.Repeat("é", 300), strings.Repeat("é", 300),
		},
		"not UTF-8": {"a\xff\xfeb", "a\uFFFDb", "a\xc3", "a\uFFFD", "\xf0\x9f\xa9b", "\uFFFDb"},
		"carets":    {"a^b", "a^b", "a^nb", "a^nb", "a^nb", "aˆnb"},
		"fold markers": {
			strings.Repeat("<a>", 60), strings.Repeat("<a>", 60), strings.Repeat(" x", 100), strings.Repeat(" x", 100),
			strings.Repeat("a <b>", 60), strings.Repeat("a <b>", 60),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := booked()
			e.Summary, e.Description, e.Attendees[0].Name = c.summary, c.description, c.cn
			file, err := Message(Request, e)
			require.NoError(t, err)
			got := sheet(t, file).Events()[0].Props
			require.Equal(t, c.wantSummary, value(t, got, "SUMMARY"))
			require.Equal(t, c.wantDescription, value(t, got, "DESCRIPTION"))
			require.Equal(t, []string{c.wantCN}, got.Get("ATTENDEE").Params.Values("CN"))
		})
	}
}

func TestFeed(t *testing.T) {
	t.Parallel()
	off, bad := booked(), booked()
	off.UID, off.Cancelled, off.Sequence = UID("APP9876543210"), true, 7
	bad.EndsAt = time.Time{}
	file := Feed("Housecall", booked(), bad, off)
	golden(t, "feed", file)
	got := sheet(t, file)
	require.Equal(t, "PUBLISH", value(t, got.Props, "METHOD"))
	require.Equal(t, "Housecall", value(t, got.Props, "NAME"))
	require.Equal(t, "Housecall", value(t, got.Props, "X-WR-CALNAME"))
	every, err := got.Props.Get("REFRESH-INTERVAL").Duration()
	require.NoError(t, err)
	require.Equal(t, time.Hour, every)
	require.Len(t, got.Events(), 2, "the bad one does not take the others along")
	require.Equal(t, "CONFIRMED", value(t, got.Events()[0].Props, "STATUS"))
	require.Equal(t, "CANCELLED", value(t, got.Events()[1].Props, "STATUS"))
	require.NotContains(t, string(file), "ATTENDEE")
	require.Empty(t, sheetOfEmpty(t).Events())
}

// The parser's encoder refuses a calendar without events, but calendar programs accept it, and an empty feed is no
// error.
func sheetOfEmpty(t *testing.T) *ical.Calendar {
	t.Helper()
	c, err := ical.NewDecoder(bytes.NewReader(Feed("Housecall"))).Decode()
	require.NoError(t, err)
	return c
}

// Whatever the texts contain, it stays in them: the same properties, each once, and the texts unchanged.
func FuzzMessage(f *testing.F) {
	f.Add("Ada", "ada@x.example", "Appointment", "Bring it", "https://clinic.example/a?b=c,d;e",
		"APP0123456789@housecall")
	f.Add("a\r\nATTENDEE:mailto:x", "a\r\nb@x\";:,", "x\r\nEND:VEVENT", "\\n\\;\\,\n", "https://ü.example/ ;x", "x\r\ny")
	f.Add("\"^'", "é@ü", "\xff\xfe", "\u2028\u0085\x00", "http://a/%0d%0a", "\t")
	f.Add(strings.Repeat("ü ", 90), "a@b", strings.Repeat("🩺", 90), strings.Repeat("<x>", 90), "HTTP://A", "u")
	f.Fuzz(func(t *testing.T, name, email, summary, description, address, uid string) {
		e := booked()
		e.UID, e.Summary, e.Description, e.URL = uid, summary, description, address
		e.Organizer, e.Attendees = Party{Name: name, Email: email}, []Party{{Name: name, Email: email}}
		file, err := Message(Request, e)
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		got := sheet(t, file)
		require.Equal(t, []string{"CALSCALE", "METHOD", "PRODID", "VERSION"}, names(got.Props))
		require.Len(t, got.Children, 1)
		want := []string{
			"ATTENDEE", "CLASS", "DTEND", "DTSTAMP", "DTSTART", "LAST-MODIFIED", "ORGANIZER", "SEQUENCE", "STATUS", "SUMMARY",
			"TRANSP", "UID",
		}
		p := got.Events()[0].Props
		if text(description) != "" {
			want = append(want, "DESCRIPTION")
			require.Equal(t, text(description), value(t, p, "DESCRIPTION"))
		}
		if address != "" {
			want = append(want, "URL")
			u, err := url.Parse(value(t, p, "URL"))
			require.NoError(t, err)
			require.NotEmpty(t, u.Host)
		}
		slices.Sort(want)
		require.Equal(t, want, names(p))
		require.Equal(t, line(summary), value(t, p, "SUMMARY"))
		require.Equal(t, line(uid), value(t, p, "UID"))
		for _, property := range []string{"ORGANIZER", "ATTENDEE"} {
			encoded, ok := strings.CutPrefix(value(t, p, property), "mailto:")
			require.True(t, ok)
			back, err := url.PathUnescape(encoded)
			require.NoError(t, err)
			require.Equal(t, email, back)
			cn := p.Get(property).Params.Get("CN")
			require.Equal(t, parameter(name), cn)
			require.False(t, strings.ContainsAny(cn, "\";,:^"), "%q", cn)
		}
	})
}
