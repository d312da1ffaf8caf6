package patient_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/patient"
	"housecall/internal/postgres"
	"housecall/internal/testing/apitest"
)

var told = patient.Details{
	Phone: "9841000000", Gender: patient.GenderFemale,
	DateOfBirth: new(time.Date(1990, time.February, 28, 0, 0, 0, 0, time.UTC)), Address: "Lane 1",
}

// signUp makes a user without an entry, who said something about themselves.
func (w *world) signUp(publicID, name string) int64 {
	w.t.Helper()
	var id int64
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), `
		insert into users (public_id, email, name, role) values ($1::text, lower($1::text) || '@example.test', $2, 'PATIENT') returning id`,
		publicID, name).Scan(&id))
	require.NoError(w.t, w.pool.InTx(w.t.Context(), func(tx *postgres.Tx) error {
		return w.svc.KeepSignup(w.t.Context(), tx, id, told)
	}))
	return id
}

func (w *world) count(sql string, args ...any) (n int) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), sql, args...).Scan(&n))
	return n
}

func (w *world) actor(publicID string) auth.Actor {
	w.t.Helper()
	a, _, err := apitest.ByPublicID(w.pool).Authenticate(w.t.Context(), publicID)
	require.NoError(w.t, err)
	return a
}

func TestService_Register(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	const nia = "PAT0000000NEW"
	id := w.signUp(nia, "Nia New")

	_, err := w.svc.Resolve(t.Context(), w.pool, nia)
	require.ErrorIs(t, err, patient.ErrNotRegistered)
	require.Equal(t, errs.NotFound, errs.KindOf(err))
	require.Empty(t, w.call("GET", "/patients", nia, "", "").Each("userId"), "their own list")
	require.Equal(t, 404, w.call("GET", "/patients/"+nia, admin, "", "").Status)
	require.NotContains(t, w.call("GET", "/patients", admin, "", "").Each("userId"), nia)

	p, err := w.svc.Register(t.Context(), w.actor(ann), id)
	require.NoError(t, err)
	require.Equal(t, patient.Patient{
		ID: id, UserID: nia, Name: "Nia New", Phone: told.Phone, Gender: told.Gender, DateOfBirth: p.DateOfBirth,
		Address: told.Address, Active: true, Version: 1, CreatedAt: p.CreatedAt, UpdatedAt: p.UpdatedAt,
		CreatedBy: w.actor(ann).ID, UpdatedBy: w.actor(ann).ID,
	}, p)
	require.True(t, told.DateOfBirth.Equal(*p.DateOfBirth))
	require.Equal(t, []string{nia}, w.call("GET", "/patients", nia, "", "").Each("userId"))
	require.Equal(t, 1, w.audited("patient.register", nia))
	require.Zero(t, w.count(`select count(*) from patient_signups`))

	_, err = w.svc.Register(t.Context(), w.actor(admin), id)
	require.ErrorIs(t, err, patient.ErrRegistered)
}

func TestService_Register_Refused(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	id := w.signUp("PAT0000000NEW", "Nia New")
	gone := w.signUp("PAT000000G0NE", "Gus Gone")
	w.exec(`update users set disabled_at = now() where id = $1`, gone)
	for name, tc := range map[string]struct {
		by   string
		id   int64
		want error
	}{
		"a patient":            {pia, id, errs.ErrForbidden},
		"the user themselves":  {"PAT0000000NEW", id, errs.ErrForbidden},
		"a doctor themselves":  {ann, w.actor(ann).ID, patient.ErrOneself},
		"another doctor":       {ann, w.actor(bob).ID, patient.ErrNoUser},
		"an admin":             {ann, w.actor(admin).ID, patient.ErrNoUser},
		"one who is disabled":  {ann, gone, patient.ErrNoUser},
		"nobody":               {admin, 1 << 40, errs.Missing("user")},
		"a registered patient": {admin, w.actor(zoe).ID, patient.ErrRegistered},
	} {
		_, err := w.svc.Register(t.Context(), w.actor(tc.by), tc.id)
		require.ErrorIs(t, err, tc.want, name)
	}
	require.Equal(t, 2, w.count(`select count(*) from patient_signups`), "a refusal takes nothing away")
	require.Zero(t, w.count(`select count(*) from audit_events where action = 'patient.register'`))
}

func TestService_Register_OneWinner(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	id := w.signUp("PAT0000000NEW", "Nia New")
	by := w.actor(admin)
	const workers = 12
	results := make(chan error, workers)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			_, err := w.svc.Register(t.Context(), by, id)
			results <- err
		})
	}
	wg.Wait()
	close(results)
	won := 0
	for err := range results {
		if err == nil {
			won++
			continue
		}
		require.ErrorIs(t, err, patient.ErrRegistered)
	}
	require.Equal(t, 1, won)
	require.Equal(t, 1, w.count(`select count(*) from patients where user_id = $1 and phone = $2`, id, told.Phone))
	require.Equal(t, 1, w.audited("patient.register", "PAT0000000NEW"))
}

// However many bookings a user begins at once, they get one entry, with what they entered at sign-up, even if the clinic
// registers them at the same moment.
func TestService_Enter_OneWinner(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	const nia = "PAT0000000NEW"
	id := w.signUp(nia, "Nia New")
	own, staff := w.actor(nia), w.actor(admin)
	staff.ID = 1 << 40 // keys are that wide
	const workers = 12
	entries := make(chan patient.Patient, workers)
	failures := make(chan error, workers+1)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			p, err := w.svc.Enter(t.Context(), own)
			entries <- p
			failures <- err
		})
	}
	wg.Go(func() {
		if _, err := w.svc.Register(t.Context(), staff, id); !errors.Is(err, patient.ErrRegistered) {
			failures <- err
		}
	})
	wg.Wait()
	close(entries)
	close(failures)
	for err := range failures {
		require.NoError(t, err)
	}
	for p := range entries {
		require.Equal(t, []any{id, nia, told.Phone, told.Address, 1}, []any{p.ID, p.UserID, p.Phone, p.Address, p.Version})
		require.Contains(t, []int64{own.ID, staff.ID}, p.CreatedBy)
	}
	require.Equal(t, 1, w.audited("patient.register", nia))
	require.Zero(t, w.count(`select count(*) from patient_signups`))
}

func TestService_Enter_Refused(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	for _, who := range []string{ann, admin} {
		_, err := w.svc.Enter(t.Context(), w.actor(who))
		require.ErrorIs(t, err, errs.ErrForbidden, who)
	}
	w.signUp("PAT000000G0NE", "Gus Gone")
	gone := w.actor("PAT000000G0NE")
	w.exec(`update users set disabled_at = now() where id = $1`, gone.ID)
	_, err := w.svc.Enter(t.Context(), gone)
	require.ErrorIs(t, err, patient.ErrNoUser)
	require.Equal(t, 1, w.count(`select count(*) from patient_signups`))
}

// An entry says who made it and who changed it last.
func TestService_Authors(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	const nia = "PAT0000000NEW"
	w.signUp(nia, "Nia New")
	own, staff := w.actor(nia), w.actor(admin)
	authors := func(p patient.Patient, err error) []int64 {
		t.Helper()
		require.NoError(t, err)
		return []int64{p.CreatedBy, p.UpdatedBy}
	}
	require.Equal(t, []int64{own.ID, own.ID}, authors(w.svc.Enter(t.Context(), own)))
	require.Equal(t, []int64{own.ID, staff.ID}, authors(w.svc.Assign(t.Context(), staff, nia, patient.AnyVersion, ann)))
	lane := "Lane 2"
	require.Equal(t, []int64{own.ID, own.ID}, authors(w.svc.Change(t.Context(), own, nia, 2, patient.Change{Address: &lane})))
}

// Users who get the role of a patient have an entry at once, with what they entered.
func TestService_Create_AfterASignUp(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	id := w.signUp("PAT0000000NEW", "Nia New")
	require.NoError(t, w.pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		return w.svc.Create(t.Context(), tx, auth.System, id, patient.Details{})
	}))
	p, err := w.svc.Resolve(t.Context(), w.pool, "PAT0000000NEW")
	require.NoError(t, err)
	require.Equal(t, told.Address, p.Address)
	require.Zero(t, w.count(`select count(*) from patient_signups`))
}

func TestService_KeepSignup_Validates(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	for _, d := range []patient.Details{{Phone: "call me"}, {Gender: "1"}, {Address: "a\x00b"}} {
		err := w.pool.InTx(t.Context(), func(tx *postgres.Tx) error {
			return w.svc.KeepSignup(t.Context(), tx, w.actor(zoe).ID, d)
		})
		require.Equal(t, errs.Invalid, errs.KindOf(err))
	}
}
