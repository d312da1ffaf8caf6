package appointment_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/errs"
)

// expected is what the life cycle of design.md makes of a move; the error's code is "" where it succeeds.
func expected(s appointment.Status, move, who string) (appointment.Status, string) {
	switch {
	case who == "stranger":
		return s, "not_found"
	case who == "patient" && move != "cancel":
		return s, "forbidden"
	case s == appointment.Pending && move == "confirm":
		return appointment.Booked, ""
	case s == appointment.Pending && move == "reject":
		return appointment.Rejected, ""
	case (s == appointment.Pending || s == appointment.Booked) && move == "cancel":
		return appointment.Cancelled, ""
	}
	return s, "invalid_transition"
}

// Any sequence of moves by anyone agrees with the model, and the rows that belong to a status agree with it.
func TestService_movesAgreeWithModel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	actors := map[string]auth.Actor{"patient": w.patient, "doctor": w.doctor, "admin": w.admin, "stranger": w.stranger}
	rapid.Check(t, func(r *rapid.T) {
		when := at(10, 30)
		booking := appointment.Booking{Doctor: w.doctor.UserID, StartsAt: &when, Reason: "Cough"}
		a, err := w.svc.Book(ctx, w.patient, booking)
		require.NoError(r, err)
		status, version := appointment.Pending, 1
		for range rapid.IntRange(1, 6).Draw(r, "moves") {
			move := rapid.SampledFrom([]string{"confirm", "reject", "cancel"}).Draw(r, "move")
			who := rapid.SampledFrom([]string{"patient", "doctor", "admin", "stranger"}).Draw(r, "who")
			next, code := expected(status, move, who)
			ending := appointment.Ending{Reason: "Because"}
			var got appointment.Appointment
			switch move {
			case "confirm":
				got, err = w.svc.Confirm(ctx, actors[who], a.PublicID, appointment.Confirmation{})
			case "reject":
				got, err = w.svc.Reject(ctx, actors[who], a.PublicID, ending)
			case "cancel":
				got, err = w.svc.Cancel(ctx, actors[who], a.PublicID, ending)
			}
			require.Equal(r, code, errs.CodeOf(err), "%s of %s by %s", move, status, who)
			if code == "" {
				status, version = next, version+1
				require.Equal(r, status, got.Status)
				require.Equal(r, version, got.Version)
			}
		}
		w.agrees(r, a.ID, status, version)
		// Leave nothing live behind for the next run.
		if status.Live() {
			_, err = w.svc.Cancel(ctx, w.patient, a.PublicID, appointment.Ending{})
			require.NoError(r, err)
		}
	})
}

// agrees checks every row that a status implies.
func (w *world) agrees(r require.TestingT, id int64, status appointment.Status, version int) {
	var stored appointment.Status
	var v, claims, steps, said int
	err := w.pool.QueryRow(context.Background(), `select status, version,
		(select count(*) from slot_claims where appointment_id = a.id),
		(select count(*) from appointment_history where appointment_id = a.id),
		(select head_seq from conversations where id = a.id)
		from appointments a where id = $1`, id).Scan(&stored, &v, &claims, &steps, &said)
	require.NoError(r, err)
	require.Equal(r, status, stored)
	require.Equal(r, []int{version, version, version}, []int{v, steps, said})
	require.Equal(r, status.Live(), claims == 1)
}
