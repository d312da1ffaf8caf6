package account

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

func (h *house) enrolls(
	by auth.Actor, name, email string, role auth.Role,
) (id int64, publicID, password string, err error) {
	err = h.pool.InTx(h.t.Context(), func(tx *postgres.Tx) (err error) {
		made, secret, err := h.svc.Enroll(h.t.Context(), tx, by, auth.Newcomer{Name: name, Email: email, Role: role})
		id, publicID, password = made.ID, made.PublicID, secret
		return err
	})
	return id, publicID, password, err
}

func TestService_Enroll(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	admin := h.actor(h.token(h.newUser(auth.Admin, "admin@example.org")))
	id, publicID, password, err := h.enrolls(admin, " Dr Ann ", "Doc@example.org", auth.Doctor)
	require.NoError(t, err)
	u, err := h.svc.User(t.Context(), publicID)
	require.NoError(t, err)
	require.Equal(t, User{
		ID: id, PublicID: publicID, Email: "doc@example.org", Name: "Dr Ann", Role: auth.Doctor, MustChangePassword: true,
		CreatedAt: u.CreatedAt, Version: 1,
	}, u)
	require.Equal(t, []string{"user.enroll"}, h.audited(publicID))
	require.Equal(t, []string{"enrolled"}, h.mail.kinds())
	in, err := h.svc.Login(t.Context(), "doc@example.org", password, here)
	require.NoError(t, err)
	require.Equal(t, 403, h.call("GET", "/me/sessions", in.AccessToken, "").Status)
	require.Equal(t, 204,
		h.call("PUT", "/me/password", in.AccessToken, changePassword(password, "an entirely new one")).Status)
	require.Equal(t, 200, h.call("GET", "/me/sessions", in.AccessToken, "").Status)
	require.Equal(t, []string{"verify doc@example.org"}, h.mail.kinds(), "the address is still unverified")

	_, _, _, err = h.enrolls(admin, "Dr Ann", "doc@example.org", auth.Doctor)
	require.ErrorIs(t, err, ErrEmailTaken)
	_, _, _, err = h.enrolls(admin, "", "x", auth.Doctor)
	require.Equal(t, errs.Invalid, errs.KindOf(err))
	_, _, second, err := h.enrolls(admin, "Dr Ann", "doc2@example.org", auth.Doctor)
	require.NoError(t, err)
	require.NotEqual(t, password, second)
	require.NotContains(t, h.log.String(), password)
}

// The link in the email to a new user lets them choose a password, verifies the address, and works once.
func TestService_Enroll_link(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	enrolled := func(email string) (publicID, password string, l letter) {
		_, publicID, password, err := h.enrolls(auth.System, "Dr Ann", email, auth.Doctor)
		require.NoError(t, err)
		sent := h.mail.all()
		require.Len(t, sent, 1)
		return publicID, password, sent[0]
	}
	publicID, password, l := enrolled("doc@example.org")
	require.WithinDuration(t, time.Now().Add(h.svc.options.InviteTTL), l.Expires, time.Hour)
	require.NoError(t, h.svc.ResetPassword(t.Context(), l.Token, "an entirely new one", here))
	u, err := h.svc.User(t.Context(), publicID)
	require.NoError(t, err)
	require.True(t, u.EmailVerified)
	require.False(t, u.MustChangePassword)
	_, err = h.svc.Login(t.Context(), publicID, "an entirely new one", here)
	require.NoError(t, err)
	_, err = h.svc.Login(t.Context(), publicID, password, here)
	require.ErrorIs(t, err, ErrBadCredentials)
	require.ErrorIs(t, h.svc.ResetPassword(t.Context(), l.Token, "one more new one", here), ErrReset)
	require.Empty(t, h.mail.all(), "there is nothing left to verify")

	// Who chooses a password without it ends it.
	_, password, l = enrolled("doc2@example.org")
	in, err := h.svc.Login(t.Context(), "doc2@example.org", password, here)
	require.NoError(t, err)
	require.NoError(t, h.svc.ReplacePassword(t.Context(), h.actor(in.AccessToken), "an entirely new one"))
	require.ErrorIs(t, h.svc.ResetPassword(t.Context(), l.Token, "one more new one", here), ErrReset)
	require.NoError(t, h.svc.VerifyEmail(t.Context(), h.mailed("verify"), here))
}

func TestMadeUpPassword(t *testing.T) {
	t.Parallel()
	for range 100 {
		p := generatePassword()
		require.Regexp(t, `^[a-z2-9-]{16}$`, p)
		require.NotRegexp(t, `[ilo]`, p)
		require.NoError(t, checkPassword("body.password", p, "a@example.org", "Ann"))
	}
}

func TestService_ReplacePassword(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Doctor, "d@example.org")
	h.exec(`update users set must_change_password = true where id = $1`, u.ID)
	mine, other := h.token(u), h.token(u)
	by, otherSession := h.actor(mine), h.actor(other).Session

	for name, next := range map[string]string{
		"short": "short", "usual": "qwertyuiop", "the present one": testPassword, "NUL": "an entirely\x00new one",
	} {
		err := h.svc.ReplacePassword(t.Context(), by, next)
		var e *errs.Error
		require.ErrorAs(t, err, &e, name)
		require.Equal(t, "body.newPassword", e.Fields[0].Path, name)
		require.NotContains(t, err.Error(), next, name)
	}
	require.Empty(t, h.told())
	require.NoError(t, h.svc.ReplacePassword(t.Context(), by, "an entirely new one"))
	require.Equal(t, []int64{otherSession}, h.told())
	require.Equal(t, 401, h.call("GET", "/me", other, "").Status)
	require.Equal(t, false, h.call("GET", "/me", mine, "").Value("mustChangePassword"))
	_, err := h.svc.Login(t.Context(), "d@example.org", "an entirely new one", here)
	require.NoError(t, err)
	require.Contains(t, h.audited(u.PublicID), "user.password")
}

// If many choose the password at once, one of them succeeds.
func TestService_ReplacePassword_Contended(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Doctor, "d@example.org")
	by := h.actor(h.token(u))
	next := []string{"an entirely new one 0", "an entirely new one 1", "an entirely new one 2", "an entirely new one 3"}
	failures := make([]error, len(next))
	c, err := credentialsByID(t.Context(), h.pool, u.ID)
	require.NoError(t, err)
	together(len(next), func(i int) { failures[i] = h.svc.setPassword(t.Context(), by, c, next[i]) })
	won := 0
	for i, err := range failures {
		if err == nil {
			won++
			_, err := h.svc.Login(t.Context(), "d@example.org", next[i], here)
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, errs.ErrStale)
	}
	require.Equal(t, 1, won)
}

func TestService_ReplacePassword_Throttled(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.svc.options.LoginsPerAccount = 2
	by := h.actor(h.token(h.newUser(auth.Patient, "p@example.org")))
	var got []errs.Kind
	for range 3 {
		got = append(got, errs.KindOf(h.svc.ReplacePassword(t.Context(), by, testPassword)))
	}
	require.Equal(t, []errs.Kind{errs.Invalid, errs.Invalid, errs.RateLimited}, got,
		"it could be used to guess the present one")
}

func TestService_ByIDs(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	a, b := h.newUser(auth.Patient, "a@example.org"), h.newUser(auth.Doctor, "b@example.org")
	h.newUser(auth.Admin, "c@example.org")
	h.exec(`update users set disabled_at = now() where id = $1`, b.ID)
	found, err := h.svc.ByIDs(t.Context(), a.ID, b.ID, a.ID, 1<<40)
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.Equal(t, a, found[a.ID])
	require.NotNil(t, found[b.ID].DisabledAt)
	none, err := h.svc.ByIDs(t.Context())
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestService_CountByRole(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	counts, err := h.svc.CountByRole(t.Context())
	require.NoError(t, err)
	require.Empty(t, counts)
	h.newUser(auth.Patient, "a@example.org")
	h.newUser(auth.Patient, "b@example.org")
	h.newUser(auth.Admin, "c@example.org")
	gone := h.newUser(auth.Doctor, "d@example.org")
	h.newUser(auth.Doctor, "e@example.org")
	h.exec(`update users set disabled_at = now() where id = $1`, gone.ID)
	counts, err = h.svc.CountByRole(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[auth.Role]int{auth.Patient: 2, auth.Doctor: 1, auth.Admin: 1}, counts)
}

// If a doctor's enrollment fails later, there is no account.
func TestService_Enroll_rollsBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	boom := errors.New("later")
	err := h.pool.InTx(t.Context(), func(tx *postgres.Tx) error {
		_, _, err := h.svc.Enroll(t.Context(), tx, auth.System,
			auth.Newcomer{Name: "Dr Ann", Email: "doc@example.org", Role: auth.Doctor})
		require.NoError(t, err)
		return boom
	})
	require.ErrorIs(t, err, boom)
	_, err = h.svc.FindByEmail(t.Context(), h.pool, "doc@example.org")
	require.Equal(t, errs.NotFound, errs.KindOf(err))
	require.Empty(t, h.mail.all())
}
