package appointment_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

// together runs f(0) … f(n-1) at once and waits for all.
func together(n int, f func(i int)) {
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			<-start
			f(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
}

// codes counts outcomes: "" is success.
func codes(all []error) map[string]int {
	out := map[string]int{}
	for _, err := range all {
		if err != nil && errs.CodeOf(err) == "" {
			out[err.Error()]++
			continue
		}
		out[errs.CodeOf(err)]++
	}
	return out
}

func TestService_Book_oneWinnerOverTwoInstances(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second, _ := w.instance()
	instances := []api{w.api(), w.apiOf(second)}
	const n = 200
	patients := make([]auth.Actor, n)
	for i := range patients {
		patients[i] = w.user(fmt.Sprintf("PATCROWD%05d", i), "Somebody", auth.Patient)
	}
	replies := make([]reply, n)
	together(n, func(i int) {
		replies[i] = instances[i%2].call(patients[i], http.MethodPost, "/appointments",
			object{"doctorId": w.doctor.UserID, "startsAt": at(10, 30), "reason": "Cough"})
	})
	won := 0
	for _, r := range replies {
		if r.Status == http.StatusCreated {
			won++
			continue
		}
		require.Equal(t, http.StatusConflict, r.Status, "%s", r.Raw)
		require.Equal(t, "slot_taken", r.Code())
		require.Len(t, r.Body["alternatives"], 5)
	}
	require.Equal(t, 1, won)
	require.Equal(t, 1, w.count(`select count(*) from appointments`))
	require.Equal(t, 1, w.count(`select count(*) from slot_claims`))
	require.Equal(t, 1, w.count(`select count(*) from messages`))
}

func TestService_Book_onePlaceAtATimeForAPatient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 8
	doctors := make([]auth.Actor, n)
	for i := range doctors {
		doctors[i] = w.user(fmt.Sprintf("DOCCROWD%05d", i), "Dr Somebody", auth.Doctor)
	}
	when := at(11, 0)
	all := make([]error, n)
	together(n, func(i int) {
		_, all[i] = w.svc.Book(context.Background(), w.patient,
			appointment.Booking{Doctor: doctors[i].UserID, StartsAt: &when, Reason: "Cough"})
	})
	require.Equal(t, map[string]int{"": 1, "patient_busy": n - 1}, codes(all))
}

func TestService_Book_capUnderContention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 20
	all := make([]error, n)
	together(n, func(i int) {
		d := w.doctor
		if i%2 == 1 {
			d = w.stranger
		}
		_, all[i] = w.svc.Book(context.Background(), w.patient,
			appointment.Booking{Doctor: d.UserID, Reason: fmt.Sprint("Cough ", i)})
	})
	limit := w.cfg.MaxOpenRequests
	require.Equal(t, map[string]int{"": limit, "open_request_limit": n - limit}, codes(all))
	require.Equal(t, limit, w.count(`select count(*) from appointments where status = 'PENDING'`))
}

func TestService_Confirm_twoThatOverlap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.books(w.patient, nil), w.books(w.other, nil)
	first, second := at(10, 10), at(10, 25) // off the grid, and overlapping by a quarter of an hour
	all := make([]error, 2)
	together(2, func(i int) {
		id, when := a.PublicID, &first
		if i == 1 {
			id, when = b.PublicID, &second
		}
		_, all[i] = w.svc.Confirm(context.Background(), w.doctor, id, appointment.Confirmation{StartsAt: when})
	})
	require.Equal(t, map[string]int{"": 1, "slot_taken": 1}, codes(all))
	require.Equal(t, 1, w.count(`select count(*) from appointments where status = 'BOOKED'`))
	require.Equal(t, 1, w.count(`select count(*) from appointments where status = 'PENDING' and version = 1`))
}

func TestService_change_oneWinnerPerVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	when := at(12, 0)
	a := w.books(w.patient, &when)
	ctx := context.Background()
	const n = 24
	all := make([]error, n)
	together(n, func(i int) {
		if i%2 == 0 {
			_, all[i] = w.svc.Confirm(ctx, w.doctor, a.PublicID, appointment.Confirmation{Version: a.Version})
			return
		}
		_, all[i] = w.svc.Cancel(ctx, w.patient, a.PublicID, appointment.Ending{Version: a.Version})
	})
	require.Equal(t, map[string]int{"": 1, "stale": n - 1}, codes(all))
	require.Equal(t, 2, w.count(`select count(*) from appointment_history`))
}

func TestService_change_oneWinnerPerStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.books(w.patient, nil)
	const n = 24
	all := make([]error, n)
	together(n, func(i int) {
		_, all[i] = w.svc.Reject(context.Background(), w.doctor, a.PublicID, appointment.Ending{Reason: "Fully booked"})
	})
	require.Equal(t, map[string]int{"": 1, "invalid_transition": n - 1}, codes(all))
}

// A transaction that has waited for the doctor's row checks the patient again.
func TestService_patientDisabledMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	when, later := at(10, 30), at(11, 0)
	asked := w.books(w.patient, &when)
	for name, act := range map[string]func() error{
		"confirm": func() error {
			_, err := w.svc.Confirm(ctx, w.doctor, asked.PublicID, appointment.Confirmation{})
			return err
		},
		"book": func() error {
			_, err := w.svc.Book(ctx, w.admin, appointment.Booking{Doctor: w.doctor.UserID, Patient: w.patient.UserID, StartsAt: &later})
			return err
		},
	} {
		w.exec(`update users set disabled_at = null where id = $1`, w.patient.ID)
		done := make(chan error, 1)
		require.NoError(t, w.pool.InTx(ctx, func(tx *postgres.Tx) error {
			if _, err := tx.Exec(ctx, `select from doctors where user_id = $1 for update`, w.doctor.ID); err != nil {
				return err
			}
			go func() { done <- act() }()
			require.Eventually(t, func() bool {
				return w.count(
					`select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
				) == 1
			}, time.Minute, 5*time.Millisecond)
			_, err := tx.Exec(ctx, `update users set disabled_at = now() where id = $1`, w.patient.ID)
			return err
		}))
		require.Equal(t, "patient_unavailable", errs.CodeOf(<-done), name)
	}
	require.Equal(t, 1, w.count(`select count(*) from appointments where status = 'PENDING'`))
	_, err := w.svc.Reject(ctx, w.doctor, asked.PublicID, appointment.Ending{Reason: "Gone"})
	require.NoError(t, err, "what is left can be settled")
}

func TestService_Release_againstBookingsUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	const n = 16
	patients := make([]auth.Actor, n)
	for i := range patients {
		patients[i] = w.user(fmt.Sprintf("PATCROWD%05d", i), "Somebody", auth.Patient)
	}
	all := make([]error, n+1)
	together(n+1, func(i int) {
		if i == n {
			all[i] = w.disable(ctx, w.doctor, true)
			return
		}
		when := at(14, 30).Add(time.Duration(i%6) * 30 * time.Minute)
		_, all[i] = w.svc.Book(ctx, patients[i],
			appointment.Booking{Doctor: w.doctor.UserID, StartsAt: &when, Reason: "Cough"})
	})
	require.NoError(t, all[n])
	require.Zero(t, w.count(`select count(*) from appointments where status in ('PENDING', 'BOOKED')`), "%v", codes(all))
	require.Zero(t, w.count(`select count(*) from slot_claims`))
}
