package doctor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/doctor"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
	"housecall/internal/testing/apitest"
	"housecall/internal/testing/clinic"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// answer is what the API says.
type answer = apitest.Answer

// world is the package, served, on a database of its own. The token of a user is their public id.
type world struct {
	t    *testing.T
	pool *postgres.Pool
	svc  *doctor.Service
	api  *apitest.API
}

func newWorld(t *testing.T) *world {
	t.Helper()
	pool := pgtest.New(t)
	cfg := config.Default()
	require.NoError(t, cfg.ClinicZone.UnmarshalText([]byte("Asia/Kathmandu")))
	schedules := schedule.New(schedule.Deps{Options: clinic.ScheduleOptions(cfg)})
	w := &world{t: t, pool: pool}
	w.svc = doctor.New(doctor.Deps{Pool: pool, Schedules: schedules, Inviter: inviter{}})
	w.api = apitest.Serve(t, apitest.Options{
		Routes:        func(s *httpd.Server) { doctor.Routes(s, w.svc) },
		Authenticator: apitest.ByPublicID(pool),
	})
	return w
}

// inviter stands in for account: it makes the bare user.
type inviter struct{}

func (inviter) Invite(
	ctx context.Context, tx *postgres.Tx, _ auth.Actor, n auth.Newcomer,
) (auth.Account, auth.Link, error) {
	if n.Email == "taken@example.test" {
		return auth.Account{}, auth.Link{}, errs.New(errs.Conflict, "email_taken", "Taken.")
	}
	made := auth.Account{PublicID: "DOCNEWDOCTOR0"}
	err := tx.QueryRow(ctx, `
		insert into users (public_id, email, name, role) values ('DOCNEWDOCTOR0', $1, $2, $3) returning id`,
		n.Email, n.Name, n.Role).Scan(&made.ID)
	return made, auth.Link{Token: "secret", Expires: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}, err
}

// Enroll makes the bare user, too.
func (i inviter) Enroll(
	ctx context.Context, tx *postgres.Tx, by auth.Actor, n auth.Newcomer,
) (auth.Account, string, error) {
	made, _, err := i.Invite(ctx, tx, by, n)
	return made, "made up", err
}

// user inserts a user, with a profile if they are a doctor.
func (w *world) user(publicID, name string, role auth.Role, specialization string) int64 {
	w.t.Helper()
	var id int64
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), `
		insert into users (public_id, email, name, role) values ($1::text, lower($1::text) || '@example.test', $2, $3) returning id`,
		publicID, name, role).Scan(&id))
	if role == auth.Doctor {
		w.exec(
			`insert into doctors (user_id, specialization, qualification, experience, phone) values ($1, $2, 'MBBS', 7, '+977 1 555')`,
			id, specialization,
		)
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

// exceptionIDs returns the ids of the exceptions that anyone can see.
func (w *world) exceptionIDs(path string) []string {
	w.t.Helper()
	list := w.call("GET", path, "", "", "")
	require.Equal(w.t, http.StatusOK, list.Status, string(list.Raw))
	return list.Each("id")
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	require.NoError(t, err)
	return raw
}

// goldenWithout is golden for an answer with ids that are drawn: each is written as its place among them.
func goldenWithout(t *testing.T, name string, a answer, ids ...string) {
	t.Helper()
	for i, id := range ids {
		a.Raw = bytes.ReplaceAll(a.Raw, []byte(id), fmt.Appendf(nil, "id %d", i+1))
	}
	apitest.Golden(t, name, a)
}
