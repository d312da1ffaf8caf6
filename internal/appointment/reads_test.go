package appointment_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/errs"
	"housecall/internal/postgres"
	"housecall/internal/testing/pgtest"
)

// counted is the world's service over a pool that counts.
func (w *world) counted() (*appointment.Service, *postgres.Pool, *pgtest.Trips) {
	w.t.Helper()
	pool, trips := pgtest.Counted(w.t, w.dsn)
	return w.over(pool, newLog()), pool, trips
}

// An appointment comes with its participants' names in one trip, and never with a timetable.
func TestService_readsAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	start := at(10, 0)
	a := w.books(w.patient, &start)
	svc, pool, c := w.counted()
	ctx := context.Background()
	want := appointment.Appointment{}
	for name, read := range map[string]func() (appointment.Appointment, error){
		"Find":  func() (appointment.Appointment, error) { return svc.Find(ctx, w.patient, a.PublicID) },
		"ByID":  func() (appointment.Appointment, error) { return svc.ByID(ctx, a.ID) },
		"ByKey": func() (appointment.Appointment, error) { return svc.ByKey(ctx, w.doctor, a.ID) },
		"Get":   func() (appointment.Appointment, error) { return svc.Get(ctx, w.patient, a.PublicID) },
		"List": func() (appointment.Appointment, error) {
			page, _, err := svc.List(ctx, w.patient, appointment.Filter{}, 0, 10)
			require.Len(t, page, 1)
			return page[0], err
		},
		"QueueByID": func() (got appointment.Appointment, err error) {
			b := &pgx.Batch{}
			svc.QueueByID(b, a.ID, &got)
			b.Queue(`select 1`)
			err = pool.SendBatch(ctx, b).Close()
			return got, err
		},
	} {
		var got appointment.Appointment
		n, statements := c.Of(func() {
			var err error
			got, err = read()
			require.NoError(t, err, name)
		})
		require.Equal(t, 1, n, "%s: %v", name, statements)
		require.Zero(t, pgtest.Naming(statements, "schedules s"), name)
		require.Equal(t, "Ada Jones", got.Patient.Name, name)
		require.Equal(t, "Dr Cara Lim", got.Doctor.Name, name)
		require.Equal(t, "Cardiology", got.Doctor.Specialization, name)
		if want.ID == 0 {
			want = got
		}
		require.Equal(t, want, got, name)
	}
}

func TestService_QueueByID_missing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var got appointment.Appointment
	b := &pgx.Batch{}
	w.svc.QueueByID(b, 1, &got)
	require.Equal(t, errs.NotFound, errs.KindOf(w.pool.SendBatch(context.Background(), b).Close()))
}

// Booking reads the doctor once, with their row held, and their timetable once.
func TestService_Book_readsTheDoctorOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	svc, _, c := w.counted()
	var a appointment.Appointment
	spent := map[string]int{}
	count := func(name string, doctors int, f func() error) {
		n, statements := c.Of(func() { require.NoError(t, f(), name) })
		require.Equal(t, doctors, pgtest.Naming(statements, "doctors d"), "%s: %v", name, statements)
		require.Equal(t, 1, pgtest.Naming(statements, "schedules s"), "%s: %v", name, statements)
		spent[name] = n
	}
	count("book", 1, func() (err error) {
		start := at(10, 0)
		a, err = svc.Book(ctx, w.patient, appointment.Booking{Doctor: w.doctor.UserID, StartsAt: &start, Reason: "Cough"})
		return err
	})
	count("confirm", 1, func() error {
		_, err := svc.Confirm(ctx, w.doctor, a.PublicID, appointment.Confirmation{})
		return err
	})
	count("reschedule", 1, func() error {
		_, err := svc.Reschedule(ctx, w.doctor, a.PublicID, appointment.Rescheduling{StartsAt: at(11, 0)})
		return err
	})
	count("hand over", 2, func() error { // the successor's name, and both of them with their rows held
		_, err := svc.HandOver(ctx, w.admin, a.PublicID, w.stranger.UserID, 0)
		return err
	})
	count("hold", 1, func() error {
		start := at(12, 0)
		_, err := svc.Hold(ctx, w.patient, appointment.Booking{Doctor: w.doctor.UserID, StartsAt: &start})
		return err
	})
	count("cancel", 1, func() error {
		_, err := svc.Cancel(ctx, w.patient, a.PublicID, appointment.Ending{})
		return err
	})
	t.Log(spent)
}
