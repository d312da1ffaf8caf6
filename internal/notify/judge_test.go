package notify

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/jobs"
	own "housecall/internal/mail"
	"housecall/internal/postgres"
)

// An email that is no longer true, or not wanted, is silently dropped when its turn comes.
func TestService_sendMove_judges(t *testing.T) {
	t.Parallel()
	confirmed := moveArgs{MailKind: Confirmed, Appointment: 7, Recipient: patientID, Version: 2}
	reminder := func(k Kind) moveArgs {
		return moveArgs{
			MailKind: k, Appointment: 7, Recipient: patientID, Version: 2, StartsAt: *anAppointment(appointment.Booked, winter).StartsAt,
		}
	}
	moveTo := func(d time.Duration) func(*world, *Appointment) {
		return func(_ *world, a *Appointment) { start := a.StartsAt.Add(d); a.StartsAt, a.Version = &start, 3 }
	}
	at := func(d time.Duration) func(*world, *Appointment) {
		return func(w *world, a *Appointment) { w.time = a.StartsAt.Add(d) }
	}
	person := func(f func(*Addressee)) func(*world, *Appointment) {
		return func(w *world, _ *Appointment) { p := w.people[patientID]; f(&p); w.people[patientID] = p }
	}
	for name, c := range map[string]struct {
		args   moveArgs
		change func(*world, *Appointment)
		sent   bool
	}{
		"as it was": {confirmed, nil, true},
		"cancelled before": {
			confirmed, func(_ *world, a *Appointment) { a.Status, a.Version = appointment.Cancelled, 3 }, false,
		},
		"rescheduled before":           {confirmed, moveTo(time.Hour), false},
		"nearly over":                  {confirmed, at(30*time.Minute - time.Second), true},
		"over, while the mail waited":  {confirmed, at(30 * time.Minute), false},
		"there and back":               {confirmed, func(_ *world, a *Appointment) { a.Version = 4 }, false},
		"another time asked for since": {confirmed, func(_ *world, a *Appointment) { a.Version, a.Moved = 4, 2 }, true},
		"gone":                         {confirmed, func(_ *world, a *Appointment) { a.ID = 8 }, false},
		"another doctor's now": {
			moveArgs{MailKind: Confirmed, Appointment: 7, Recipient: 33, Version: 2}, nil, false,
		},
		"the person is gone": {
			confirmed, func(w *world, _ *Appointment) { delete(w.people, patientID) }, false,
		},
		"the account is disabled":     {confirmed, person(func(p *Addressee) { p.Active = false }), false},
		"the address is not verified": {confirmed, person(func(p *Addressee) { p.Verified = false }), false},
		"not wanted": {
			confirmed, func(w *world, _ *Appointment) { w.unwanted[Confirmed] = true }, false,
		},
		"another kind is not wanted": {
			confirmed, func(w *world, _ *Appointment) { w.unwanted[ReminderDay] = true }, true,
		},
		"reminded":                          {reminder(ReminderDay), nil, true},
		"reminded, another version":         {reminder(ReminderDay), func(_ *world, a *Appointment) { a.Version = 9 }, true},
		"reminded of the old time":          {reminder(ReminderDay), moveTo(24 * time.Hour), false},
		"reminded, by the hour":             {reminder(ReminderHour), nil, true},
		"reminded of the old time, by hour": {reminder(ReminderHour), moveTo(time.Minute), false},
		"reminded of what is cancelled": {
			reminder(ReminderHour), func(_ *world, a *Appointment) { a.Status = appointment.Cancelled }, false,
		},
		"reminded without a time": {
			reminder(ReminderHour), func(_ *world, a *Appointment) { a.StartsAt = nil }, false,
		},
		"the day's reminder in the hour":  {reminder(ReminderDay), at(-time.Hour), false},
		"the day's reminder just before":  {reminder(ReminderDay), at(-time.Hour - time.Second), true},
		"the hour's reminder just before": {reminder(ReminderHour), at(-time.Second), true},
		"the hour's reminder too late":    {reminder(ReminderHour), at(0), false},
		"the hour's reminder when quiet": {
			reminder(ReminderHour), func(w *world, _ *Appointment) { w.quietUntil = w.time.Add(time.Hour) }, true,
		},
		"of what begins in quiet hours": {
			moveArgs{MailKind: Confirmed, Appointment: 7, Recipient: patientID, Version: 2, Soonest: winter.Add(time.Hour)},
			func(w *world, _ *Appointment) { w.quietUntil = winter.Add(time.Hour) }, true,
		},
		"the day's, quiet until too late": {
			reminder(ReminderDay), func(w *world, a *Appointment) { w.quietUntil = *a.StartsAt }, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, winter)
			s, _ := w.instance(w.out)
			a := anAppointment(appointment.Booked, winter)
			if c.change != nil {
				c.change(w, &a)
			}
			w.appointments[a.ID] = a
			require.NoError(t, s.sendMove(t.Context(), c.args))
			if c.sent {
				require.Len(t, w.out.all(), 1)
			} else {
				require.Empty(t, w.out.all())
				require.Empty(t, w.log.String(), "silently")
			}
		})
	}
}

// A move must be known by its old or its new time, whichever comes first.
func TestSoonest(t *testing.T) {
	t.Parallel()
	early, late := winter, winter.Add(time.Hour)
	for _, a := range []Appointment{
		{StartsAt: &early},
		{FormerStart: &early},
		{StartsAt: &early, FormerStart: &late},
		{StartsAt: &late, FormerStart: &early},
	} {
		require.Equal(t, early.UTC(), soonest(a, early.Add(-time.Minute)))
	}
	require.Zero(t, soonest(Appointment{}, early))
	require.Equal(t, late.UTC(), soonest(Appointment{StartsAt: &late, FormerStart: &early}, early), "a time that has passed")
	require.Zero(t, soonest(Appointment{StartsAt: &early}, early))
}

func TestService_sendMove_quietHours(t *testing.T) {
	t.Parallel()
	w := newWorld(t, winter)
	s, _ := w.instance(w.out)
	w.appointments[7] = anAppointment(appointment.Booked, winter)
	w.quietUntil = winter.Add(8 * time.Hour)
	args := moveArgs{MailKind: Confirmed, Appointment: 7, Recipient: patientID, Version: 2}
	require.Equal(t, jobs.Later(w.quietUntil), s.sendMove(t.Context(), args))
	require.Empty(t, w.out.all())
	w.time = w.quietUntil
	w.quietUntil = time.Time{}
	require.NoError(t, s.sendMove(t.Context(), args))
	require.Len(t, w.out.all(), 1)
}

func TestService_sendMove_servicesAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, winter)
	s, _ := w.instance(w.out)
	w.fail = errors.New("away")
	require.Error(t,
		s.sendMove(t.Context(), moveArgs{MailKind: Confirmed, Appointment: 7, Recipient: patientID, Version: 2}),
		"to be tried again")
}

// A doctor who has handed an appointment over gets no later email, so they are told of that whatever happens to it,
// and of no time that it gets afterwards.
func TestService_sendMove_former(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Appointment)
		sent   bool
	}{
		"moved since": {
			func(a *Appointment) { start := a.StartsAt.Add(time.Hour); a.StartsAt, a.Version = &start, 4 }, true,
		},
		"cancelled since":     {func(a *Appointment) { a.Status, a.Version = appointment.Cancelled, 4 }, true},
		"to be answered anew": {func(a *Appointment) { a.Status, a.Version = appointment.Pending, 4 }, true},
		"handed back since":   {func(a *Appointment) { a.DoctorID, a.Version = formerID, 4 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, winter)
			s, j := w.instance(w.out)
			a := anAppointment(appointment.Booked, winter)
			a.Version, a.WasBooked, a.FormerDoctorID = 3, true, formerID
			when := a.StartsAt.Format("2 January 2006, 15:04")
			w.zones[formerID] = time.UTC
			w.moves(s, HandedOver, a, 0)
			w.unwanted[ReminderDay] = true
			later := a
			c.change(&later)
			w.appointments[a.ID] = later
			w.start(j)
			w.settled(7, "completed", "scheduled")
			var got []own.Message
			for _, m := range w.out.all() {
				if m.To.Email == "former@private.test" {
					got = append(got, m)
				}
			}
			if !c.sent {
				require.Empty(t, got)
				return
			}
			require.Len(t, got, 1)
			require.Equal(t, "CANCEL", got[0].Method)
			require.Contains(t, string(got[0].Calendar), "SEQUENCE:3")
			require.Contains(t, got[0].Text, when)
		})
	}
}

// An event that a calendar was told of is removed from it, even if the email that should have done so was overtaken.
func TestMethod(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind      Kind
		status    appointment.Status
		wasBooked bool
		recipient int64
		want      string
	}{
		"confirmed":                          {Confirmed, appointment.Booked, false, patientID, "REQUEST"},
		"moved":                              {Rescheduled, appointment.Booked, true, patientID, "REQUEST"},
		"a request is moved":                 {Rescheduled, appointment.Pending, false, patientID, ""},
		"asked for":                          {RequestReceived, appointment.Pending, false, patientID, ""},
		"another time is asked for":          {Rescheduled, appointment.Pending, true, doctorID, "CANCEL"},
		"rejected":                           {Rejected, appointment.Rejected, false, patientID, ""},
		"rejected, once booked":              {Rejected, appointment.Rejected, true, patientID, "CANCEL"},
		"expired, once booked":               {Expired, appointment.Expired, true, doctorID, "CANCEL"},
		"withdrawn":                          {Cancelled, appointment.Cancelled, false, doctorID, ""},
		"cancelled":                          {Cancelled, appointment.Cancelled, true, doctorID, "CANCEL"},
		"a request handed over, once booked": {HandedOver, appointment.Pending, true, patientID, "CANCEL"},
		"the same for the new doctor":        {HandedOver, appointment.Pending, true, doctorID, ""},
		"a reminder":                         {ReminderHour, appointment.Booked, true, patientID, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := moveArgs{MailKind: c.kind, Recipient: c.recipient, WasBooked: c.wasBooked}
			require.Equal(t, c.want, method(m, anAppointment(c.status, winter)))
		})
	}
	noTime := anAppointment(appointment.Cancelled, winter)
	noTime.StartsAt, noTime.EndsAt = nil, nil
	require.Empty(t, method(moveArgs{MailKind: Cancelled, Recipient: patientID, WasBooked: true}, noTime))
}

func TestRecipients(t *testing.T) {
	t.Parallel()
	const admin = 33
	both := []int64{patientID, doctorID}
	for name, c := range map[string]struct {
		kind      Kind
		wasBooked bool
		actor     int64
		want      []int64
	}{
		"request":                    {RequestReceived, false, patientID, both},
		"confirmed":                  {Confirmed, false, doctorID, both},
		"rejected":                   {Rejected, false, doctorID, []int64{patientID}},
		"expired":                    {Expired, false, 0, []int64{patientID}},
		"rejected, once booked":      {Rejected, true, doctorID, both},
		"expired, once booked":       {Expired, true, 0, both},
		"rescheduled":                {Rescheduled, true, patientID, both},
		"cancelled":                  {Cancelled, true, patientID, both},
		"request, by its patient":    {Cancelled, false, patientID, []int64{doctorID}},
		"request, by its doctor":     {Cancelled, false, doctorID, []int64{patientID}},
		"request, by the clinic":     {Cancelled, false, admin, both},
		"request, by nobody in sort": {Cancelled, false, 0, both},
	} {
		a := anAppointment(appointment.Cancelled, winter)
		a.WasBooked = c.wasBooked
		require.ElementsMatch(t, c.want, recipients(c.kind, a, c.actor), name)
	}
}

func TestService_Moved_refuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, winter)
	s, _ := w.instance(w.out)
	for _, kind := range []Kind{ReminderDay, Unread, Invitation, "other"} {
		require.Error(t, w.pool.InTx(t.Context(), func(tx *postgres.Tx) error {
			return s.Moved(context.WithoutCancel(t.Context()), tx, kind, anAppointment(appointment.Booked, winter), 0)
		}), kind)
	}
}

func TestService_messageID(t *testing.T) {
	t.Parallel()
	w := newWorld(t, winter)
	s, _ := w.instance(w.out)
	w.appointments[7] = anAppointment(appointment.Booked, winter)
	args := moveArgs{MailKind: Confirmed, Appointment: 7, Recipient: doctorID, Version: 2}
	fails := 2
	var ids []string
	s.mail = senderFunc(func(_ context.Context, m own.Message) error {
		ids = append(ids, m.ID)
		if fails--; fails >= 0 {
			return &own.Error{Stage: "connect"}
		}
		return nil
	})
	for range 3 {
		_ = s.sendMove(t.Context(), args)
	}
	require.Equal(t, []string{ids[0], ids[0], ids[0]}, ids, "the same for each attempt")
	require.Equal(t, "confirmed.APP0123456789.2.doctor@clinic.test", ids[0])
}

type senderFunc func(context.Context, own.Message) error

func (f senderFunc) Send(ctx context.Context, m own.Message) error { return f(ctx, m) }
