package appointment_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

func (w *world) keeps(p auth.Actor, startsAt time.Time) (appointment.Hold, error) {
	return w.svc.Hold(context.Background(), p, appointment.Booking{Doctor: w.doctor.UserID, StartsAt: &startsAt})
}

func (w *world) bookHeld(p auth.Actor, id string) (appointment.Appointment, error) {
	return w.svc.Book(context.Background(), p, appointment.Booking{HoldID: id, Reason: "Cough"})
}

func TestService_Hold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	h, err := w.keeps(w.patient, at(10, 30))
	require.NoError(t, err)
	require.Equal(t, monday.Add(5*time.Minute), h.ExpiresAt)
	again, err := w.keeps(w.patient, at(10, 30))
	require.NoError(t, err)
	require.Equal(t, h, again, "holding the same again is the same hold")

	_, err = w.keeps(w.other, at(10, 30))
	require.Equal(t, "slot_taken", errs.CodeOf(err))
	_, err = w.svc.Book(ctx, w.other,
		appointment.Booking{Doctor: w.doctor.UserID, StartsAt: ptr(at(10, 30)), Reason: "Rash"})
	require.Equal(t, "slot_taken", errs.CodeOf(err))
	_, err = w.bookHeld(w.other, h.ID)
	require.Equal(t, "not_found", errs.CodeOf(err), "somebody else's hold")
	require.Equal(t, "not_found", errs.CodeOf(w.svc.Unhold(ctx, w.other, h.ID)))
	_, err = w.svc.Book(ctx, w.patient, appointment.Booking{HoldID: h.ID, StartsAt: ptr(at(11, 0))})
	require.Equal(t, "invalid", errs.CodeOf(err), "the hold says when")

	a, err := w.bookHeld(w.patient, h.ID)
	require.NoError(t, err)
	require.Equal(t, at(10, 30), *a.StartsAt)
	twice, err := w.bookHeld(w.patient, h.ID)
	require.NoError(t, err)
	require.Equal(t, a, twice, "pressed twice")
	w.exec(`update appointments set created_at = created_at - interval '1 minute'`)
	_, err = w.bookHeld(w.patient, h.ID)
	require.Equal(t, "already_booked", errs.CodeOf(err))
	require.Equal(t, 1, w.count(`select count(*) from slot_claims`))
}

// What is held is free for nobody else, in lists as in what refusals offer instead.
func TestService_Hold_isTakenInLists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	_, err := w.keeps(w.patient, at(10, 30))
	require.NoError(t, err)
	morning := func(*time.Location, time.Time) (time.Time, time.Time, error) { return at(10, 0), at(11, 30), nil }
	slots, _, err := w.svc.Slots(ctx, w.doctor.UserID, morning)
	require.NoError(t, err)
	require.Len(t, slots, 2)
	require.Equal(t, at(11, 0), slots[1].StartsAt.UTC())
	found, err := w.svc.Search(ctx, "Cardiology", morning, 10)
	require.NoError(t, err)
	require.Len(t, found, 2+3, "the other doctor has all three")
	_, err = w.svc.Book(ctx, w.other,
		appointment.Booking{Doctor: w.doctor.UserID, StartsAt: ptr(at(10, 30)), Reason: "Rash"})
	var e *errs.Error
	require.ErrorAs(t, err, &e)
	require.NotContains(
		t, e.Extra["alternatives"],
		appointment.Alternative{
			StartsAt: at(10, 30).In(slots[0].StartsAt.Location()), EndsAt: at(11, 0).In(slots[0].StartsAt.Location()),
		},
	)
}

// An expired hold keeps nobody from anything, even before it is removed.
func TestService_Hold_expires(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	h, err := w.keeps(w.patient, at(10, 30))
	require.NoError(t, err)
	w.now = monday.Add(5 * time.Minute)
	_, err = w.bookHeld(w.patient, h.ID)
	require.Equal(t, "not_found", errs.CodeOf(err))
	kept, err := w.svc.Holds(ctx, w.patient)
	require.NoError(t, err)
	require.Empty(t, kept)
	w.books(w.other, ptr(at(10, 30)))

	_, err = w.keeps(w.patient, at(11, 0))
	require.NoError(t, err)
	w.now = w.now.Add(time.Hour)
	_, err = w.svc.Deadlines(ctx)
	require.NoError(t, err)
	require.Zero(t, w.count(`select count(*) from slot_claims where hold_id is not null`))
}

func TestService_Hold_ownHoldsAreNotInTheWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.keeps(w.patient, at(10, 30))
	require.NoError(t, err)
	w.books(w.patient, ptr(at(10, 30)))
	require.Equal(t, 1, w.count(`select count(*) from slot_claims`))
	_, err = w.keeps(w.other, at(11, 0))
	require.NoError(t, err)
	_, err = w.svc.Book(context.Background(), w.other,
		appointment.Booking{Doctor: w.stranger.UserID, StartsAt: ptr(at(11, 0)), Reason: "Rash"})
	require.NoError(t, err, "they have changed their mind")
	require.Zero(t, w.count(`select count(*) from slot_claims where hold_id is not null`))
}

func TestService_Hold_capUnderContention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 7
	all := make([]error, n)
	together(n, func(i int) {
		_, all[i] = w.keeps(w.patient, at(14, 30).Add(time.Duration(i)*30*time.Minute))
	})
	require.Equal(t, map[string]int{"": w.cfg.MaxHolds, "hold_limit": n - w.cfg.MaxHolds}, codes(all))
}

func TestService_Hold_oneWinner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 24
	patients := w.crowd(n)
	all := make([]error, n)
	together(n, func(i int) { _, all[i] = w.keeps(patients[i], at(10, 30)) })
	require.Equal(t, map[string]int{"": 1, "slot_taken": n - 1}, codes(all))
}

// One hold books once, however often it is used.
func TestService_Hold_booksOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h, err := w.keeps(w.patient, at(10, 30))
	require.NoError(t, err)
	const n = 16
	all, ids := make([]error, n), make([]int64, n)
	together(n, func(i int) {
		a, err := w.bookHeld(w.patient, h.ID)
		ids[i], all[i] = a.ID, err
	})
	require.Equal(t, map[string]int{"": n}, codes(all))
	require.Len(t, slices.Compact(ids), 1)
	require.Equal(t, 1, w.count(`select count(*) from appointments`))
}

// crowd is n further patients.
func (w *world) crowd(n int) []auth.Actor {
	w.t.Helper()
	out := make([]auth.Actor, n)
	for i := range out {
		out[i] = w.user(fmt.Sprintf("PATCROWD%05d", i), "Somebody", auth.Patient)
	}
	return out
}

func (w *world) bookAny(p auth.Actor, startsAt time.Time) (appointment.Appointment, error) {
	return w.svc.Book(context.Background(), p,
		appointment.Booking{Specialization: "cardiology", StartsAt: &startsAt, Reason: "Cough"})
}

func TestService_Book_anyDoctor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	w.books(w.patient, ptr(at(10, 0)))
	w.books(w.patient, ptr(at(11, 0)))
	_, err := w.svc.Book(ctx, w.other,
		appointment.Booking{Doctor: w.stranger.UserID, StartsAt: ptr(at(24+12, 0)), Reason: "Rash"})
	require.NoError(t, err, "another day counts for nothing")
	a, err := w.bookAny(w.other, at(12, 0))
	require.NoError(t, err)
	require.Equal(t, w.stranger.UserID, a.Doctor.UserID, "they have the fewest on that day")
	b, err := w.bookAny(w.patient, at(12, 0))
	require.NoError(t, err)
	require.Equal(t, w.doctor.UserID, b.Doctor.UserID, "they alone are free")

	crowd := w.crowd(1)
	_, err = w.bookAny(crowd[0], at(12, 0))
	var e *errs.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "slot_taken", e.Code)
	require.Equal(t, appointment.Alternative{StartsAt: at(11, 30), EndsAt: at(12, 0)},
		inUTC(e.Extra["alternatives"].([]appointment.Alternative)[0]))
	_, err = w.bookAny(crowd[0], at(12, 10))
	require.Equal(t, "slot_off_grid", errs.CodeOf(err))
	_, err = w.svc.Book(ctx, crowd[0],
		appointment.Booking{Specialization: "Alchemy", StartsAt: ptr(at(12, 0)), Reason: "Cough"})
	require.Equal(t, "no_such_specialization", errs.CodeOf(err))
	_, err = w.svc.Book(ctx, crowd[0], appointment.Booking{Specialization: "Cardiology", Reason: "Cough"})
	require.Equal(t, "invalid", errs.CodeOf(err), "any doctor, at a time")
}

// Nobody is sent to a doctor who has not accepted their invitation: they could not answer.
func TestService_invitedDoctors(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	mine := w.books(w.patient, ptr(at(10, 0)))
	w.exec(`update users set password_hash = null where id = $1`, w.stranger.ID)
	a, err := w.bookAny(w.other, at(12, 0))
	require.NoError(t, err)
	require.Equal(t, w.doctor.UserID, a.Doctor.UserID, "though the other has fewer")
	found, err := w.svc.Search(ctx, "Cardiology",
		func(*time.Location, time.Time) (time.Time, time.Time, error) { return at(10, 0), at(10, 30), nil }, 5)
	require.NoError(t, err)
	require.Empty(t, found)
	_, err = w.svc.HandOver(ctx, w.admin, mine.PublicID, w.stranger.UserID, 0)
	require.Equal(t, "invalid", errs.CodeOf(err))
	require.Equal(t, "invalid", errs.CodeOf(w.pool.InTx(ctx, func(tx *postgres.Tx) error {
		return w.svc.Release(ctx, tx, auth.Departure{DoctorID: w.doctor.ID, By: w.admin, HandOverTo: w.stranger.UserID})
	})))
	_, err = w.svc.Book(ctx, w.other,
		appointment.Booking{Doctor: w.stranger.UserID, StartsAt: ptr(at(16, 0)), Reason: "Rash"})
	require.NoError(t, err, "by name they can be booked for when they are there")
}

func inUTC(a appointment.Alternative) appointment.Alternative {
	return appointment.Alternative{StartsAt: a.StartsAt.UTC(), EndsAt: a.EndsAt.UTC()}
}

// However many ask at once, on two instances: nobody is booked twice, everybody who finds a doctor free gets one, and
// the day is shared out evenly.
func TestService_Book_anyDoctorUnderContention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second, _ := w.instance()
	w.user("DOC0000000003", "Dr Third", auth.Doctor)
	instances := []*appointment.Service{w.svc, second}
	const slots, doctors = 4, 3
	patients := w.crowd(slots * (doctors + 2))
	all := make([]error, len(patients))
	together(len(patients), func(i int) {
		when := at(14, 30).Add(time.Duration(i%slots) * 30 * time.Minute)
		_, all[i] = instances[i/slots%2].Book(context.Background(), patients[i],
			appointment.Booking{Specialization: "Cardiology", StartsAt: &when, Reason: "Cough"})
	})
	require.Equal(t, map[string]int{"": slots * doctors, "slot_taken": 2 * slots}, codes(all))
	require.Equal(t, doctors,
		w.count(`select count(*) from (select doctor_id from appointments group by 1 having count(*) = $1) even`, slots))
}

func TestService_Book_anyDoctorIsFair(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	patients := w.crowd(12)
	all := make([]error, len(patients))
	together(len(patients), func(i int) {
		when := at(10, 0).Add(time.Duration(i%6) * 30 * time.Minute)
		_, all[i] = w.bookAny(patients[i], when)
	})
	require.Equal(t, map[string]int{"": 12}, codes(all))
	require.Equal(t, 2,
		w.count(`select count(*) from (select doctor_id from appointments group by 1 having count(*) = 6) even`))
}

func TestService_Search(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	w.books(w.patient, ptr(at(10, 0)))
	week := func(*time.Location, time.Time) (time.Time, time.Time, error) {
		return at(10, 0), at(10, 0).AddDate(0, 0, 7), nil
	}
	found, err := w.svc.Search(ctx, "CARDIOLOGY", week, 3)
	require.NoError(t, err)
	var got []string
	for _, f := range found {
		got = append(got, f.StartsAt.Format("15:04 ")+f.Doctor.UserID)
	}
	require.Equal(t, []string{"10:00 " + w.stranger.UserID, "10:30 " + w.doctor.UserID, "10:30 " + w.stranger.UserID}, got)

	// Where the first days are full, it looks further.
	w.rules(w.doctor, `notice_minutes = 5 * 24 * 60`)
	w.rules(w.stranger, `notice_minutes = 6 * 24 * 60`)
	found, err = w.svc.Search(ctx, "Cardiology", func(zone *time.Location, now time.Time) (time.Time, time.Time, error) {
		return now, now.In(zone).AddDate(0, 0, 31), nil
	}, 1)
	require.NoError(t, err)
	require.Equal(t, monday.AddDate(0, 0, 5).Add(time.Hour), found[0].StartsAt.UTC())
}

func TestRoutes_holds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.api()
	made := c.call(w.patient, http.MethodPost, "/holds", object{"doctorId": w.doctor.UserID, "startsAt": at(10, 30)})
	require.Equal(t, http.StatusCreated, made.Status, "%s", made.Raw)
	id, _ := made.Body["id"].(string)
	require.NoError(t, uuid.Validate(id))
	golden(t, "hold", made)
	require.Equal(t, http.StatusForbidden, c.call(w.doctor, http.MethodGet, "/holds", nil).Status)
	require.Equal(t, http.StatusNotFound, c.call(w.patient, http.MethodDelete, "/holds/nonsense", nil).Status)
	require.Equal(t, http.StatusNoContent, c.call(w.patient, http.MethodDelete, "/holds/"+id, nil).Status)
	require.Equal(t, http.StatusNotFound, c.call(w.patient, http.MethodDelete, "/holds/"+id, nil).Status)
	require.JSONEq(t, `{"items":[]}`, string(c.call(w.patient, http.MethodGet, "/holds", nil).Raw))
	require.Equal(t, http.StatusUnprocessableEntity,
		c.call(w.patient, http.MethodPost, "/holds", object{"startsAt": at(10, 30)}).Status)

	found := c.call(auth.Actor{}, http.MethodGet, "/slots?specialization=cardiology&from=2026-03-03&limit=2", nil)
	require.Equal(t, http.StatusOK, found.Status, "%s", found.Raw)
	golden(t, "search", found)
	require.Equal(t, http.StatusUnprocessableEntity, c.call(auth.Actor{}, http.MethodGet, "/slots", nil).Status)
	require.Equal(t, http.StatusNotFound,
		c.call(auth.Actor{}, http.MethodGet, "/slots?specialization=alchemy", nil).Status)
}
