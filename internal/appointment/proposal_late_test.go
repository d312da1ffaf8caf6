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

// expired is a request of the patient that ran out, at the time of the database's clock.
func (w *world) expired() appointment.Appointment {
	w.t.Helper()
	a := w.books(w.patient, ptr(at(10, 30)))
	w.now = at(10, 31)
	_, err := w.svc.Deadlines(context.Background())
	require.NoError(w.t, err)
	a, err = w.svc.ByID(context.Background(), a.ID)
	require.NoError(w.t, err)
	require.Equal(w.t, appointment.Expired, a.Status)
	return a
}

// A request that ran out can be answered for a week; the patient decides whether the time suits them.
func TestProposal_answersAnExpiredRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	a := w.expired()
	late := appointment.LateAnswer{StartsAt: at(15, 10), Note: "I was ill.", Version: a.Version}
	_, err := w.svc.Propose(ctx, w.patient, a.PublicID, late)
	require.Equal(t, "forbidden", errs.CodeOf(err))
	_, err = w.svc.Propose(ctx, w.stranger, a.PublicID, late)
	require.Equal(t, "not_found", errs.CodeOf(err))
	_, err = w.svc.Accept(ctx, w.patient, a.PublicID, 0)
	require.Equal(t, "invalid_transition", errs.CodeOf(err), "there is nothing to accept")
	h, err := w.svc.Hold(ctx, w.patient, appointment.Booking{Doctor: w.stranger.UserID, StartsAt: ptr(at(15, 0))})
	require.NoError(t, err)
	_, err = w.svc.Propose(ctx, w.doctor, a.PublicID, late)
	require.Equal(t, "patient_busy", errs.CodeOf(err), "it takes no time away from the patient that they keep")
	require.NoError(t, w.svc.Unhold(ctx, w.patient, h.ID))
	p, err := w.svc.Propose(ctx, w.doctor, a.PublicID, late)
	require.NoError(t, err)
	require.Equal(t, appointment.Expired, p.Status)
	require.Equal(t, at(10, 30), *p.StartsAt, "what the patient had asked for")
	require.Equal(t, []time.Time{at(15, 10), at(15, 40), at(15, 10)},
		[]time.Time{p.Proposal.StartsAt, p.Proposal.EndsAt, p.Proposal.AnswerBy})
	require.Equal(t, "slot_taken", w.refused(at(15, 0)), "it is kept")

	_, err = w.svc.Accept(ctx, w.doctor, a.PublicID, 0)
	require.Equal(t, "forbidden", errs.CodeOf(err))
	_, err = w.svc.Accept(ctx, w.other, a.PublicID, 0)
	require.Equal(t, "not_found", errs.CodeOf(err))
	_, err = w.svc.Decline(ctx, w.doctor, a.PublicID, appointment.Ending{Reason: "No"})
	require.Equal(t, "forbidden", errs.CodeOf(err), "their own")
	p, err = w.svc.Decline(ctx, w.patient, a.PublicID, appointment.Ending{})
	require.NoError(t, err)
	require.Equal(t, appointment.Expired, p.Status)
	require.Zero(t, w.count(`select count(*) from slot_claims`))

	far := at(15, 0).AddDate(0, 0, 14)
	p, err = w.svc.Propose(ctx, w.doctor, a.PublicID, appointment.LateAnswer{StartsAt: far})
	require.NoError(t, err, "another one")
	require.Equal(t, w.now.AddDate(0, 0, 7), p.Proposal.AnswerBy)
	p, err = w.svc.Propose(ctx, w.doctor, a.PublicID, appointment.LateAnswer{StartsAt: at(16, 0)})
	require.NoError(t, err, "instead of the last")
	require.Equal(t, 1, w.count(`select count(*) from slot_claims`))
	booked, err := w.svc.Accept(ctx, w.patient, a.PublicID, p.Version)
	require.NoError(t, err)
	require.Equal(t, appointment.Booked, booked.Status)
	require.Equal(t, at(16, 0), *booked.StartsAt)
	require.Nil(t, booked.Proposal)
	require.Equal(t, 1, w.count(`select count(*) from slot_claims where appointment_id = $1`, a.ID))
	steps, _, err := w.svc.History(ctx, w.patient, a.PublicID, 0, 20)
	require.NoError(t, err)
	var actions []string
	for _, s := range steps {
		actions = append(actions, s.Action)
	}
	require.Equal(t, []string{"book", "expire", "propose", "decline", "propose", "propose", "accept"}, actions)
}

func TestProposal_tooLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	a := w.expired()
	p, err := w.svc.Propose(ctx, w.doctor, a.PublicID, appointment.LateAnswer{StartsAt: at(15, 0)})
	require.NoError(t, err)
	w.now = at(15, 0)
	_, err = w.svc.Accept(ctx, w.patient, a.PublicID, p.Version)
	require.Equal(t, "proposal_lapsed", errs.CodeOf(err))
	_, err = w.svc.Deadlines(ctx)
	require.NoError(t, err)
	p, err = w.svc.ByID(ctx, a.ID)
	require.NoError(t, err)
	require.Nil(t, p.Proposal)
	require.Equal(t, appointment.Expired, p.Status)
	w.exec(`update appointment_history set at = at - interval '8 days' where appointment_id = $1`, a.ID)
	_, err = w.svc.Propose(ctx, w.doctor, a.PublicID, appointment.LateAnswer{StartsAt: at(16, 0)})
	require.Equal(t, "too_late_to_answer", errs.CodeOf(err))
}

// A doctor who leaves takes their proposals back, whatever becomes of their appointments.
func TestProposal_ofADoctorWhoLeaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	a := w.expired()
	_, err := w.svc.Propose(ctx, w.doctor, a.PublicID, appointment.LateAnswer{StartsAt: at(15, 0)})
	require.NoError(t, err)
	require.NoError(t, w.pool.InTx(ctx, func(tx *postgres.Tx) error {
		return w.svc.Release(ctx, tx, auth.Departure{DoctorID: w.doctor.ID, By: w.admin})
	}), "a proposal is no appointment")
	require.Zero(t, w.count(`select count(*) from slot_claims`))
	_, err = w.svc.Accept(ctx, w.patient, a.PublicID, 0)
	require.Equal(t, "invalid_transition", errs.CodeOf(err))
}

// The patient accepts, the doctor takes it back, and a crowd wants the time: one of the first two wins.
func TestProposal_acceptedUnderContention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	a := w.expired()
	p, err := w.svc.Propose(ctx, w.doctor, a.PublicID, appointment.LateAnswer{StartsAt: at(15, 0)})
	require.NoError(t, err)
	const n = 16
	all := make([]error, n)
	together(n, func(i int) {
		switch i % 3 {
		case 0:
			_, all[i] = w.svc.Accept(ctx, w.patient, a.PublicID, p.Version)
		case 1:
			_, all[i] = w.svc.Withdraw(ctx, w.doctor, a.PublicID, p.Version)
		default:
			_, all[i] = w.svc.Propose(ctx, w.doctor, a.PublicID,
				appointment.LateAnswer{StartsAt: at(16, 0), Version: p.Version})
		}
	})
	require.Equal(t, map[string]int{"": 1, "stale": n - 1}, codes(all))
	got, err := w.svc.ByID(ctx, a.ID)
	require.NoError(t, err)
	kept := 0
	if got.Status == appointment.Booked || got.Proposal != nil {
		kept = 1
	}
	require.Equal(t, kept, w.count(`select count(*) from slot_claims`))
}
