package appointment_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/errs"
)

// tuesday is the day of at, as a date.
var tuesday = time.Date(2026, time.March, 3, 0, 0, 0, 0, time.UTC)

func (w *world) waits(p auth.Actor) appointment.Waiting {
	w.t.Helper()
	got, err := w.svc.Wait(context.Background(), p, w.doctor.UserID, tuesday, tuesday.AddDate(0, 0, 3))
	require.NoError(w.t, err)
	return got
}

// offerOf is what a patient is offered now.
func (w *world) offerOf(p auth.Actor) *appointment.Hold {
	w.t.Helper()
	page, _, _, err := w.svc.Queue(context.Background(), p, w.doctor.UserID, 0, 10)
	require.NoError(w.t, err)
	if len(page) == 0 {
		return nil
	}
	return page[0].Offer
}

// A cancellation is offered to the first in the queue, then to the next, and to nobody twice.
func TestService_Wait_offersInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	n := &told{}
	w.svc.Connect(n)
	crowd := w.crowd(3)
	a := w.booked(w.patient, at(10, 30))
	for _, p := range crowd {
		w.waits(p)
	}
	_, err := w.svc.Cancel(ctx, w.patient, a.PublicID, appointment.Ending{})
	require.NoError(t, err)
	first := w.offerOf(crowd[0])
	require.NotNil(t, first)
	require.Equal(t, at(10, 30), first.StartsAt)
	require.Equal(t, monday.Add(15*time.Minute), first.ExpiresAt)
	require.Equal(t, []appointment.Offer{{
		HoldID: first.ID, PatientID: crowd[0].ID, Doctor: first.Doctor, TimeZone: "Europe/Berlin", StartsAt: at(10, 30),
		ExpiresAt: first.ExpiresAt,
	}}, n.offered)
	stands := func(holdID string) bool {
		ok, err := w.svc.OfferStands(ctx, holdID)
		require.NoError(t, err)
		return ok
	}
	require.True(t, stands(first.ID))
	require.False(t, stands("no id at all"))
	require.Nil(t, w.offerOf(crowd[1]))
	_, err = w.svc.Book(ctx, w.other,
		appointment.Booking{Doctor: w.doctor.UserID, StartsAt: ptr(at(10, 30)), Reason: "Rash"})
	require.Equal(t, "slot_taken", errs.CodeOf(err), "it is kept")

	require.NoError(t, w.svc.Unhold(ctx, crowd[0], first.ID)) // no, thank you
	require.False(t, stands(first.ID))
	second := w.offerOf(crowd[1])
	require.NotNil(t, second)
	w.now = w.now.Add(15 * time.Minute) // and this one does not answer
	require.False(t, stands(second.ID))
	_, err = w.svc.Deadlines(ctx)
	require.NoError(t, err)
	third := w.offerOf(crowd[2])
	require.NotNil(t, third)
	_, err = w.bookHeld(crowd[2], third.ID)
	require.NoError(t, err)
	require.Nil(t, w.offerOf(crowd[2]))
	require.Equal(t, 1,
		w.count(`select count(*) from waitlist where end_reason = 'booked' and patient_id = $1`, crowd[2].ID))
	require.Equal(t, 2, w.count(`select count(*) from waitlist where ended_at is null`), "the others wait on")
	require.Len(t, n.offered, 3)
}

func TestService_Wait_whoIsNotOffered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	crowd := w.crowd(3)
	a := w.booked(w.patient, at(10, 30))
	w.waits(w.patient) // who cancels does not get it back
	w.waits(crowd[0])  // is disabled
	w.exec(`update users set disabled_at = now() where id = $1`, crowd[0].ID)
	w.waits(crowd[1]) // has something else to do
	_, err := w.svc.Book(ctx, crowd[1],
		appointment.Booking{Doctor: w.stranger.UserID, StartsAt: ptr(at(10, 30)), Reason: "Rash"})
	require.NoError(t, err)
	_, err = w.svc.Wait(ctx, crowd[2], w.doctor.UserID, tuesday.AddDate(0, 0, 1),
		tuesday.AddDate(0, 0, 2)) // on other days
	require.NoError(t, err)
	_, err = w.svc.Cancel(ctx, w.patient, a.PublicID, appointment.Ending{})
	require.NoError(t, err)
	require.Zero(t, w.count(`select count(*) from slot_claims where hold_id is not null`))

	// A doctor who leaves offers nothing.
	w.waits(w.other)
	w.booked(w.patient, at(11, 0))
	require.NoError(t, w.disable(ctx, w.doctor, true))
	require.Zero(t, w.count(`select count(*) from slot_claims where doctor_id = $1`, w.doctor.ID))
}

// Moving an appointment also frees a time that is offered; the patient who takes it gets exactly that time.
func TestService_Wait_whatElseFreesTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	for name, free := range map[string]func(a appointment.Appointment) error{
		"reschedule": func(a appointment.Appointment) error {
			_, err := w.svc.Reschedule(ctx, w.patient, a.PublicID, appointment.Rescheduling{StartsAt: at(16, 0)})
			return err
		},
		"reject": func(a appointment.Appointment) error {
			_, err := w.svc.Reject(ctx, w.doctor, a.PublicID, appointment.Ending{Reason: "Ill"})
			return err
		},
		"hand over": func(a appointment.Appointment) error {
			_, err := w.svc.HandOver(ctx, w.admin, a.PublicID, w.stranger.UserID, 0)
			return err
		},
	} {
		a := w.books(w.patient, ptr(at(10, 30)))
		entry := w.waits(w.other)
		require.NoError(t, free(a), name)
		offer := w.offerOf(w.other)
		require.NotNil(t, offer, name)
		require.Equal(t, at(10, 30), offer.StartsAt)
		require.NoError(t, w.svc.Leave(ctx, w.other, w.doctor.UserID, entry.ID))
		require.Zero(t, w.count(`select count(*) from slot_claims where hold_id is not null`), name)
		w.exec(`delete from slot_claims`)
	}
}

// Two cancellations and many bookings at once: each freed time goes to one person.
func TestService_Wait_contention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	a, b := w.booked(w.patient, at(10, 30)), w.booked(w.other, at(11, 0))
	crowd := w.crowd(10)
	for _, p := range crowd[:2] {
		w.waits(p)
	}
	all := make([]error, 10)
	together(10, func(i int) {
		switch i {
		case 0:
			_, all[i] = w.svc.Cancel(ctx, w.patient, a.PublicID, appointment.Ending{})
		case 1:
			_, all[i] = w.svc.Cancel(ctx, w.other, b.PublicID, appointment.Ending{})
		default:
			_, all[i] = w.svc.Book(ctx, crowd[i],
				appointment.Booking{Doctor: w.doctor.UserID, StartsAt: ptr(at(10+i%2, 30*(1-i%2))), Reason: "Rash"})
		}
	})
	require.Equal(t, 2, codes(all)[""], "%v", codes(all))
	require.Equal(t, 2, w.count(`select count(distinct patient_id) from slot_claims where waitlist_id is not null`))
}

func TestService_Wait_limits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	w.waits(w.patient)
	for name, days := range map[string][2]time.Time{
		"past":     {tuesday.AddDate(0, 0, -2), tuesday},
		"backward": {tuesday, tuesday.AddDate(0, 0, -1)},
		"long":     {tuesday, tuesday.AddDate(0, 0, 93)},
		"far":      {tuesday.AddDate(1, 0, 0), tuesday.AddDate(1, 0, 1)},
	} {
		_, err := w.svc.Wait(ctx, w.other, w.doctor.UserID, days[0], days[1])
		require.Equal(t, "invalid", errs.CodeOf(err), name)
	}
	const n = 8
	all := make([]error, n)
	together(n, func(i int) { _, all[i] = w.svc.Wait(ctx, w.other, w.doctor.UserID, tuesday, tuesday) })
	require.Equal(t, map[string]int{"": 1, "already_waiting": n - 1}, codes(all))

	w.now = tuesday.AddDate(0, 0, 6)
	_, err := w.svc.Deadlines(ctx)
	require.NoError(t, err)
	require.Equal(t, 2, w.count(`select count(*) from waitlist where end_reason = 'over'`))
}

func TestRoutes_waitlist(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.api()
	path := "/doctors/" + w.doctor.UserID + "/waitlist"
	days := object{"from": "2026-03-03", "to": "2026-03-05"}
	made := c.call(w.patient, http.MethodPost, path, days)
	require.Equal(t, http.StatusCreated, made.Status, "%s", made.Raw)
	id, _ := made.Body["id"].(string)
	require.Equal(t, http.StatusCreated, c.call(w.other, http.MethodPost, path, days).Status)
	require.Equal(t, http.StatusForbidden, c.call(w.doctor, http.MethodPost, path, days).Status)
	require.Equal(t, http.StatusUnprocessableEntity,
		c.call(w.other, http.MethodPost, path, object{"from": "soon", "to": "2026-03-05"}).Status)

	for actor, n := range map[auth.Actor]int{w.patient: 1, w.doctor: 2, w.admin: 2} {
		require.Len(t, c.call(actor, http.MethodGet, path, nil).Body["items"], n)
	}
	require.Equal(t, http.StatusNotFound, c.call(w.stranger, http.MethodGet, path, nil).Status)
	page := c.call(w.doctor, http.MethodGet, path+"?limit=1", nil)
	require.Len(t, page.Body["items"], 1)
	next := c.call(w.doctor, http.MethodGet, path+"?limit=1&cursor="+page.Body["nextCursor"].(string), nil)
	require.Len(t, next.Body["items"], 1)
	require.Empty(t, next.Body["nextCursor"])

	a := w.books(w.stranger2(), ptr(at(10, 30)))
	_, err := w.svc.Reject(context.Background(), w.doctor, a.PublicID, appointment.Ending{Reason: "Ill"})
	require.NoError(t, err)
	shown := c.call(w.patient, http.MethodGet, path, nil)
	golden(t, "waitlist", shown)

	require.Equal(t, http.StatusNotFound, c.call(w.other, http.MethodDelete, path+"/"+id, nil).Status)
	require.Equal(t, http.StatusNoContent, c.call(w.patient, http.MethodDelete, path+"/"+id, nil).Status)
	require.Equal(t, http.StatusNotFound, c.call(w.patient, http.MethodDelete, path+"/"+id, nil).Status)
}

// stranger2 is a patient who takes no other part.
func (w *world) stranger2() auth.Actor { return w.crowd(1)[0] }
