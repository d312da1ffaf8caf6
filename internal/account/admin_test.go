package account

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/errs"
)

func TestService_SetRole(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	admin := h.token(h.newUser(auth.Admin, "a@example.org"))
	u := h.newUser(auth.Patient, "p@example.org")
	token := h.token(u)
	path := "/users/" + u.PublicID + "/role"

	require.Equal(t, 422, h.call("PUT", path, admin, `{"role":"NURSE"}`).Status)
	same := h.call("PUT", path, admin, `{"role":"PATIENT"}`)
	require.Equal(t, 200, same.Status)
	require.Equal(t, 200, h.call("GET", "/me", token, "").Status, "nothing changed, nobody is signed out")

	made := h.call("PUT", path, admin, `{"role":"DOCTOR"}`)
	require.Equal(t, 200, made.Status, string(made.Raw))
	require.Equal(t, "DOCTOR", made.Text("role"))
	require.Equal(t, u.PublicID, made.Text("userId"), "the id stays")
	require.Equal(t, 401, h.call("GET", "/me", token, "").Status)
	type row struct{ UserID int64 }
	_, err := one[row](t.Context(), h.pool, "profile", `select user_id from doctors where user_id = $1`, u.ID)
	require.NoError(t, err, "a doctor has a profile")

	h.doctors.busy[u.ID] = true
	token = h.token(u)
	busy := h.call("PUT", path, admin, `{"role":"PATIENT"}`)
	require.Equal(t, 409, busy.Status)
	require.Equal(t, "future_appointments", busy.Text("code"))
	require.Equal(t, 200, h.call("GET", "/me", token, "").Status, "nothing is half-done")
	require.Equal(t, 200, h.call("PUT", path, admin, `{"role":"PATIENT","cancelAppointments":true}`).Status)
	require.Equal(t, []int64{u.ID}, h.doctors.released)
	require.Equal(t, []string{"user.create", "session.open", "user.role", "session.open", "user.role"},
		h.audited(u.PublicID))
}

func TestService_SetRole_MakesRegistryEntry(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	by := h.actor(h.token(h.newUser(auth.Admin, "a@example.org")))
	other := h.newUser(auth.Admin, "b@example.org")
	_, err := h.svc.SetRole(t.Context(), by, other.PublicID, auth.Patient, Leave{})
	require.NoError(t, err)
	type row struct{ UserID int64 }
	_, err = one[row](t.Context(), h.pool, "entry", `select user_id from patients where user_id = $1`, other.ID)
	require.NoError(t, err)
}

func TestService_Disable(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	admin := h.token(h.newUser(auth.Admin, "a@example.org"))
	doctor := h.newUser(auth.Doctor, "d@example.org")
	signedIn := h.signIn(doctor)
	session := h.actor(signedIn.AccessToken).Session
	path := "/users/" + doctor.PublicID

	h.doctors.busy[doctor.ID] = true
	for _, body := range []string{"", "{}", `{"cancelAppointments":false}`} {
		a := h.call("POST", path+"/disable", admin, body)
		require.Equal(t, 409, a.Status, body)
		require.Equal(t, "future_appointments", a.Text("code"))
	}
	require.Empty(t, h.told())
	h.actor(signedIn.AccessToken)
	a := h.call("POST", path+"/disable", admin, `{"cancelAppointments":true}`)
	require.Equal(t, 200, a.Status, string(a.Raw))
	require.Equal(t, true, a.Value("disabled"))
	require.Equal(t, []int64{session}, h.told())
	require.Equal(t, 401, h.call("GET", "/me", signedIn.AccessToken, "").Status)
	_, err := h.svc.Login(t.Context(), "d@example.org", testPassword, here)
	require.ErrorIs(t, err, ErrBadCredentials)
	require.Equal(t, 200, h.call("POST", path+"/disable", admin, "").Status, "a second time changes nothing")

	a = h.call("POST", path+"/enable", admin, "")
	require.Equal(t, false, a.Value("disabled"))
	require.Equal(t, 401, h.call("GET", "/me", signedIn.AccessToken, "").Status, "old sessions stay ended")
	_, err = h.svc.Login(t.Context(), "d@example.org", testPassword, here)
	require.NoError(t, err)
	require.Equal(t, []string{"user.create", "session.open", "user.disable", "user.enable", "session.open"},
		h.audited(doctor.PublicID))
	require.Equal(t, 200, h.call("POST", path+"/enable", admin, "").Status)
	require.Equal(t, []int64{doctor.ID}, h.doctors.returned, "once")
}

// A doctor returns once they have the role and may sign in, whichever happens last.
func TestService_Return(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	by := h.actor(h.token(h.newUser(auth.Admin, "a@example.org")))
	u := h.newUser(auth.Patient, "p@example.org")
	_, err := h.svc.Disable(t.Context(), by, u.PublicID, Leave{})
	require.NoError(t, err)
	_, err = h.svc.SetRole(t.Context(), by, u.PublicID, auth.Doctor, Leave{})
	require.NoError(t, err)
	require.Empty(t, h.doctors.returned)
	_, err = h.svc.Enable(t.Context(), by, u.PublicID)
	require.NoError(t, err)
	require.Equal(t, []int64{u.ID}, h.doctors.returned)
	for _, role := range []auth.Role{auth.Patient, auth.Doctor} {
		_, err = h.svc.SetRole(t.Context(), by, u.PublicID, role, Leave{})
		require.NoError(t, err)
	}
	require.Equal(t, []int64{u.ID, u.ID}, h.doctors.returned)
}

func TestService_OwnAccount(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Admin, "a@example.org")
	admin := h.token(u)
	for _, a := range []answer{
		h.call("PUT", "/users/"+u.PublicID+"/role", admin, `{"role":"PATIENT"}`),
		h.call("POST", "/users/"+u.PublicID+"/disable", admin, ""),
	} {
		require.Equal(t, 403, a.Status)
		require.Equal(t, "own_account", a.Text("code"))
	}
	_, err := h.svc.SetRole(t.Context(), auth.System, u.PublicID, auth.Patient, Leave{})
	require.ErrorIs(t, err, ErrLastAdmin)
	_, err = h.svc.Disable(t.Context(), auth.System, u.PublicID, Leave{})
	require.ErrorIs(t, err, ErrLastAdmin)
}

// Many administrators demote or disable one another at once: whatever the order, one remains.
func TestService_LastAdmin_Contended(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const n = 12
	admins, actors := make([]User, n), make([]auth.Actor, n)
	for i := range admins {
		admins[i] = h.newUser(auth.Admin, fmt.Sprintf("a%d@example.org", i))
		actors[i] = actorOf(admins[i], 0)
	}
	failures := make([]error, n)
	together(n, func(i int) {
		victim := admins[(i+1)%n].PublicID
		if i%2 == 0 {
			_, failures[i] = h.svc.SetRole(t.Context(), actors[i], victim, auth.Patient, Leave{})
		} else {
			_, failures[i] = h.svc.Disable(t.Context(), actors[i], victim, Leave{})
		}
	})
	done := 0
	for _, err := range failures {
		if err == nil {
			done++
			continue
		}
		require.ErrorIs(t, err, errs.ErrForbidden, "former administrators can change nobody")
	}
	type count struct{ N int }
	left, err := one[count](t.Context(), h.pool, "admins",
		`select count(*)::int as n from users where role = 'ADMIN' and disabled_at is null`)
	require.NoError(t, err)
	require.Equal(t, n-done, left.N)
	require.GreaterOrEqual(t, left.N, 1)
	require.GreaterOrEqual(t, done, 1)
}

func TestService_SignInWhileDisabled_Contended(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	by := h.actor(h.token(h.newUser(auth.Admin, "a@example.org")))
	u := h.newUser(auth.Patient, "p@example.org")
	c, err := credentialsByID(t.Context(), h.pool, u.ID)
	require.NoError(t, err)
	failures := make([]error, 12)
	together(len(failures), func(i int) {
		if i == 0 {
			_, failures[i] = h.svc.Disable(t.Context(), by, u.PublicID, Leave{})
			return
		}
		_, failures[i] = h.svc.open(t.Context(), c, here)
	})
	require.NoError(t, failures[0])
	for _, err := range failures[1:] {
		if err != nil {
			require.ErrorIs(t, err, ErrBadCredentials)
		}
	}
	live, err := listSessions(t.Context(), h.pool, u.ID, 0, 100)
	require.NoError(t, err)
	require.Empty(t, live, "no session outlives the disabling")
}

func TestService_Invitation(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	admin := h.token(h.newUser(auth.Admin, "a@example.org"))
	_, publicID, first := h.invites("doc@example.org")
	accept := func(token, password string) answer {
		return h.call("POST", "/auth/invitations/accept", "", fmt.Sprintf(`{"token":%q,"password":%q}`, token, password))
	}
	require.Equal(t, 404, accept("unknown", "an invited password").Status)
	require.Equal(t, 422, accept(first, "qwertyuiop").Status)
	renewed := h.call("POST", "/users/"+publicID+"/invitation", admin, "")
	require.Equal(t, 201, renewed.Status)
	gone := accept(first, "an invited password")
	require.Equal(t, 404, gone.Status, "the one before no longer counts")
	require.Equal(t, "invitation_invalid", gone.Text("code"))

	results := make([]answer, 10)
	together(len(results), func(i int) {
		results[i] = accept(renewed.Text("invitationToken"), fmt.Sprintf("an invited password %d", i))
	})
	winner := -1
	for i, a := range results {
		if a.Status == 200 {
			require.Equal(t, -1, winner, "accepted twice")
			winner = i
			continue
		}
		require.Equal(t, 404, a.Status, string(a.Raw))
	}
	_, err := h.svc.Login(t.Context(), publicID, fmt.Sprintf("an invited password %d", winner), here)
	require.NoError(t, err)
	late := h.call("POST", "/users/"+publicID+"/invitation", admin, "")
	require.Equal(t, 409, late.Status)
	require.Equal(t, "already_accepted", late.Text("code"))
	require.Equal(t, []string{"user.invite", "user.invite", "user.accept", "session.open"}, h.audited(publicID))
}

func TestService_Invitation_Refused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_, _, expired := h.invites("e@example.org")
	h.exec(`update invitations set expires_at = now()`)
	disabledID, _, disabled := h.invites("d@example.org")
	h.exec(`update users set disabled_at = now() where id = $1`, disabledID)
	for name, token := range map[string]string{"expired": expired, "disabled": disabled, "empty": ""} {
		_, err := h.svc.AcceptInvitation(t.Context(), token, "an invited password", here)
		require.ErrorIs(t, err, ErrInvitation, name)
	}
}

func TestService_CreateAdmin(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u, err := h.svc.CreateAdmin(t.Context(), "Root", "Root@Example.org", testPassword)
	require.NoError(t, err)
	require.Equal(t, auth.Admin, u.Role)
	found, err := h.svc.FindByEmail(t.Context(), h.pool, "root@example.org")
	require.NoError(t, err)
	require.Equal(t, u, found)
	_, err = h.svc.FindByEmail(t.Context(), h.pool, "nobody@example.org")
	require.Equal(t, errs.NotFound, errs.KindOf(err))
	_, err = h.svc.CreateAdmin(t.Context(), "Root", "root@example.org", testPassword)
	require.ErrorIs(t, err, ErrEmailTaken)
	for _, bad := range [][3]string{
		{"", "x@example.org", testPassword}, {"X", "x", testPassword}, {"X", "x@example.org", "short"},
	} {
		_, err = h.svc.CreateAdmin(t.Context(), bad[0], bad[1], bad[2])
		require.Equal(t, errs.Invalid, errs.KindOf(err))
	}
}
