package account

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
)

// older signs a user in through an older API.
func (h *house) older(u User, api auth.Audience) string {
	h.t.Helper()
	token, _, err := h.svc.LoginOlder(h.t.Context(), u.Email, testPassword,
		httpd.Client{Address: "192.0.2.9", UserAgent: "old front end"}, api)
	require.NoError(h.t, err)
	return token
}

// claims are what a client reads from a token.
func claims(t *testing.T, token string) map[string]any {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	require.NoError(t, err)
	var c map[string]any
	require.NoError(t, json.Unmarshal(raw, &c))
	return c
}

func TestService_LoginOlder(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for role, want := range map[auth.Role]struct {
		number int
		word   string
	}{auth.Admin: {1, "Admin"}, auth.Doctor: {2, "DOCTOR"}, auth.Patient: {3, "PATIENT"}} {
		u := h.newUser(role, strings.ToLower(string(role))+"@example.org")
		token, who, err := h.svc.LoginOlder(t.Context(), u.PublicID, testPassword, here, auth.AudiencePMS)
		require.NoError(t, err)
		require.Equal(t, u, who)
		c := claims(t, token)
		require.EqualValues(t, u.ID, c["userId"])
		require.EqualValues(t, want.number, c["role"])
		require.Equal(t, u.Name, c["name"])
		lives := time.Unix(int64(c["exp"].(float64)), 0).Sub(time.Unix(int64(c["iat"].(float64)), 0))
		require.Equal(t, 12*time.Hour, lives)

		c = claims(t, h.older(u, auth.AudienceHMS))
		require.Equal(t, u.PublicID, c["userId"])
		require.Equal(t, want.word, c["role"])

		a, err := h.svc.AuthenticateOlder(t.Context(), token, auth.AudiencePMS)
		require.NoError(t, err)
		require.Equal(t, auth.Actor{ID: u.ID, UserID: u.PublicID, Name: u.Name, Role: role, Session: a.Session}, a)
		require.Equal(t, []string{"user.create", "session.open", "session.open"}, h.audited(u.PublicID))
	}
	var seconds float64
	require.NoError(t,
		h.pool.QueryRow(t.Context(), `select extract(epoch from max(expires_at - created_at)) from sessions`).Scan(&seconds))
	require.InDelta(t, 12*60*60, seconds, 60, "the session ends with the token")
	tokens, err := h.pool.Exec(t.Context(), `select from refresh_tokens`)
	require.NoError(t, err)
	require.Zero(t, tokens.RowsAffected())
}

// It refuses whatever the native sign-in refuses.
func TestService_LoginOlder_Refused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.svc.options.LoginsPerAccount = 3
	disabled := h.newUser(auth.Patient, "disabled@example.org")
	h.exec(`update users set disabled_at = now() where id = $1`, disabled.ID)
	h.newUser(auth.Patient, "real@example.org")
	try := func(login, password string) error {
		token, u, err := h.svc.LoginOlder(t.Context(), login, password, here, auth.AudienceHMS)
		require.Empty(t, token)
		require.Zero(t, u)
		return err
	}
	require.ErrorIs(t, try("disabled@example.org", testPassword), ErrBadCredentials)
	require.ErrorIs(t, try("nobody@example.org", testPassword), ErrBadCredentials)
	require.ErrorIs(t, try("real@example.org", "not the password"), ErrBadCredentials)
	for range 2 { // both ways in draw on one allowance
		_, err := h.svc.Login(t.Context(), "real@example.org", "not the password", here)
		require.ErrorIs(t, err, ErrBadCredentials)
	}
	require.Equal(t, errs.RateLimited, errs.KindOf(try("real@example.org", testPassword)))
}

// A token counts on its own API only.
func TestService_AuthenticateOlder_KeptApart(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Admin, "admin@example.org")
	native, pms, hms := h.token(u), h.older(u, auth.AudiencePMS), h.older(u, auth.AudienceHMS)
	for _, token := range []string{pms, hms} {
		_, _, err := h.svc.Authenticate(t.Context(), token)
		require.ErrorIs(t, err, errs.ErrUnauthenticated)
		require.Equal(t, 401, h.call("GET", "/me", token, "").Status)
	}
	for api, tokens := range map[auth.Audience][]string{
		auth.AudiencePMS: {native, hms, ""}, auth.AudienceHMS: {native, pms, "x"},
	} {
		for _, token := range tokens {
			_, err := h.svc.AuthenticateOlder(t.Context(), token, api)
			require.ErrorIs(t, err, errs.ErrUnauthenticated)
		}
	}
}

// Whatever ends sessions ends these too, at once, and tells the listener.
func TestService_AuthenticateOlder_SessionEnds(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	admin := h.actor(h.token(h.newUser(auth.Admin, "admin@example.org")))
	for name, end := range map[string]func(u User, a auth.Actor) error{
		"logout": func(_ User, a auth.Actor) error { return h.svc.Logout(t.Context(), a) },
		"role": func(u User, _ auth.Actor) error {
			_, err := h.svc.SetRole(t.Context(), admin, u.PublicID, auth.Doctor, Leave{})
			return err
		},
		"disabled": func(u User, _ auth.Actor) error {
			_, err := h.svc.Disable(t.Context(), admin, u.PublicID, Leave{})
			return err
		},
		"password": func(u User, _ auth.Actor) error {
			return h.svc.ChangePassword(t.Context(), h.actor(h.token(u)), testPassword, "a new password, longer")
		},
		"revoked": func(u User, a auth.Actor) error {
			list, _, err := h.svc.Sessions(t.Context(), h.actor(h.token(u)), 0, 10)
			require.NoError(t, err)
			for _, one := range list {
				if one.Device == "old front end" {
					return h.svc.RevokeSession(t.Context(), a, one.PublicID)
				}
			}
			return fmt.Errorf("not among %d sessions", len(list))
		},
		"expired": func(_ User, a auth.Actor) error {
			h.exec(`update sessions set expires_at = now() where id = $1`, a.Session)
			return nil
		},
	} {
		u := h.newUser(auth.Patient, name+"@example.org")
		token := h.older(u, auth.AudiencePMS)
		a, err := h.svc.AuthenticateOlder(t.Context(), token, auth.AudiencePMS)
		require.NoError(t, err, name)
		require.NoError(t, end(u, a), name)
		_, err = h.svc.AuthenticateOlder(t.Context(), token, auth.AudiencePMS)
		require.ErrorIs(t, err, errs.ErrUnauthenticated, name)
	}
}

// The actor says that the user must change a password that somebody else has seen.
func TestService_AuthenticateOlder_MustChangePassword(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Doctor, "doc@example.org")
	h.exec(`update users set must_change_password = true where id = $1`, u.ID)
	a, err := h.svc.AuthenticateOlder(t.Context(), h.older(u, auth.AudienceHMS), auth.AudienceHMS)
	require.NoError(t, err)
	require.True(t, a.MustChangePassword)
}

func TestRoleNumber(t *testing.T) {
	t.Parallel()
	for _, r := range []auth.Role{auth.Patient, auth.Doctor, auth.Admin} {
		back, ok := RoleOfNumber(RoleNumber(r))
		require.True(t, ok)
		require.Equal(t, r, back)
	}
	for _, n := range []int{0, 4, -1} {
		_, ok := RoleOfNumber(n)
		require.False(t, ok)
	}
}

func TestService_Register_Unregistered(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u, err := h.svc.Register(t.Context(), Registration{
		Name: "Ann Other", Email: "ann@example.org", Password: testPassword, Details: PatientDetails{Address: "Lane 1"},
		Unregistered: true,
	}, here)
	require.NoError(t, err)
	require.Equal(t, auth.Patient, u.Role)
	got, err := h.svc.ByID(t.Context(), u.ID)
	require.NoError(t, err)
	require.Equal(t, u, got)
	var address string
	require.NoError(t, h.pool.QueryRow(t.Context(), `
		select s.address from patient_signups s left join patients p using (user_id) where s.user_id = $1 and p.user_id is null`, u.ID).Scan(&address))
	require.Equal(t, "Lane 1", address)
	require.Equal(t, []string{"user.register"}, h.audited(u.PublicID))
	_, err = h.svc.ByID(t.Context(), u.ID+1)
	require.Equal(t, errs.NotFound, errs.KindOf(err))
}
