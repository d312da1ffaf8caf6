package preference_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
	"housecall/internal/preference"
	"housecall/internal/testing/apitest"
	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// answer is what the API says.
type answer = apitest.Answer

// world is the service, with its routes, on a database of its own. The token of a user is their public id.
type world struct {
	t    *testing.T
	pool *postgres.Pool
	svc  *preference.Service
	api  *apitest.API
}

func newWorld(t *testing.T) *world {
	t.Helper()
	pool := pgtest.New(t)
	clinic, err := time.LoadLocation("Asia/Kathmandu")
	require.NoError(t, err)
	w := &world{t: t, pool: pool, svc: preference.New(preference.Deps{Pool: pool, Options: preference.Options{Zone: clinic}})}
	w.api = apitest.Serve(t, apitest.Options{
		Routes:        func(s *httpd.Server) { preference.Routes(s, w.svc) },
		Authenticator: apitest.ByPublicID(pool),
	})
	return w
}

func (w *world) user(publicID string, role auth.Role) int64 {
	w.t.Helper()
	var id int64
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), `
		insert into users (public_id, email, name, role) values ($1::text, lower($1::text) || '@example.test', 'Somebody', $2) returning id`,
		publicID, role).Scan(&id))
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
