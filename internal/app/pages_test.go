package app

import (
	"crypto/sha256"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
)

// The page to which a mail leads, on one instance, signs its reader out on another.
func TestApp_ResetPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	p := w.person(auth.Patient)
	signedIn := w.token(p.at(1))
	require.Equal(t, 202, w.call(1, "", "POST", "/api/v1/auth/forgot", `{"login":"`+p.email+`"}`).status)
	const token = "a-token-that-came-by-mail"
	hash := sha256.Sum256([]byte(token))
	_, err := w.apps[0].pool.Exec(w.context(), `update mail_tokens set hash = $1 where purpose = 'reset'`, hash[:])
	require.NoError(t, err)

	shown := w.call(0, "", "GET", "/reset?token="+token, "")
	require.Equal(t, 200, shown.status)
	require.Contains(t, string(shown.raw), token)
	require.Equal(t, 200, w.call(1, signedIn, "GET", "/api/v1/me", "").status)
	form := "token=" + token + "&password=quite+another+passphrase&again=quite+another+passphrase"
	done := w.call(0, "", "POST", "/reset", form, "Content-Type", "application/x-www-form-urlencoded")
	require.Equal(t, 200, done.status, string(done.raw))
	require.Equal(t, 401, w.call(1, signedIn, "GET", "/api/v1/me", "").status)
	in := w.call(1, "", "POST", "/api/v1/auth/login", `{"login":"`+p.email+`","password":"quite another passphrase"}`)
	require.Equal(t, 200, in.status)
	require.NotContains(t, w.log.String(), token)
}
