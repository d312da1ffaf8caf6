package appointment_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/errs"
)

func TestService_Book_tellsItsStory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	when := at(10, 30)
	a := w.books(w.patient, &when)
	require.Equal(t, appointment.Pending, a.Status)
	require.Equal(t, when.Add(30*time.Minute), *a.EndsAt)
	_, err := w.svc.Confirm(ctx, w.doctor, a.PublicID, appointment.Confirmation{Note: "Bring your papers"})
	require.NoError(t, err)
	a, err = w.svc.Cancel(ctx, w.patient, a.PublicID, appointment.Ending{Reason: "I feel better"})
	require.NoError(t, err)
	require.Equal(t, appointment.Cancelled, a.Status)
	require.Equal(t, 3, a.Version)
	require.Equal(t, []string{
		"Appointment requested for Tue 3 Mar 2026, 10:30 (Europe/Berlin).",
		"Appointment confirmed for Tue 3 Mar 2026, 10:30 (Europe/Berlin).",
		"The appointment for Tue 3 Mar 2026, 10:30 (Europe/Berlin) was cancelled by the patient.",
	}, w.events(a))
	require.Zero(t, w.count(`select count(*) from slot_claims`))
	require.Equal(t, 3,
		w.count(`select count(*) from audit_events where subject = $1 and patient_id = $2`, a.PublicID, w.patient.ID))

	steps, more, err := w.svc.History(ctx, w.doctor, a.PublicID, 0, 10)
	require.NoError(t, err)
	require.False(t, more)
	require.Len(t, steps, 3)
	require.Equal(t, appointment.Actor{UserID: w.doctor.UserID, Name: w.doctor.Name, Role: auth.Doctor}, steps[1].Actor)
	require.Equal(t, "I feel better", steps[2].Reason)
	rest, _, err := w.svc.History(ctx, w.patient, a.PublicID, 2, 10)
	require.NoError(t, err)
	require.Equal(t, steps[2:], rest)
}

func TestService_Book_whoForWhom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gone := w.user("PAT0000000009", "Gone", auth.Patient)
	w.exec(`update users set disabled_at = now() where id = $1`, gone.ID)
	w.exec(`update patients set doctor_id = $1 where user_id = $2`, w.doctor.ID, w.other.ID)
	for name, c := range map[string]struct {
		actor   auth.Actor
		booking appointment.Booking
		code    string
	}{
		"a patient for themselves":     {w.patient, appointment.Booking{Doctor: w.doctor.UserID}, ""},
		"a patient by their own id":    {w.patient, appointment.Booking{Doctor: w.doctor.UserID, Patient: w.patient.UserID}, ""},
		"a patient for another":        {w.patient, appointment.Booking{Doctor: w.doctor.UserID, Patient: w.other.UserID}, "not_found"},
		"a patient with nobody":        {w.patient, appointment.Booking{}, "invalid"},
		"a patient with a patient":     {w.patient, appointment.Booking{Doctor: w.other.UserID}, "not_found"},
		"a doctor with themselves":     {w.doctor, appointment.Booking{Patient: w.other.UserID}, ""},
		"a doctor for a stranger":      {w.stranger, appointment.Booking{Patient: w.other.UserID}, "not_found"},
		"a doctor for an unknown id":   {w.stranger, appointment.Booking{Patient: "PAT9999999999"}, "not_found"},
		"a doctor with a colleague":    {w.doctor, appointment.Booking{Doctor: w.stranger.UserID, Patient: w.other.UserID}, "forbidden"},
		"a doctor for nobody":          {w.doctor, appointment.Booking{}, "invalid"},
		"an admin for a patient":       {w.admin, appointment.Booking{Doctor: w.doctor.UserID, Patient: w.other.UserID}, ""},
		"an admin for themselves":      {w.admin, appointment.Booking{Doctor: w.doctor.UserID}, "invalid"},
		"an admin for a disabled user": {w.admin, appointment.Booking{Doctor: w.doctor.UserID, Patient: gone.UserID}, "not_found"},
		"with text that is too long":   {w.patient, appointment.Booking{Doctor: w.doctor.UserID, Reason: string(make([]rune, 1001))}, "invalid"},
	} {
		_, err := w.svc.Book(context.Background(), c.actor, c.booking)
		require.Equal(t, c.code, errs.CodeOf(err), "%s: %v", name, err)
	}
}

// A doctor gets at patients by assignment or by an appointment that was confirmed; their asking is not enough.
func TestService_Book_doctorsOwnPatients(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	n := 0
	book := func() string {
		n++
		_, err := w.svc.Book(ctx, w.doctor, appointment.Booking{Patient: w.patient.UserID, Reason: fmt.Sprint("Control ", n)})
		return errs.CodeOf(err)
	}
	when := at(10, 30)
	a := w.books(w.patient, &when)
	require.Equal(t, "not_found", book())
	_, err := w.svc.Confirm(ctx, w.doctor, a.PublicID, appointment.Confirmation{})
	require.NoError(t, err)
	require.Empty(t, book())
	w.exec(`update appointments set status = 'COMPLETED', completed_at = now() where id = $1`, a.ID)
	require.Empty(t, book())
	require.Equal(t, 3, w.count(`select count(*) from appointments`))
}

// The cap is on what a patient asks for: neither the clinic's bookings nor requests whose time has passed count.
func TestService_Book_capCountsWhatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.MaxOpenRequests = 2
	w.svc = w.over(w.pool, newLog())
	ctx := context.Background()
	ask := func(by auth.Actor) string {
		_, err := w.svc.Book(ctx, by,
			appointment.Booking{Doctor: w.doctor.UserID, Patient: w.patient.UserID, Reason: by.Name})
		return errs.CodeOf(err)
	}
	early, late := at(10, 0), at(17, 0)
	w.books(w.patient, &early)
	w.books(w.patient, &late)
	require.Equal(t, "open_request_limit", ask(w.patient))
	require.Empty(t, ask(w.admin))
	w.exec(`update patients set doctor_id = $1 where user_id = $2`, w.doctor.ID, w.patient.ID)
	require.Empty(t, ask(w.doctor))
	w.now = at(10, 30) // the early one is over, as are none of the others
	require.Equal(t, "open_request_limit", ask(w.patient), "three wait still")
	w.exec(`update appointments set status = 'REJECTED' where starts_at is null`)
	require.Empty(t, ask(w.patient))
	require.Empty(t, ask(w.patient), "the same once more")
	_, err := w.svc.Book(ctx, w.patient, appointment.Booking{Doctor: w.doctor.UserID, Reason: "Another"})
	require.Equal(t, "open_request_limit", errs.CodeOf(err))
}

// What nobody has to confirm is bounded too, or one patient could take a doctor's whole calendar.
func TestService_Book_upcomingLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.MaxUpcoming = 2
	w.svc, _ = w.instance()
	ctx := context.Background()
	book := func(actor auth.Actor, when time.Time) error {
		_, err := w.svc.Book(
			ctx, actor,
			appointment.Booking{
				Doctor: w.doctor.UserID, Patient: w.patient.UserID, StartsAt: &when, Reason: "Cough", Booked: true,
			},
		)
		return err
	}
	const n = 6
	all := make([]error, n)
	together(n, func(i int) { all[i] = book(w.patient, at(14, 30).Add(time.Duration(i)*30*time.Minute)) })
	require.Equal(t, map[string]int{"": 2, "upcoming_limit": n - 2}, codes(all))
	require.NoError(t, book(w.admin, at(10, 0)), "the clinic decides for itself")
	w.now = at(18, 0)
	require.NoError(t, book(w.patient, at(24+10, 0)), "what is over does not count")
}

func TestService_Book_rulesOfTheTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for code, when := range map[string]time.Time{
		"slot_in_past":       monday.Add(-time.Hour),
		"slot_too_far":       monday.Add(w.cfg.BookingHorizon + time.Hour),
		"slot_outside_hours": at(14, 0),
		"slot_off_grid":      at(10, 40),
	} {
		_, err := w.svc.Book(context.Background(), w.patient,
			appointment.Booking{Doctor: w.doctor.UserID, StartsAt: &when, Reason: "Cough"})
		var e *errs.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, errs.Invalid, e.Kind)
		require.Equal(t, code, e.Code)
		require.Len(t, e.Extra["alternatives"], 5, code)
	}
	require.Zero(t, w.count(`select count(*) from appointments`))
}

func TestService_Book_alternativesAreFreeForBoth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	when, later := at(10, 30), at(11, 0)
	w.books(w.other, &when)
	_, err := w.svc.Book(context.Background(), w.patient,
		appointment.Booking{Doctor: w.stranger.UserID, StartsAt: &later, Reason: "Cough"})
	require.NoError(t, err)
	_, err = w.svc.Book(context.Background(), w.patient,
		appointment.Booking{Doctor: w.doctor.UserID, StartsAt: &when, Reason: "Cough"})
	var e *errs.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "slot_taken", e.Code)
	var starts []time.Time
	for _, s := range e.Extra["alternatives"].([]appointment.Alternative) {
		starts = append(starts, s.StartsAt.UTC())
	}
	require.Equal(t, []time.Time{at(10, 0), at(11, 30), at(12, 0), at(12, 30), at(13, 0)}, starts)
}

// A public id that is taken is drawn again, a bounded number of times.
func TestService_Book_publicIDTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	taken := w.books(w.patient, nil)
	// A sequence counts attempts across rollbacks: the first two inserts after each reset meet an id that is there.
	w.exec(`create sequence attempts`)
	w.exec(`create table collisions as select 2 as n`)
	w.exec(`create function collide() returns trigger language plpgsql as $$ begin
		if nextval('attempts') <= (select n from collisions) then
			new.public_id := (select min(public_id) from appointments);
		end if;
		return new;
	end $$`)
	w.exec(`create trigger collide before insert on appointments for each row execute function collide()`)
	a := w.books(w.other, nil)
	require.NotEqual(t, taken.PublicID, a.PublicID)
	require.Equal(t, 3, w.count(`select last_value from attempts`))

	w.exec(`update collisions set n = 1000`)
	_, err := w.svc.Book(context.Background(), w.other, appointment.Booking{Doctor: w.doctor.UserID, Reason: "Rash"})
	require.Error(t, err)
	require.Empty(t, errs.CodeOf(err))
	require.Equal(t, 6, w.count(`select last_value from attempts`))
	require.Equal(t, 2, w.count(`select count(*) from appointments`))
}
