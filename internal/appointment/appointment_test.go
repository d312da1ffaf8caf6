package appointment

import (
	"maps"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
)

func TestStatus_after(t *testing.T) {
	t.Parallel()
	// Written out anew, not derived: the table must agree with the design, not with itself.
	allowed := map[Move]map[Status]Status{
		MoveConfirm:    {Pending: Booked},
		MoveReject:     {Pending: Rejected},
		MoveCancel:     {Pending: Cancelled, Booked: Cancelled},
		MoveExpire:     {Pending: Expired},
		MoveReschedule: {Pending: Pending, Booked: Booked},
		MoveComplete:   {Booked: Completed},
		MoveNoShow:     {Booked: NoShow},
		MoveHandOver:   {Pending: Pending, Booked: Booked},
		MoveAskAnew:    {Pending: Pending, Booked: Booked},
		MovePropose:    {Expired: Expired},
		MoveBook:       {},
	}
	// What answers or ends a proposal needs one.
	settling := map[Move]map[Status]Status{
		MoveConfirm:  {Booked: Booked},
		MoveAccept:   {Expired: Booked},
		MoveDecline:  {Booked: Booked, Expired: Expired},
		MoveWithdraw: {Booked: Booked, Expired: Expired},
		MoveLapse:    {Booked: Booked, Expired: Expired},
	}
	for _, m := range Moves {
		from := maps.Clone(allowed[m])
		for _, s := range Statuses {
			if to, ok := settling[m][s]; ok {
				got, err := Appointment{Status: s, Proposal: &Proposal{}}.after(m)
				require.NoError(t, err)
				require.Equal(t, to, got)
			}
			to, err := Appointment{Status: s}.after(m)
			if want, ok := from[s]; ok {
				require.NoError(t, err, "%s from %s", m, s)
				require.Equal(t, want, to, "%s from %s", m, s)
				continue
			}
			var e *errs.Error
			require.ErrorAs(t, err, &e, "%s from %s", m, s)
			require.Equal(t, "invalid_transition", e.Code)
			require.Equal(t, s, e.Extra["currentStatus"])
			require.Equal(t, s, to)
		}
	}
}

func TestAppointment_Reply(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.March, 2, 8, 0, 0, 0, time.UTC)
	window := 72 * time.Hour
	ended := func(ago time.Duration) *time.Time { at := now.Add(-ago); return &at }
	for name, c := range map[string]struct {
		a      Appointment
		closed Closing
		can    bool
		until  time.Time
		why    string
	}{
		"booked":                  {a: Appointment{Status: Booked}, can: true},
		"booked and closed":       {a: Appointment{Status: Booked}, closed: Closing{At: now}, why: "closed_by_doctor"},
		"booked, doctor gone":     {a: Appointment{Status: Booked}, closed: Closing{At: now, ByClinic: true}, why: "doctor_unavailable"},
		"just completed":          {a: Appointment{Status: Completed, CompletedAt: ended(0)}, can: true, until: now.Add(window)},
		"completed and closed":    {a: Appointment{Status: Completed, CompletedAt: ended(0)}, closed: Closing{At: now}, why: "closed_by_doctor"},
		"last moment":             {a: Appointment{Status: Completed, CompletedAt: ended(window - 1)}, can: true, until: now.Add(1)},
		"follow-up over":          {a: Appointment{Status: Completed, CompletedAt: ended(window)}, why: "follow_up_over"},
		"follow-up over, closed":  {a: Appointment{Status: Completed, CompletedAt: ended(window)}, closed: Closing{At: now}, why: "follow_up_over"},
		"completed, time unknown": {a: Appointment{Status: Completed, UpdatedAt: now}, can: true, until: now.Add(window)},
		"pending":                 {a: Appointment{Status: Pending}, why: "pending"},
		"rejected":                {a: Appointment{Status: Rejected}, why: "rejected"},
		"cancelled":               {a: Appointment{Status: Cancelled}, why: "cancelled"},
		"expired":                 {a: Appointment{Status: Expired}, why: "expired"},
		"no show":                 {a: Appointment{Status: NoShow}, closed: Closing{At: now}, why: "no_show"},
	} {
		can, until, why := c.a.Reply(now, window, c.closed)
		require.Equal(t, c.can, can, name)
		require.Equal(t, c.until, until, name)
		require.Equal(t, c.why, why, name)
	}
}

func TestAppointment_sideOf(t *testing.T) {
	t.Parallel()
	a := Appointment{Patient: Person{ID: 1}, Doctor: Person{ID: 2}}
	for name, c := range map[string]struct {
		actor auth.Actor
		want  side
	}{
		"its patient":               {auth.Actor{ID: 1, Role: auth.Patient}, patientSide},
		"its patient, now a doctor": {auth.Actor{ID: 1, Role: auth.Doctor}, patientSide},
		"its doctor":                {auth.Actor{ID: 2, Role: auth.Doctor}, doctorSide},
		"an admin":                  {auth.Actor{ID: 3, Role: auth.Admin}, clinicSide},
		"another doctor":            {auth.Actor{ID: 3, Role: auth.Doctor}, nobody},
		"another patient":           {auth.Actor{ID: 4, Role: auth.Patient}, nobody},
		"nobody signed in":          {auth.Actor{}, nobody},
	} {
		require.Equal(t, c.want, a.sideOf(c.actor), name)
	}
	left := a
	left.doctorLeft = true
	require.Equal(t, nobody, left.sideOf(auth.Actor{ID: 2, Role: auth.Patient}), "its doctor, demoted")
	require.False(t, left.IsParticipant(2))
	require.Equal(t, []Participant{
		{Person: Person{ID: 1}, Role: auth.Patient, Active: true}, {Person: Person{ID: 2}, Role: auth.Doctor, Active: false},
	}, left.Participants())
	require.True(t, a.IsParticipant(1))
	require.True(t, a.IsParticipant(2))
	require.False(t, a.IsParticipant(3))
	require.False(t, Appointment{}.IsParticipant(0))
}

func TestEvent_holdsNoText(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	when := time.Date(2026, time.March, 29, 8, 30, 0, 0, time.UTC) // summer time began that day
	secret := "chest pain"
	timed := Appointment{StartsAt: &when, Reason: secret, Note: secret, EndReason: secret}
	untimed := Appointment{Reason: secret, EndReason: secret}
	for _, c := range []struct {
		m    Move
		by   side
		a    Appointment
		want string
	}{
		{MoveBook, patientSide, timed, "Appointment requested for Sun 29 Mar 2026, 10:30 (Europe/Berlin)."},
		{MoveBook, patientSide, untimed, "Appointment requested. The doctor will set the time."},
		{MoveConfirm, doctorSide, timed, "Appointment confirmed for Sun 29 Mar 2026, 10:30 (Europe/Berlin)."},
		{MoveReject, doctorSide, untimed, "The request was declined by the doctor."},
		{MoveReject, clinicSide, timed, "The request for Sun 29 Mar 2026, 10:30 (Europe/Berlin) was declined by the clinic."},
		{MoveCancel, patientSide, untimed, "The appointment was cancelled by the patient."},
	} {
		require.Equal(t, c.want, event(made{change: change{move: c.m, side: c.by}, a: c.a, zone: zone}))
	}
}
