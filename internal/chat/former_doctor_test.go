package chat

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/conversation"
)

// demote makes the doctor a patient.
func (w *world) demote() { w.Exec(`update users set role = 'PATIENT' where id = $1`, w.Doctor.ID) }

// A former doctor is not notified of unread messages in the conversations of their patients, whether or not the sweep
// had noted them before.
func TestService_NotifyAbsent_formerDoctor(t *testing.T) {
	t.Parallel()
	for name, noted := range map[string]bool{"noted before": true, "not noted": false} {
		a := newAbsence(t)
		a.say(a.Conversation(), a.Patient, conversation.KindText)
		a.pass(15 * time.Minute)
		a.useREST(a.Patient)
		a.useREST(a.Doctor)
		if noted {
			require.Empty(t, a.sweep(), "both are there")
			require.EqualValues(t, 1, a.Number(`select count(*) from unread_pending`))
		}
		a.demote()
		a.pass(15 * time.Minute)
		require.Empty(t, a.sweep(), name)
		n, err := a.sweeper().UnreadConversations(t.Context(), a.Doctor.ID)
		require.NoError(t, err)
		require.Zero(t, n, name)
	}
}

// Sweeps find nothing for a former doctor, and their receipts are no longer a participant's.
func TestStore_formerDoctor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(nil), w.Conversation()
	in.say(t, id, w.Patient, "Hello")
	w.reached(id, w.Patient.ID, 1, 1)
	w.reached(id, w.Doctor.ID, 1, 1)
	long := time.Now().Add(-time.Hour)
	for _, want := range [][]int64{{w.Patient.ID, w.Doctor.ID}, {w.Patient.ID}} {
		out, err := grownSince(t.Context(), w.Pool, span{since: &long}, []int64{w.Patient.ID, w.Doctor.ID}, readers{})
		require.NoError(t, err)
		receipts, err := receiptsIn(t.Context(), w.Pool, []int64{id})
		require.NoError(t, err)
		var found, read []int64
		for _, l := range out.leads {
			found = append(found, l.UserID)
		}
		for _, m := range receipts {
			read = append(read, m.user)
		}
		require.ElementsMatch(t, want, found)
		require.ElementsMatch(t, want, read)
		w.demote()
	}
}

// A former doctor gets no counts and no news of the conversations of their former patients, but does of their own as a
// patient.
func TestService_formerDoctor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id, kept := w.serve(nil), w.Conversation(), w.Conversation()
	in.say(t, id, w.Patient, "My head hurts")
	in.say(t, id, w.Patient, "My head still hurts")
	w.demote()
	w.Exec(`insert into patients (user_id) values ($1)`, w.Doctor.ID)
	w.Exec(`update appointments set patient_id = $2, doctor_id = $3 where id = $1`,
		kept, w.Doctor.ID, w.User(auth.Doctor).ID) // now their own
	former := w.Doctor
	former.Role = auth.Patient
	in.knows(former)
	in.say(t, kept, former, "A head of my own")

	unread := in.rest(former, "GET", "/me/unread", "")
	require.EqualValues(t, 0, unread.Body["total"], "%s", unread.Raw)
	hello := in.inbox(t, former).hello
	require.Equal(t, []any{0.0, []any{}}, []any{hello["total"], hello["unread"]})
	all, err := standingsIn(t.Context(), w.Pool, []int64{id, kept}, []int64{former.ID}, seats{})
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, kept, all[0].ID)
	history := in.rest(former, "GET", "/appointments/"+in.PublicID(id)+"/messages", "")
	require.Equal(t, http.StatusNotFound, history.Status)
}
