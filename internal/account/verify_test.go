package account

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/postgres"
)

func (h *house) verify(token string) answer {
	return h.call("POST", "/auth/verify", "", fmt.Sprintf(`{"token":%q}`, token))
}

func (h *house) changesEmail(token, password, email string) answer {
	return h.call("PUT", "/me/email", token, fmt.Sprintf(`{"email":%q,"password":%q}`, email, password))
}

// wants asks for another address for a user and returns the token that is emailed there.
func (h *house) wants(accessToken, email string) string {
	h.t.Helper()
	h.mail.all()
	require.Equal(h.t, http.StatusAccepted, h.changesEmail(accessToken, testPassword, email).Status)
	sent := h.mail.all()
	require.Len(h.t, sent, 2)
	require.Equal(h.t, "changed", sent[0].Kind)
	require.Equal(h.t, "verify", sent[1].Kind)
	require.Equal(h.t, email, sent[1].Address)
	return sent[1].Token
}

func TestService_VerifyEmail(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.registers("p@example.org")
	require.False(t, u.EmailVerified)
	sent := h.mail.all()
	require.Len(t, sent, 1)
	require.Equal(t,
		letter{Kind: "verify", User: u.ID, Address: "p@example.org", Token: sent[0].Token, Expires: sent[0].Expires},
		sent[0])
	require.WithinDuration(t, u.CreatedAt.Add(h.svc.options.VerifyTTL), sent[0].Expires, time.Second)
	token := h.token(u)
	require.Equal(t, false, h.call("GET", "/me", token, "").Value("emailVerified"))

	a := h.verify(sent[0].Token)
	require.Equal(t, 204, a.Status, string(a.Raw))
	require.Empty(t, a.Raw)
	me := h.call("GET", "/me", token, "")
	require.Equal(t, true, me.Value("emailVerified"), "and nobody was signed out")
	require.Equal(t, `"2"`, me.Header.Get("ETag"))
	again := h.verify(sent[0].Token)
	require.Equal(t, 404, again.Status, "it works once")
	require.Equal(t, "verification_invalid", again.Text("code"))
	require.Equal(t, []string{"user.register", "session.open", "user.verify"}, h.audited(u.PublicID))
	require.Empty(t, h.mail.all())
}

func TestService_VerifyEmail_Refused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	tokens := map[string]string{"unknown": auth.NewLink(time.Time{}).Token, "no token": "x"}
	h.registers("expired@example.org")
	tokens["expired"] = h.mailed("verify")
	h.exec(`update mail_tokens set expires_at = now()`)
	disabled := h.registers("disabled@example.org")
	tokens["of a disabled user"] = h.mailed("verify")
	h.exec(`update users set disabled_at = now() where id = $1`, disabled.ID)
	forgetful := h.registers("forgetful@example.org")
	h.mail.all()
	require.NoError(t, h.svc.ForgotPassword(t.Context(), forgetful.PublicID, here))
	tokens["that resets a password"] = h.mailed("reset")
	_, _, tokens["of an invitation"] = h.invites("i@example.org")
	var bodies []string
	for name, token := range tokens {
		a := h.call("POST", "/auth/verify", "", fmt.Sprintf(`{"token":%q}`, token), "X-Request-ID", "the-same-id")
		require.Equal(t, 404, a.Status, name)
		bodies = append(bodies, string(a.Raw))
	}
	for _, b := range bodies {
		require.Equal(t, bodies[0], b, "nobody learns why")
	}
	require.Equal(t, 422, h.verify("").Status)
	require.Zero(t, h.count(`select count(*)::int as n from users where email_verified_at is not null`))
}

func TestService_VerifyEmail_Contended(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.registers("p@example.org")
	token := h.mailed("verify")
	answers := make([]answer, 12)
	together(len(answers), func(i int) { answers[i] = h.verify(token) })
	won := 0
	for _, a := range answers {
		if a.Status == 204 {
			won++
			continue
		}
		require.Equal(t, 404, a.Status, string(a.Raw))
	}
	require.Equal(t, 1, won)
	require.Equal(t, []string{"user.register", "user.verify"}, h.audited(u.PublicID))
}

func TestService_VerifyEmail_Throttled(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.svc.options.LoginsPerAddress = 2
	for _, email := range []string{"a@example.org", "b@example.org", "c@example.org"} {
		h.registers(email)
		require.Equal(t, http.StatusNoContent, h.verify(h.mailed("verify")).Status, "good ones do not count")
	}
	for _, want := range []int{404, 404, 429} {
		require.Equal(t, want, h.verify("a guess").Status)
	}
	a := h.call("POST", "/auth/reset", "", `{"token":"a guess","password":"an entirely new one"}`)
	require.Equal(t, 429, a.Status, "all kinds of tokens share the allowance")
}

func TestService_ResendVerification(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.registers("p@example.org")
	first := h.mailed("verify")
	token := h.token(u)
	resend := func() answer { return h.call("POST", "/auth/verify/resend", token, "") }
	require.Equal(t, http.StatusAccepted, resend().Status)
	second := h.mailed("verify")
	require.Equal(t, 404, h.verify(first).Status, "the one before no longer counts")
	require.Equal(t, 204, h.verify(second).Status)
	done := resend()
	require.Equal(t, 409, done.Status)
	require.Equal(t, "already_verified", done.Text("code"))
	require.Empty(t, h.mail.all())

	// A pending address takes precedence.
	h.wants(token, "new@example.org")
	require.Equal(t, http.StatusAccepted, resend().Status)
	require.Equal(t, 204, h.verify(h.mailed("verify")).Status)
	require.Equal(t, "new@example.org", h.call("GET", "/me", token, "").Text("email"))
	resend()
	require.Equal(t, 429, resend().Status, "five mails an hour")
}

func TestService_ChangeEmail(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Patient, "old@example.org")
	mine, other := h.token(u), h.token(u)
	otherSession := h.actor(other).Session

	for name, a := range map[string]answer{
		"wrong password": h.changesEmail(mine, "wrong password", "new@example.org"),
		"no address":     h.changesEmail(mine, testPassword, "nobody"),
		"a header":       h.changesEmail(mine, testPassword, "new@example.org\r\nBcc: x@example.org"),
	} {
		require.Equal(t, 422, a.Status, name)
		require.NotContains(t, string(a.Raw), "new@")
		require.NotContains(t, string(a.Raw), testPassword)
	}
	require.Empty(t, h.mail.all())

	require.Equal(t, http.StatusAccepted, h.changesEmail(mine, testPassword, " New@Example.org ").Status)
	sent := h.mail.all()
	require.Len(t, sent, 2)
	require.Equal(t, letter{Kind: "changed", User: u.ID, Address: "old@example.org"}, sent[0])
	require.Equal(t, "new@example.org", sent[1].Address)
	me := h.call("GET", "/me", mine, "")
	golden(t, "me_pending", me)
	require.Equal(t, `"2"`, me.Header.Get("ETag"))
	_, err := h.svc.Login(t.Context(), "new@example.org", testPassword, here)
	require.ErrorIs(t, err, ErrBadCredentials, "it does not count yet")
	require.Empty(t, h.told())

	require.Equal(t, 204, h.verify(sent[1].Token).Status)
	require.Equal(t, []string{"changed old@example.org"}, h.mail.kinds())
	require.Equal(t, []int64{otherSession}, h.told(), "who asked for it stays signed in")
	require.Equal(t, 401, h.call("GET", "/me", other, "").Status)
	me = h.call("GET", "/me", mine, "")
	require.Equal(t, "new@example.org", me.Text("email"))
	require.Equal(t, true, me.Value("emailVerified"))
	require.Nil(t, me.Value("pendingEmail"))
	_, err = h.svc.Login(t.Context(), "old@example.org", testPassword, here)
	require.ErrorIs(t, err, ErrBadCredentials)
	_, err = h.svc.Login(t.Context(), "new@example.org", testPassword, here)
	require.NoError(t, err)
	require.Equal(t, 1, h.count(`select count(*)::int as n from sessions where end_reason = 'email'`))
	require.Equal(t, []string{
		"user.create", "session.open", "session.open", "user.email_request", "user.email", "session.open",
	}, h.audited(u.PublicID))
}

// Only whoever reads an address's mail learns whether it has an account.
func TestService_ChangeEmail_Taken(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.newUser(auth.Patient, "taken@example.org")
	a, b := h.token(h.newUser(auth.Patient, "a@example.org")), h.token(h.newUser(auth.Patient, "b@example.org"))
	taken, free := h.changesEmail(a, testPassword, "taken@example.org"), h.changesEmail(b, testPassword, "free@example.org")
	require.Equal(t, http.StatusAccepted, taken.Status)
	require.Equal(t, free.Status, taken.Status)
	require.Equal(t, free.Raw, taken.Raw)
	require.Equal(t, []string{
		"changed a@example.org", "changed b@example.org", "verify free@example.org",
	}, h.mail.kinds(),
		"their own mailbox tells them nothing, and the other's owner is left in peace")
	require.Equal(t, "taken@example.org", h.call("GET", "/me", a, "").Text("pendingEmail"))
	require.Equal(t, "free@example.org", h.call("GET", "/me", b, "").Text("pendingEmail"))
	require.Equal(t, http.StatusAccepted, h.call("POST", "/auth/verify/resend", a, "").Status)
	require.Empty(t, h.mail.all())
}

// An intruder with another session cannot make it the one that stays.
func TestService_ResendVerification_KeepsTheSessionThatAsked(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Patient, "p@example.org")
	mine, thiefs := h.token(u), h.token(u)
	h.wants(mine, "new@example.org")
	for range 2 {
		require.Equal(t, http.StatusAccepted, h.call("POST", "/auth/verify/resend", thiefs, "").Status)
	}
	require.Equal(t, 204, h.verify(h.mail.all()[1].Token).Status)
	require.Equal(t, 401, h.call("GET", "/me", thiefs, "").Status)
	require.Equal(t, 200, h.call("GET", "/me", mine, "").Status)
}

// If many verify the same address at once, one of them gets it.
func TestService_ChangeEmail_Contended(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const n = 10
	users, tokens := make([]User, n), make([]string, n)
	for i := range users {
		users[i] = h.newUser(auth.Patient, fmt.Sprintf("p%d@example.org", i))
		tokens[i] = h.wants(h.token(users[i]), "family@example.org")
	}
	answers := make([]answer, n)
	together(n, func(i int) { answers[i] = h.verify(tokens[i]) })
	winner := -1
	for i, a := range answers {
		if a.Status == 204 {
			require.Equal(t, -1, winner, "two got it")
			winner = i
			continue
		}
		require.Equal(t, 409, a.Status, string(a.Raw))
		require.Equal(t, "email_taken", a.Text("code"))
		u, err := h.svc.User(t.Context(), users[i].PublicID)
		require.NoError(t, err)
		require.Equal(t, users[i].Email, u.Email, "the others keep theirs")
	}
	u, err := h.svc.FindByEmail(t.Context(), h.pool, "family@example.org")
	require.NoError(t, err)
	require.Equal(t, users[winner].ID, u.ID)
	require.Equal(t, []string{"changed " + users[winner].Email}, h.mail.kinds())
}

func TestService_ChangeEmail_TakenBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Patient, "p@example.org")
	token := h.token(u)
	first := h.wants(token, "first@example.org")
	second := h.wants(token, "second@example.org")
	require.Equal(t, 404, h.verify(first).Status, "the last wish counts")
	require.Equal(t, http.StatusAccepted, h.changesEmail(token, testPassword, "P@example.org").Status)
	require.Empty(t, h.mail.all())
	require.Equal(t, 404, h.verify(second).Status)
	require.Nil(t, h.call("GET", "/me", token, "").Value("pendingEmail"))
	require.Equal(t, "user.email_withdraw", h.audited(u.PublicID)[4])

	// A new password drops the change as well: whoever knew the old one may have asked for it.
	third := h.wants(token, "third@example.org")
	require.Equal(t, 204,
		h.call("PUT", "/me/password", token, changePassword(testPassword, "an entirely new one")).Status)
	require.Equal(t, 404, h.verify(third).Status)
}

func TestService_ChangeEmail_Throttled(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.svc.options.LoginsPerAccount = 8
	token := h.token(h.newUser(auth.Patient, "p@example.org"))
	for i := range mailsPerHour {
		require.Equal(t, http.StatusAccepted, h.changesEmail(token, testPassword, fmt.Sprintf("n%d@example.org", i)).Status)
	}
	require.Equal(t, 429, h.changesEmail(token, testPassword, "n@example.org").Status)
	require.Len(t, h.mail.all(), 2*mailsPerHour)
	for _, want := range []int{422, 422, 429} {
		require.Equal(t, want, h.changesEmail(token, "a guess of it", "n@example.org").Status,
			"guesses count as in PUT /me/password")
	}
}

func TestService_ChangeEmail_PasswordChangedMeanwhile(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	by := h.actor(h.token(h.newUser(auth.Patient, "p@example.org")))
	// The other change comes while the password is being compared.
	h.svc.passwords = meanwhile{h.svc.passwords, func() { h.exec(`update users set password_hash = 'another'`) }}
	require.ErrorIs(t, h.svc.ChangeEmail(t.Context(), by, testPassword, "new@example.org"), errs.ErrStale)
	require.Empty(t, h.mail.all())
}

func TestService_Invite_Mails(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	admin := h.token(h.newUser(auth.Admin, "a@example.org"))
	require.Empty(t, h.mail.all(), "an operator's user gets no mail")
	id, publicID, token := h.invites("doc@example.org")
	sent := h.mail.all()
	require.Len(t, sent, 1)
	require.Equal(t, letter{Kind: "invitation", User: id, Token: token, Expires: sent[0].Expires}, sent[0])
	renewed := h.call("POST", "/users/"+publicID+"/invitation", admin, "").Text("invitationToken")
	require.Equal(t, renewed, h.mailed("invitation"))
	a := h.call("POST", "/auth/invitations/accept", "",
		fmt.Sprintf(`{"token":%q,"password":"an invited password"}`, renewed))
	require.Equal(t, 200, a.Status)
	u, err := h.svc.User(t.Context(), publicID)
	require.NoError(t, err)
	require.False(t, u.EmailVerified, "the administrator has seen the token too")
	require.Equal(t, 204, h.verify(h.mailed("verify")).Status)
}

func TestService_Contact(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	verified, other := h.newUser(auth.Doctor, "d@example.org"), h.registers("p@example.org")
	contact := func(id int64) (c Contact) {
		require.NoError(t, h.pool.InTx(t.Context(), func(tx *postgres.Tx) (err error) {
			c, err = h.svc.Contact(t.Context(), tx, id)
			return err
		}))
		return c
	}
	require.Equal(t, Contact{
		ID: verified.ID, PublicID: verified.PublicID, Name: "Ann Other", Email: "d@example.org", Verified: true, Active: true,
	}, contact(verified.ID))
	h.exec(`update users set disabled_at = now() where id = $1`, other.ID)
	require.Equal(t, Contact{ID: other.ID, PublicID: other.PublicID, Name: "Ann Other", Email: "p@example.org"},
		contact(other.ID))
	c, err := h.svc.Contact(t.Context(), h.pool, 0)
	require.Equal(t, errs.NotFound, errs.KindOf(err))
	require.Equal(t, Contact{}, c)
}
