package account

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
)

func changePassword(current, next string) string {
	return fmt.Sprintf(`{"currentPassword":%q,"newPassword":%q}`, current, next)
}

func TestService_ChangePassword(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Patient, "p@example.org")
	mine, other := h.token(u), h.token(u)
	otherSession := h.actor(other).Session

	for name, body := range map[string]string{
		"wrong": changePassword("wrong password", "an entirely new one"), "same": changePassword(testPassword, testPassword),
		"usual": changePassword(testPassword, "qwertyuiop"), "the name": changePassword(testPassword, "p@example.org"),
		"short": changePassword(testPassword, "short"),
	} {
		a := h.call("PUT", "/me/password", mine, body)
		require.Equal(t, 422, a.Status, name)
		require.NotContains(t, string(a.Raw), testPassword)
	}
	require.Empty(t, h.told())
	require.Equal(t, 204, h.call("PUT", "/me/password", mine, changePassword(testPassword, "an entirely new one")).Status)
	require.Equal(t, []int64{otherSession}, h.told())
	require.Equal(t, 401, h.call("GET", "/me", other, "").Status)
	require.Equal(t, 200, h.call("GET", "/me", mine, "").Status)
	_, err := h.svc.Login(t.Context(), "p@example.org", testPassword, here)
	require.ErrorIs(t, err, ErrBadCredentials)
	_, err = h.svc.Login(t.Context(), "p@example.org", "an entirely new one", here)
	require.NoError(t, err)
	require.Contains(t, h.audited(u.PublicID), "user.password")
}

func TestService_ChangePassword_Contended(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Patient, "p@example.org")
	by := h.actor(h.token(u))
	failures := make([]error, 8)
	together(len(failures), func(i int) {
		failures[i] = h.svc.ChangePassword(t.Context(), by, testPassword, fmt.Sprintf("an entirely new one %d", i))
	})
	winner := -1
	for i, err := range failures {
		if err == nil {
			require.Equal(t, -1, winner, "changed twice from one password")
			winner = i
			continue
		}
		// Too late to see the old password, or while the new one was being hashed.
		require.Contains(t, []errs.Kind{errs.Invalid, errs.PreconditionFailed}, errs.KindOf(err))
	}
	_, err := h.svc.Login(t.Context(), "p@example.org", fmt.Sprintf("an entirely new one %d", winner), here)
	require.NoError(t, err)
}

func TestService_ChangePassword_Throttled(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.svc.options.LoginsPerAccount = 2
	token := h.token(h.newUser(auth.Patient, "p@example.org"))
	for _, want := range []int{422, 422, 429} {
		require.Equal(t, want,
			h.call("PUT", "/me/password", token, changePassword("a guess of it", "an entirely new one")).Status)
	}
}

func TestRoutes_MustChangePassword(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Admin, "a@example.org")
	h.exec(`update users set must_change_password = true where id = $1`, u.ID)
	in := h.call("POST", "/auth/login", "", fmt.Sprintf(`{"login":"a@example.org","password":%q}`, testPassword))
	require.Equal(t, true, in.Value("user.mustChangePassword"))
	token := in.Text("accessToken")
	for _, r := range [][2]string{
		{"GET", "/users"}, {"PATCH", "/me"}, {"GET", "/me/sessions"}, {"DELETE", "/me/sessions/x"},
	} {
		a := h.call(r[0], r[1], token, "")
		require.Equal(t, 403, a.Status, r)
		require.Equal(t, "password_change_required", a.Text("code"), r)
	}
	_, _, err := h.api.Server.AuthenticateToken(t.Context(), token)
	require.ErrorIs(t, err, httpd.ErrPasswordChange, "nor do they get a socket")
	require.Equal(t, 200, h.call("GET", "/me", token, "").Status)
	require.Equal(t, 204,
		h.call("PUT", "/me/password", token, changePassword(testPassword, "an entirely new one")).Status)
	require.Equal(t, 200, h.call("GET", "/users", token, "").Status)
	require.Equal(t, false, h.call("GET", "/me", token, "").Value("mustChangePassword"))
	h.exec(`update users set must_change_password = true where id = $1`, u.ID)
	require.Equal(t, 204, h.call("POST", "/auth/logout", token, "").Status)
}

// Secrets never reach the log, whether a request succeeds or fails.
func TestRoutes_LogNoSecrets(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	admin := h.token(h.newUser(auth.Admin, "admin@example.org"))
	_, invited, invitation := h.invites("doc@example.org")
	secrets := []string{
		testSecret, admin, invitation, "correct horse battery", "an entirely new one", "an invited password",
		"wrong-and-secret",
	}

	h.call("POST", "/auth/register", "", annRegisters)
	h.call("POST", "/auth/register", "", annRegisters)
	h.call("POST", "/auth/register", "", `{"name":"X","email":"wrong-and-secret","password":"wrong-and-secret"}`)
	in := h.call("POST", "/auth/login", "", `{"login":"ann@example.org","password":"correct horse battery"}`)
	h.call("POST", "/auth/login", "", `{"login":"ann@example.org","password":"wrong-and-secret"}`)
	h.call("POST", "/auth/login", "", `{"login":"wrong-and-secret","password":["wrong-and-secret"]}`)
	again := h.call("POST", "/auth/refresh", "", fmt.Sprintf(`{"refreshToken":%q}`, in.Text("refreshToken")))
	h.exec(`update refresh_tokens set used_at = used_at - interval '1 hour' where used_at is not null`)
	h.call("POST", "/auth/refresh", "", fmt.Sprintf(`{"refreshToken":%q}`, in.Text("refreshToken")))
	h.call("POST", "/auth/invitations/accept", "", `{"token":"wrong-and-secret","password":"an invited password"}`)
	h.call("POST", "/users/"+invited+"/invitation", admin, "")
	h.call("POST", "/auth/invitations/accept", "",
		fmt.Sprintf(`{"token":%q,"password":"an invited password"}`, invitation))
	h.call("GET", "/users?q=wrong-and-secret&access_token=wrong-and-secret", admin, "")
	h.call("PUT", "/me/password", admin, changePassword("wrong-and-secret", "an entirely new one"))
	h.call("PUT", "/me/password", admin, changePassword(testPassword, "an entirely new one"))
	h.mail.all()
	h.call("POST", "/auth/verify/resend", h.token(h.registers("mail@example.org")), "")
	verification := h.mail.all()[1].Token
	h.call("POST", "/auth/verify", "", `{"token":"wrong-and-secret"}`)
	h.call("POST", "/auth/verify", "", fmt.Sprintf(`{"token":%q}`, verification))
	h.call("POST", "/auth/forgot", "", `{"login":"wrong-and-secret"}`)
	h.call("POST", "/auth/forgot", "", `{"login":"mail@example.org"}`)
	reset := h.mailed("reset")
	h.call("POST", "/auth/reset", "", `{"token":"wrong-and-secret","password":"wrong-and-secret"}`)
	h.call("POST", "/auth/reset", "", fmt.Sprintf(`{"token":%q,"password":"mail@example.org"}`, reset))
	h.call("POST", "/auth/reset", "", fmt.Sprintf(`{"token":%q,"password":"an entirely new one"}`, reset))
	secrets = append(secrets, verification, reset, "mail@example.org", "moved@example.org")
	h.call("PUT", "/me/email", admin, `{"email":"moved@example.org","password":"wrong-and-secret"}`)
	h.call("PUT", "/me/email", admin, `{"email":"moved@example.org","password":"an entirely new one"}`)
	// A failing database causes the longest errors.
	h.exec(`alter table sessions rename to sessions_away`)
	broken := h.call("POST", "/auth/login", "", `{"login":"ann@example.org","password":"correct horse battery"}`)
	require.Equal(t, 500, broken.Status)
	require.Equal(t, 500, h.call("GET", "/me", admin, "").Status)

	log := h.log.String()
	require.Contains(t, log, "/auth/login")
	require.Contains(t, log, "sessions", "the cause of a 500 is logged")
	for _, a := range []answer{in, again} {
		secrets = append(secrets, a.Text("accessToken"), a.Text("refreshToken"))
	}
	for _, secret := range secrets {
		require.NotEmpty(t, secret)
		require.NotContains(t, log, secret)
		require.NotContains(t, string(broken.Raw), secret)
	}
}
