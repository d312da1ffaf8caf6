package chat

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// demote makes the doctor a patient.
func (w *world) demote() { w.exec(`update users set role = 'PATIENT' where id = $1`, w.doctor.ID) }

// Who is a doctor no longer is told nothing of what waits in the conversations of his patients, be it noted before or not.
func TestService_NotifyAbsent_formerDoctor(t *testing.T) {
	t.Parallel()
	for name, noted := range map[string]bool{"noted before": true, "not noted": false} {
		a := newAbsence(t)
		a.say(a.room(), a.patient, KindText)
		a.pass(15 * time.Minute)
		a.useREST(a.patient)
		a.useREST(a.doctor)
		if noted {
			require.Empty(t, a.sweep(), "both are there")
			require.EqualValues(t, 1, a.number(`select count(*) from unread_pending`))
		}
		a.demote()
		a.pass(15 * time.Minute)
		require.Empty(t, a.sweep(), name)
		n, err := a.sweeper().Unread(t.Context(), a.doctor.ID)
		require.NoError(t, err)
		require.Zero(t, n, name)
	}
}

// Nor do sweeps find anything for him, and his receipts are no longer those of somebody who takes part.
func TestStore_formerDoctor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, room := w.serve(nil), w.room()
	in.say(t, room, w.patient, "Hello")
	_, err := saveReceipts(t.Context(), w.pool, []int64{room, room}, []int64{w.patient.ID, w.doctor.ID}, []int64{1, 1}, []int64{1, 1})
	require.NoError(t, err)
	long := time.Now().Add(-time.Hour)
	for _, want := range [][]int64{{w.patient.ID, w.doctor.ID}, {w.patient.ID}} {
		out, err := stirredSince(t.Context(), w.pool, &long, 0, []int64{w.patient.ID, w.doctor.ID}, readers{})
		require.NoError(t, err)
		receipts, err := receiptsIn(t.Context(), w.pool, []int64{room})
		require.NoError(t, err)
		var stirred, read []int64
		for _, s := range out.stirred {
			stirred = append(stirred, s.UserID)
		}
		for _, m := range receipts {
			read = append(read, m.user)
		}
		require.ElementsMatch(t, want, stirred)
		require.ElementsMatch(t, want, read)
		w.demote()
	}
}
