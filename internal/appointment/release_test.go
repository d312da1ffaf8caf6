package appointment_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/testing/pgtest"
)

func TestService_Release(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	early, late := at(10, 0), at(17, 0)
	past, timed, untimed := w.books(w.patient, &early), w.books(w.patient, &late), w.books(w.other, nil)
	_, err := w.svc.Confirm(ctx, w.doctor, timed.PublicID, appointment.Confirmation{})
	require.NoError(t, err)
	w.now = at(12, 0)

	err = w.disable(ctx, w.doctor, false)
	var e *errs.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "future_appointments", e.Code)
	require.Equal(t, 2, e.Extra["count"])
	require.Zero(t, w.count(`select count(*) from users where disabled_at is not null`))

	require.NoError(t, w.disable(ctx, w.doctor, true))
	for _, a := range []appointment.Appointment{timed, untimed} {
		got, err := w.svc.ByID(ctx, a.ID)
		require.NoError(t, err)
		require.Equal(t, appointment.Cancelled, got.Status)
		require.Contains(t, w.events(a)[len(w.events(a))-1], "was cancelled by the clinic.")
	}
	got, err := w.svc.ByID(ctx, past.ID)
	require.NoError(t, err)
	require.Equal(t, appointment.Pending, got.Status)
	tomorrow := at(34, 0)
	_, err = w.svc.Confirm(ctx, w.admin, past.PublicID, appointment.Confirmation{StartsAt: &tomorrow})
	require.Equal(t, "doctor_unavailable", errs.CodeOf(err))
	require.NoError(t, w.disable(ctx, w.stranger, false))
	require.NoError(t, w.disable(ctx, w.patient, false), "one who never was a doctor has nothing to settle")
}

// A doctor who leaves can hand their appointments over to another, either all of them or none.
func TestService_Release_handsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	booked, untimed := w.booked(w.patient, at(10, 30)), w.books(w.other, nil)
	leave := func(to string) error {
		return w.pool.InTx(ctx, func(tx *postgres.Tx) error {
			return w.svc.Release(ctx, tx, auth.Departure{DoctorID: w.doctor.ID, By: w.admin, HandOverTo: to})
		})
	}
	for _, to := range []string{w.doctor.UserID, w.patient.UserID, "DOCNOBODY"} {
		require.Equal(t, "invalid", errs.CodeOf(leave(to)), to)
	}
	busy, err := w.svc.Book(ctx, w.other,
		appointment.Booking{Doctor: w.stranger.UserID, StartsAt: ptr(at(10, 30)), Reason: "Rash"})
	require.NoError(t, err)
	require.Equal(t, "slot_taken", errs.CodeOf(leave(w.stranger.UserID)))
	require.Equal(t, 2, w.count(`select count(*) from appointments where doctor_id = $1`, w.doctor.ID), "none")
	_, err = w.svc.Cancel(ctx, w.other, busy.PublicID, appointment.Ending{})
	require.NoError(t, err)
	require.NoError(t, leave(w.stranger.UserID))
	for a, status := range map[appointment.Appointment]appointment.Status{booked: appointment.Booked, untimed: appointment.Pending} {
		got, err := w.svc.Find(ctx, w.stranger, a.PublicID)
		require.NoError(t, err)
		require.Equal(t, status, got.Status)
		require.Contains(t, w.events(a)[len(w.events(a))-1], "handed over to another doctor, Dr Dan Roth.")
	}
}

// Where nobody can answer any more, nobody is offered to write.
func TestService_Release_closesConversations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	when := at(10, 0)
	over, pending := w.books(w.patient, &when), w.books(w.other, nil)
	_, err := w.svc.Confirm(ctx, w.doctor, over.PublicID, appointment.Confirmation{})
	require.NoError(t, err)
	w.now = at(12, 0)
	canReply := func() bool {
		a, err := w.svc.ByID(ctx, over.ID)
		require.NoError(t, err)
		views, err := w.svc.Views(ctx, w.doctor, a)
		require.NoError(t, err)
		return views[0].CanReply
	}
	require.True(t, canReply(), "booked, and nobody has completed it")
	for range 2 {
		require.NoError(t, w.disable(ctx, w.doctor, true))
		require.False(t, canReply())
	}
	told := 0
	for _, text := range w.events(over) {
		if strings.Contains(text, "The conversation was closed") {
			told++
		}
	}
	require.Equal(t, 1, told, "once")
	require.Zero(t, w.count(`select count(*) from conversations where id = $1 and closed_at is not null`, pending.ID))

	comeBack := func() {
		require.NoError(t, w.pool.InTx(ctx, func(tx *postgres.Tx) error { return w.svc.Return(ctx, tx, w.doctor.ID) }))
	}
	for range 2 {
		comeBack()
		require.True(t, canReply(), "with the doctor it is open again")
	}
	log := w.events(over)
	require.Equal(t, "The conversation is open again: the doctor is back.", log[len(log)-1])
	require.Equal(t, 1, strings.Count(strings.Join(log, " "), "open again"), "once")
	w.exec(`update conversations set closed_at = now(), closed_by = 'doctor' where id = $1`, over.ID)
	comeBack()
	require.False(t, canReply(), "what the doctor closed stays closed")
	w.exec(`update conversations set closed_by = 'clinic' where id = $1`, over.ID)
	w.exec(`update appointments set status = 'CANCELLED' where id = $1`, over.ID)
	comeBack()
	require.Len(t, w.events(over), len(log), "nothing to open")
	require.NoError(t, w.pool.InTx(ctx, func(tx *postgres.Tx) error { return w.svc.Return(ctx, tx, w.patient.ID) }),
		"never a doctor")
}

// inOrder notes in which order conversations are written to.
type inOrder struct {
	log
	conversations []int64
}

func (o *inOrder) Append(ctx context.Context, tx *postgres.Tx, id int64, text string) error {
	o.conversations = append(o.conversations, id)
	return o.Log.Append(ctx, tx, id, text)
}

func (o *inOrder) Close(ctx context.Context, tx *postgres.Tx, id int64, text string) error {
	o.conversations = append(o.conversations, id)
	return o.Log.Close(ctx, tx, id, text)
}

// Conversations are locked in id order, as the committer locks them: otherwise the two would deadlock.
func TestService_Release_locksConversationsInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	early, late, next := at(10, 0), at(17, 0), at(10, 30)
	var all []int64
	for _, when := range []*time.Time{&late, &early, nil, &next} { // ahead, over, ahead, over
		a := w.books(map[bool]auth.Actor{true: w.patient, false: w.other}[when != &next], when)
		if when != nil {
			_, err := w.svc.Confirm(ctx, w.doctor, a.PublicID, appointment.Confirmation{})
			require.NoError(t, err)
		}
		all = append(all, a.ID)
	}
	w.now = at(12, 0)
	noted := &inOrder{log: newLog()}
	svc := w.over(w.pool, noted)
	require.NoError(t, w.pool.InTx(ctx, func(tx *postgres.Tx) error {
		return svc.Release(ctx, tx, auth.Departure{DoctorID: w.doctor.ID, By: w.admin, CancelAppointments: true})
	}))
	require.Equal(t, all, noted.conversations)
}

func TestService_Release_readsTheRulesOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	for i := range 4 {
		w.books(w.patient, ptr(at(14+i, 30)))
	}
	svc, pool, trips := w.counted()
	_, statements := trips.Of(func() {
		require.NoError(t, pool.InTx(ctx, func(tx *postgres.Tx) error {
			return svc.Release(ctx, tx, auth.Departure{DoctorID: w.doctor.ID, By: w.admin, CancelAppointments: true})
		}))
	})
	require.Equal(t, 1, pgtest.Naming(statements, "schedules s"))
	require.Equal(t, 4, w.count(`select count(*) from appointments where status = 'CANCELLED'`))
}
