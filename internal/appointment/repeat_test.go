package appointment_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/schedule"
)

// later makes every appointment a minute older.
func (w *world) later() {
	w.t.Helper()
	w.exec(`update appointments set created_at = created_at - interval '1 minute'`)
}

// Pressing Book twice, however often and on however many instances, makes one appointment and one answer.
func TestService_Book_pressedTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	second, _ := w.instance()
	day := schedule.Range{From: at(0, 0), To: at(24, 0)}
	for name, b := range map[string]appointment.Booking{
		"without a time":     {Doctor: w.doctor.UserID, Reason: "Cough"},
		"a time":             {Doctor: w.doctor.UserID, Reason: "Cough", StartsAt: ptr(at(11, 0))},
		"any doctor":         {Specialization: "cardiology", Reason: "Cough", StartsAt: ptr(at(12, 0))},
		"some time of a day": {Doctor: w.doctor.UserID, Reason: "Cough", Within: &day, Booked: true},
	} {
		const n = 12
		all, got := make([]error, n), make([]appointment.Appointment, n)
		together(n, func(i int) {
			mine := b
			if b.Within != nil { // as its caller finds free times: the later ones see the first one taken
				mine.StartsAt = ptr(at(15, 0))
				if i%2 == 1 {
					mine.StartsAt = ptr(at(15, 30))
				}
			}
			got[i], all[i] = []*appointment.Service{w.svc, second}[i%2].Book(ctx, w.patient, mine)
		})
		require.Equal(t, map[string]int{"": n}, codes(all), name)
		for _, a := range got {
			require.Equal(t, got[0], a, name)
		}
		require.Equal(t, 1, w.count(`select count(*) from appointments`), name)
		require.Equal(t, 1, w.count(`select count(*) from appointment_history`), name)
		w.exec(`truncate slot_claims, appointment_history, appointments cascade`)
	}
}

// After a minute a time that is the patient's own is not "taken", which would lead to a second booking: they are told
// that they have it.
func TestService_Book_alreadyTheirs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.MaxOpenRequests = 1
	w.svc = w.over(w.pool, newLog())
	c := w.api()
	a := w.books(w.patient, ptr(at(10, 30)))
	w.later()
	for name, in := range map[string]object{
		"the same":   {"doctorId": w.doctor.UserID, "startsAt": at(10, 30), "reason": "Cough"},
		"any doctor": {"specialization": "CARDIOLOGY", "startsAt": at(10, 30), "reason": "Rash"},
	} {
		r := c.call(w.patient, "POST", "/appointments", in)
		require.Equal(t, 409, r.Status, name)
		require.Equal(t, "already_booked", r.Code(), name)
		require.Equal(t, a.PublicID, r.Body["appointment"], name)
		require.NotContains(t, r.Body, "alternatives", name)
	}
	require.Equal(t, "slot_taken", w.refused(at(10, 30)), "others learn nothing")
	r := c.call(w.other, "POST", "/appointments",
		object{"doctorId": w.doctor.UserID, "patientId": w.patient.UserID, "startsAt": at(10, 30), "reason": "Cough"})
	require.Equal(t, 404, r.Status)
	r = c.call(w.admin, "POST", "/appointments",
		object{"doctorId": w.doctor.UserID, "patientId": w.patient.UserID, "startsAt": at(10, 30), "reason": "Cough"})
	require.Equal(t, "already_booked", r.Code())
}

// Another reason for the same time is not lost, nor taken for the clinic's.
func TestService_Book_anotherReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	a := w.books(w.patient, ptr(at(10, 30)))
	b := appointment.Booking{Doctor: w.doctor.UserID, StartsAt: ptr(at(10, 30)), Reason: "Cough "}
	again, err := w.svc.Book(ctx, w.patient, b)
	require.NoError(t, err)
	require.Equal(t, a.ID, again.ID, "as it is kept")
	b.Reason = "Cough, and fever since yesterday"
	_, err = w.svc.Book(ctx, w.patient, b)
	require.Equal(t, "already_booked", errs.CodeOf(err))
	b.Reason, b.Patient = "Cough", w.patient.UserID
	_, err = w.svc.Book(ctx, w.admin, b)
	require.Equal(t, "already_booked", errs.CodeOf(err), "somebody else's booking")

	h, err := w.keeps(w.patient, at(12, 0))
	require.NoError(t, err)
	_, err = w.bookHeld(w.patient, h.ID)
	require.NoError(t, err)
	_, err = w.svc.Book(ctx, w.patient, appointment.Booking{HoldID: h.ID, Reason: "Something else"})
	require.Equal(t, "already_booked", errs.CodeOf(err))
}

// What is not the same request is not lost: another reason, another doctor, a second wish after the first one's end.
func TestService_Book_notTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	book := func(by auth.Actor, b appointment.Booking) appointment.Appointment {
		a, err := w.svc.Book(ctx, by, b)
		require.NoError(t, err)
		return a
	}
	a := w.books(w.patient, nil)
	w.later()
	require.Equal(t, a.ID, w.books(w.patient, nil).ID, "it is still pending without a time")
	require.NotEqual(t, a.ID, book(w.patient, appointment.Booking{Doctor: w.doctor.UserID, Reason: "Rash"}).ID)
	require.NotEqual(t, a.ID, book(w.patient, appointment.Booking{Doctor: w.stranger.UserID, Reason: "Cough"}).ID)
	require.NotEqual(t, a.ID, w.books(w.other, nil).ID, "another patient")
	_, err := w.svc.Confirm(ctx, w.doctor, a.PublicID, appointment.Confirmation{StartsAt: ptr(at(16, 5))})
	require.NoError(t, err)
	b := w.books(w.patient, nil)
	require.NotEqual(t, a.ID, b.ID, "the first has been answered")
	_, err = w.svc.Confirm(ctx, w.doctor, b.PublicID, appointment.Confirmation{StartsAt: ptr(at(17, 5))})
	require.NoError(t, err)
	require.Equal(t, b.ID, w.books(w.patient, nil).ID, "answered within the minute")
	_, err = w.svc.Cancel(ctx, w.patient, b.PublicID, appointment.Ending{})
	require.NoError(t, err)
	require.NotEqual(t, b.ID, w.books(w.patient, nil).ID, "cancelled, and wanted again")

	day := schedule.Range{From: at(0, 0), To: at(24, 0)}
	of := func(startsAt time.Time) appointment.Booking {
		return appointment.Booking{Doctor: w.stranger.UserID, Within: &day, StartsAt: &startsAt, Booked: true}
	}
	book(w.other, appointment.Booking{Doctor: w.stranger.UserID, StartsAt: ptr(at(10, 0)), Booked: true})
	first := book(w.other, of(at(11, 0)))
	require.Equal(t, at(11, 0), *first.StartsAt, "the one at a time of their choice is another wish")
	require.Equal(t, first.ID, book(w.other, of(at(12, 0))).ID)
	w.later()
	require.NotEqual(t, first.ID, book(w.other, of(at(12, 0))).ID, "a minute later it is another wish")
}

// Whoever may have one open request with each doctor meets no limit.
func TestService_Book_unlimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.MaxOpenRequests = 1
	w.svc = w.over(w.pool, newLog())
	w.books(w.patient, ptr(at(10, 30)))
	for _, d := range []auth.Actor{w.doctor, w.stranger} {
		_, err := w.svc.Book(context.Background(), w.patient, appointment.Booking{Doctor: d.UserID, Reason: "x"})
		require.Equal(t, "open_request_limit", errs.CodeOf(err))
		for range 2 {
			_, err = w.svc.Book(context.Background(), w.patient, appointment.Booking{Doctor: d.UserID, Unlimited: true})
			require.NoError(t, err)
		}
	}
	require.Equal(t, 3, w.count(`select count(*) from appointments`))
}

// Requests that were unlimited because they had no time do not get around the limit when they get one, whoever is
// faster.
func TestService_Reschedule_unlimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.cfg.MaxOpenRequests = 2
	w.svc = w.over(w.pool, newLog())
	ctx := context.Background()
	doctors := []auth.Actor{w.doctor, w.stranger}
	for _, id := range []string{"DOC0000000003", "DOC0000000004", "DOC0000000005"} {
		doctors = append(doctors, w.user(id, "Dr "+id, auth.Doctor))
	}
	all, asked := make([]error, len(doctors)), make([]appointment.Appointment, len(doctors))
	for i, d := range doctors {
		var err error
		asked[i], err = w.svc.Book(ctx, w.patient, appointment.Booking{Doctor: d.UserID, Unlimited: true})
		require.NoError(t, err)
	}
	together(len(doctors), func(i int) {
		_, all[i] = w.svc.Reschedule(ctx, w.patient, asked[i].PublicID,
			appointment.Rescheduling{StartsAt: at(10, 30*i)})
	})
	require.Equal(t, map[string]int{"": 2, "open_request_limit": 3}, codes(all))
	for i, err := range all {
		if err == nil {
			_, err = w.svc.Reschedule(ctx, w.patient, asked[i].PublicID, appointment.Rescheduling{StartsAt: at(16, 0)})
			require.NoError(t, err, "it has a time already")
			break
		}
	}
}
