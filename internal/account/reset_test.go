package account

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/httpd/ratelimit"
)

const newPassword = "an entirely new one"

// meanwhile is a hasher that lets something happen while it works.
type meanwhile struct {
	hasher
	happens func()
}

func (m meanwhile) Matches(ctx context.Context, password, encoded string) (bool, error) {
	m.happens()
	return m.hasher.Matches(ctx, password, encoded)
}

func (m meanwhile) Hash(ctx context.Context, password string) (string, error) {
	m.happens()
	return m.hasher.Hash(ctx, password)
}

func (h *house) forgot(login string, headers ...string) answer {
	return h.call("POST", "/auth/forgot", "", fmt.Sprintf(`{"login":%q}`, login), headers...)
}

func (h *house) reset(token, password string) answer {
	return h.call("POST", "/auth/reset", "", fmt.Sprintf(`{"token":%q,"password":%q}`, token, password))
}

func TestService_ResetPassword(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.registers("p@example.org")
	h.mail.all()
	h.exec(`update users set must_change_password = true`)
	one, two := h.signIn(u), h.signIn(u)
	live := []int64{h.actor(one.AccessToken).Session, h.actor(two.AccessToken).Session}

	require.Equal(t, http.StatusAccepted, h.forgot(" P@Example.org ").Status)
	sent := h.mail.all()
	require.Len(t, sent, 1)
	require.Equal(t, letter{Kind: "reset", User: u.ID, Token: sent[0].Token, Expires: sent[0].Expires}, sent[0])
	token := sent[0].Token
	for name, password := range map[string]string{
		"short": "short", "usual": "qwertyuiop", "the address": "p@example.org",
	} {
		a := h.reset(token, password)
		require.Equal(t, 422, a.Status, name)
		require.Contains(t, string(a.Raw), "body.password")
	}
	h.actor(one.AccessToken)

	a := h.reset(token, newPassword)
	require.Equal(t, 204, a.Status, string(a.Raw))
	require.ElementsMatch(t, live, h.told())
	for _, s := range []SignIn{one, two} {
		require.Equal(t, 401, h.call("GET", "/me", s.AccessToken, "").Status)
		_, err := h.svc.Refresh(t.Context(), s.RefreshToken)
		require.ErrorIs(t, err, ErrRefreshToken)
	}
	require.Equal(t, 2, h.count(`select count(*)::int as n from sessions where end_reason = 'password'`))
	_, err := h.svc.Login(t.Context(), "p@example.org", testPassword, here)
	require.ErrorIs(t, err, ErrBadCredentials)
	in, err := h.svc.Login(t.Context(), "p@example.org", newPassword, here)
	require.NoError(t, err)
	require.True(t, in.User.EmailVerified, "who has the link reads the mail")
	require.False(t, in.User.MustChangePassword)
	used := h.reset(token, "yet another password")
	require.Equal(t, 404, used.Status)
	require.Equal(t, "reset_invalid", used.Text("code"))
	require.Equal(t,
		[]string{"user.register", "session.open", "session.open", "user.forgot", "user.reset", "session.open"},
		h.audited(u.PublicID))
}

func TestService_ResetPassword_Contended(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Patient, "p@example.org")
	require.Equal(t, http.StatusAccepted, h.forgot(u.PublicID).Status)
	token := h.mailed("reset")
	answers := make([]answer, 10)
	together(len(answers), func(i int) { answers[i] = h.reset(token, fmt.Sprintf("an entirely new one %d", i)) })
	winner := -1
	for i, a := range answers {
		if a.Status == 204 {
			require.Equal(t, -1, winner, "reset twice with one token")
			winner = i
			continue
		}
		require.Equal(t, 404, a.Status, string(a.Raw))
	}
	_, err := h.svc.Login(t.Context(), "p@example.org", fmt.Sprintf("an entirely new one %d", winner), here)
	require.NoError(t, err)
	require.Equal(t, []string{"user.create", "user.forgot", "user.reset", "session.open"}, h.audited(u.PublicID))
}

// If many emails are requested at once, only the last one works.
func TestService_ForgotPassword_Contended(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Patient, "p@example.org")
	answers := make([]answer, mailsPerHour)
	together(len(answers), func(i int) { answers[i] = h.forgot("p@example.org") })
	for _, a := range answers {
		require.Equal(t, http.StatusAccepted, a.Status)
	}
	require.Equal(t, 1,
		h.count(`select count(*)::int as n from mail_tokens where used_at is null and user_id = $1`, u.ID))
	sent := h.mail.all()
	require.Len(t, sent, mailsPerHour)
	good := 0
	for _, m := range sent {
		if h.reset(m.Token, newPassword).Status == 204 {
			good++
		}
	}
	require.Equal(t, 1, good)
}

// Neither its answers nor what it counts against which limit reveals anything about accounts.
func TestService_ForgotPassword_SameForAll(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Patient, "known@example.org")
	disabled := h.newUser(auth.Patient, "disabled@example.org")
	h.exec(`update users set disabled_at = now() where id = $1`, disabled.ID)
	h.invites("invited@example.org")
	h.mail.all()
	logins := []string{
		"known@example.org", "nobody@example.org", "disabled@example.org", "invited@example.org", u.PublicID,
		"PAT0000000000", "no login at all", "ſ",
	}
	var want answer
	for i, login := range logins {
		got := h.forgot(login, "X-Request-ID", "the-same-id")
		require.Equal(t, http.StatusAccepted, got.Status, login)
		got.Header.Del("Date")
		if i == 0 {
			want = got
		}
		require.Equal(t, want, got, login)
	}
	for _, m := range h.mail.all() {
		require.Equal(t, u.ID, m.User, "a disabled user and one who was only invited get nothing")
	}
	for _, login := range logins {
		for range mailsPerHour - 1 {
			require.Equal(t, http.StatusAccepted, h.forgot(login).Status, login)
		}
		a := h.forgot(login)
		require.Equal(t, 429, a.Status, login)
		require.Equal(t, "720", a.Header.Get("Retry-After"))
	}
	require.Len(t, h.mail.all(), 2*(mailsPerHour-1))
}

func TestService_ForgotPassword_ThrottledByAddress(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.svc.options.LoginsPerAddress = 3
	for i, want := range []int{202, 202, 202, 429} {
		require.Equal(t, want, h.forgot(fmt.Sprintf("n%d@example.org", i)).Status)
	}
}

// The answer waits for the pace, whatever there was to do.
func TestService_ForgotPassword_Paced(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.svc.forgotPace = time.Hour
	h.newUser(auth.Patient, "p@example.org")
	h.mail.arrived = make(chan struct{}, 1)
	asked := make(chan struct{}, 1)
	h.svc.limiter = signalling{h.limiter, asked}
	for _, login := range []string{"p@example.org", "nobody@example.org"} {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.svc.ForgotPassword(ctx, login, here) }()
		<-asked
		if login == "p@example.org" {
			<-h.mail.arrived
		}
		select {
		case <-done:
			require.Fail(t, "answered before its time", login)
		default:
		}
		cancel()
		require.NoError(t, <-done)
	}
}

// signalling signals when the limit of a name is asked for, the last step before the account is dealt with.
type signalling struct {
	ratelimit.Limiter
	asked chan struct{}
}

func (s signalling) Allow(ctx context.Context, key string, l ratelimit.Limit) (bool, time.Duration) {
	if l.N == mailsPerHour {
		s.asked <- struct{}{}
	}
	return s.Limiter.Allow(ctx, key, l)
}

func TestService_ResetPassword_Refused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	n := 0
	for name, spoil := range map[string]func(t *testing.T, u User){
		"expired":  func(*testing.T, User) { h.exec(`update mail_tokens set expires_at = now()`) },
		"disabled": func(_ *testing.T, u User) { h.exec(`update users set disabled_at = now() where id = $1`, u.ID) },
		"a new password meanwhile": func(t *testing.T, u User) {
			require.NoError(t, h.svc.ChangePassword(t.Context(), h.actor(h.token(u)), testPassword, "chosen in the meantime"))
		},
		"another address meanwhile": func(t *testing.T, u User) {
			require.Equal(t, 204, h.verify(h.wants(h.token(u), "moved@example.org")).Status)
			h.mail.all()
		},
		"a newer mail": func(t *testing.T, u User) {
			require.NoError(t, h.svc.ForgotPassword(t.Context(), u.PublicID, here))
			h.mailed("reset")
		},
	} {
		n++
		u := h.newUser(auth.Patient, fmt.Sprintf("p%d@example.org", n))
		require.NoError(t, h.svc.ForgotPassword(t.Context(), u.PublicID, here))
		token := h.mailed("reset")
		spoil(t, u)
		require.ErrorIs(t, h.svc.ResetPassword(t.Context(), token, newPassword, here), ErrReset, name)
	}
	for name, token := range map[string]string{"unknown": auth.NewLink(time.Time{}).Token, "empty": ""} {
		require.ErrorIs(t, h.svc.ResetPassword(t.Context(), token, newPassword, here), ErrReset, name)
	}
}

// A token that stops counting while the new password is being hashed changes nothing.
func TestService_ResetPassword_WithdrawnMeanwhile(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Patient, "p@example.org")
	require.NoError(t, h.svc.ForgotPassword(t.Context(), u.PublicID, here))
	token := h.mailed("reset")
	h.svc.passwords = meanwhile{h.svc.passwords, func() { h.exec(`update mail_tokens set expires_at = now()`) }}
	require.ErrorIs(t, h.svc.ResetPassword(t.Context(), token, newPassword, here), ErrReset)
	h.svc.passwords = h.svc.passwords.(meanwhile).hasher
	_, err := h.svc.Login(t.Context(), u.PublicID, testPassword, here)
	require.NoError(t, err)
}

// Intruders who asked for another address do not get back into the account once its owner has reset the password.
func TestService_ResetPassword_DropsThePendingAddress(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Patient, "p@example.org")
	thiefs := h.wants(h.token(u), "thief@example.org")
	require.NoError(t, h.svc.ForgotPassword(t.Context(), u.PublicID, here))
	require.NoError(t, h.svc.ResetPassword(t.Context(), h.mailed("reset"), newPassword, here))
	err := h.svc.VerifyEmail(t.Context(), thiefs, here)
	require.ErrorIs(t, err, ErrVerification)
	require.Equal(t, errs.NotFound, errs.KindOf(err))
	now, err := h.svc.User(t.Context(), u.PublicID)
	require.NoError(t, err)
	require.Equal(t, "p@example.org", now.Email)
	require.Empty(t, now.PendingEmail)
}

// Before a queued email is sent, its link is checked again.
func TestService_Stands(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	requireStands := func(want bool, ask func(context.Context, string) (bool, error), token string) {
		t.Helper()
		stands, err := ask(t.Context(), token)
		require.NoError(t, err)
		require.Equal(t, want, stands)
	}
	u := h.registers("p@example.org")
	verification := h.mailed("verify")
	h.forgot("p@example.org")
	first := h.mailed("reset")
	h.forgot("p@example.org")
	second := h.mailed("reset")
	requireStands(true, h.svc.VerificationStands, verification)
	requireStands(false, h.svc.VerificationStands, second)
	requireStands(false, h.svc.ResetStands, first)
	requireStands(true, h.svc.ResetStands, second)
	require.Equal(t, 204, h.verify(verification).Status)
	requireStands(false, h.svc.VerificationStands, verification)
	h.exec(`update users set disabled_at = now() where id = $1`, u.ID)
	requireStands(false, h.svc.ResetStands, second)

	h.invites("d@example.org")
	invitation := h.mailed("invitation")
	requireStands(true, h.svc.InvitationStands, invitation)
	_, err := h.svc.AcceptInvitation(t.Context(), invitation, newPassword, httpd.Client{})
	require.NoError(t, err)
	requireStands(false, h.svc.InvitationStands, invitation)
}
