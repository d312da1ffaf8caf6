package notify

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	own "housecall/internal/mail"
)

// wording returns an email as its golden file has it.
func wording(m own.Message) string {
	head := "Message-ID: " + m.ID + "\nTo: " + m.To.Name + " <" + m.To.Email + ">\nSubject: " + m.Subject + "\n"
	if m.Calendar != nil {
		head += "Calendar: " + m.Method + "\n"
	}
	return head + "\n" + m.Text + "\n----------\n" + m.HTML
}

// pages are all emails about appointments: to whom, and how the appointment stands.
var pages = map[string]struct {
	kind      Kind
	to        int64
	status    appointment.Status
	noTime    bool
	wasBooked bool
	asked     bool
	former    bool
	zone      string // that the reader has chosen
	moved     bool   // from another time
	by        string
	request   bool
}{
	"request_received_patient": {kind: RequestReceived, to: patientID, status: appointment.Pending},
	"request_received_doctor":  {kind: RequestReceived, to: doctorID, status: appointment.Pending},
	"request_received_no_time": {kind: RequestReceived, to: patientID, status: appointment.Pending, noTime: true},
	"confirmed_patient":        {kind: Confirmed, to: patientID, status: appointment.Booked},
	"confirmed_doctor":         {kind: Confirmed, to: doctorID, status: appointment.Booked},
	"confirmed_elsewhere":      {kind: Confirmed, to: patientID, status: appointment.Booked, zone: "America/New_York"},
	"confirmed_same_clock":     {kind: Confirmed, to: patientID, status: appointment.Booked, zone: "Europe/Paris"},
	"rejected":                 {kind: Rejected, to: patientID, status: appointment.Rejected},
	"rejected_doctor":          {kind: Rejected, to: doctorID, status: appointment.Rejected, wasBooked: true},
	"expired_doctor":           {kind: Expired, to: doctorID, status: appointment.Expired, wasBooked: true},
	"cancelled_patient":        {kind: Cancelled, to: patientID, status: appointment.Cancelled, wasBooked: true, by: byDoctor},
	"cancelled_doctor":         {kind: Cancelled, to: doctorID, status: appointment.Cancelled, wasBooked: true, by: byClinic},
	"cancelled_own":            {kind: Cancelled, to: patientID, status: appointment.Cancelled, wasBooked: true, by: byPatient},
	"cancelled_before":         {kind: Cancelled, to: patientID, status: appointment.Cancelled, wasBooked: true},
	"cancelled_request":        {kind: Cancelled, to: doctorID, status: appointment.Cancelled, by: byPatient},
	"rescheduled_patient":      {kind: Rescheduled, to: patientID, status: appointment.Booked, wasBooked: true, moved: true},
	"rescheduled_elsewhere": {
		kind: Rescheduled, to: patientID, status: appointment.Booked, wasBooked: true, moved: true, zone: "Asia/Tokyo",
	},
	"rescheduled_doctor":         {kind: Rescheduled, to: doctorID, status: appointment.Booked, wasBooked: true, moved: true},
	"rescheduled_to_be_answered": {kind: Rescheduled, to: doctorID, status: appointment.Pending, wasBooked: true, asked: true},
	"rescheduled_asked":          {kind: Rescheduled, to: patientID, status: appointment.Pending, wasBooked: true, asked: true},
	"rescheduled_request":        {kind: Rescheduled, to: patientID, status: appointment.Pending},
	"rescheduled_request_doctor": {kind: Rescheduled, to: doctorID, status: appointment.Pending},
	"handed_over_patient":        {kind: HandedOver, to: patientID, status: appointment.Booked, wasBooked: true},
	"handed_over_doctor":         {kind: HandedOver, to: doctorID, status: appointment.Booked, wasBooked: true},
	"handed_over_to_be_answered": {kind: HandedOver, to: doctorID, status: appointment.Pending},
	"handed_over_former":         {kind: HandedOver, to: formerID, status: appointment.Booked, wasBooked: true, former: true},
	"handed_over_request":        {kind: HandedOver, to: patientID, status: appointment.Pending, request: true},
	"handed_over_former_request": {kind: HandedOver, to: formerID, status: appointment.Booked, former: true, request: true},
	"expired":                    {kind: Expired, to: patientID, status: appointment.Expired},
	"reminder_day":               {kind: ReminderDay, to: patientID, status: appointment.Booked},
	"reminder_hour":              {kind: ReminderHour, to: doctorID, status: appointment.Booked},
}

func TestMails_appointments(t *testing.T) {
	t.Parallel()
	w := newWorld(t, winter)
	s, _ := w.instance(w.out)
	kinds := map[Kind]bool{}
	for name, c := range pages {
		kinds[c.kind] = true
		a := anAppointment(c.status, winter)
		if c.noTime {
			a.StartsAt, a.EndsAt = nil, nil
		}
		w.appointments[a.ID] = a
		delete(w.zones, c.to)
		if c.zone != "" {
			w.zones[c.to] = s.zoneOf(c.zone)
		}
		m := moveArgs{
			MailKind: c.kind, Appointment: a.ID, Recipient: c.to, Version: a.Version, WasBooked: c.wasBooked, ByPatient: c.asked,
			Former: c.former, By: c.by, Asked: c.request,
		}
		if c.moved {
			m.Was, m.WasEnd = a.StartsAt.Add(-24*time.Hour), a.EndsAt.Add(-24*time.Hour)
		}
		if c.kind.reminder() || c.former {
			m.StartsAt, m.EndsAt = *a.StartsAt, *a.EndsAt
		}
		if c.former {
			m.Zone = "Europe/Lisbon" // the other doctor's is another one
		}
		require.NoError(t, s.sendMove(t.Context(), m), name)
		sent := w.out.all()
		require.Len(t, sent, 1, name)
		require.Equal(t, winter, sent[0].Date)
		golden(t, name+".txt", wording(sent[0]))
	}
	for _, kind := range aboutAppointments() {
		require.True(t, kinds[kind], "%s has a golden file", kind)
	}
}

func aboutAppointments() []Kind { return kindsWith(func(t traits) bool { return t.status != "" }) }

func TestMails_others(t *testing.T) {
	t.Parallel()
	w := newWorld(t, winter)
	w.people[patientID] = Addressee{
		ID: patientID, UserID: "PAT0123456789", Name: "Pat Morgan", Email: "pat@private.test", Verified: true, Active: true,
	}
	s, _ := w.instance(w.out)
	until := winter.Add(48 * time.Hour)
	kinds := map[Kind]bool{}
	for name, c := range map[string]struct {
		kind   Kind
		letter letter
	}{
		"invitation":     {Invitation, letter{Token: "tok-en_1", Expires: until}},
		"enrolled":       {Enrolled, letter{Token: "tok-en_1", Expires: until}},
		"verify_own":     {VerifyEmail, letter{Token: "tok-en_1", Address: "pat@private.test", Expires: until}},
		"password_reset": {PasswordReset, letter{Token: "tok-en_1", Expires: until}},
		"verify_email":   {VerifyEmail, letter{Token: "tok-en_1", Address: "new@private.test", Expires: until}},
		"email_changed":  {EmailChanged, letter{Address: "old@private.test"}},
		"email_asked":    {EmailChanged, letter{Address: "pat@private.test"}},
		"unread_one":     {Unread, letter{Conversations: 1}},
		"unread_more":    {Unread, letter{Conversations: 3}},
		"waitlist_offer": {WaitlistOffer, letter{
			Offer: "offer-1", Doctor: "Dr. Ada Okafor", Zone: "Asia/Kolkata", StartsAt: winter.Add(72 * time.Hour),
			Expires: winter.Add(2 * time.Hour),
		}},
	} {
		kinds[c.kind] = true
		w.zones[patientID] = nil
		if c.kind == WaitlistOffer {
			w.zones[patientID] = s.zoneOf("Europe/Berlin")
		}
		sealed, err := s.seal(c.letter)
		require.NoError(t, err)
		require.NoError(t,
			s.sendUser(t.Context(), userArgs{MailKind: c.kind, User: patientID, Ref: "0123456789abcdef", Sealed: sealed}), name)
		sent := w.out.all()
		require.Len(t, sent, 1, name)
		golden(t, name+".txt", wording(sent[0]))
	}
	for _, kind := range kindsWith(func(t traits) bool { return t.status == "" && !t.proposal }) {
		require.True(t, kinds[kind], "%s has a golden file", kind)
	}
}

// Nobody can use our emails to send strangers a text as their name: an unverified address may be anybody's.
func TestMails_toStrangers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, winter)
	s, _ := w.instance(w.out)
	const name = "Win now at spam.example"
	for _, c := range []struct {
		kind     Kind
		letter   letter
		verified bool
		told     bool
	}{
		{VerifyEmail, letter{Token: "t", Address: "stranger@private.test"}, true, false},
		{VerifyEmail, letter{Token: "t", Address: "stranger@private.test"}, false, false},
		{PasswordReset, letter{Token: "t"}, false, false},
		{PasswordReset, letter{Token: "t"}, true, true},
		{EmailChanged, letter{Address: "stranger@private.test"}, false, false},
		{Invitation, letter{Token: "t"}, false, true}, // the clinic has named them
		{Enrolled, letter{Token: "t"}, false, true},
	} {
		w.people[patientID] = Addressee{
			ID: patientID, Name: name, Email: "stranger@private.test", Verified: c.verified, Active: true,
		}
		c.letter.Expires = winter.Add(time.Hour)
		sealed, err := s.seal(c.letter)
		require.NoError(t, err)
		require.NoError(t,
			s.sendUser(t.Context(), userArgs{MailKind: c.kind, User: patientID, Ref: "0123456789abcdef", Sealed: sealed}))
		sent := w.out.all()
		require.Len(t, sent, 1)
		require.Equal(t, c.told, strings.Contains(wording(sent[0]), "spam"), "%s, verified %t", c.kind, c.verified)
	}
}

// DST: the wall clock of the day counts, and zones that agree in winter may differ in spring.
func TestMoment(t *testing.T) {
	t.Parallel()
	s := &Service{options: Options{Zone: time.UTC}}
	berlin, newYork := s.zoneOf("Europe/Berlin"), s.zoneOf("America/New_York")
	before, after := time.Date(2026, 3, 28, 8, 0, 0, 0, time.UTC), time.Date(2026, 3, 30, 8, 0, 0, 0, time.UTC)
	require.Equal(t, "Saturday, 28 March 2026, 09:00 (Europe/Berlin)", moment(before, berlin))
	require.Equal(t, "Monday, 30 March 2026, 10:00 (Europe/Berlin)", moment(after, berlin))
	end := time.Date(2026, 3, 30, 4, 10, 0, 0, time.UTC)
	require.Equal(t, "Sunday, 29 March 2026, 23:50 (America/New_York) to Monday, 30 March 2026, 00:10 (America/New_York)",
		span(end.Add(-20*time.Minute), &end, newYork))
	require.True(t, agree(before, berlin, s.zoneOf("Africa/Lagos")))
	require.False(t, agree(after, berlin, s.zoneOf("Africa/Lagos")))
	require.Equal(t, time.UTC, s.zoneOf("Mars/Olympus"))
	for start, want := range map[time.Time]string{
		time.Date(2026, 10, 25, 0, 30, 0, 0, time.UTC): "02:30 (UTC+02:00) to 02:00 (UTC+01:00), 30 minutes",
		time.Date(2026, 10, 25, 0, 0, 0, 0, time.UTC):  "02:00 (UTC+02:00) to 02:30 (UTC+02:00), 30 minutes",
		time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC): "02:30 (UTC+01:00) to 03:00 (UTC+01:00), 30 minutes",
		time.Date(2026, 10, 25, 2, 0, 0, 0, time.UTC):  "03:00–03:30",
		time.Date(2026, 10, 24, 23, 0, 0, 0, time.UTC): "01:00–01:30",
	} {
		end := start.Add(30 * time.Minute)
		require.Equal(t, "Sunday, 25 October 2026, "+want+" (Europe/Berlin)", span(start, &end, berlin))
	}
	ahead := time.Date(2026, 3, 29, 0, 30, 0, 0, time.UTC)
	end = ahead.Add(45 * time.Minute)
	require.Equal(t, "Sunday, 29 March 2026, 01:30 (UTC+01:00) to 03:15 (UTC+02:00), 45 minutes (Europe/Berlin)",
		span(ahead, &end, berlin))
	require.Equal(t, "Sunday, 25 October 2026, 02:30 (UTC+01:00) (Europe/Berlin)",
		moment(time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC), berlin))
}

// Whatever people are called, an email has one subject and one link, and their names are never markup.
func FuzzRender(f *testing.F) {
	f.Add("Pat Morgan", "Dr. Ada Okafor")
	f.Add("<script>alert(1)</script>", "[Click](https://evil.test)")
	f.Add("Pat\n\n[Open]\r\nBcc: eve@evil.test", "\x00\u202e\xff")
	f.Add("{{.Token}}", "{{template \"when\" .}}")
	f.Fuzz(func(t *testing.T, name, other string) {
		for _, kind := range append(aboutAppointments(), TimeProposed, ProposalEnded) {
			v := view{Name: name, Other: other, When: "Tuesday", Link: "https://clinic.test/a", Home: "https://clinic.test/"}
			subject, text, html, err := render(kind, v)
			require.NoError(t, err)
			plain := v
			plain.Name, plain.Other = "Pat", "Ada"
			wantSubject, wantText, wantHTML, err := render(kind, plain)
			require.NoError(t, err)
			require.Equal(t, wantSubject, subject)
			require.Equal(t, strings.Count(wantText, "\n"), strings.Count(text, "\n"), "as many lines")
			for _, c := range []string{"<", ">", "</", "<a "} {
				require.Equal(t, strings.Count(wantHTML, c), strings.Count(html, c), "as much markup")
			}
		}
	})
}
