package patient_test

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/doctor"
	"housecall/internal/httpd"
	"housecall/internal/patient"
	"housecall/internal/postgres"
	"housecall/internal/testing/apitest"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// answer is what the API says.
type answer = apitest.Answer

// world is the package, served, on a database of its own. The token of a user is their public id.
type world struct {
	t    *testing.T
	pool *postgres.Pool
	svc  *patient.Service
	api  *apitest.API
}

func newWorld(t *testing.T, c care) *world {
	t.Helper()
	pool := pgtest.New(t)
	w := &world{t: t, pool: pool}
	w.svc = patient.New(patient.Deps{Pool: pool, Doctors: doctor.New(doctor.Deps{Pool: pool}), Care: c})
	w.api = apitest.Serve(t, apitest.Options{
		Routes:        func(s *httpd.Server) { patient.Routes(s, w.svc) },
		Authenticator: apitest.ByPublicID(pool),
	})
	return w
}

// care is what appointment would say, for one doctor.
type care struct {
	doctor   string // public id
	patients []string
}

func (c care) PatientsOf(
	ctx context.Context, db postgres.DB, doctorID, after int64, limit int,
) (ids []int64, err error) {
	err = db.QueryRow(ctx, `
		select coalesce(array_agg(id), '{}') from (
			select id from users
			where public_id = any($1) and id > $2 and $3 = (select id from users where public_id = $4)
			order by id
			limit $5
		) page`, c.patients, after, doctorID, c.doctor, limit).Scan(&ids)
	return ids, err
}

func (c care) CaresFor(ctx context.Context, db postgres.DB, doctorID, patientID int64) (bool, error) {
	ids, err := c.PatientsOf(ctx, db, doctorID, 0, len(c.patients))
	return slices.Contains(ids, patientID), err
}

// user inserts a user, with what the package of their role keeps about them.
func (w *world) user(publicID, name string, role auth.Role) int64 {
	w.t.Helper()
	var id int64
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), `
		insert into users (public_id, email, name, role) values ($1::text, lower($1::text) || '@example.test', $2, $3) returning id`,
		publicID, name, role).Scan(&id))
	switch role {
	case auth.Doctor:
		w.exec(`insert into doctors (user_id) values ($1)`, id)
	case auth.Patient:
		w.exec(
			`insert into patients (user_id, phone, gender, date_of_birth, address) values ($1, '9841000000', 'female', '1990-02-28', 'Lane 1')`,
			id,
		)
	case auth.Admin:
	}
	return id
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.pool.Exec(w.t.Context(), sql, args...)
	require.NoError(w.t, err)
}

// call sends a request; token "" is nobody, ifMatch "" is none, body "" is none.
func (w *world) call(method, path, token, ifMatch, body string) answer {
	w.t.Helper()
	return w.api.Ask(method, path, token, body, "If-Match", ifMatch)
}
