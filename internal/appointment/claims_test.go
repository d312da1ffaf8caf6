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
	"housecall/internal/postgres"
)

// alternativesOf returns the starts of a refusal's alternatives, in UTC.
func alternativesOf(t *testing.T, err error) []time.Time {
	t.Helper()
	var e *errs.Error
	require.ErrorAs(t, err, &e)
	found, _ := e.Extra["alternatives"].([]appointment.Alternative)
	starts := make([]time.Time, len(found))
	for i, f := range found {
		starts[i] = f.StartsAt.UTC()
	}
	return starts
}

// blocked runs act while the doctor's row is held, and meanwhile once act waits for it.
func (w *world) blocked(d auth.Actor, act func() error, meanwhile string, args ...any) error {
	w.t.Helper()
	ctx := context.Background()
	done := make(chan error, 1)
	require.NoError(w.t, w.pool.InTx(ctx, func(tx *postgres.Tx) error {
		if _, err := tx.Exec(ctx, `select from doctors where user_id = $1 for update`, d.ID); err != nil {
			return err
		}
		go func() { done <- act() }()
		require.Eventually(w.t, func() bool {
			return w.count(
				`select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
			) == 1
		}, time.Minute, 5*time.Millisecond)
		_, err := tx.Exec(ctx, meanwhile, args...)
		return err
	}))
	return <-done
}

// A patient's holds count towards the daily limit: several holds are not a way around it.
func TestService_perDay_ownHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	w.rules(w.doctor, `per_day = 1`)
	h, err := w.keeps(w.patient, at(10, 30))
	require.NoError(t, err)
	_, err = w.keeps(w.patient, at(12, 0))
	require.Equal(t, "slot_day_full", errs.CodeOf(err))
	_, err = w.svc.Book(ctx, w.patient,
		appointment.Booking{Doctor: w.doctor.UserID, StartsAt: ptr(at(12, 0)), Reason: "Cough"})
	require.Equal(t, "slot_day_full", errs.CodeOf(err))
	chosen, err := w.bookAny(w.patient, at(12, 0))
	require.NoError(t, err)
	require.Equal(t, w.stranger.UserID, chosen.Doctor.UserID, "who has time on that day")
	again, err := w.keeps(w.patient, at(10, 30))
	require.NoError(t, err, "the one that they have")
	require.Equal(t, h.ID, again.ID)
	_, err = w.bookHeld(w.patient, h.ID)
	require.NoError(t, err)
	require.Equal(t, 1, w.count(`select count(*) from slot_claims where doctor_id = $1`, w.doctor.ID))
}

func TestService_perDay_underContention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	w.rules(w.doctor, `per_day = 3`)
	patients := w.crowd(12)
	all := make([]error, len(patients))
	together(len(patients), func(i int) {
		when := at(14, 30).Add(time.Duration(i%6) * 30 * time.Minute)
		if i < 6 {
			_, all[i] = w.keeps(patients[i], when)
			return
		}
		_, all[i] = w.svc.Book(ctx, patients[i],
			appointment.Booking{Doctor: w.doctor.UserID, StartsAt: &when, Reason: "Cough"})
	})
	require.Equal(t, 3, codes(all)[""], "%v", all)
	require.Equal(t, 3, w.count(`select count(*) from slot_claims`))
}

// A change of the buffers is for times that are taken from then on: those that are taken stay, and can be confirmed.
func TestService_Confirm_afterBuffersGrew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	a, b := w.books(w.patient, ptr(at(10, 30))), w.books(w.other, ptr(at(11, 0)))
	w.rules(w.doctor, `buffer_after = 20`)
	_, err := w.svc.Confirm(ctx, w.doctor, a.PublicID, appointment.Confirmation{})
	require.NoError(t, err)
	_, err = w.svc.Confirm(ctx, w.doctor, b.PublicID, appointment.Confirmation{StartsAt: ptr(at(11, 0))})
	require.NoError(t, err)
	_, err = w.svc.Reschedule(ctx, w.doctor, b.PublicID, appointment.Rescheduling{StartsAt: at(11, 5)})
	require.NoError(t, err)
	_, err = w.svc.Reschedule(ctx, w.doctor, a.PublicID, appointment.Rescheduling{StartsAt: at(10, 20)})
	require.Equal(t, "slot_taken", errs.CodeOf(err), "another time has the buffers of now")
}

// A patient who is busy then is told so, not that someone else was faster.
func TestService_Hold_patientBusy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.svc.Book(context.Background(), w.patient,
		appointment.Booking{Doctor: w.stranger.UserID, StartsAt: ptr(at(10, 30)), Reason: "Rash"})
	require.NoError(t, err)
	_, err = w.keeps(w.patient, at(10, 30))
	require.Equal(t, "patient_busy", errs.CodeOf(err))
	require.NotContains(t, alternativesOf(t, err), at(10, 30))
	require.Len(t, alternativesOf(t, err), 5)
}

// Expired holds, which nobody has removed yet, keep nobody from being offered what became free.
func TestService_Wait_expiredHoldsAreNotInTheWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	a := w.booked(w.patient, at(10, 30))
	w.waits(w.other)
	_, err := w.svc.Hold(ctx, w.other, appointment.Booking{Doctor: w.stranger.UserID, StartsAt: ptr(at(10, 30))})
	require.NoError(t, err)
	_, err = w.keeps(w.crowd(1)[0], at(11, 0))
	require.NoError(t, err)
	w.rules(w.doctor, `buffer_after = 30`)
	w.now = w.now.Add(w.cfg.HoldTTL)
	_, err = w.svc.Cancel(ctx, w.patient, a.PublicID, appointment.Ending{})
	require.NoError(t, err)
	offer := w.offerOf(w.other)
	require.NotNil(t, offer)
	require.Equal(t, at(10, 30), offer.StartsAt)
}

// An offer that was not taken goes to the next patient waiting, not to someone who comes along before it is passed
// on.
func TestService_Wait_expiredOfferIsTheNextOnes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	crowd := w.crowd(2)
	a := w.booked(w.patient, at(10, 30))
	for _, p := range crowd {
		w.waits(p)
	}
	_, err := w.svc.Cancel(ctx, w.patient, a.PublicID, appointment.Ending{})
	require.NoError(t, err)
	w.now = w.now.Add(w.cfg.OfferTTL)
	_, err = w.svc.Book(ctx, w.other,
		appointment.Booking{Doctor: w.doctor.UserID, StartsAt: ptr(at(10, 30)), Reason: "Rash"})
	require.Equal(t, "slot_taken", errs.CodeOf(err))
	require.NotContains(t, alternativesOf(t, err), at(10, 30), "what was refused is no alternative")
	_, err = w.keeps(w.other, at(10, 30))
	require.Equal(t, "slot_taken", errs.CodeOf(err))

	// The next patient need not wait for the mail.
	_, err = w.svc.Book(ctx, crowd[1],
		appointment.Booking{Doctor: w.doctor.UserID, StartsAt: ptr(at(10, 30)), Reason: "Rash"})
	require.NoError(t, err)
	require.Equal(t, 1,
		w.count(`select count(*) from waitlist where end_reason = 'booked' and patient_id = $1`, crowd[1].ID))
	require.Equal(t, 1, w.count(`select count(*) from slot_claims`))
}

func TestService_Wait_expiredOfferIsFreeAfterTheLast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	a := w.booked(w.patient, at(10, 30))
	w.waits(w.crowd(1)[0])
	_, err := w.svc.Cancel(ctx, w.patient, a.PublicID, appointment.Ending{})
	require.NoError(t, err)
	w.now = w.now.Add(w.cfg.OfferTTL)
	w.books(w.other, ptr(at(10, 30)))
}

// What is offered to the next is looked at in one line with the bookings: the day may have become full.
func TestService_Deadlines_offersUnderTheDoctorsLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	w.rules(w.doctor, `per_day = 1`)
	crowd := w.crowd(2)
	a := w.booked(w.patient, at(10, 30))
	for _, p := range crowd {
		w.waits(p)
	}
	_, err := w.svc.Cancel(ctx, w.patient, a.PublicID, appointment.Ending{})
	require.NoError(t, err)
	w.now = w.now.Add(w.cfg.OfferTTL)
	require.NoError(t, w.blocked(w.doctor, func() error {
		_, err := w.svc.Deadlines(ctx)
		return err
	}, `insert into slot_claims (appointment_id, doctor_id, patient_id, blocked, visible)
		values ($1, $2, $3, tstzrange($4, $5), tstzrange($4, $5))`, a.ID, w.doctor.ID, w.other.ID, at(15, 0), at(15, 30)))
	require.Zero(t, w.count(`select count(*) from slot_claims where hold_id is not null`))
}

// If one doctor's holds cannot be ended, those of the others still end.
func TestService_Deadlines_oneDoctorFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	crowd := w.crowd(2)
	a := w.booked(w.patient, at(10, 30))
	w.waits(crowd[0])
	_, err := w.svc.Cancel(ctx, w.patient, a.PublicID, appointment.Ending{})
	require.NoError(t, err)
	_, err = w.svc.Hold(ctx, crowd[1], appointment.Booking{Doctor: w.stranger.UserID, StartsAt: ptr(at(10, 30))})
	require.NoError(t, err)
	w.rules(w.doctor, `time_zone = 'Nowhere'`)
	w.now = w.now.Add(w.cfg.OfferTTL)
	_, err = w.svc.Deadlines(ctx)
	require.Error(t, err)
	require.Zero(t, w.count(`select count(*) from slot_claims where doctor_id = $1`, w.stranger.ID))
}

// Nobody can wait for a doctor who has left, or hold their time.
func TestService_Release_endsHoldsAndWaiting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	crowd := w.crowd(2)
	a := w.booked(w.patient, at(10, 30))
	w.waits(crowd[0])
	_, err := w.svc.Cancel(ctx, w.patient, a.PublicID, appointment.Ending{})
	require.NoError(t, err)
	_, err = w.keeps(crowd[1], at(11, 0))
	require.NoError(t, err)
	require.NoError(t, w.disable(ctx, w.doctor, false))
	require.Zero(t, w.count(`select count(*) from slot_claims`))
	require.Zero(t, w.count(`select count(*) from waitlist where ended_at is null`))
}

// An appointment of a disabled patient keeps no doctor from leaving.
func TestService_HandOver_disabledPatient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.booked(w.patient, at(10, 30))
	w.exec(`update users set disabled_at = now() where id = $1`, w.patient.ID)
	got, err := w.svc.HandOver(context.Background(), w.admin, a.PublicID, w.stranger.UserID, 0)
	require.NoError(t, err)
	require.Equal(t, w.stranger.UserID, got.Doctor.UserID)
}

// The buffers of the doctor who takes over are those of the moment at which they do.
func TestService_HandOver_buffersUnderTheLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	w.rules(w.stranger, `buffer_after = 0`)
	a := w.booked(w.patient, at(10, 30))
	require.NoError(t, w.blocked(w.stranger, func() error {
		_, err := w.svc.HandOver(ctx, w.admin, a.PublicID, w.stranger.UserID, 0)
		return err
	}, `update schedules set buffer_after = 25 where doctor_id = $1`, w.stranger.ID))
	require.Equal(t, 1,
		w.count(`select count(*) from slot_claims where upper(blocked) - upper(visible) = interval '25 minutes'`))
}

// A refused hand-over offers times of the doctor who was to take over.
func TestService_HandOver_alternatives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	a := w.booked(w.patient, at(10, 30))
	for i, when := range []time.Time{at(10, 0), at(10, 30), at(11, 0)} {
		_, err := w.svc.Book(ctx, w.other, appointment.Booking{Doctor: w.stranger.UserID, StartsAt: &when, Reason: "Rash"})
		require.NoError(t, err, i)
	}
	_, err := w.svc.HandOver(ctx, w.admin, a.PublicID, w.stranger.UserID, 0)
	require.Equal(t, "slot_taken", errs.CodeOf(err))
	require.Equal(t, at(11, 30), alternativesOf(t, err)[0])
}

// If a doctor leaves just as they are chosen, another one is chosen.
func TestService_Book_anyDoctorWhoLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var a appointment.Appointment
	require.NoError(t, w.blocked(w.doctor, func() (err error) {
		a, err = w.bookAny(w.patient, at(12, 0))
		return err
	}, `update users set disabled_at = now() where id = $1`, w.doctor.ID))
	require.Equal(t, w.stranger.UserID, a.Doctor.UserID)
}

// Whatever rule a time breaks, the nearest free slots of the specialization come with the refusal.
func TestService_Book_anyDoctorAlternatives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for code, when := range map[string]time.Time{
		"slot_too_far": at(10, 0).AddDate(2, 0, 0), "slot_in_past": monday.AddDate(0, 0, -60), "slot_off_grid": at(10, 10),
		"slot_outside_hours": at(23, 0),
	} {
		_, err := w.bookAny(w.patient, when)
		require.Equal(t, code, errs.CodeOf(err))
		require.Len(t, alternativesOf(t, err), 5, code)
		_, err = w.svc.Hold(context.Background(), w.patient,
			appointment.Booking{Specialization: "Cardiology", StartsAt: &when})
		require.Len(t, alternativesOf(t, err), 5, code)
	}
	_, err := w.bookAny(w.patient, at(16, 10))
	require.Equal(t, []time.Time{at(16, 0), at(16, 30), at(15, 30), at(17, 0), at(15, 0)}, alternativesOf(t, err),
		"nearest first, before and after")
}

// However long the doctor is away, there is something to offer.
func TestService_Book_alternativesAfterALongAbsence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rules(w.doctor, `version = 2`)
	w.exec(
		`insert into schedule_exceptions (doctor_id, first_date, last_date, off) values ($1, '2026-03-02', '2026-04-12', true)`,
		w.doctor.ID,
	)
	_, err := w.svc.Book(context.Background(), w.patient, appointment.Booking{
		Doctor: w.doctor.UserID, StartsAt: ptr(time.Date(2026, time.March, 24, 10, 0, 0, 0, time.UTC)), Reason: "Cough",
	})
	require.Equal(t, "slot_day_off", errs.CodeOf(err))
	found := alternativesOf(t, err)
	require.Len(t, found, 5)
	require.Equal(t, time.Date(2026, time.April, 13, 8, 0, 0, 0, time.UTC), found[0])
}

// 31 dates are 31 days, even where the clocks skip the midnight after them.
func TestRoutes_slots_31datesToASkippedMidnight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rules(w.doctor, `time_zone = 'America/Havana'`)
	got := w.api().
		call(auth.Actor{}, http.MethodGet, "/doctors/"+w.doctor.UserID+"/slots?from=2026-02-05&to=2026-03-07", nil)
	require.Equal(t, http.StatusOK, got.Status, "%s", got.Raw)
	got = w.api().
		call(auth.Actor{}, http.MethodGet, "/doctors/"+w.doctor.UserID+"/slots?from=2026-02-05&to=2026-03-08", nil)
	require.Equal(t, http.StatusUnprocessableEntity, got.Status, "%s", got.Raw)
}

// A time that is kept for one patient is shown to nobody as free, and nobody is sent to that doctor for it.
func TestService_Hold_isTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	_, err := w.keeps(w.patient, at(10, 30))
	require.NoError(t, err)
	hour := func(*time.Location, time.Time) (time.Time, time.Time, error) { return at(10, 30), at(11, 0), nil }
	slots, _, err := w.svc.Slots(ctx, w.doctor.UserID, hour)
	require.NoError(t, err)
	require.Empty(t, slots)
	found, err := w.svc.Search(ctx, "Cardiology", hour, 10)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, w.stranger.UserID, found[0].Doctor.UserID)
	a, err := w.bookAny(w.other, at(10, 30))
	require.NoError(t, err)
	require.Equal(t, w.stranger.UserID, a.Doctor.UserID)
	_, err = w.svc.Book(ctx, w.other,
		appointment.Booking{Doctor: w.doctor.UserID, StartsAt: ptr(at(10, 0)), Reason: "Cough"})
	require.NoError(t, err)
	_, err = w.svc.Book(ctx, w.crowd(1)[0],
		appointment.Booking{Doctor: w.doctor.UserID, StartsAt: ptr(at(10, 0)), Reason: "Cough"})
	require.NotContains(t, alternativesOf(t, err), at(10, 30))

	w.now = w.now.Add(w.cfg.HoldTTL)
	slots, _, err = w.svc.Slots(ctx, w.doctor.UserID, hour)
	require.NoError(t, err)
	require.Len(t, slots, 1, "it has expired")
}

func TestService_Book_anyDoctorPatientBusy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec(`update doctors set specialization = 'Dermatology' where user_id = $1`, w.doctor.ID)
	w.books(w.patient, ptr(at(10, 30)))
	_, err := w.bookAny(w.patient, at(10, 30))
	require.Equal(t, "patient_busy", errs.CodeOf(err))
	require.Len(t, alternativesOf(t, err), 5)
}

// Nobody begins to wait for a doctor who is just leaving: nothing would end the wait.
func TestService_Wait_doctorLeavesMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	err := w.blocked(w.doctor, func() error {
		_, err := w.svc.Wait(context.Background(), w.patient, w.doctor.UserID, tuesday, tuesday)
		return err
	}, `update users set disabled_at = now() where id = $1`, w.doctor.ID)
	require.Equal(t, "not_found", errs.CodeOf(err))
	require.Zero(t, w.count(`select count(*) from waitlist`))
}
