package patient_test

import (
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/patient"
	"housecall/internal/postgres"
	"housecall/internal/text"
)

// A phone number is kept as typed, with its E.164 beside it where that can be told.
func TestRoutes_Patch_phone(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	var version string
	change := func(body string) answer {
		t.Helper()
		version = w.call("GET", "/patients/"+pia, pia, "", "").ETag()
		got := w.call("PATCH", "/patients/"+pia, pia, version, body)
		require.Equal(t, http.StatusOK, got.Status, string(got.Raw))
		return got
	}
	for _, c := range []struct{ typed, want, e164 string }{
		{`(212) 555-0142`, "(212) 555-0142", ""}, // no region is configured
		{`\u202a+1 212\u00a0555\u00a00142\u202c`, "+1 212 555 0142", "+12125550142"},
		{`+९७७ ९८४१०००००० `, "+९७७ ९८४१००००००", "+9779841000000"},
		{` 9841000000`, "9841000000", ""},
		{``, "", ""},
	} {
		got := change(`{"phone":"` + c.typed + `"}`)
		require.Equal(t, c.want, got.Text("phone"))
		require.Equal(t, c.e164, got.Text("phoneE164"))
	}
	change(`{"phone":"+49 30 901820"}`)
	require.Equal(t, "+4930901820", change(`{"address":"Lane 9"}`).Text("phoneE164"), "another change leaves it")
	w.exec(`update patients set phone = '1' where user_id = (select id from users where public_id = $1)`, pia)
	require.Empty(t, w.call("GET", "/patients/"+pia, pia, "", "").Text("phoneE164"), "the release before wrote another")
}

// A number from a sign-up is read when the clinic registers the user.
func TestService_Register_phone(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	ctx := t.Context()
	svc := patient.New(patient.Deps{Pool: w.pool, Care: care{}, Options: patient.Options{PhoneRegion: "NP"}})
	id := w.user("ADM0000000NEW", "New", auth.Admin)
	w.exec(`update users set role = 'PATIENT' where id = $1`, id)
	w.exec(`insert into patient_signups (user_id, phone) values ($1, '984-1000000')`, id) // by the release before
	p, err := svc.Register(ctx, auth.Actor{ID: 1, UserID: admin, Role: auth.Admin}, id)
	require.NoError(t, err)
	require.Equal(t, "984-1000000", p.Phone)
	require.Equal(t, "+9779841000000", p.PhoneE164)
}

// Many instances read what the release before wrote, each number once, and wait for nobody who is changing an entry.
func TestService_CatchUp_manyInstances(t *testing.T) {
	t.Parallel()
	w := newClinic(t)
	ctx, n := t.Context(), 1200
	w.exec(`with made as (
			insert into users (public_id, email, name, role)
			select 'PATX' || g, 'x' || g || '@example.test', 'X', 'PATIENT' from generate_series(1, $1::int) g returning id)
		insert into patients (user_id, phone) select id, '98410' || lpad((id % 100000)::text, 5, '0') from made`, n)
	svc := patient.New(patient.Deps{Pool: w.pool, Care: care{}, Options: patient.Options{PhoneRegion: "NP"}})
	left := func() (n int) {
		require.NoError(t, w.pool.QueryRow(ctx, `select count(*) from patients where phone_from <> phone`).Scan(&n))
		return n
	}
	require.NoError(t, w.pool.InTx(ctx, func(tx *postgres.Tx) error {
		_, err := tx.Exec(ctx, `select from patients where user_id = (select id from users where public_id = 'PATX7') for update`)
		require.NoError(t, err)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if err := svc.CatchUp(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		return nil
	}))
	for left() > 0 {
		require.NoError(t, svc.CatchUp(ctx))
	}
	var typed, read string
	require.NoError(t, w.pool.QueryRow(ctx, `select phone, phone_e164 from patients p join users u on u.id = p.user_id
		where u.public_id = 'PATX7'`).Scan(&typed, &read))
	want, _ := text.ReadPhone(typed, "NP")
	require.Equal(t, want.E164, read)
	require.NotEmpty(t, read)
}
