package patient_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/patient"
	"housecall/internal/postgres"
	"housecall/internal/testing/apitest"
)

func day(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err) // a test's own text
	}
	return t
}

func TestPatient_Age(t *testing.T) {
	t.Parallel()
	born := day("1990-03-31")
	leap := day("2000-02-29")
	for name, c := range map[string]struct {
		p    patient.Patient
		on   string
		want int // -1: unknown
	}{
		"unknown":             {patient.Patient{}, "2026-01-01", -1},
		"before the birthday": {patient.Patient{DateOfBirth: &born}, "2026-03-30", 35},
		"on the birthday":     {patient.Patient{DateOfBirth: &born}, "2026-03-31", 36},
		"the year of birth":   {patient.Patient{DateOfBirth: &born}, "1990-12-31", 0},
		"born tomorrow":       {patient.Patient{DateOfBirth: &born}, "1990-03-30", 0},
		"29 February, before": {patient.Patient{DateOfBirth: &leap}, "2026-02-28", 25},
		"29 February, after":  {patient.Patient{DateOfBirth: &leap}, "2026-03-01", 26},
		"29 February":         {patient.Patient{DateOfBirth: &leap}, "2028-02-29", 28},
		"stated today":        {patient.Patient{StatedAge: &patient.StatedAge{Years: 34, On: day("2026-11-24")}}, "2026-11-24", 34},
		"nearly a year ago":   {patient.Patient{StatedAge: &patient.StatedAge{Years: 34, On: day("2026-11-24")}}, "2027-11-23", 34},
		"three years ago":     {patient.Patient{StatedAge: &patient.StatedAge{Years: 34, On: day("2026-11-24")}}, "2029-12-01", 37},
		"born counts before":  {patient.Patient{DateOfBirth: &born, StatedAge: &patient.StatedAge{Years: 99, On: day("2026-11-24")}}, "2026-12-01", 36},
	} {
		years, known := c.p.Age(day(c.on).Add(13 * time.Hour))
		require.Equal(t, c.want >= 0, known, name)
		require.Equal(t, max(c.want, 0), years, name)
	}
}

// An age that is stated is kept as an age; no date of birth is made up from it.
func TestService_StatedAge(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	by := auth.Actor{ID: w.user("PAT0000000NEW", "Nia", auth.Patient), UserID: "PAT0000000NEW", Role: auth.Patient}
	w.exec(`delete from patients where user_id = $1`, by.ID)
	require.NoError(t, w.pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		return w.svc.Create(t.Context(), tx, by, by.ID, patient.Details{StatedAge: &patient.StatedAge{Years: 34}})
	}))
	today := time.Now().UTC().Truncate(24 * time.Hour)
	p, err := w.svc.Resolve(t.Context(), w.pool, by.UserID)
	require.NoError(t, err)
	require.Nil(t, p.DateOfBirth)
	require.Equal(t, 34, p.StatedAge.Years)
	require.WithinDuration(t, today, p.StatedAge.On, 24*time.Hour)

	w.exec(`update patients set age_recorded_on = '2024-03-01', age_years = 32 where user_id = $1`, by.ID)
	apitest.Golden(t, "entry_stated_age", w.call("GET", "/patients/"+by.UserID, by.UserID, "", ""))
	known, _ := w.svc.Resolve(t.Context(), w.pool, by.UserID)
	now, ok := known.Age(time.Now())
	require.True(t, ok)
	phone := "9841000009"
	p, err = w.svc.Change(t.Context(), by, by.UserID, 1, patient.Change{Age: &now, Phone: &phone})
	require.NoError(t, err)
	require.Equal(t, day("2024-03-01"), p.StatedAge.On.UTC(), "what is known already needs no new statement")
	older := now + 3
	p, err = w.svc.Change(t.Context(), by, by.UserID, 2, patient.Change{Age: &older})
	require.NoError(t, err)
	require.Equal(t, older, p.StatedAge.Years)
	require.WithinDuration(t, today, p.StatedAge.On, 24*time.Hour)

	for _, wrong := range []int{-1, 131, 1 << 40} {
		_, err = w.svc.Change(t.Context(), by, by.UserID, 3, patient.Change{Age: &wrong})
		var e *errs.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "body.age", e.Fields[0].Path)
	}
	born := time.Now().UTC().AddDate(-40, 0, -100).Truncate(24 * time.Hour)
	p, err = w.svc.Change(t.Context(), by, by.UserID, 3, patient.Change{DateOfBirth: &born})
	require.NoError(t, err)
	years, _ := p.Age(time.Now())
	require.Equal(t, 40, years)
	_, err = w.svc.Change(t.Context(), by, by.UserID, 4, patient.Change{Age: &older})
	require.Equal(t, errs.Invalid, errs.KindOf(err), "it does not agree with the date of birth")
	_, err = w.svc.Change(t.Context(), by, by.UserID, 4, patient.Change{Age: &years})
	require.NoError(t, err)
	got := w.call("GET", "/patients/"+by.UserID, by.UserID, "", "")
	require.Equal(t, http.StatusOK, got.Status)
	require.NotContains(t, got.Body, "statedAge", "a date of birth says more")
}

func TestService_Seen(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	var all []int64
	idOf := map[string]int64{}
	for _, id := range []string{pia, tom, zoe, ann, bob, admin} {
		p, err := w.svc.Resolve(t.Context(), w.pool, id)
		if err == nil {
			idOf[id] = p.ID
			all = append(all, p.ID)
		}
	}
	actor := func(publicID string, role auth.Role) auth.Actor {
		a := auth.Actor{UserID: publicID, Role: role}
		require.NoError(t, w.pool.QueryRow(t.Context(), `select id from users where public_id = $1`, publicID).Scan(&a.ID))
		return a
	}
	for _, c := range []struct {
		by   auth.Actor
		want []string
	}{
		{actor(admin, auth.Admin), []string{pia, tom, zoe}},
		{actor(ann, auth.Doctor), []string{pia, tom}}, // one assigned, one by appointment
		{actor(bob, auth.Doctor), nil},
		{actor(zoe, auth.Patient), []string{zoe}},
	} {
		found, err := w.svc.Seen(t.Context(), c.by, append(all, 1<<40)...)
		require.NoError(t, err)
		require.Len(t, found, len(c.want), c.by.UserID)
		for _, id := range c.want {
			require.Equal(t, id, found[idOf[id]].UserID)
		}
	}
	require.Equal(t, 2, w.audited("patient.list", pia), "by the admin and the doctor")
	require.Equal(t, 1, w.audited("patient.list", zoe), "by the admin, not by the patient")
	none, err := w.svc.Seen(t.Context(), actor(admin, auth.Admin))
	require.NoError(t, err)
	require.Empty(t, none)
}

// Admins, and nobody else, get the registry from its newest end, page by page, and leave a trail.
func TestService_Newest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, care{})
	for _, id := range []string{"PAT0000000001", "PAT0000000002", "PAT0000000003"} {
		w.user(id, id, auth.Patient)
	}
	admin := auth.Actor{ID: w.user("ADM0000000001", "Eve", auth.Admin), UserID: "ADM0000000001", Role: auth.Admin}
	var got []string
	for before, more := int64(0), true; more; {
		var page []patient.Patient
		var err error
		page, more, err = w.svc.Newest(t.Context(), admin, before, 2)
		require.NoError(t, err)
		for _, p := range page {
			got, before = append(got, p.UserID), p.ID
		}
	}
	require.Equal(t, []string{"PAT0000000003", "PAT0000000002", "PAT0000000001"}, got)
	var read int
	require.NoError(t, w.pool.QueryRow(t.Context(),
		`select count(*) from audit_events where action = 'patient.list'`).Scan(&read))
	require.Equal(t, 3, read)
	_, _, err := w.svc.Newest(t.Context(), admin, 1<<40, 2)
	require.NoError(t, err, "keys are that wide")
	for _, role := range []auth.Role{auth.Doctor, auth.Patient} {
		_, _, err := w.svc.Newest(t.Context(), auth.Actor{ID: 1, Role: role}, 0, 2)
		require.ErrorIs(t, err, errs.ErrForbidden)
	}
}
