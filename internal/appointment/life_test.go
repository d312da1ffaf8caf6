package appointment_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// booked is an appointment of the patient that the doctor has confirmed.
func (w *world) booked(p auth.Actor, startsAt time.Time) appointment.Appointment {
	w.t.Helper()
	a := w.books(p, &startsAt)
	a, err := w.svc.Confirm(context.Background(), w.doctor, a.PublicID, appointment.Confirmation{})
	require.NoError(w.t, err)
	return a
}

// rules sets columns of the doctor's booking rules.
func (w *world) rules(d auth.Actor, set string) {
	w.t.Helper()
	w.exec(
		`insert into schedules (doctor_id, time_zone, slot_minutes) values ($1, 'Europe/Berlin', 30) on conflict do nothing`,
		d.ID,
	)
	w.exec(`update schedules set `+set+` where doctor_id = $1`, d.ID)
}

func TestService_Reschedule_byThePatient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	a := w.booked(w.patient, at(10, 30))
	moved, err := w.svc.Reschedule(ctx, w.patient, a.PublicID,
		appointment.Rescheduling{StartsAt: at(15, 0), Version: a.Version})
	require.NoError(t, err)
	require.Equal(t, appointment.Booked, moved.Status)
	require.Equal(t, at(10, 30), *moved.StartsAt, "it stands until the doctor confirms the other time")
	require.Equal(t, at(15, 0), moved.Proposal.StartsAt)
	require.Equal(t, a.ID, moved.ID)

	steps, _, err := w.svc.History(ctx, w.patient, a.PublicID, 0, 10)
	require.NoError(t, err)
	require.Equal(t, []string{"book", "confirm", "reschedule_request"},
		[]string{steps[0].Action, steps[1].Action, steps[2].Action})
	require.Equal(t, at(10, 30), *steps[2].StartsAt)
	require.Equal(t, at(15, 0), *steps[2].ProposedStartsAt)
	require.Contains(t, w.events(a)[2], "asked to move the appointment from Tue 3 Mar 2026, 10:30 (Europe/Berlin) "+
		"to Tue 3 Mar 2026, 15:00 (Europe/Berlin)")

	_, err = w.svc.Reschedule(ctx, w.patient, a.PublicID, appointment.Rescheduling{StartsAt: at(15, 0)})
	require.Equal(t, "invalid", errs.CodeOf(err), "the time that was asked for")
	_, err = w.svc.Reschedule(ctx, w.patient, a.PublicID, appointment.Rescheduling{StartsAt: at(10, 30)})
	require.Equal(t, "invalid", errs.CodeOf(err), "the time that it has")
	w.books(w.other, ptr(at(11, 30)))
	_, err = w.svc.Reschedule(ctx, w.patient, a.PublicID, appointment.Rescheduling{StartsAt: at(11, 30)})
	require.Equal(t, "slot_taken", errs.CodeOf(err))
	_, err = w.svc.Reschedule(ctx, w.patient, a.PublicID, appointment.Rescheduling{StartsAt: at(15, 10)})
	require.Equal(t, "slot_off_grid", errs.CodeOf(err))
	_, err = w.svc.Reschedule(ctx, w.other, a.PublicID, appointment.Rescheduling{StartsAt: at(16, 0)})
	require.Equal(t, "not_found", errs.CodeOf(err))
}

func TestService_Reschedule_keepsStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	a := w.booked(w.patient, at(10, 30))
	moved, err := w.svc.Reschedule(ctx, w.doctor, a.PublicID, appointment.Rescheduling{StartsAt: at(10, 45)})
	require.NoError(t, err, "onto a part of its own time, off the grid")
	require.Equal(t, appointment.Booked, moved.Status)
	require.Equal(t, at(11, 15), *moved.EndsAt)

	w.rules(w.doctor, `auto_confirm = true`)
	moved, err = w.svc.Reschedule(ctx, w.patient, a.PublicID, appointment.Rescheduling{StartsAt: at(16, 0)})
	require.NoError(t, err)
	require.Equal(t, appointment.Booked, moved.Status, "nobody has to confirm")
}

func TestService_cancellationWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	a := w.booked(w.patient, at(12, 0))
	pending := w.books(w.other, ptr(at(12, 30)))
	w.now = at(12, 0).Add(-w.cfg.CancellationWindow + time.Second)
	_, err := w.svc.Cancel(ctx, w.patient, a.PublicID, appointment.Ending{})
	require.Equal(t, "too_late", errs.CodeOf(err))
	_, err = w.svc.Reschedule(ctx, w.patient, a.PublicID, appointment.Rescheduling{StartsAt: at(16, 0)})
	require.Equal(t, "too_late", errs.CodeOf(err))
	_, err = w.svc.Cancel(ctx, w.other, pending.PublicID, appointment.Ending{})
	require.NoError(t, err, "a request can be withdrawn at any time")
	w.now = w.now.Add(-time.Second)
	_, err = w.svc.Cancel(ctx, w.patient, a.PublicID, appointment.Ending{})
	require.NoError(t, err, "at the last moment")

	b := w.booked(w.patient, at(14, 30))
	w.now = at(14, 29)
	_, err = w.svc.Cancel(ctx, w.doctor, b.PublicID, appointment.Ending{Reason: "Ill"})
	require.NoError(t, err, "the doctor may always")
}

func TestService_Complete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	a := w.booked(w.patient, at(10, 30))
	done := appointment.Completion{
		Summary: " Rest and tea. ", FollowUpOn: ptr(time.Date(2026, time.March, 20, 0, 0, 0, 0, time.UTC)),
	}
	_, err := w.svc.Complete(ctx, w.doctor, a.PublicID, done)
	require.Equal(t, "not_begun", errs.CodeOf(err))
	_, err = w.svc.NoShow(ctx, w.doctor, a.PublicID, 0)
	require.Equal(t, "not_begun", errs.CodeOf(err))
	w.now = at(10, 30)
	_, err = w.svc.Complete(ctx, w.patient, a.PublicID, done)
	require.Equal(t, "forbidden", errs.CodeOf(err))
	_, err = w.svc.Complete(ctx, w.stranger, a.PublicID, done)
	require.Equal(t, "not_found", errs.CodeOf(err))
	past := done
	past.FollowUpOn = ptr(time.Date(2026, time.March, 2, 0, 0, 0, 0, time.UTC))
	_, err = w.svc.Complete(ctx, w.doctor, a.PublicID, past)
	require.Equal(t, "invalid", errs.CodeOf(err))
	got, err := w.svc.Complete(ctx, w.doctor, a.PublicID, done)
	require.NoError(t, err)
	require.Equal(t, appointment.Completed, got.Status)
	require.Equal(t, "Rest and tea.", got.Summary)
	require.Equal(t, *done.FollowUpOn, *got.FollowUpOn)
	require.Equal(t, at(10, 30), *got.CompletedAt)
	require.Zero(t, w.count(`select count(*) from slot_claims`))
	require.Zero(t, w.count(`select count(*) from messages where body like '%tea%'`), "a summary is in no log")
	require.Zero(t, w.count(`select count(*) from audit_events where detail::text like '%tea%'`))

	b := w.booked(w.other, at(11, 0))
	w.now = at(11, 1)
	got, err = w.svc.NoShow(ctx, w.admin, b.PublicID, b.Version)
	require.NoError(t, err)
	require.Equal(t, appointment.NoShow, got.Status)
	can, _, why := got.Reply(w.now, time.Hour, appointment.Closing{})
	require.False(t, can)
	require.Equal(t, "no_show", why)
}

// What took place is the patient's and the doctor's; a look at it leaves a row.
func TestRoutes_summary(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.api()
	a := w.booked(w.patient, at(10, 30))
	w.now = at(10, 40)
	path := "/appointments/" + a.PublicID
	got := c.call(w.doctor, "POST", path+"/complete", object{"summary": "Rest and tea.", "followUpOn": "2026-03-20"})
	require.Equal(t, 200, got.Status, "%s", got.Raw)
	require.Equal(t, "2026-03-20", got.Body["followUpOn"])
	reads := func() int {
		return w.count(`select count(*) from audit_events where action = 'appointment.summary' and patient_id = $1`,
			w.patient.ID)
	}
	require.Zero(t, reads())
	for i, actor := range []auth.Actor{w.patient, w.doctor} {
		require.Equal(t, "Rest and tea.", c.call(actor, "GET", path, nil).Body["summary"])
		require.Equal(t, i+1, reads())
		require.NotContains(t, string(c.call(actor, "GET", "/appointments", nil).Raw), "tea")
	}
	require.NotContains(t, string(c.call(w.admin, "GET", path, nil).Raw), "tea")
	require.Equal(t, 422,
		c.call(w.doctor, "POST", path+"/complete", object{"summary": "", "followUpOn": "20.3.2026"}).Status)
}

func TestService_HandOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	a := w.booked(w.patient, at(10, 30))
	_, err := w.svc.HandOver(ctx, w.doctor, a.PublicID, w.stranger.UserID, 0)
	require.Equal(t, "forbidden", errs.CodeOf(err))
	_, err = w.svc.HandOver(ctx, w.admin, a.PublicID, w.doctor.UserID, 0)
	require.Equal(t, "invalid", errs.CodeOf(err), "their own")
	_, err = w.svc.HandOver(ctx, w.admin, a.PublicID, w.patient.UserID, 0)
	require.Equal(t, "invalid", errs.CodeOf(err), "no doctor")

	busy, err := w.svc.Book(ctx, w.other,
		appointment.Booking{Doctor: w.stranger.UserID, StartsAt: ptr(at(10, 30)), Reason: "Rash"})
	require.NoError(t, err)
	_, err = w.svc.HandOver(ctx, w.admin, a.PublicID, w.stranger.UserID, 0)
	require.Equal(t, "slot_taken", errs.CodeOf(err))
	_, err = w.svc.Cancel(ctx, w.other, busy.PublicID, appointment.Ending{})
	require.NoError(t, err)

	got, err := w.svc.HandOver(ctx, w.admin, a.PublicID, w.stranger.UserID, a.Version)
	require.NoError(t, err)
	require.Equal(t, appointment.Booked, got.Status)
	require.Equal(t, w.stranger.UserID, got.Doctor.UserID)
	_, err = w.svc.Find(ctx, w.doctor, a.PublicID)
	require.Equal(t, "not_found", errs.CodeOf(err), "it is no longer theirs")
	_, err = w.svc.Find(ctx, w.stranger, a.PublicID)
	require.NoError(t, err)
	require.Equal(t, 1, w.count(`select count(*) from slot_claims where doctor_id = $1`, w.stranger.ID))
	require.Equal(t, 1, w.count(`select count(*) from audit_events where action = 'appointment.hand_over' and subject = $1
		and detail->>'formerDoctor' = $2 and detail->>'doctor' = $3`, a.PublicID, w.doctor.UserID, w.stranger.UserID))
	w.books(w.other, ptr(at(10, 30))) // the first doctor's time is free
	w.now = at(11, 0)
	_, err = w.svc.HandOver(ctx, w.admin, a.PublicID, w.doctor.UserID, 0)
	require.Equal(t, "already_over", errs.CodeOf(err))
}

func TestService_HandOver_bothWaysAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	a := w.booked(w.patient, at(10, 30))
	third := w.user("DOC0000000003", "Dr Third", auth.Doctor)
	const n = 24
	all := make([]error, n)
	together(n, func(i int) {
		to := w.stranger
		if i%2 == 1 {
			to = third
		}
		_, all[i] = w.svc.HandOver(ctx, w.admin, a.PublicID, to.UserID, a.Version)
	})
	require.Equal(t, map[string]int{"": 1, "stale": n - 1}, codes(all))
	require.Equal(t, 3, w.count(`select count(*) from appointment_history`))
	require.Equal(t, 1, w.count(`select count(*) from slot_claims`))
}

func TestService_buffers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	w.rules(w.doctor, `buffer_before = 10, buffer_after = 20`)
	a := w.booked(w.patient, at(11, 0)) // blocks 10:50 to 11:50
	for _, when := range []time.Time{at(10, 30), at(11, 30)} {
		_, err := w.svc.Book(ctx, w.other, appointment.Booking{Doctor: w.doctor.UserID, StartsAt: &when, Reason: "Rash"})
		require.Equal(t, "slot_taken", errs.CodeOf(err), "%s: a buffer is in the way", when)
	}
	slots, _, err := w.svc.Slots(ctx, w.doctor.UserID,
		func(*time.Location, time.Time) (time.Time, time.Time, error) { return at(10, 0), at(13, 0), nil })
	require.NoError(t, err)
	var starts []time.Time
	for _, s := range slots {
		starts = append(starts, s.StartsAt.UTC())
	}
	require.Equal(t, []time.Time{at(10, 0), at(12, 0), at(12, 30)}, starts)
	require.Equal(t, at(11, 30), *a.EndsAt, "buffers are not shown")
}

func TestService_autoConfirm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	w.rules(w.doctor, `auto_confirm = true`)
	a := w.books(w.patient, ptr(at(10, 30)))
	require.Equal(t, appointment.Booked, a.Status)
	require.Equal(t, []string{"Appointment booked for Tue 3 Mar 2026, 10:30 (Europe/Berlin)."}, w.events(a))
	require.Equal(t, appointment.Pending, w.books(w.patient, nil).Status, "without a time the doctor sets one")
	for i := range w.cfg.MaxOpenRequests {
		b := w.books(w.other, ptr(at(14, 30).Add(time.Duration(i)*30*time.Minute)))
		require.Equal(t, appointment.Booked, b.Status, "what is booked is no open request")
	}
	b, err := w.svc.Book(ctx, w.admin,
		appointment.Booking{Doctor: w.stranger.UserID, Patient: w.patient.UserID, StartsAt: ptr(at(17, 0)), Booked: true})
	require.NoError(t, err)
	require.Equal(t, appointment.Booked, b.Status)
}

func TestService_perDay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	w.rules(w.doctor, `per_day = 2`)
	w.booked(w.patient, at(10, 0))
	b := w.booked(w.patient, at(11, 0))
	_, err := w.svc.Book(ctx, w.other,
		appointment.Booking{Doctor: w.doctor.UserID, StartsAt: ptr(at(15, 0)), Reason: "Rash"})
	var e *errs.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "slot_day_full", e.Code)
	alternatives := e.Extra["alternatives"].([]appointment.Alternative)
	require.Len(t, alternatives, 5)
	require.NotEqual(t, 3, alternatives[0].StartsAt.Day(), "another day")
	_, err = w.svc.Reschedule(ctx, w.patient, b.PublicID, appointment.Rescheduling{StartsAt: at(16, 0)})
	require.NoError(t, err, "what moves within the day does not count twice")
}

func ptr[T any](v T) *T { return &v }

// told records the notifications.
type told struct {
	moved   []appointment.Notification
	offered []appointment.Offer
}

func (n *told) Moved(_ context.Context, _ *postgres.Tx, m appointment.Notification) error {
	n.moved = append(n.moved, m)
	return nil
}

func (n *told) Offered(_ context.Context, _ *postgres.Tx, o appointment.Offer) error {
	n.offered = append(n.offered, o)
	return nil
}

func TestService_notifications(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	n := &told{}
	w.svc.Connect(n)
	a := w.booked(w.patient, at(10, 30))
	_, err := w.svc.HandOver(ctx, w.admin, a.PublicID, w.stranger.UserID, 0)
	require.NoError(t, err)
	_, err = w.svc.Cancel(ctx, w.patient, a.PublicID, appointment.Ending{})
	require.NoError(t, err)
	var got []string
	for i, m := range n.moved {
		require.Equal(t, i+1, m.Version)
		got = append(got, string(m.Action)+" "+string(m.Before)+" "+string(m.Status))
	}
	require.Equal(t,
		[]string{"book  PENDING", "confirm PENDING BOOKED", "hand_over BOOKED BOOKED", "cancel BOOKED CANCELLED"}, got)
	require.Equal(t, []int64{w.patient.ID, w.doctor.ID, w.admin.ID, w.patient.ID},
		[]int64{n.moved[0].By, n.moved[1].By, n.moved[2].By, n.moved[3].By})
	require.Equal(t, w.doctor.ID, n.moved[2].FormerDoctor)
}
