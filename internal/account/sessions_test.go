package account

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/postgres"
)

var here = httpd.Client{Address: "192.0.2.1", UserAgent: "test"}

// watchedHasher records the hashes that passwords were compared with.
type watchedHasher struct {
	hasher
	mu       sync.Mutex
	compared []string
}

func (w *watchedHasher) Matches(ctx context.Context, password, encoded string) (bool, error) {
	w.mu.Lock()
	w.compared = append(w.compared, encoded)
	w.mu.Unlock()
	return w.hasher.Matches(ctx, password, encoded)
}

func TestService_Login_SameWorkAndAnswer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	watch := &watchedHasher{hasher: h.svc.passwords}
	h.svc.passwords = watch
	h.newUser(auth.Patient, "real@example.org")
	disabled := h.newUser(auth.Patient, "disabled@example.org")
	h.exec(`update users set disabled_at = now() where id = $1`, disabled.ID)
	h.invites("invited@example.org")

	var bodies []string
	for _, tc := range []struct{ login, password string }{
		{"real@example.org", "not the password"},
		{"nobody@example.org", testPassword},
		{"PAT0000000000", testPassword},
		{"disabled@example.org", testPassword},
		{"invited@example.org", testPassword},
		{"real@example.org", ""},
	} {
		a := h.call("POST", "/auth/login", "", fmt.Sprintf(`{"login":%q,"password":%q}`, tc.login, tc.password),
			"X-Request-ID", "the-same-id")
		require.Equal(t, 401, a.Status, tc.login)
		require.Equal(t, "bad_credentials", a.Text("code"), tc.login)
		bodies = append(bodies, string(a.Raw))
	}
	require.Len(t, slices.Compact(bodies), 1, "the answers differ")
	require.Len(t, watch.compared, len(bodies), "each cost one comparison")
	for _, i := range []int{1, 2, 3, 4} {
		require.Empty(t, watch.compared[i], "compared with the decoy")
	}
}

func TestService_Login_ByEmailAndUserID(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Doctor, "doc@example.org")
	for _, login := range []string{"doc@example.org", " DOC@EXAMPLE.ORG ", u.PublicID, strings.ToLower(u.PublicID)} {
		r, err := h.svc.Login(t.Context(), login, testPassword, here)
		require.NoError(t, err, login)
		require.Equal(t, u.PublicID, r.User.PublicID)
		require.Equal(t, u.ID, h.actor(r.AccessToken).ID)
	}
	require.Equal(t, []string{"user.create", "session.open", "session.open", "session.open", "session.open"},
		h.audited(u.PublicID))
}

func TestService_Login_Throttled(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.svc.options.LoginsPerAccount, h.svc.options.LoginsPerAddress = 3, 20
	u := h.newUser(auth.Patient, "real@example.org")
	watch := &watchedHasher{hasher: h.svc.passwords}
	h.svc.passwords = watch
	try := func(login, password, address string) error {
		_, err := h.svc.Login(t.Context(), login, password, httpd.Client{Address: address})
		return err
	}
	// An account that exists and one that does not are throttled alike, before any password is compared.
	for _, login := range []string{"real@example.org", "nobody@example.org"} {
		for range 3 {
			require.ErrorIs(t, try(login, "not the password", "198.51.100.1"), ErrBadCredentials)
		}
		before := len(watch.compared)
		err := try(strings.ToUpper(login), "not the password", "198.51.100.1")
		require.Equal(t, errs.RateLimited, errs.KindOf(err), login)
		require.Len(t, watch.compared, before)
	}
	// One address cannot go on to other accounts endlessly.
	for i := range 20 - 6 { // what was refused for one account does not count
		require.ErrorIs(t, try(fmt.Sprintf("x%d@example.org", i), "x", "198.51.100.1"), ErrBadCredentials)
	}
	require.Equal(t, errs.RateLimited, errs.KindOf(try("fresh@example.org", "x", "198.51.100.1")))

	// One guesser's failures lock nobody else out, until many addresses guess at one account.
	require.NoError(t, try("real@example.org", testPassword, "203.0.113.5"))
	for i := 0; errs.KindOf(try("real@example.org", "guess",
		fmt.Sprintf("198.51.100.%d", 10+i))) != errs.RateLimited; i++ {
		require.Less(t, i, 3*othersFactor, "guesses from many addresses are never throttled")
	}
	require.Equal(t, errs.RateLimited, errs.KindOf(try("real@example.org", testPassword, "203.0.113.99")))
	// Even then users can sign in from an address that they used before.
	require.NoError(t, try("real@example.org", testPassword, "203.0.113.5"))
	require.NoError(t, try(u.PublicID, testPassword, "203.0.113.5"))
}

// Many people sign in from one address at once, and somebody there guesses at one account: nobody else is locked out.
func TestService_Login_AddressCountsWrongOnes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.svc.options.LoginsPerAccount, h.svc.options.LoginsPerAddress = 3, 4
	staff := make([]User, 6)
	for i := range staff {
		staff[i] = h.newUser(auth.Doctor, fmt.Sprintf("d%d@example.org", i))
	}
	failures := make([]error, 2*len(staff))
	together(len(failures), func(i int) {
		_, failures[i] = h.svc.Login(t.Context(), staff[i/2].Email, testPassword, here)
	})
	for _, err := range failures {
		require.NoError(t, err)
	}
	guess := func(login string) error {
		_, err := h.svc.Login(t.Context(), login, "a guess", here)
		return err
	}
	for range 3 {
		require.ErrorIs(t, guess("nobody@example.org"), ErrBadCredentials)
	}
	for range 6 {
		require.Equal(t, errs.RateLimited, errs.KindOf(guess("nobody@example.org")))
	}
	_, err := h.svc.Login(t.Context(), staff[0].Email, testPassword, here)
	require.NoError(t, err)
	require.ErrorIs(t, guess("another@example.org"), ErrBadCredentials)
	require.Equal(t, errs.RateLimited, errs.KindOf(guess("a.third@example.org")))
	require.Empty(t, h.svc.turns.all, "nothing is kept of attempts that are over")
}

// However a login is written, it counts against the limit of its own name only.
func TestService_Login_OneAllowancePerName(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.svc.options.LoginsPerAccount, h.svc.options.LoginsPerAddress = 3, 100
	u := h.newUser(auth.Patient, "kiss@example.org")
	watch := &watchedHasher{hasher: h.svc.passwords}
	h.svc.passwords = watch
	try := func(login string) error {
		_, err := h.svc.Login(t.Context(), login, "not the password", here)
		return err
	}
	for _, login := range []string{u.PublicID, strings.ToLower(u.PublicID), " " + u.PublicID + " "} {
		require.ErrorIs(t, try(login), ErrBadCredentials, login)
	}
	require.Equal(t, errs.RateLimited, errs.KindOf(try(u.PublicID)))
	// The limits do not reveal which address belongs to a public id.
	for _, login := range []string{"KISS@example.org", " kiss@example.org", "kiss@EXAMPLE.org"} {
		require.ErrorIs(t, try(login), ErrBadCredentials, login)
	}
	require.Equal(t, errs.RateLimited, errs.KindOf(try("kiss@example.org")))
	// The upper case of ſ is S, and the lower case of the Kelvin sign is k: such a login belongs to nobody, and costs the
	// usual work.
	compared := len(watch.compared)
	for _, login := range []string{"ki\u017fs@example.org", "\u212aiss@example.org"} {
		_, err := h.svc.Login(t.Context(), login, testPassword, here)
		require.ErrorIs(t, err, ErrBadCredentials, login)
	}
	require.Equal(t, []string{"", ""}, watch.compared[compared:], "compared with the decoy")
	h.exec(`update users set public_id = 'PAT00000000SS' where id = $1`, u.ID)
	_, err := h.svc.Login(t.Context(), "pat00000000\u017f\u017f", testPassword, httpd.Client{Address: "192.0.2.200"})
	require.ErrorIs(t, err, ErrBadCredentials)
	// Nor do such logins count against the limit of the one they resemble, whether or not that belongs to anybody.
	for range 3 {
		require.ErrorIs(t, try("\u212aate@example.org"), ErrBadCredentials)
	}
	require.ErrorIs(t, try("kate@example.org"), ErrBadCredentials)
}

func TestService_Refresh_OneSuccessor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	first := h.signIn(h.newUser(auth.Patient, "p@example.org"))
	results, failures := make([]SignIn, 20), make([]error, 20)
	together(len(results), func(i int) { results[i], failures[i] = h.svc.Refresh(t.Context(), first.RefreshToken) })
	for i, r := range results {
		require.NoError(t, failures[i])
		require.Equal(t, results[0].RefreshToken, r.RefreshToken)
		h.actor(r.AccessToken)
	}
	require.NotEqual(t, first.RefreshToken, results[0].RefreshToken)
	type count struct{ N int }
	n, err := one[count](t.Context(), h.pool, "tokens", `select count(*)::int as n from refresh_tokens`)
	require.NoError(t, err)
	require.Equal(t, 2, n.N)
	second, err := h.svc.Refresh(t.Context(), results[0].RefreshToken)
	require.NoError(t, err)
	require.NotEqual(t, results[0].RefreshToken, second.RefreshToken)
}

func TestService_Refresh_ReuseEndsTheSession(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Patient, "p@example.org")
	first := h.signIn(u)
	second, err := h.svc.Refresh(t.Context(), first.RefreshToken)
	require.NoError(t, err)
	session := h.actor(second.AccessToken).Session

	h.exec(`update refresh_tokens set used_at = used_at - interval '15 seconds' where used_at is not null`)
	again, err := h.svc.Refresh(t.Context(), first.RefreshToken)
	require.NoError(t, err)
	require.Equal(t, second.RefreshToken, again.RefreshToken)

	h.exec(`update refresh_tokens set used_at = used_at - interval '20 seconds' where used_at is not null`)
	a := h.call("POST", "/auth/refresh", "", fmt.Sprintf(`{"refreshToken":%q}`, first.RefreshToken))
	require.Equal(t, 401, a.Status)
	require.Equal(t, "session_ended", a.Text("code"))
	require.Equal(t, []int64{session}, h.told())
	_, err = h.svc.Refresh(t.Context(), second.RefreshToken)
	require.ErrorIs(t, err, ErrRefreshToken, "the thief's copy is worth nothing either")
	require.Equal(t, 401, h.call("GET", "/me", second.AccessToken, "").Status)
	require.Contains(t, h.audited(u.PublicID), "session.reuse")
	type row struct{ EndReason EndReason }
	r, err := one[row](t.Context(), h.pool, "session", `select end_reason from sessions where id = $1`, session)
	require.NoError(t, err)
	require.Equal(t, EndReuse, r.EndReason)
}

func TestService_Refresh_Refused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	expired, disabled := h.newUser(auth.Patient, "e@example.org"), h.newUser(auth.Patient, "d@example.org")
	a, b := h.signIn(expired), h.signIn(disabled)
	h.exec(`update sessions set expires_at = now() where user_id = $1`, expired.ID)
	h.exec(`update users set disabled_at = now() where id = $1`, disabled.ID)
	for name, token := range map[string]string{
		"unknown": auth.NewLink(time.Time{}).Token, "empty": "", "expired": a.RefreshToken, "disabled": b.RefreshToken,
		"access": b.AccessToken,
	} {
		_, err := h.svc.Refresh(t.Context(), token)
		require.ErrorIs(t, err, ErrRefreshToken, name)
	}
	require.Equal(t, 401, h.call("GET", "/me", a.AccessToken, "").Status)
	require.Equal(t, 401, h.call("GET", "/me", b.AccessToken, "").Status)
}

func TestService_Refresh_AfterSecretChange(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	first := h.signIn(h.newUser(auth.Patient, "p@example.org"))
	given, err := h.svc.Refresh(t.Context(), first.RefreshToken)
	require.NoError(t, err)
	h.svc.successors, err = deriveSuccessors([][]byte{[]byte("a new secret"), []byte(testSecret)})
	require.NoError(t, err)
	again, err := h.svc.Refresh(t.Context(), first.RefreshToken)
	require.NoError(t, err)
	require.Equal(t, given.RefreshToken, again.RefreshToken)
	h.svc.successors = h.svc.successors[:1]
	_, err = h.svc.Refresh(t.Context(), first.RefreshToken)
	require.ErrorIs(t, err, ErrRefreshToken)
	_, err = h.svc.Refresh(t.Context(), given.RefreshToken)
	require.NoError(t, err, "not being able to repeat an answer is no theft")
}

func TestService_StoresNoTokens(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	r := h.signIn(h.newUser(auth.Patient, "p@example.org"))
	_, _, invitation := h.invites("i@example.org")
	h.mail.all()
	h.registers("m@example.org")
	verification := h.mailed("verify")
	require.NoError(t, h.svc.ForgotPassword(t.Context(), "m@example.org", here))
	reset := h.mailed("reset")
	type found struct{ Row string }
	for _, table := range []string{"users", "sessions", "refresh_tokens", "invitations", "mail_tokens", "audit_events"} {
		rows, err := postgres.Rows[found](t.Context(), h.pool, table, `select x::text as row from `+table+` x`)
		require.NoError(t, err)
		require.NotEmpty(t, rows)
		for _, row := range rows {
			for _, secret := range []string{r.RefreshToken, r.AccessToken, invitation, verification, reset, testPassword} {
				require.NotContains(t, row.Row, secret)
			}
		}
	}
}

func TestService_Authenticate(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Patient, "p@example.org")
	token := h.token(u)
	a, expires, err := h.svc.Authenticate(t.Context(), token)
	require.NoError(t, err)
	require.Equal(t, auth.Actor{ID: u.ID, UserID: u.PublicID, Name: u.Name, Role: auth.Patient, Session: a.Session}, a)
	require.WithinDuration(t, time.Now().Add(accessTTL), expires, time.Minute)

	// A token that contradicts its session.
	for name, forged := range map[string]auth.Actor{
		"another role":    {UserID: u.PublicID, Role: auth.Admin, Session: a.Session},
		"another user":    {UserID: "PAT0000000000", Role: auth.Patient, Session: a.Session},
		"another session": {UserID: u.PublicID, Role: auth.Patient, Session: a.Session + 1000},
	} {
		token, _, err := h.svc.tokens.Issue(forged)
		require.NoError(t, err)
		_, _, err = h.svc.Authenticate(t.Context(), token)
		require.ErrorIs(t, err, errs.ErrUnauthenticated, name)
	}
	// The role in the database decides at once.
	h.exec(`update users set role = 'DOCTOR' where id = $1`, u.ID)
	_, _, err = h.svc.Authenticate(t.Context(), token)
	require.ErrorIs(t, err, errs.ErrUnauthenticated)
}

func TestService_Authenticate_NotesUseOnceAMinute(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	token := h.token(h.newUser(auth.Patient, "p@example.org"))
	type row struct{ LastUsedAt time.Time }
	used := func() time.Time {
		r, err := one[row](t.Context(), h.pool, "session", `select last_used_at from sessions`)
		require.NoError(t, err)
		return r.LastUsedAt
	}
	before := used()
	h.actor(token)
	require.Equal(t, before, used())
	h.exec(`update sessions set last_used_at = last_used_at - interval '61 seconds'`)
	h.actor(token)
	require.False(t, used().Before(before))
}

func TestService_Logout(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Patient, "p@example.org")
	mine, other := h.signIn(u), h.token(u)
	actor := h.actor(mine.AccessToken)
	require.Equal(t, 204, h.call("POST", "/auth/logout", mine.AccessToken, "").Status)
	require.Equal(t, 401, h.call("GET", "/me", mine.AccessToken, "").Status)
	_, err := h.svc.Refresh(t.Context(), mine.RefreshToken)
	require.ErrorIs(t, err, ErrRefreshToken)
	require.NoError(t, h.svc.Logout(t.Context(), actor), "a second time changes nothing")
	require.Equal(t, []int64{actor.Session}, h.told())
	require.Equal(t, 200, h.call("GET", "/me", other, "").Status, "other sessions live on")
}

func TestService_RevokeSession(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Patient, "p@example.org")
	lost, mine := h.token(u), h.token(u)
	sessions := h.sessionIDs(mine)
	require.Len(t, sessions, 2)
	since, asOf, err := h.svc.EndedSessions(t.Context(), time.Time{})
	require.NoError(t, err)
	require.Empty(t, since)
	lostID := h.actor(lost).Session

	require.Equal(t, 204, h.call("DELETE", "/me/sessions/"+sessions[1], mine, "").Status)
	require.Equal(t, 401, h.call("GET", "/me", lost, "").Status)
	require.Equal(t, 404, h.call("DELETE", "/me/sessions/"+sessions[1], mine, "").Status)
	require.Equal(t, sessions[:1], h.sessionIDs(mine))

	ended, next, err := h.svc.EndedSessions(t.Context(), asOf)
	require.NoError(t, err)
	require.Equal(t, []int64{lostID}, ended)
	require.False(t, next.Before(asOf))
	h.exec(`update sessions set ended_at = ended_at - interval '1 hour' where ended_at is not null`)
	ended, _, err = h.svc.EndedSessions(t.Context(), next)
	require.NoError(t, err)
	require.Empty(t, ended, "what ended long before is not named again")
}

func TestService_Sessions_Pages(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Patient, "p@example.org")
	for range 4 {
		h.signIn(u)
	}
	token := h.token(u)
	first := h.call("GET", "/me/sessions?limit=3", token, "")
	rest := h.call("GET", "/me/sessions?limit=3&cursor="+first.Text("nextCursor"), token, "")
	items, _ := rest.Value("items").([]any)
	require.Len(t, items, 2)
	require.Nil(t, rest.Value("nextCursor"))
}
