package appointment_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// disable does what account does when it takes a doctor away.
func (w *world) disable(ctx context.Context, d auth.Actor, cancelAppointments bool) error {
	return w.pool.InTx(ctx, func(tx *postgres.Tx) error {
		if _, err := tx.Exec(ctx, `update users set disabled_at = now() where id = $1`, d.ID); err != nil {
			return err
		}
		return w.svc.Release(ctx, tx, auth.Departure{DoctorID: d.ID, By: w.admin, CancelAppointments: cancelAppointments})
	})
}

// events returns the texts of the appointment's conversation.
func (w *world) events(a appointment.Appointment) (all []string) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(context.Background(),
		`select coalesce(array_agg(body order by seq), '{}') from messages where room_id = $1`, a.ID).Scan(&all))
	return all
}

// History tells who acted, and in which role at the time; what they become later neither names an admin nor hides a
// doctor.
func TestService_History_afterRoleChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	when := at(10, 30)
	a := w.books(w.patient, &when)
	_, err := w.svc.Confirm(ctx, w.doctor, a.PublicID, appointment.Confirmation{})
	require.NoError(t, err)
	_, err = w.svc.Cancel(ctx, w.admin, a.PublicID, appointment.Ending{Reason: "Water damage"})
	require.NoError(t, err)
	w.exec(`update users set role = case role when 'ADMIN' then 'DOCTOR' else 'ADMIN' end`)
	w.exec(`insert into doctors (user_id) values ($1)`, w.admin.ID)
	steps, _, err := w.svc.History(ctx, w.patient, a.PublicID, 0, 10)
	require.NoError(t, err)
	require.Len(t, steps, 3)
	for i, want := range []appointment.Actor{
		{UserID: w.patient.UserID, Name: w.patient.Name, Role: auth.Patient},
		{UserID: w.doctor.UserID, Name: w.doctor.Name, Role: auth.Doctor},
		{Role: auth.Admin},
	} {
		require.Equal(t, want, steps[i].Actor)
	}
	// What the system does is nobody's.
	w.exec(`update users set role = 'DOCTOR' where id = $1`, w.doctor.ID)
	b := w.books(w.patient, nil)
	require.NoError(t, w.pool.InTx(ctx, func(tx *postgres.Tx) error {
		return w.svc.Release(ctx, tx, auth.Departure{DoctorID: w.doctor.ID, By: auth.System, CancelAppointments: true})
	}))
	steps, _, err = w.svc.History(ctx, w.patient, b.PublicID, 1, 10)
	require.NoError(t, err)
	require.Len(t, steps, 1)
	require.Equal(t, appointment.Actor{}, steps[0].Actor)
}

func TestService_Confirm_time(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	when := at(10, 30)
	taken := w.books(w.other, &when)
	untimed := w.books(w.patient, nil)
	past, offGrid := monday.Add(-time.Minute), at(15, 5)

	_, err := w.svc.Confirm(ctx, w.doctor, untimed.PublicID, appointment.Confirmation{})
	require.Equal(t, "invalid", errs.CodeOf(err))
	_, err = w.svc.Confirm(ctx, w.doctor, untimed.PublicID, appointment.Confirmation{StartsAt: &past})
	require.Equal(t, "slot_in_past", errs.CodeOf(err))
	_, err = w.svc.Confirm(ctx, w.doctor, untimed.PublicID, appointment.Confirmation{StartsAt: &when})
	require.Equal(t, "slot_taken", errs.CodeOf(err))
	a, err := w.svc.Confirm(ctx, w.doctor, untimed.PublicID, appointment.Confirmation{StartsAt: &offGrid})
	require.NoError(t, err)
	require.Equal(t, offGrid, *a.StartsAt)
	require.Equal(t, offGrid.Add(30*time.Minute), *a.EndsAt)

	// A confirmation that moves the time frees the one that was asked for.
	moved := at(16, 0)
	_, err = w.svc.Confirm(ctx, w.doctor, taken.PublicID, appointment.Confirmation{StartsAt: &moved})
	require.NoError(t, err)
	w.books(w.patient, &when)
	// Times that touch do not overlap.
	next := at(11, 0)
	w.books(w.other, &next)
}

func TestCare(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	when := at(10, 30)
	a := w.books(w.patient, &when)
	asked := w.books(w.other, nil)
	cares := func(patient auth.Actor) bool {
		yes, err := appointment.Care{}.CaresFor(ctx, w.pool, w.doctor.ID, patient.ID)
		require.NoError(t, err)
		ids, err := appointment.Care{}.PatientsOf(ctx, w.pool, w.doctor.ID, patient.ID-1, 1)
		require.NoError(t, err)
		require.Equal(t, yes, len(ids) == 1 && ids[0] == patient.ID)
		return yes
	}
	require.False(t, cares(w.patient), "a request alone opens nothing")
	_, err := w.svc.Confirm(ctx, w.doctor, a.PublicID, appointment.Confirmation{})
	require.NoError(t, err)
	require.True(t, cares(w.patient))
	_, err = w.svc.Cancel(ctx, w.patient, a.PublicID, appointment.Ending{})
	require.NoError(t, err)
	require.True(t, cares(w.patient), "they had one")
	_, err = w.svc.Cancel(ctx, w.other, asked.PublicID, appointment.Ending{})
	require.NoError(t, err)
	require.False(t, cares(w.other), "never confirmed")

	// What a doctor does alone, for somebody who is merely assigned to them, makes nobody their patient.
	w.exec(`update patients set doctor_id = $1 where user_id = $2`, w.doctor.ID, w.other.ID)
	own, err := w.svc.Book(ctx, w.doctor, appointment.Booking{Patient: w.other.UserID, StartsAt: &when})
	require.NoError(t, err)
	_, err = w.svc.Confirm(ctx, w.doctor, own.PublicID, appointment.Confirmation{})
	require.NoError(t, err)
	require.False(t, cares(w.other), "booked by the doctor alone")
	w.exec(`update appointments set status = 'COMPLETED', completed_at = now() where id = $1`, own.ID)
	require.True(t, cares(w.other), "and taken place")
}

// asked keeps what a database was last asked.
type asked struct {
	postgres.DB
	sql  string
	args []any
}

func (a *asked) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	a.sql, a.args = sql, args
	return a.DB.Query(ctx, sql, args...)
}

// A page of a busy doctor's patients is read in their order, not sorted out of all that they ever had.
func TestCare_PatientsOf_usesAnIndex(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	w.exec(`insert into users (public_id, email, name, role)
		select 'PATCROWD' || n, n || '@crowd.test', 'Somebody', 'PATIENT' from generate_series(1, 2000) n`)
	w.exec(`insert into patients (user_id) select id from users where public_id like 'PATCROWD%'`)
	w.exec(`insert into appointments (public_id, patient_id, doctor_id, status, starts_at, ends_at)
		select 'APP' || p.user_id || d.user_id, p.user_id, d.user_id, 'BOOKED', now(), now() + interval '1 hour'
		from patients p, doctors d order by hashtext(p.user_id::text)`)
	w.exec(`analyze appointments`)
	db := &asked{DB: w.pool}
	ids, err := appointment.Care{}.PatientsOf(ctx, db, w.doctor.ID, 0, 20)
	require.NoError(t, err)
	require.Len(t, ids, 20)
	rows, err := w.pool.Query(ctx, "explain "+db.sql, db.args...)
	require.NoError(t, err)
	plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Contains(t, strings.Join(plan, "\n"), "appointments_doctor_patient_idx")
}

// mute is a conversation that fails.
type mute struct{ log }

func (mute) Append(context.Context, *postgres.Tx, int64, string) error { return errors.New("mute") }

func TestService_change_allOrNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	when := at(10, 30)
	a := w.books(w.patient, &when)
	broken := w.over(w.pool, mute{newLog()})
	_, err := broken.Cancel(ctx, w.patient, a.PublicID, appointment.Ending{})
	require.ErrorContains(t, err, "mute")
	_, err = broken.Book(ctx, w.other, appointment.Booking{Doctor: w.doctor.UserID, Reason: "Rash"})
	require.ErrorContains(t, err, "mute")
	got, err := w.svc.ByID(ctx, a.ID)
	require.NoError(t, err)
	require.Equal(t, a, got)
	for _, table := range []string{"appointments", "slot_claims", "appointment_history", "messages", "audit_events"} {
		require.Equal(t, 1, w.count(`select count(*) from `+table), table)
	}
}

func TestService_readsInAConstantNumberOfStatements(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	svc, _, trips := w.counted()
	week := func(_ *time.Location, now time.Time) (time.Time, time.Time, error) {
		return now, now.AddDate(0, 0, 7), nil
	}
	cost := func() (list, slots int) {
		before := trips.Count()
		page, _, err := svc.List(ctx, w.admin, appointment.Filter{}, 0, 100)
		require.NoError(t, err)
		_, err = svc.Views(ctx, w.doctor, page...)
		require.NoError(t, err)
		list = trips.Count() - before
		before = trips.Count()
		_, _, err = svc.Slots(ctx, w.doctor.UserID, week)
		require.NoError(t, err)
		return list, trips.Count() - before
	}
	first := at(10, 0)
	w.books(w.patient, &first)
	list, slots := cost()
	for i := range 10 {
		p := w.user(fmt.Sprintf("PATCROWD%05d", i), "Somebody", auth.Patient)
		d := w.user(fmt.Sprintf("DOCCROWD%05d", i), "Dr Somebody", auth.Doctor)
		_, err := w.svc.Book(ctx, p, appointment.Booking{Doctor: d.UserID, Reason: "Cough"})
		require.NoError(t, err)
		when := first.Add(time.Duration(24*i+1) * time.Hour)
		if i < 5 {
			_, err = w.svc.Book(ctx, p, appointment.Booking{Doctor: w.doctor.UserID, StartsAt: &when, Reason: "Cough"})
			require.NoError(t, err)
		}
	}
	moreList, moreSlots := cost()
	require.Equal(t, list, moreList)
	require.Equal(t, slots, moreSlots)
	require.LessOrEqual(t, slots, 5)
}

// TestService_readsByTheClinic: an administrator who looks at an appointment leaves a row, its participants do not.
func TestService_readsByTheClinic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	a := w.books(w.patient, nil)
	reads := func() int {
		return w.count(
			`select count(*) from audit_events where action = 'appointment.read' and subject = $1 and patient_id = $2`,
			a.PublicID, w.patient.ID,
		)
	}
	look := func(actor auth.Actor) {
		_, err := w.svc.Get(ctx, actor, a.PublicID)
		require.NoError(t, err)
		_, _, err = w.svc.List(ctx, actor, appointment.Filter{}, 0, 10)
		require.NoError(t, err)
		_, _, err = w.svc.History(ctx, actor, a.PublicID, 0, 10)
		require.NoError(t, err)
	}
	look(w.patient)
	look(w.doctor)
	require.Zero(t, reads())
	look(w.admin)
	require.Equal(t, 3, reads())
}
