package pms_test

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/errs"
	"housecall/internal/httpd"
)

func TestRegister(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := `{"name":"Pia Rai","email":"Pia@Mail.example","contact":9841000000,"dateOfBirth":"1990-02-28","gender":2,
		"address":"Lane 1","password":"` + password + `","role":1,"unknown":{"deep":[1]}}`
	a := w.call("POST", "/user/register", "", body)
	require.Equal(t, 201, a.Status)
	golden(t, "register", a)
	pia := w.signedIn(int64(a.object(t)["userId"].(float64)), "pia@mail.example")
	require.Equal(t, auth.Patient, w.actor(pia).Role, "a sign-up cannot choose a role")
	require.Equal(t, 1, w.count(`select count(*) from patient_signups where phone = '9841000000' and gender = 'female'
		and date_of_birth = '1990-02-28' and address = 'Lane 1'`))
	require.Zero(t, w.count(`select count(*) from patients`), "only the clinic registers patients")
	require.Equal(t, []string{"pia@mail.example"}, w.letters.to, "the address has to be verified, like any other")

	again := w.call("POST", "/user/register", "", body)
	require.Equal(t, 400, again.Status)
	golden(t, "register_taken", again)

	form := url.Values{
		"name": {"Tom Rai"}, "email": {"tom@mail.example"}, "contact": {"+977 9841000001"}, "dateOfBirth": {"1980-01-01"},
		"gender":  {"1"},
		"address": {"Lane 2"}, "password": {password},
	}
	require.Equal(t, 201,
		w.call("POST", "/user/register", "", form.Encode(), "Content-Type", "application/x-www-form-urlencoded").Status)
	require.NotContains(t, w.log.String(), password)
}

func TestRegister_BadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	golden(t, "register_empty", w.call("POST", "/user/register", "", `{}`))
	good := map[string]any{
		"name": "Pia Rai", "email": "pia@mail.example", "contact": "9841000000", "dateOfBirth": "1990-02-28", "gender": "2",
		"address": "Lane 1", "password": password,
	}
	for name, tc := range map[string]struct {
		field string
		value any
		want  string
	}{
		"email":          {"email", "hunter2", "email must be an email address"},
		"contact":        {"contact", "hunter2", "contact must be a telephone number"},
		"gender":         {"gender", 4, "gender must be one of [1, 2, 3]"},
		"day of birth":   {"dateOfBirth", "28.02.1990", "dateOfBirth must be in YYYY-MM-DD format"},
		"short password": {"password", "hunter2", "password must have 10 to 128 characters"},
		"no text":        {"name", []string{"hunter2"}, "name must be a string"},
		"null":           {"name", nil, "name is required"},
		"empty":          {"address", "", "address is required"},
		"NUL":            {"address", "hunter2\x00", "address must be text"},
		"long address":   {"address", strings.Repeat("hunter2", 80), "address must have at most 500 characters"},
	} {
		body := map[string]any{}
		for k, v := range good {
			body[k] = v
		}
		body[tc.field] = tc.value
		raw, err := json.Marshal(body)
		require.NoError(t, err)
		a := w.call("POST", "/user/register", "", string(raw))
		require.Equal(t, 400, a.Status, "%s: %s", name, a.Raw)
		require.False(t, a.Success, name)
		require.Contains(t, a.Message, tc.want, name)
		require.NotContains(t, string(a.Raw), "hunter2", "%s: nothing that was sent comes back", name)
	}
	for _, c := range []struct{ born, want string }{
		{"2990-01-01", "dateOfBirth must be between 1900 and today"},
		{"1850-01-01", "dateOfBirth must be between 1900 and today"},
		{"1990-02-30", "dateOfBirth must be a day that exists"},
	} {
		good["dateOfBirth"] = c.born
		raw, err := json.Marshal(good)
		require.NoError(t, err)
		require.Equal(t, c.want, w.no("POST", "/user/register", "", string(raw)))
	}
	golden(t, "register_faults", w.call("POST", "/user/register", "", `{"name":"\u202e","email":"x","contact":"call me",
		"dateOfBirth":"1990-02-30","gender":"x","address":"`+strings.Repeat("x", 501)+`","password":"short"}`))
	for name, body := range map[string]string{
		"no JSON": `{"name":`, "two": `{} {}`, "a list": `[]`, "a text": `"x"`, "not UTF-8": "{\"name\":\"\xff\"}",
	} {
		require.Equal(t, 400, w.call("POST", "/user/register", "", body).Status, name)
	}
	require.Equal(t, 1, w.count(`select count(*) from users`), "the administrator")
}

func TestLogin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.call("POST", "/user/login", "", `{"email":"ada@clinic.example","password":"`+password+`"}`)
	require.Equal(t, 200, a.Status)
	golden(t, "login", a)
	raw, err := base64.RawURLEncoding.DecodeString(strings.Split(a.object(t)["authToken"].(string), ".")[1])
	require.NoError(t, err)
	var claims map[string]any
	require.NoError(t, json.Unmarshal(raw, &claims))
	require.EqualValues(t, w.admin.id, claims["userId"])
	require.EqualValues(t, 1, claims["role"])
	require.Equal(t, "Ada Admin", claims["name"])

	wrong := w.call("POST", "/user/login", "", `{"email":"ada@clinic.example","password":"not the password"}`)
	golden(t, "login_refused", wrong)
	nobody := w.call("POST", "/user/login", "", `{"email":"nobody@clinic.example","password":"not the password"}`)
	require.Equal(t, 200, nobody.Status)
	require.Equal(t, string(wrong.Raw), string(nobody.Raw), "the answer does not tell whether there is an account")
	require.Equal(t, 400, w.call("POST", "/user/login", "", `{"email":"ada@clinic.example"}`).Status)
}

// Two members of a family may share a telephone.
func TestRegister_SharedContact(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.signUp("Pia Rai") // they all have the same contact
	w.signUp("Tom Rai")
	require.Equal(t, 2, w.count(`select count(*) from patient_signups where phone = '9841000000'`))
}

// A base URL that ends with a slash doubles it, and some pages write paths in small letters.
func TestPaths(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pia := w.registered("Pia Rai")
	login := `{"email":"` + pia.email + `","password":"` + password + `"}`
	root := w.api.Under("")
	for _, path := range []string{"/web//user/login", "//web/user/login", "/WEB/User/LOGIN/"} {
		require.Equal(t, true, root.Ask("POST", path, "", login).Body["success"], path)
	}
	w.yes("GET", "/patient/LIST", pia.token, "")
	w.no("POST", "/Patient//Register/"+id(pia), w.admin.token, "")
	require.Equal(t, "patientId is required, docId is required",
		w.call("POST", "/patient/assigndoc", w.admin.token, `{}`).Message)

	for _, path := range []string{"/patient/list", "/appointment/list", "/Appointment//List"} {
		head, err := w.api.Try("HEAD", path, pia.token, "")
		require.NoError(t, err)
		require.Equal(t, 200, head.Status, path)
		require.Empty(t, head.Raw)
	}
	head, err := w.api.Try("HEAD", "/user/updateRole?id="+id(pia)+"&role=2", w.admin.token, "")
	require.NoError(t, err)
	require.Equal(t, 405, head.Status, "a change is not made by a HEAD")
	require.Equal(t, auth.Patient, w.actor(pia).Role)
}

// Requests that never reach a handler get the envelope, too.
func TestEnvelope(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config.Config) { c.LoginsPerAccount = 2 })
	for name, tc := range map[string]struct {
		a      answer
		status int
	}{
		"404":         {w.call("GET", "/nowhere", "", ""), 404},
		"405":         {w.call("DELETE", "/patient/list", "", ""), 405},
		"413":         {w.call("POST", "/user/login", "", `{"email":"`+strings.Repeat("x", 5000)+`"}`), 413},
		"403_none":    {w.call("GET", "/patient/list", "", ""), 403},
		"403_bad":     {w.call("GET", "/patient/list", "hunter2", ""), 403},
		"403_basic":   {w.call("GET", "/patient/list", "", "", "Authorization", "Basic hunter2"), 403},
		"403_role":    {w.call("GET", "/user/updateRole?id=1&role=2", w.signUp("Pia Rai").token, ""), 403},
		"400_nul":     {w.call("GET", "/appointment/list?x=%00", w.admin.token, ""), 400},
		"400_address": {w.call("POST", "/patient/register/x", w.admin.token, ""), 400},
	} {
		require.Equal(t, tc.status, tc.a.Status, "%s: %s", name, tc.a.Raw)
		require.False(t, tc.a.Success, name)
		require.NotContains(t, string(tc.a.Raw), "hunter2")
		golden(t, "envelope_"+name, tc.a)
	}
	var last answer
	for range 4 {
		last = w.call("POST", "/user/login", "", `{"email":"x@mail.example","password":"guess"}`)
	}
	require.Equal(t, 429, last.Status)
	require.NotEmpty(t, last.Header.Get("Retry-After"))
	golden(t, "envelope_429", last)

	w.pool.Close()
	away := w.call("GET", "/patient/list", w.admin.token, "")
	require.GreaterOrEqual(t, away.Status, 500)
	require.False(t, away.Success)
}

// Tokens of this API are not valid on the native one, nor the reverse.
func TestTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	native, err := w.accounts.Login(t.Context(), w.admin.email, password, httpd.Client{})
	require.NoError(t, err)
	require.Equal(t, 403, w.call("GET", "/patient/list", native.AccessToken, "").Status)
	_, _, err = w.accounts.Authenticate(t.Context(), w.admin.token)
	require.Equal(t, errs.Unauthenticated, errs.KindOf(err))

	pia := w.signUp("Pia Rai")
	w.exec(`update users set must_change_password = true where id = $1`, pia.id)
	require.Equal(t, 403, w.call("GET", "/patient/list", pia.token, "").Status)
}

func TestUpdateRole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pia := w.signUp("Pia Rai")
	golden(t, "update_role", w.yes("PUT", "/user/updateRole", w.admin.token, `{"id":"`+id(pia)+`","role":"2"}`))
	require.Equal(t, 403, w.call("GET", "/patient/list", pia.token, "").Status, "her sessions have ended")
	pia = w.signedIn(pia.id, pia.email)
	require.Equal(t, auth.Doctor, w.actor(pia).Role)
	free := w.yes("POST", "/appointment/availableSlot", pia.token, `{"date":"`+tomorrow+`"}`)
	require.Len(t, free.object(t)["slots"], 15, "bookable at once, in the clinic's hours")

	// As a query, or as the body of a GET, as the old documentation had it.
	w.yes("GET", "/user/updateRole?id="+id(pia)+"&role=1", w.admin.token, "")
	require.Equal(t, auth.Admin, w.actor(w.signedIn(pia.id, pia.email)).Role)
	w.yes("GET", "/user/updateRole", w.admin.token, `{"id":`+id(pia)+`,"role":3}`)
	w.yes("GET", "/user/updateRole", w.admin.token, `{"id":`+id(pia)+`,"role":3}`)
	pia = w.signedIn(pia.id, pia.email)
	require.Equal(t, auth.Patient, w.actor(pia).Role)
	require.Equal(t, "Lane 1, Kathmandu", w.yes("GET", "/patient/list", pia.token, "").object(t)["address"],
		"what she told at her sign-up")

	require.Equal(t, "You cannot perform this action on yourself",
		w.no("PUT", "/user/updateRole", w.admin.token, `{"id":`+id(w.admin)+`,"role":2}`))
	w.yes("PUT", "/user/updateRole", w.admin.token, `{"id":`+id(w.admin)+`,"role":1}`) // what they are
	w.yes("GET", "/patient/list", w.admin.token, "")
	require.Equal(t, "User not found !", w.no("PUT", "/user/updateRole", w.admin.token, `{"id":999999,"role":2}`))
	for _, body := range []string{
		`{}`, `{"id":1}`, `{"role":1}`, `{"id":1,"role":4}`, `{"id":1,"role":0}`, `{"id":"x","role":1}`,
	} {
		require.Equal(t, 400, w.call("PUT", "/user/updateRole", w.admin.token, body).Status, body)
	}
}
