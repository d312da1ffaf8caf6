package appointment_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
)

// The clients of an older API know no confirmation: what was booked for them stays booked when they move it.
func TestService_Reschedule_staysBooked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.booked(w.patient, at(10, 30))
	moved, err := w.svc.Reschedule(t.Context(), w.patient, a.PublicID,
		appointment.Rescheduling{StartsAt: at(15, 0), Booked: true})
	require.NoError(t, err)
	require.Equal(t, appointment.Booked, moved.Status)
	require.Equal(t, at(15, 0), *moved.StartsAt)

	asked := w.books(w.other, ptr(at(11, 0)))
	moved, err = w.svc.Reschedule(t.Context(), w.other, asked.PublicID,
		appointment.Rescheduling{StartsAt: at(11, 30), Booked: true})
	require.NoError(t, err)
	require.Equal(t, appointment.Pending, moved.Status, "a request is not confirmed by moving it")
}
