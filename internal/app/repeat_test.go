package app

import (
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
)

// A request that is sent again, to any instance, is carried out once, and its secret can be read again.
func TestApp_IdempotencyKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	token := w.token(w.person(auth.Admin).at(0))
	invite := func(instance int, email string) reply {
		return w.call(instance, token, "POST", "/api/v1/doctors",
			`{"name":"Dr. Ada","email":"`+email+`","specialization":"","qualification":"","experience":3,"phone":""}`,
			"Idempotency-Key", "one-invitation")
	}
	first := invite(0, "ada@private.test")
	require.Equal(t, 201, first.status, "%s", first.raw)
	require.NotEmpty(t, first.body["invitation"].(map[string]any)["token"])
	again := invite(1, "ada@private.test")
	require.Equal(t, 201, again.status, "%s", again.raw)
	require.Equal(t, "true", again.header.Get("Idempotent-Replayed"))
	require.Equal(t, string(first.raw), string(again.raw))
	require.Equal(t, "idempotency_key_reused", invite(1, "eve@private.test").problem(t, 422).code())
	require.NotContains(t, w.log.String(), "one-invitation")
}
