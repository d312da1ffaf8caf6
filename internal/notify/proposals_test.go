package notify

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/postgres"
)

// Every email about a proposal names the other time and, where there is one, the appointment that stands, and keeps that
// in calendars.
func TestMails_proposals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, winter)
	s, _ := w.instance(w.out)
	for name, c := range map[string]struct {
		to        int64
		byPatient bool
		fate      Fate
		zone      string
	}{
		"asked_doctor":       {to: doctorID, byPatient: true},
		"asked_patient":      {to: patientID, byPatient: true},
		"asked_elsewhere":    {to: patientID, byPatient: true, zone: "Asia/Tokyo"},
		"declined_doctor":    {to: doctorID, byPatient: true, fate: Declined},
		"declined_patient":   {to: patientID, byPatient: true, fate: Declined},
		"withdrawn_doctor":   {to: doctorID, byPatient: true, fate: Withdrawn},
		"withdrawn_patient":  {to: patientID, byPatient: true, fate: Withdrawn},
		"lapsed_doctor":      {to: doctorID, byPatient: true, fate: Lapsed},
		"lapsed_patient":     {to: patientID, byPatient: true, fate: Lapsed},
		"handed_over":        {to: patientID, byPatient: true, fate: Passed},
		"offered":            {to: patientID},
		"offered_declined":   {to: doctorID, fate: Declined},
		"offered_withdrawn":  {to: patientID, fate: Withdrawn},
		"offered_lapsed":     {to: patientID, fate: Lapsed},
		"offered_unanswered": {to: doctorID, fate: Lapsed},
	} {
		status := appointment.Expired
		if c.byPatient {
			status = appointment.Booked
		}
		a := anAppointment(status, winter)
		w.appointments[a.ID] = a
		delete(w.zones, c.to)
		if c.zone != "" {
			w.zones[c.to] = s.zoneOf(c.zone)
		}
		kind := TimeProposed
		if c.fate != Open {
			kind = ProposalEnded
		}
		require.NoError(t, s.sendProposal(t.Context(), proposalArgs{
			MailKind: kind, Appointment: a.ID, Recipient: c.to, Version: a.Version, ByPatient: c.byPatient, Fate: c.fate,
			StartsAt: a.StartsAt.Add(6 * time.Hour), EndsAt: a.EndsAt.Add(6 * time.Hour), AnswerBy: *a.StartsAt,
		}), name)
		sent := w.out.all()
		require.Len(t, sent, 1, name)
		golden(t, "proposal_"+name+".txt", wording(sent[0]))
	}
}

// Who hears of a proposal, and whether it is still true when the email's turn comes.
func TestService_Proposed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, winter)
	s, _ := w.instance(w.out)
	a := anAppointment(appointment.Booked, winter)
	w.appointments[a.ID] = a
	p := Proposal{StartsAt: a.StartsAt.Add(time.Hour), EndsAt: a.EndsAt.Add(time.Hour), ByPatient: true, AnswerBy: *a.StartsAt}
	for range 2 {
		w.inTx(func(ctx context.Context, tx *postgres.Tx) error { return s.Proposed(ctx, tx, a, p) })
	}
	require.Len(t, w.rows(), 2, "each person once")
	w.moves(s, Cancelled, a, patientID)
	for _, r := range w.rows() {
		require.Contains(t, r.Args, `"publicId": "`+a.PublicID+`"`, "for administrators who look at jobs")
	}
	for _, c := range []struct {
		fate      Fate
		byPatient bool
		want      []int64
	}{
		{Open, true, []int64{patientID, doctorID}},
		{Declined, true, []int64{patientID, doctorID}},
		{Passed, true, []int64{patientID}},
		{Open, false, []int64{patientID}},
		{Declined, false, []int64{doctorID}},
		{Withdrawn, false, []int64{patientID}},
		{Lapsed, false, []int64{patientID, doctorID}},
	} {
		require.Equal(t, c.want, Proposal{ByPatient: c.byPatient, Fate: c.fate}.recipients(a), "%+v", c)
	}
	args := proposalArgs{Recipient: doctorID, Version: a.Version, AnswerBy: *a.StartsAt}
	require.True(t, args.stands(a, winter))
	require.False(t, args.stands(a, *a.StartsAt), "too late to answer")
	moved := a
	moved.Version++
	require.False(t, args.stands(moved, winter), "something has happened since")
	args.Recipient = formerID
	require.False(t, args.stands(a, winter), "not theirs")
}

// What is taken out of calendars is the time that they have, even if another one was asked for last.
func TestService_sendMove_cancelsTheTimeThatGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, winter)
	s, _ := w.instance(w.out)
	a := anAppointment(appointment.Rejected, winter)
	w.appointments[a.ID] = a
	gone := a.StartsAt.Add(-24 * time.Hour)
	var told Appointment
	s.calendar = calendarFunc(func(_ string, a Appointment, _ Addressee) ([]byte, error) {
		told = a
		return []byte("x"), nil
	})
	require.NoError(t, s.sendMove(t.Context(), moveArgs{
		MailKind: Rejected, Appointment: a.ID, Recipient: patientID, Version: a.Version, WasBooked: true,
		Gone: gone, GoneEnd: gone.Add(time.Hour),
	}))
	require.Equal(t, []time.Time{gone, gone.Add(time.Hour)}, []time.Time{*told.StartsAt, *told.EndsAt})
	require.Len(t, w.out.all(), 1)
}

type calendarFunc func(string, Appointment, Addressee) ([]byte, error)

func (f calendarFunc) Message(method string, a Appointment, to Addressee) ([]byte, error) {
	return f(method, a, to)
}
