package appointment_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/errs"
)

// asks makes the patient of a booked appointment ask for another time.
func (w *world) asks(a appointment.Appointment, startsAt time.Time) appointment.Appointment {
	w.t.Helper()
	a, err := w.svc.Reschedule(context.Background(), w.patient, a.PublicID, appointment.Rescheduling{StartsAt: startsAt})
	require.NoError(w.t, err)
	return a
}

// refused is the code with which somebody else is refused a time of the doctor, "" if they could have it.
func (w *world) refused(startsAt time.Time) string {
	w.t.Helper()
	_, err := w.svc.Book(context.Background(), w.other,
		appointment.Booking{Doctor: w.doctor.UserID, StartsAt: &startsAt, Reason: "Rash"})
	return errs.CodeOf(err)
}

// starts lists when the doctor's free slots on the test's Tuesday begin.
func (w *world) starts() (out []time.Time) {
	w.t.Helper()
	slots, _, err := w.svc.Slots(context.Background(), w.doctor.UserID,
		func(*time.Location, time.Time) (time.Time, time.Time, error) { return at(9, 0), at(18, 0), nil })
	require.NoError(w.t, err)
	for _, s := range slots {
		out = append(out, s.StartsAt.UTC())
	}
	return out
}

// Whoever asks to move to a time that the waiting list offered them waits on until it is theirs.
func TestProposal_waitingList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	waiting := func() int { return w.count(`select count(*) from waitlist where ended_at is null`) }
	freed := w.booked(w.other, at(10, 30))
	mine := w.booked(w.patient, at(15, 0))
	w.waits(w.patient)
	_, err := w.svc.Cancel(ctx, w.other, freed.PublicID, appointment.Ending{})
	require.NoError(t, err)
	require.NotNil(t, w.offerOf(w.patient))

	asked := w.asks(mine, at(10, 30))
	require.Equal(t, 1, waiting(), "nothing is theirs yet")
	_, err = w.svc.Decline(ctx, w.doctor, asked.PublicID, appointment.Ending{Reason: "Not then."})
	require.NoError(t, err)
	require.Equal(t, 1, waiting())
}

// Asking for another time risks nothing: until the doctor answers, both times are kept, and nobody else can have either.
func TestProposal_keepsBothTimes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	n := &told{}
	a := w.asks(w.booked(w.patient, at(10, 30)), at(15, 0))
	require.Equal(t, at(10, 30), a.Proposal.AnswerBy, "there is nothing to answer once the appointment begins")
	for _, when := range []time.Time{at(10, 30), at(15, 0)} {
		require.Equal(t, "slot_taken", w.refused(when))
		require.NotContains(t, w.starts(), when)
		_, err := w.svc.Book(ctx, w.patient,
			appointment.Booking{Doctor: w.stranger.UserID, StartsAt: &when, Reason: "Rash"})
		require.Equal(t, "patient_busy", errs.CodeOf(err))
	}
	views, err := w.svc.Views(ctx, w.patient, a)
	require.NoError(t, err)
	require.True(t, views[0].CanReply, "the conversation is that of a booked appointment")

	a = w.asks(a, at(15, 30)) // they change their mind: only the last wish counts
	require.Contains(t, w.starts(), at(15, 0))
	require.NotContains(t, w.starts(), at(15, 30))

	_, err = w.svc.Confirm(ctx, w.doctor, a.PublicID, appointment.Confirmation{StartsAt: ptr(at(10, 30))})
	require.Equal(t, "invalid", errs.CodeOf(err), "the time that it has is no answer")
	require.NotContains(t, w.starts(), at(15, 30), "the wish still waits for one")
	w.svc.Connect(n)
	a, err = w.svc.Confirm(ctx, w.doctor, a.PublicID, appointment.Confirmation{Version: a.Version})
	require.NoError(t, err)
	require.Equal(t, appointment.Booked, a.Status)
	require.Equal(t, []time.Time{at(15, 30), at(16, 0)}, []time.Time{*a.StartsAt, *a.EndsAt})
	require.Nil(t, a.Proposal)
	require.Equal(t, at(10, 30), *n.moved[0].FormerStart)
	require.Equal(t, at(15, 30), n.moved[0].Settled.StartsAt)
	require.Empty(t, w.refused(at(10, 30)), "it is free now")
	require.Equal(t, "slot_taken", w.refused(at(15, 30)))
	require.Contains(t, w.events(a)[4], "moved from Tue 3 Mar 2026, 10:30 (Europe/Berlin) to Tue 3 Mar 2026, 15:30")
}

// An appointment for which another time on the same day is asked is one of that day, whichever it will be.
func TestProposal_perDay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rules(w.doctor, `per_day = 2`)
	w.asks(w.booked(w.patient, at(10, 30)), at(15, 0))
	require.Contains(t, w.starts(), at(14, 30))
	require.Empty(t, w.refused(at(14, 30)))
	require.Empty(t, w.starts(), "the day is full")
}

// However a wish ends, the appointment stands, and the other time is free for those who wait for one.
func TestProposal_endsWithoutHarm(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	w.rules(w.doctor, `custom_hours = true`)
	w.exec(`insert into schedule_hours (doctor_id, weekday, starts, ends) values ($1, 2, 540, 1020)`, w.doctor.ID)
	for name, end := range map[string]func(a appointment.Appointment) (appointment.Appointment, error){
		"rejected": func(a appointment.Appointment) (appointment.Appointment, error) {
			_, err := w.svc.Reject(ctx, w.doctor, a.PublicID, appointment.Ending{})
			require.Equal(t, "invalid", errs.CodeOf(err), "a reason, please")
			return w.svc.Reject(ctx, w.doctor, a.PublicID, appointment.Ending{Reason: "Full"})
		},
		"declined": func(a appointment.Appointment) (appointment.Appointment, error) {
			_, err := w.svc.Decline(ctx, w.patient, a.PublicID, appointment.Ending{})
			require.Equal(t, "forbidden", errs.CodeOf(err), "one's own")
			return w.svc.Decline(ctx, w.admin, a.PublicID, appointment.Ending{Reason: "Full"})
		},
		"withdrawn": func(a appointment.Appointment) (appointment.Appointment, error) {
			_, err := w.svc.Withdraw(ctx, w.doctor, a.PublicID, 0)
			require.Equal(t, "forbidden", errs.CodeOf(err), "the patient's")
			return w.svc.Withdraw(ctx, w.patient, a.PublicID, a.Version)
		},
		"lapsed": func(a appointment.Appointment) (appointment.Appointment, error) {
			w.now = at(9, 30)
			_, err := w.svc.Confirm(ctx, w.doctor, a.PublicID, appointment.Confirmation{})
			require.Equal(t, "proposal_lapsed", errs.CodeOf(err))
			n, err := w.svc.Deadlines(ctx)
			require.NoError(t, err)
			require.Equal(t, 1, n)
			return w.svc.ByID(ctx, a.ID)
		},
	} {
		w.now = monday
		a := w.booked(w.patient, at(10, 30))
		asked := at(15, 0)
		if name == "lapsed" { // sooner than the appointment
			asked = at(9, 30)
		}
		a = w.asks(a, asked)
		got, err := end(a)
		require.NoError(t, err, name)
		require.Equal(t, appointment.Booked, got.Status, name)
		require.Equal(t, at(10, 30), *got.StartsAt, name)
		require.Nil(t, got.Proposal, name)
		require.Empty(t, got.EndReason, name)
		require.Equal(t, 1, w.count(`select count(*) from slot_claims`), name)
		_, err = w.svc.Confirm(ctx, w.doctor, a.PublicID, appointment.Confirmation{})
		require.Equal(t, "invalid_transition", errs.CodeOf(err), name)
		_, err = w.svc.Cancel(ctx, w.doctor, a.PublicID, appointment.Ending{Reason: "Done"})
		require.NoError(t, err, name)
	}
}

// Half an hour later, or within a buffer: the two times of one appointment may overlap each other, and nothing else.
func TestProposal_overlapsItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.rules(w.doctor, `buffer_before = 10, buffer_after = 10`)
	a := w.asks(w.booked(w.patient, at(11, 0)), at(11, 30))
	require.Equal(t, "slot_taken", w.refused(at(12, 0)), "the buffer of the other time")
	require.Equal(t, "slot_taken", w.refused(at(10, 30)), "the buffer of the present time")
	a, err := w.svc.Confirm(context.Background(), w.doctor, a.PublicID, appointment.Confirmation{})
	require.NoError(t, err)
	require.Equal(t, at(11, 30), *a.StartsAt)
	require.Empty(t, w.refused(at(10, 30)))
}

// Whatever else becomes of the appointment ends the wish, and both times go to those who wait.
func TestProposal_endsWithItsAppointment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	third := w.user("PAT0000000003", "Cyd Waits", auth.Patient)
	for _, p := range []auth.Actor{w.other, third} {
		_, err := w.svc.Wait(ctx, p, w.doctor.UserID, day(2), day(4))
		require.NoError(t, err)
	}
	a := w.asks(w.booked(w.patient, at(10, 30)), at(15, 0))
	_, err := w.svc.Cancel(ctx, w.patient, a.PublicID, appointment.Ending{})
	require.NoError(t, err)
	require.Equal(t, 2, w.count(`select count(*) from slot_claims where waitlist_id is not null`), "both are offered")
	require.Equal(t, 2, w.count(`select count(*) from slot_claims`))
	w.exec(`delete from slot_claims`)

	b := w.asks(w.booked(w.patient, at(10, 30)), at(15, 0))
	b, err = w.svc.HandOver(ctx, w.admin, b.PublicID, w.stranger.UserID, 0)
	require.NoError(t, err)
	require.Nil(t, b.Proposal, "the other doctor was not asked")
	require.Zero(t, w.count(`select count(*) from slot_claims where proposal_of is not null`))
	require.Contains(t, w.events(b)[3], "no longer kept")

	b = w.asks(b, at(16, 0))
	b, err = w.svc.Reschedule(ctx, w.stranger, b.PublicID, appointment.Rescheduling{StartsAt: at(17, 5)})
	require.NoError(t, err)
	require.Nil(t, b.Proposal, "the doctor has chosen")
	require.Zero(t, w.count(`select count(*) from slot_claims where proposal_of is not null`))
}

func day(d int) time.Time { return time.Date(2026, time.March, d, 0, 0, 0, 0, time.UTC) }

// Many answer at once, and others want both times: one answer counts, and nothing is given away twice.
func TestProposal_contention(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	second, _ := w.instance()
	const n = 24
	crowd := make([]auth.Actor, n)
	for i := range crowd {
		crowd[i] = w.user(fmt.Sprintf("PATCROWD%05d", i), "Somebody", auth.Patient)
	}
	for round := range 3 {
		day := time.Duration(round) * 24 * time.Hour
		was, asked := at(10, 30).Add(day), at(15, 0).Add(day)
		a := w.asks(w.booked(w.patient, was), asked)
		answers, others := make([]error, n), make([]error, n)
		together(2*n, func(i int) {
			svc := []*appointment.Service{w.svc, second}[i%2]
			if i >= n {
				when := []time.Time{was, asked}[i/2%2]
				_, others[i-n] = svc.Book(ctx, crowd[i-n],
					appointment.Booking{Doctor: w.doctor.UserID, StartsAt: &when, Reason: "Rash"})
				return
			}
			switch i % 3 {
			case 0:
				_, answers[i] = svc.Confirm(ctx, w.doctor, a.PublicID, appointment.Confirmation{Version: a.Version})
			case 1:
				_, answers[i] = svc.Withdraw(ctx, w.patient, a.PublicID, a.Version)
			default:
				_, answers[i] = svc.Reject(ctx, w.doctor, a.PublicID,
					appointment.Ending{Reason: "Full", Version: a.Version})
			}
		})
		require.Equal(t, map[string]int{"": 1, "stale": n - 1}, codes(answers))
		got, err := w.svc.ByID(ctx, a.ID)
		require.NoError(t, err)
		require.Contains(t, []time.Time{was, asked}, *got.StartsAt)
		require.Nil(t, got.Proposal)
		won := codes(others)
		require.LessOrEqual(t, won[""], 1, "only the time that was given up could be had: %v", won)
		require.Equal(t, n-won[""], won["slot_taken"], "%v", won)
		require.Zero(t, w.count(`select count(*) from slot_claims c join slot_claims d
			on c.doctor_id = d.doctor_id and c.blocked && d.blocked and c.id <> d.id`))
	}
}

// A wish and its end by time, again and again on two instances at once: each wish ends once.
func TestProposal_lapsesOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	second, _ := w.instance()
	a := w.asks(w.booked(w.patient, at(10, 30)), at(15, 0))
	w.now = at(10, 30)
	all, ended := make([]error, 8), make([]int, 8)
	together(8, func(i int) { ended[i], all[i] = []*appointment.Service{w.svc, second}[i%2].Deadlines(ctx) })
	require.Equal(t, map[string]int{"": 8}, codes(all))
	slices.Sort(ended)
	require.Equal(t, []int{0, 1}, slices.Compact(ended))
	require.Equal(t, 1, w.count(`select count(*) from appointment_history where appointment_id = $1 and action = 'lapse'`, a.ID))
}

// Instances of the release before know no proposals. Whatever they make of an appointment ends its proposal, so that no
// time is kept for nothing; and what they do not touch keeps it.
func TestProposal_besideTheReleaseBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.asks(w.booked(w.patient, at(10, 30)), at(15, 0))
	w.exec(`update appointments set note = 'x' where id = $1`, a.ID)
	require.Equal(t, 1, w.count(`select count(*) from slot_claims where proposal_of = $1`, a.ID))
	w.exec(`update appointments set status = 'CANCELLED', version = version + 1 where id = $1`, a.ID)
	w.exec(`delete from slot_claims where appointment_id = $1`, a.ID)
	require.Zero(t, w.count(`select count(*) from slot_claims`))
	got, err := w.svc.ByID(context.Background(), a.ID)
	require.NoError(t, err)
	require.Nil(t, got.Proposal)
}

// Emails about a change of status, time or doctor stay true while another time is only proposed.
func TestService_LastMoved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := context.Background()
	moved := func(a appointment.Appointment, err error) int {
		require.NoError(t, err)
		version, err := w.svc.LastMoved(ctx, w.pool, a.ID, a.Version)
		require.NoError(t, err)
		return version
	}
	a := w.booked(w.patient, at(10, 30))
	booked := a.Version
	require.Equal(t, booked, moved(a, nil))
	a = w.asks(a, at(15, 0))
	require.Equal(t, booked, moved(a, nil), "another time is asked for")
	a, err := w.svc.Withdraw(ctx, w.patient, a.PublicID, a.Version)
	require.Equal(t, booked, moved(a, err), "and not any more")
	a = w.asks(a, at(15, 0))
	a, err = w.svc.Confirm(ctx, w.doctor, a.PublicID, appointment.Confirmation{Version: a.Version})
	require.Equal(t, a.Version, moved(a, err), "the time that was asked for")
	back := a.Version
	a = w.asks(a, at(10, 30))
	require.Equal(t, back, moved(a, nil))
	a, err = w.svc.HandOver(ctx, w.admin, a.PublicID, w.stranger.UserID, 0)
	require.Equal(t, a.Version, moved(a, err), "another doctor")
	earlier, err := w.svc.LastMoved(ctx, w.pool, a.ID, back)
	require.NoError(t, err)
	require.Equal(t, back, earlier)
}

func TestRoutes_proposals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.api()
	a := w.booked(w.patient, at(10, 30))
	path := "/appointments/" + a.PublicID
	golden(t, "asked_for_another_time",
		c.call(w.patient, http.MethodPost, path+"/reschedule", object{"startsAt": at(15, 0)}))
	for _, verb := range []string{"propose", "accept", "decline", "withdraw"} {
		in := object{"startsAt": at(16, 0)}
		if verb != "propose" {
			in = object{}
		}
		for actor, want := range map[*auth.Actor]int{&w.other: 404, &w.stranger: 404, {}: 401} {
			if verb == "propose" && actor == &w.other {
				want = 403
			}
			require.Equal(t, want, c.call(*actor, http.MethodPost, path+"/"+verb, in).Status, "%s by %s", verb, actor.Name)
		}
	}
	require.Equal(t, 412, c.call(w.patient, http.MethodPost, path+"/withdraw", nil, "If-Match", `"1"`).Status)
	require.Equal(t, 200, c.call(w.doctor, http.MethodPost, path+"/decline", object{"reason": "Full"}).Status)
	golden(t, "history_of_a_wish", c.call(w.patient, http.MethodGet, path+"/history", nil))
	_, err := w.svc.Cancel(context.Background(), w.patient, a.PublicID, appointment.Ending{})
	require.NoError(t, err)

	path = "/appointments/" + w.expired().PublicID
	golden(t, "proposed", c.call(w.doctor, http.MethodPost, path+"/propose", object{"startsAt": at(16, 0), "note": "Or then?"}))
	golden(t, "accepted", c.call(w.patient, http.MethodPost, path+"/accept", nil))
	require.Equal(t, "invalid_transition", c.call(w.patient, http.MethodPost, path+"/withdraw", nil).Code())
}
