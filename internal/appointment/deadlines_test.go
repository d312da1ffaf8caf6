package appointment_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
)

func (w *world) statusOf(a appointment.Appointment) appointment.Status {
	w.t.Helper()
	got, err := w.svc.ByID(context.Background(), a.ID)
	require.NoError(w.t, err)
	return got.Status
}

func TestService_Deadlines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	timed, untimed, booked := w.books(w.patient, ptr(at(10, 30))), w.books(w.patient, nil), w.booked(w.other, at(11, 0))
	meet := func(now time.Time, want int) {
		t.Helper()
		w.now = now
		n, err := w.svc.Deadlines(ctx)
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
	w.exec(`update appointments set created_at = $2 where id = $1`, untimed.ID, monday)
	meet(at(10, 30).Add(-time.Second), 0)
	meet(at(10, 30), 1)
	require.Equal(t, appointment.Expired, w.statusOf(timed))
	require.Equal(t, "The request for Tue 3 Mar 2026, 10:30 (Europe/Berlin) expired without an answer.",
		w.events(timed)[1])
	require.Equal(t, 1, w.count(`select count(*) from slot_claims`), "its time is free")

	meet(at(24+11, 30).Add(-time.Second), 0)
	meet(at(24+11, 30), 1)
	require.Equal(t, appointment.Completed, w.statusOf(booked))
	got, err := w.svc.ByID(ctx, booked.ID)
	require.NoError(t, err)
	require.Equal(t, w.now, *got.CompletedAt, "the follow-up window begins now")

	meet(monday.Add(w.cfg.RequestTTL).Add(-time.Second), 0)
	meet(monday.Add(w.cfg.RequestTTL), 1)
	require.Equal(t, appointment.Expired, w.statusOf(untimed))
	meet(w.now.AddDate(1, 0, 0), 0)

	steps, _, err := w.svc.History(ctx, w.patient, timed.PublicID, 0, 10)
	require.NoError(t, err)
	require.Equal(t, "expire", steps[1].Action)
	require.Equal(t, appointment.Actor{}, steps[1].Actor, "nobody did it")
}

// However many instances check at the same time, and whatever a doctor does in the meantime, each deadline takes
// effect once.
func TestService_Deadlines_onceOverInstances(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	second, _ := w.instance()
	var all []appointment.Appointment
	for i, p := range w.crowd(60) { // more than one batch
		when := at(10, 0).AddDate(0, 0, i/6).Add(time.Duration(i%6) * 30 * time.Minute)
		all = append(all, w.books(p, &when))
	}
	w.now = at(10, 0).AddDate(0, 0, 30)
	done, failures := make([]int, 6), make([]error, 6)
	together(7, func(i int) {
		if i == 6 {
			for _, a := range all[:10] { // the doctor answers at the same moment
				_, _ = w.svc.Reject(ctx, w.doctor, a.PublicID, appointment.Ending{Reason: "Late"})
			}
			return
		}
		done[i], failures[i] = []*appointment.Service{w.svc, second}[i%2].Deadlines(ctx)
	})
	for _, err := range failures {
		require.NoError(t, err)
	}
	_, err := w.svc.Deadlines(ctx) // what somebody else held just then
	require.NoError(t, err)
	require.Equal(t, 60,
		w.count(`select count(*) from appointments where status in ('EXPIRED', 'REJECTED') and version = 2`))
	require.Equal(t, 120, w.count(`select count(*) from appointment_history`))
	require.Equal(t, 120, w.count(`select count(*) from messages`))
	require.Zero(t, w.count(`select count(*) from slot_claims`))
}

// One that cannot be met does not keep the others waiting.
func TestService_Deadlines_oneFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bad, good := w.books(w.patient, ptr(at(10, 30))), w.books(w.other, ptr(at(11, 0)))
	w.exec(
		`insert into appointment_history (appointment_id, version, at, action, to_status) values ($1, 2, now(), 'expire', 'EXPIRED')`,
		bad.ID,
	)
	w.now = at(12, 0)
	_, err := w.svc.Deadlines(context.Background())
	require.Error(t, err)
	require.Equal(t, appointment.Pending, w.statusOf(bad))
	require.Equal(t, appointment.Expired, w.statusOf(good))
}

func TestService_Counts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	w.books(w.patient, nil)
	a := w.booked(w.other, at(10, 30))
	for actor, want := range map[auth.Actor]map[appointment.Status]int{
		w.patient: {appointment.Pending: 1}, w.other: {appointment.Booked: 1}, w.stranger: {},
		w.doctor: {appointment.Pending: 1, appointment.Booked: 1}, w.admin: {appointment.Pending: 1, appointment.Booked: 1},
	} {
		got, err := w.svc.Counts(ctx, actor, "")
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	got, err := w.svc.Counts(ctx, w.other, w.doctor.UserID)
	require.NoError(t, err)
	require.Equal(t, map[appointment.Status]int{appointment.Booked: 1}, got)
	got, err = w.svc.Counts(ctx, w.admin, "DOC0000000000")
	require.NoError(t, err)
	require.Empty(t, got)
	_, err = w.svc.ByKey(ctx, w.other, a.ID)
	require.NoError(t, err)
	for _, actor := range []auth.Actor{w.patient, w.stranger} {
		_, err = w.svc.ByKey(ctx, actor, a.ID)
		require.Error(t, err)
	}
}
