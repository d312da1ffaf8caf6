package account

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/postgres"
)

const annRegisters = `{"name":"Ann Patient","email":"Ann@Example.org","password":"correct horse battery","phone":"+49 30 1234",
	"dateOfBirth":"1980-02-29","gender":"female","address":"1 Main Street"}`

func TestRoutes_Shapes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)

	made := h.call("POST", "/auth/register", "", annRegisters)
	require.Equal(t, http.StatusCreated, made.Status, string(made.Raw))
	golden(t, "register", made)
	in := h.call("POST", "/auth/login", "", `{"login":"ANN@example.org","password":"correct horse battery"}`)
	require.Equal(t, http.StatusOK, in.Status, string(in.Raw))
	golden(t, "login", in)
	again := h.call("POST", "/auth/refresh", "", fmt.Sprintf(`{"refreshToken":%q}`, in.Text("refreshToken")))
	require.Equal(t, http.StatusOK, again.Status)
	golden(t, "login", again)
	ann := again.Text("accessToken")

	me := h.call("GET", "/me", ann, "")
	require.Equal(t, http.StatusOK, me.Status)
	golden(t, "me", me)
	require.Equal(t, `"1"`, me.Header.Get("ETag"))
	golden(t, "sessions", h.call("GET", "/me/sessions", ann, ""))

	admin := h.token(h.newUser(auth.Admin, "admin@example.org"))
	users := h.call("GET", "/users", admin, "")
	require.Equal(t, http.StatusOK, users.Status)
	golden(t, "users", users)
	golden(t, "user", h.call("GET", "/users/"+made.Text("userId"), admin, ""))
	_, invited, _ := h.invites("doc@example.org")
	renewed := h.call("POST", "/users/"+invited+"/invitation", admin, "")
	require.Equal(t, http.StatusCreated, renewed.Status)
	golden(t, "invitation", renewed)
	accepted := h.call("POST", "/auth/invitations/accept", "", fmt.Sprintf(
		`{"token":%q,"password":"an invited password"}`, renewed.Text("invitationToken")))
	require.Equal(t, http.StatusOK, accepted.Status, string(accepted.Raw))
	golden(t, "accept", accepted)
}

func TestRoutes_Access(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	patient, doctor := h.token(h.newUser(auth.Patient, "p@example.org")), h.token(h.newUser(auth.Doctor, "d@example.org"))
	admin, other := h.token(h.newUser(auth.Admin, "a@example.org")), h.newUser(auth.Patient, "o@example.org")
	foreign := h.sessionIDs(h.token(other))[0]
	routes := []struct {
		method, path, body string
		adminOnly          bool
		adminGets          int // an administrator's own answer, where the others' is 403
	}{
		{"POST", "/auth/logout", "", false, 0},
		{"GET", "/me", "", false, 0},
		{"PATCH", "/me", `{"name":"X"}`, false, 0},
		{"PUT", "/me/password", `{"currentPassword":"x","newPassword":"another password"}`, false, 0},
		{"PUT", "/me/email", `{"email":"x@example.org","password":"x"}`, false, 0},
		{"POST", "/auth/verify/resend", "", false, 0},
		{"GET", "/me/sessions", "", false, 0},
		{"DELETE", "/me/sessions/" + foreign, "", false, 0},
		{"GET", "/users", "", true, 200},
		{"GET", "/users/" + other.PublicID, "", true, 200},
		{"PUT", "/users/" + other.PublicID + "/role", `{"role":"PATIENT"}`, true, 200},
		{"POST", "/users/" + other.PublicID + "/disable", `{}`, true, 200},
		{"POST", "/users/" + other.PublicID + "/enable", "", true, 200},
		{"POST", "/users/" + other.PublicID + "/invitation", "", true, 409},
	}
	for _, r := range routes {
		name := r.method + " " + r.path
		a := h.call(r.method, r.path, "", r.body)
		require.Equal(t, 401, a.Status, name)
		require.Equal(t, "unauthenticated", a.Text("code"), name)
		require.Equal(t, 401, h.call(r.method, r.path, "not.a.token", r.body).Status, name)
		if r.adminOnly {
			require.Equal(t, 403, h.call(r.method, r.path, patient, r.body).Status, name)
			require.Equal(t, 403, h.call(r.method, r.path, doctor, r.body).Status, name)
			require.Equal(t, r.adminGets, h.call(r.method, r.path, admin, r.body).Status, name)
		}
	}
	for _, token := range []string{patient, doctor, admin} {
		require.Equal(t, 404, h.call("DELETE", "/me/sessions/"+foreign, token, "").Status)
	}
	for _, id := range []string{"nonsense", "00000000-0000-0000-0000-000000000000", "%00", "1"} {
		require.Contains(t, []int{404, 422}, h.call("DELETE", "/me/sessions/"+id, patient, "").Status, id)
	}
	for _, path := range []string{"", "/disable", "/enable", "/invitation"} {
		method := "POST"
		if path == "" {
			method = "GET"
		}
		require.Equal(t, 404, h.call(method, "/users/PAT0000000000"+path, admin, "").Status, path)
	}
	require.Equal(t, 404, h.call("PUT", "/users/PAT0000000000/role", admin, `{"role":"DOCTOR"}`).Status)
}

func TestRoutes_Register_BadInput(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for name, body := range map[string]string{
		"a role":          `{"name":"A","email":"a@b.example","password":"correct horse battery","role":"ADMIN"}`,
		"no name":         `{"email":"a@b.example","password":"correct horse battery"}`,
		"blank name":      `{"name":"  ","email":"a@b.example","password":"correct horse battery"}`,
		"no address":      `{"name":"A","email":"nobody","password":"correct horse battery"}`,
		"short password":  `{"name":"A","email":"a@b.example","password":"short"}`,
		"usual password":  `{"name":"A","email":"a@b.example","password":"qwertyuiop"}`,
		"no such day":     `{"name":"A","email":"a@b.example","password":"correct horse battery","dateOfBirth":"1999-02-30"}`,
		"unknown gender":  `{"name":"A","email":"a@b.example","password":"correct horse battery","gender":"1"}`,
		"NUL in the name": `{"name":"A\u0000","email":"a@b.example","password":"correct horse battery"}`,
		"number as name":  `{"name":7,"email":"a@b.example","password":"correct horse battery"}`,
	} {
		a := h.call("POST", "/auth/register", "", body)
		require.Equal(t, 422, a.Status, name)
		require.Equal(t, "application/problem+json", a.Header.Get("Content-Type"), name)
		require.NotContains(t, string(a.Raw), "correct horse battery", name)
		require.NotEmpty(t, a.Value("errors"), name)
	}
	require.Equal(t, 400, h.call("POST", "/auth/register", "", `{"name":`).Status)
	_, err := userByEmail(t.Context(), h.pool, "a@b.example")
	require.Error(t, err, "nothing is half-written")
}

func TestService_Register_Contended(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.svc.options.RegistersPerAddress = 100
	statuses := make([]answer, 20)
	together(len(statuses), func(i int) { statuses[i] = h.call("POST", "/auth/register", "", annRegisters) })
	created := 0
	for _, a := range statuses {
		if a.Status == http.StatusCreated {
			created++
			continue
		}
		require.Equal(t, http.StatusConflict, a.Status, string(a.Raw))
		require.Equal(t, "email_taken", a.Text("code"))
	}
	require.Equal(t, 1, created)
	u, err := userByEmail(t.Context(), h.pool, "ann@example.org")
	require.NoError(t, err)
	require.Equal(t, []string{"user.register"}, h.audited(u.PublicID))
	type entry struct{ Phone, Gender, Born, Address string }
	e, err := one[entry](t.Context(), h.pool, "entry",
		`select phone, gender, date_of_birth::text as born, address from patients where user_id = $1`, u.ID)
	require.NoError(t, err)
	require.Equal(t, entry{"+49 30 1234", "female", "1980-02-29", "1 Main Street"}, e)
}

func TestService_Register_Throttled(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.svc.options.RegistersPerAddress = 2
	for i, want := range []int{201, 201, 429} {
		a := h.call("POST", "/auth/register", "", fmt.Sprintf(
			`{"name":"N","email":"n%d@example.org","password":"correct horse battery"}`, i))
		require.Equal(t, want, a.Status, string(a.Raw))
		if want == 429 {
			require.Equal(t, "1800", a.Header.Get("Retry-After"))
			require.Equal(t, "rate_limited", a.Text("code"))
		}
	}
}

func TestRoutes_ChangeMe(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	u := h.newUser(auth.Patient, "p@example.org")
	token := h.token(u)
	require.Equal(t, 428, h.call("PATCH", "/me", token, `{"name":"New"}`).Status)
	require.Equal(t, 412, h.call("PATCH", "/me", token, `{"name":"New"}`, "If-Match", `"9"`).Status)
	require.Equal(t, 412, h.call("PATCH", "/me", token, `{"name":"New"}`, "If-Match", `nine`).Status)
	require.Equal(t, 422, h.call("PATCH", "/me", token, `{"name":" "}`, "If-Match", `"1"`).Status)
	require.Equal(t, 422, h.call("PATCH", "/me", token, `{"role":"ADMIN"}`, "If-Match", `"1"`).Status)
	a := h.call("PATCH", "/me", token, `{"name":" New Name "}`, "If-Match", `"1"`)
	require.Equal(t, 200, a.Status, string(a.Raw))
	require.Equal(t, "New Name", a.Text("name"))
	require.Equal(t, `"2"`, a.Header.Get("ETag"))
	require.Equal(t, 412, h.call("PATCH", "/me", token, `{"name":"Late"}`, "If-Match", `"1"`).Status)
	require.Equal(t, 200, h.call("PATCH", "/me", token, `{}`, "If-Match", `"2"`).Status)

	var won int
	results := make([]answer, 10)
	together(len(results), func(i int) {
		results[i] = h.call("PATCH", "/me", token, fmt.Sprintf(`{"name":"Name %d"}`, i), "If-Match", `"2"`)
	})
	for _, r := range results {
		if r.Status == 200 {
			won++
		} else {
			require.Equal(t, 412, r.Status)
		}
	}
	require.Equal(t, 1, won)
}

func TestRoutes_Users_FilterAndPages(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	admin := h.newUser(auth.Admin, "boss@example.org")
	token := h.token(admin)
	for i := range 4 {
		h.newUser(auth.Patient, fmt.Sprintf("p%d@example.org", i))
	}
	h.newUser(auth.Doctor, "a_b%c@example.org")
	out := h.newUser(auth.Patient, "out@example.org")
	_, err := h.svc.Disable(t.Context(), h.actor(token), out.PublicID, Leave{})
	require.NoError(t, err)

	count := func(query string) int {
		a := h.call("GET", "/users?"+query, token, "")
		require.Equal(t, 200, a.Status, string(a.Raw))
		items, _ := a.Value("items").([]any)
		return len(items)
	}
	require.Equal(t, 7, count(""))
	require.Equal(t, 5, count("role=PATIENT"))
	require.Equal(t, 1, count("disabled=true"))
	require.Equal(t, 6, count("disabled=false"))
	require.Equal(t, 1, count("q=B%25C"))
	require.Equal(t, 1, count("q=a_b"))
	require.Equal(t, 0, count("q=%25%25"))
	require.Equal(t, 1, count("q="+out.PublicID[3:]))
	require.Equal(t, 422, h.call("GET", "/users?role=NURSE", token, "").Status)
	require.Equal(t, 422, h.call("GET", "/users?disabled=maybe", token, "").Status)
	require.Equal(t, 422, h.call("GET", "/users?cursor=nonsense", token, "").Status)
	require.Equal(t, 422, h.call("GET", "/users?limit=101", token, "").Status)

	seen := map[string]bool{}
	for cursor, pages := "", 0; ; pages++ {
		a := h.call("GET", "/users?limit=3&cursor="+cursor, token, "")
		require.Equal(t, 200, a.Status)
		items, _ := a.Value("items").([]any)
		for _, item := range items {
			id := fmt.Sprint(item.(map[string]any)["userId"])
			require.False(t, seen[id], "named twice")
			seen[id] = true
		}
		if cursor = a.Text("nextCursor"); cursor == "" {
			require.Equal(t, 2, pages)
			break
		}
	}
	require.Len(t, seen, 7)
}

// A cursor reveals nothing, and cannot be made up or taken from another list.
func TestRoutes_ForgedCursors(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	admin := h.newUser(auth.Admin, "admin@example.org")
	h.newUser(auth.Patient, "p@example.org")
	token := h.token(admin)
	h.token(admin)
	users, sessions := h.call("GET", "/users?limit=1", token, "").Text("nextCursor"), h.call("GET",
		"/me/sessions?limit=1", token, "").Text("nextCursor")
	require.NotEmpty(t, users)
	require.NotEmpty(t, sessions)
	require.Equal(t, 200, h.call("GET", "/users?cursor="+users, token, "").Status)
	require.Equal(t, 200, h.call("GET", "/me/sessions?cursor="+sessions, token, "").Status)
	byHand := base64.RawURLEncoding.EncodeToString([]byte("[1]"))
	for _, path := range []string{
		"/users?cursor=" + sessions, "/me/sessions?cursor=" + users, "/users?cursor=" + byHand,
		"/me/sessions?cursor=" + byHand,
		"/users?cursor=" + users[1:], "/users?cursor=" + users + "A",
	} {
		require.Equal(t, 422, h.call("GET", path, token, "").Status, path)
	}
}

// invites invites a doctor as package doctor does.
func (h *house) invites(email string) (id int64, publicID, token string) {
	h.t.Helper()
	require.NoError(h.t, h.pool.InTx(h.t.Context(), func(tx *postgres.Tx) (err error) {
		made, link, err := h.svc.Invite(h.t.Context(), tx, auth.System,
			auth.Newcomer{Name: "Doc Invited", Email: email, Role: auth.Doctor})
		id, publicID, token = made.ID, made.PublicID, link.Token
		return err
	}))
	return id, publicID, token
}

// sessionIDs lists the sessions that a token's owner sees, newest first.
func (h *house) sessionIDs(token string) []string {
	h.t.Helper()
	a := h.call("GET", "/me/sessions", token, "")
	require.Equal(h.t, 200, a.Status, string(a.Raw))
	items, _ := a.Value("items").([]any)
	var out []string
	for _, item := range items {
		out = append(out, fmt.Sprint(item.(map[string]any)["id"]))
	}
	return out
}
