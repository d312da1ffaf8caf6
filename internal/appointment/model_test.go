package appointment_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/errs"
)

// model is what the life cycle of an appointment should be: at a time shortly after the start that was asked for.
type model struct {
	status   appointment.Status
	version  int
	startsAt time.Time
	asked    time.Time // the other time for which the patient asked; zero: none
}

// after returns the result of a move; code is that of the refusal, "" if it succeeds.
func (m model) after(move, who string, now time.Time) (_ model, code string) {
	next := m
	next.version++
	next.asked = time.Time{}
	live := m.status.Live()
	switch {
	case who == "stranger":
		return m, "not_found"
	case who == "patient" && move != "cancel" && move != "reschedule" && move != "withdraw":
		return m, "forbidden"
	case who == "patient" && move != "withdraw" && m.status == appointment.Booked && now.After(m.startsAt.Add(-2*time.Hour)):
		return m, "too_late"
	case m.status == appointment.Pending && move == "confirm":
		next.status = appointment.Booked
	case who == "patient" && move == "withdraw" && !m.asked.IsZero(), who != "patient" && move == "reject" && !m.asked.IsZero():
	case who != "patient" && move == "withdraw" && !m.asked.IsZero():
		return m, "forbidden"
	case move == "confirm" && !m.asked.IsZero():
		next.startsAt = m.asked
	case m.status == appointment.Pending && move == "reject":
		next.status = appointment.Rejected
	case live && move == "cancel":
		next.status = appointment.Cancelled
	case live && move == "reschedule":
		if who == "patient" && m.status == appointment.Booked {
			next.asked = target(m, who)
		} else {
			next.startsAt = target(m, who)
		}
	case m.status == appointment.Booked && (move == "complete" || move == "no_show"):
		if m.startsAt.After(now) {
			return m, "not_begun"
		}
		next.status = map[string]appointment.Status{"complete": appointment.Completed, "no_show": appointment.NoShow}[move]
	default:
		return m, "invalid_transition"
	}
	return next, ""
}

// target is another time than the one that it has: patients keep to the grid.
func target(m model, who string) time.Time {
	times := []time.Time{at(16, 5), at(16, 20), at(17, 7)}
	if who == "patient" {
		times = []time.Time{at(15, 0), at(15, 30), at(16, 0)}
	}
	for _, at := range times {
		if !at.Equal(m.startsAt) && !at.Equal(m.asked) {
			return at
		}
	}
	panic("no time is left")
}

// Any sequence of moves by anyone agrees with the model, and the rows that belong to a status agree with it.
func TestService_movesAgreeWithModel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	actors := map[string]auth.Actor{"patient": w.patient, "doctor": w.doctor, "admin": w.admin, "stranger": w.stranger}
	rapid.Check(t, func(r *rapid.T) {
		w.now = monday
		when := at(10, 30)
		a, err := w.svc.Book(ctx, w.patient, appointment.Booking{Doctor: w.doctor.UserID, StartsAt: &when, Reason: "Cough"})
		require.NoError(r, err)
		w.now = at(10, 35)
		m := model{status: appointment.Pending, version: 1, startsAt: when}
		moves := []string{"confirm", "reject", "cancel", "reschedule", "withdraw", "complete", "no_show"}
		for range rapid.IntRange(1, 8).Draw(r, "moves") {
			move := rapid.SampledFrom(moves).Draw(r, "move")
			who := rapid.SampledFrom([]string{"patient", "doctor", "admin", "stranger"}).Draw(r, "who")
			next, code := m.after(move, who, w.now)
			ending := appointment.Ending{Reason: "Because"}
			var got appointment.Appointment
			switch move {
			case "confirm":
				got, err = w.svc.Confirm(ctx, actors[who], a.PublicID, appointment.Confirmation{})
			case "reject":
				got, err = w.svc.Reject(ctx, actors[who], a.PublicID, ending)
			case "cancel":
				got, err = w.svc.Cancel(ctx, actors[who], a.PublicID, ending)
			case "reschedule":
				got, err = w.svc.Reschedule(ctx, actors[who], a.PublicID, appointment.Rescheduling{StartsAt: target(m, who)})
			case "withdraw":
				got, err = w.svc.Withdraw(ctx, actors[who], a.PublicID, 0)
			case "complete":
				got, err = w.svc.Complete(ctx, actors[who], a.PublicID, appointment.Completion{Summary: "Well"})
			case "no_show":
				got, err = w.svc.NoShow(ctx, actors[who], a.PublicID, 0)
			}
			require.Equal(r, code, errs.CodeOf(err), "%s of %s by %s", move, m.status, who)
			if code == "" {
				reached := model{status: got.Status, version: got.Version, startsAt: *got.StartsAt}
				if got.Proposal != nil {
					reached.asked = got.Proposal.StartsAt
				}
				require.Equal(r, next, reached)
			}
			m = next
		}
		w.agrees(r, a.ID, m)
		// Leave nothing live behind for the next run.
		if m.status.Live() {
			_, err = w.svc.Cancel(ctx, w.doctor, a.PublicID, appointment.Ending{Reason: "Done"})
			require.NoError(r, err)
		}
	})
}

// agrees checks every row that a state implies.
func (w *world) agrees(r require.TestingT, id int64, m model) {
	var stored appointment.Status
	var v, claims, proposals, steps, said int
	err := w.pool.QueryRow(context.Background(), `select status, version,
		(select count(*) from slot_claims where appointment_id = a.id),
		(select count(*) from slot_claims where proposal_of = a.id),
		(select count(*) from appointment_history where appointment_id = a.id),
		(select head_seq from conversations where id = a.id)
		from appointments a where id = $1`, id).Scan(&stored, &v, &claims, &proposals, &steps, &said)
	require.NoError(r, err)
	require.Equal(r, m.status, stored)
	require.Equal(r, []int{m.version, m.version, m.version}, []int{v, steps, said})
	require.Equal(r, m.status.Live(), claims == 1)
	require.Equal(r, !m.asked.IsZero(), proposals == 1)
}
