package hms_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/config"
)

const registration = `{"name":"Pia Patient","email":"pia@older.test","password":"a-rather-long-passphrase-7","phoneNo":9841000000,` +
	`"gender":"Female","age":34,"confirmPassword":"ignored","role":"ADMIN"}`

func TestRoutes_Register(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.ok("", "POST", "/api/auth/register/patient", registration)
	golden(t, "registered", r)
	require.Equal(t, "PATIENT", r.Text("user.role"), "whatever the body says")
	require.Equal(
		t, 1,
		w.count(`select count(*) from patients where phone = '9841000000' and gender = 'female' and date_of_birth is null
		and age_years = 34 and age_recorded_on = (now() at time zone 'UTC')::date`),
		"an age is kept as an age",
	)

	w.refused(w.call("", "POST", "/api/auth/register/patient", registration), 400,
		"User Already exists")
	for name, c := range map[string]struct{ from, to, says string }{
		"digits":    {`9841000000`, `"98410"`, "phoneNo must have 10 digits."},
		"letters":   {`9841000000`, `"98410000OO"`, "phoneNo must have 10 digits."},
		"gender":    {`"Female"`, `"F"`, "gender must be Male or Female."},
		"no gender": {`"Female"`, `null`, "gender is required."},
		"age":       {`34`, `"old"`, "age must be a whole number."},
		"no age":    {`34`, `""`, "age is required."},
		"great age": {`34`, `131`, "age must be between 0 and 130 years."},
		"password":  {`a-rather-long-passphrase-7`, `short`, "password must have 10 to 128 characters."},
		"email":     {`pia@older.test`, `pia`, "email must be an email address"},
		"no email":  {`"pia@older.test"`, `null`, "email is required."},
		"a NUL":     {`Pia Patient`, `Pia\u0000`, "name must not contain the character U+0000."},
		"an object": {`"Pia Patient"`, `{"first":"Pia"}`, "name must be text."},
		"no JSON":   {`{`, `[`, "Send one JSON object as the body."},
		"everything": {
			registration, `{}`,
			"name is required. email is required. password is required. phoneNo is required. gender is required. age is " +
				"required.",
		},
	} {
		body := strings.Replace(strings.Replace(registration, "pia@", "other@", 1),
			strings.Replace(c.from, "pia@", "other@", 1), c.to, 1)
		if c.from == registration {
			body = c.to
		}
		r := w.call("", "POST", "/api/auth/register/patient", body)
		w.refused(r, 400, c.says)
		require.NotContains(t, string(r.Raw), "98410", name)
	}
	require.Equal(t, 1, w.count(`select count(*) from users`))

	written := strings.NewReplacer(`9841000000`, `"\u202a(984)\u00a0100-0000\u202c"`, "pia@", "written@")
	r = w.ok("", "POST", "/api/auth/register/patient", written.Replace(registration))
	require.Equal(t, "(984) 100-0000", r.Text("user.phoneNo"), "ten digits, however they are written")
}

func TestRoutes_Login(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.patient("Pia Patient")
	admin := w.admin()

	golden(t, "login",
		w.ok("", "POST", "/api/auth/login", fmt.Sprintf(`{"userId":%q,"password":%q}`, p.userID, password)))
	golden(t, "login_admin",
		w.ok("", "POST", "/api/auth/login", fmt.Sprintf(`{"userId":%q,"password":%q}`, admin.userID, password)))
	require.Equal(t, 200,
		w.ok("", "POST", "/api/auth/login", fmt.Sprintf(`{"email":%q,"password":%q}`, p.email, password)).Status)

	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(admin.token, ".")[1])
	require.NoError(t, err)
	var claims map[string]any
	require.NoError(t, json.Unmarshal(payload, &claims))
	require.Equal(t, "Admin", claims["role"])
	require.Equal(t, admin.userID, claims["userId"])

	wrong := w.call("", "POST", "/api/auth/login", fmt.Sprintf(`{"userId":%q,"password":"wrong"}`, p.userID))
	w.refused(wrong, 401, "or the password, is wrong.")
	nobody := w.call("", "POST", "/api/auth/login", `{"userId":"PAT0000000000","password":"wrong"}`)
	require.Equal(t, wrong.Raw, nobody.Raw, "nothing reveals whether there is an account")
	w.refused(w.call("", "POST", "/api/auth/login", `{"userId":" "}`), 400, "userId is required. password is required.")
	w.refused(w.call("", "POST", "/api/auth/login", `{"userId":"\u0000","password":"x"}`), 400, "userId must not contain")
	require.NotContains(t, w.log.String(), password)
}

func TestRoutes_Login_throttled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config.Config) { c.LoginsPerAccount = 1 })
	p := w.patient("Pia Patient")
	try := func() reply {
		return w.call("", "POST", "/api/auth/login", fmt.Sprintf(`{"userId":%q,"password":"wrong"}`, p.email))
	}
	r := try()
	for range 3 { // a quarter of an hour may end meanwhile, or a busy Redis not answer: then counting begins anew
		if r.Status == 429 {
			break
		}
		r = try()
	}
	w.refused(r, 429, "Too many attempts.")
	require.NotEmpty(t, r.Header.Get("Retry-After"))
}

func TestRoutes_token(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.patient("Pia Patient")
	for name, c := range map[string]struct {
		header []string
		status int
	}{
		"its header":   {[]string{"auth-token", p.token}, 200},
		"bearer":       {[]string{"Authorization", "Bearer " + p.token}, 200},
		"none":         {nil, 401},
		"null":         {[]string{"auth-token", "null"}, 401},
		"another kind": {[]string{"Authorization", "Basic " + p.token}, 401},
		"changed":      {[]string{"auth-token", p.token + "x"}, 401},
	} {
		r := w.call("", "GET", "/api/auth/getUser", "", c.header...)
		require.Equal(t, c.status, r.Status, name)
		if c.status == 401 {
			w.refused(r, 401, "Sign in first")
		}
	}
	native := w.call("", "POST", "/api/v1/auth/login", fmt.Sprintf(`{"login":%q,"password":%q}`, p.email, password))
	require.Equal(t, 200, native.Status)
	w.refused(w.call(native.Text("accessToken"), "GET", "/api/auth/getUser", ""), 401, "Sign in first")
	require.Equal(t, 401, w.call("", "GET", "/api/v1/me", "", "Authorization", "Bearer "+p.token).Status,
		"nor the other way round")

	w.exec(`update users set disabled_at = now() where public_id = $1`, p.userID)
	w.refused(w.call(p.token, "GET", "/api/auth/getUser", ""), 401, "Sign in first")
}

// Routes are closed to other roles.
func TestRoutes_roles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.admin()
	doctor := w.doctor(admin, "Dr Cara Lim")
	patient := w.patient("Pia Patient")
	routes := map[string][]string{
		"patient": {
			"GET /api/patient/doctors/getAll", "POST /api/patient/request/appointment", "GET /api/patient/myAppointments",
		},
		"doctor": {
			"GET /api/doctor/get/info", "PUT /api/doctor/update/info", "GET /api/doctor/appointments/pending",
			"GET /api/doctor/appointments/reject/all", "GET /api/doctor/appointments/booked/all",
			"PUT /api/doctor/appointments/approve/APP0000000000", "PUT /api/doctor/appointments/reject/APP0000000000",
			"GET /api/doctor/dashboard/counts",
		},
		"admin": {
			"POST /api/admin/doctor/create", "GET /api/admin/appointments/pending/all",
			"GET /api/admin/appointments/rejected/all",
			"GET /api/admin/appointments/booked/all", "GET /api/admin/patients/all", "GET /api/admin/doctors/all",
			"GET /api/admin/dashboard/counts",
		},
	}
	for role, list := range routes {
		for _, route := range list {
			method, path, _ := strings.Cut(route, " ")
			w.refused(w.call("", method, path, ""), 401, "Sign in first")
			for who, token := range map[string]string{"patient": patient.token, "doctor": doctor.token, "admin": admin.token} {
				r := w.call(token, method, path, "")
				if who != role {
					w.refused(r, 403, "Your role does not allow this.")
				} else {
					require.NotContains(t, []int{401, 403, 405, 500}, r.Status, "%s: %s", route, r.Raw)
				}
			}
		}
	}
	for _, route := range []string{
		"GET /api/auth/getUser", "PUT /api/auth/updateUser", "PUT /api/auth/updatePassword", "POST /api/auth/sendMessage",
		"GET /api/auth/getMessages/APP0000000000",
	} {
		method, path, _ := strings.Cut(route, " ")
		w.refused(w.call("", method, path, ""), 401, "Sign in first")
	}
}

func TestRoutes_updateUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.patient("Pia Patient")
	golden(t, "user", w.ok(p.token, "GET", "/api/auth/getUser", ""))
	golden(t, "user_updated", w.ok(p.token, "PUT", "/api/auth/updateUser", fmt.Sprintf(
		`{"name":"Pia Other","email":%q,"phoneNo":9841999999,"gender":"male","age":"35","userId":"ignored"}`,
		strings.ToUpper(p.email),
	)))
	r := w.ok(p.token, "PUT", "/api/auth/updateUser", `{"phoneNo":""}`)
	require.Nil(t, r.Value("user.phoneNo"))
	require.Equal(t, "Pia Other", r.Text("user.name"), "fields that are not sent stay")
	require.EqualValues(t, 35, r.Value("user.age"))
	w.ok(p.token, "PUT", "/api/auth/updateUser", "")

	before := w.ok(p.token, "GET", "/api/auth/getUser", "").Raw
	for says, body := range map[string]string{
		"email can be changed only with your current password": `{"phoneNo":"9841222222","email":"elsewhere@older.test"}`,
		"email must be an email address":                       `{"phoneNo":"9841222222","email":"x"}`,
		"name must have 1 to 100 characters.":                  `{"phoneNo":"9841222222","name":" "}`,
		"phoneNo must be a telephone number":                   `{"name":"New","phoneNo":"call me"}`,
		"gender must be Male or Female.":                       `{"name":"New","gender":"x"}`,
		"age must be between 0 and 130 years.":                 `{"name":"New","age":-1}`,
		"age must be a whole number.":                          `{"name":"New","age":3.5}`,
		"name must not contain the character U+0000.":          `{"name":"\u0000"}`,
		"Send one JSON object as the body.":                    `"x"`,
	} {
		w.refused(w.call(p.token, "PUT", "/api/auth/updateUser", body), 400, says)
	}
	require.Equal(t, before, w.ok(p.token, "GET", "/api/auth/getUser", "").Raw, "a refusal changes nothing at all")

	w.exec(`update patients set date_of_birth = (now() - interval '40 years 100 days')::date`)
	require.EqualValues(t, 40, w.ok(p.token, "GET", "/api/auth/getUser", "").Value("user.age"),
		"a date of birth counts before a stated age")
	w.ok(p.token, "PUT", "/api/auth/updateUser", `{"age":40}`)
	w.refused(w.call(p.token, "PUT", "/api/auth/updateUser", `{"age":41}`), 400,
		"age contradicts your date of birth")
	w.exec(`update patients set date_of_birth = null, age_recorded_on = (now() - interval '2 years 100 days')::date`)
	require.EqualValues(t, 37, w.ok(p.token, "GET", "/api/auth/getUser", "").Value("user.age"),
		"who was 35 two years ago")

	admin := w.admin()
	golden(t, "user_admin",
		w.ok(admin.token, "PUT", "/api/auth/updateUser", `{"name":"Eve Boss","phoneNo":"9841999999","age":50}`))
	require.Equal(t, 1, w.count(`select count(*) from users where name = 'Eve Boss'`))
	doctor := w.doctor(admin, "Dr Cara Lim")
	golden(
		t, "user_doctor",
		w.ok(doctor.token, "PUT", "/api/auth/updateUser",
			`{"name":"Dr Cara Ling","phoneNo":"9841333333","gender":"Female","age":50}`),
	)
}

// A new email address needs the password, and takes effect once it is verified.
func TestRoutes_updateUser_email(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.patient("Pia Patient")
	const path, elsewhere = "/api/auth/updateUser", `{"name":"Pia Other","email":"Elsewhere@older.test","password":%q}`
	w.refused(w.call(p.token, "PUT", path, fmt.Sprintf(elsewhere, "wrong")), 400,
		"password is not your current password.")
	require.Equal(t, "Pia Patient", w.ok(p.token, "GET", "/api/auth/getUser", "").Text("user.name"))
	r := w.ok(p.token, "PUT", path, fmt.Sprintf(elsewhere, password))
	require.Contains(t, r.message(), "once you have followed the link")
	require.Equal(t, p.email, r.Text("user.email"))
	require.Equal(t, "Pia Other", r.Text("user.name"))
	require.Equal(t, 1,
		w.count(`select count(*) from users where pending_email = 'elsewhere@older.test' and email = $1`, p.email))
	d := w.doctor(w.admin(), "Dr Cara Lim")
	r = w.ok(d.token, "PUT", "/api/doctor/update/info",
		fmt.Sprintf(`{"email":"cara@elsewhere.test","password":%q}`, password))
	require.Contains(t, r.message(), "once you have followed the link")
	require.Equal(t, d.email, r.Text("doctor.email"))
}

// A user who is not yet registered as a patient has an account all the same.
func TestRoutes_withoutEntry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.patient("Pia Patient")
	w.exec(`delete from patients`)
	r := w.ok(p.token, "GET", "/api/auth/getUser", "")
	require.Nil(t, r.Value("user.phoneNo"))
	require.Equal(t, "Pia Patient", r.Text("user.name"))
	w.refused(w.call(p.token, "PUT", "/api/auth/updateUser", `{"age":34}`), 404, "There is no such patient.")
	require.Empty(t, w.ok(p.token, "GET", "/api/patient/myAppointments", "").list("appointments"))
}

func TestRoutes_updatePassword(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.patient("Pia Patient")
	elsewhere := w.signIn(p.userID, password)
	w.refused(w.call(p.token, "PUT", "/api/auth/updatePassword", `{"newPassword":"short"}`), 400,
		"newPassword must have 10 to 128 characters.")
	w.refused(w.call(p.token, "PUT", "/api/auth/updatePassword", `{}`), 400, "newPassword is required.")
	w.refused(w.call(p.token, "PUT", "/api/auth/updatePassword", fmt.Sprintf(`{"newPassword":%q}`, password)), 400,
		"newPassword must differ from your current password.")
	w.ok(elsewhere.token, "GET", "/api/auth/getUser", "")

	w.ok(p.token, "PUT", "/api/auth/updatePassword", `{"newPassword":"another-long-passphrase-8"}`)
	w.ok(p.token, "GET", "/api/auth/getUser", "")
	w.refused(w.call(elsewhere.token, "GET", "/api/auth/getUser", ""), 401, "Sign in first")
	w.refused(w.call("", "POST", "/api/auth/login", fmt.Sprintf(`{"userId":%q,"password":%q}`, p.userID, password)), 401,
		"is wrong")
	w.signIn(p.userID, "another-long-passphrase-8")
	require.NotContains(t, w.log.String(), "passphrase")
}

// The pages of the older system are served from another origin.
func TestRoutes_CORS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ask := []string{"Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "auth-token,content-type"}
	r := w.call("", "OPTIONS", "/api/auth/updateUser", "", append([]string{"Origin", origin}, ask...)...)
	require.Equal(t, http.StatusNoContent, r.Status)
	require.Equal(t, origin, r.Header.Get("Access-Control-Allow-Origin"))
	require.Contains(t, strings.ToLower(r.Header.Get("Access-Control-Allow-Headers")), "auth-token")
	require.Contains(t, r.Header.Get("Access-Control-Allow-Methods"), "PUT")
	r = w.call("", "GET", "/api/auth/getUser", "", "Origin", origin)
	require.Equal(t, origin, r.Header.Get("Access-Control-Allow-Origin"), "a refusal can be read, too")
	r = w.call("", "OPTIONS", "/api/auth/updateUser", "", append([]string{"Origin", "https://evil.test"}, ask...)...)
	require.Empty(t, r.Header.Get("Access-Control-Allow-Origin"))
}

func TestRoutes_switchedOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config.Config) { c.LegacyHMS = false })
	r := w.call("", "POST", "/api/auth/login", `{"userId":"x","password":"x"}`)
	require.Equal(t, 404, r.Status)
	require.Equal(t, "application/problem+json", r.Header.Get("Content-Type"))
}

// Every error under its paths has its shape; elsewhere nothing changes.
func TestRoutes_shapeOfRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config.Config) { c.BodyLimit = 1000 })
	for _, path := range []string{"/api/auth/nowhere", "/api/patient", "/api/doctor/appointments", "/api/admin/x"} {
		w.refused(w.call("", "GET", path, ""), 404, "There is nothing at this address.")
	}
	w.refused(w.call("", "DELETE", "/api/auth/login", ""), 405, "This address does not support that method.")
	w.refused(w.call("", "POST", "/api/auth/login", strings.Repeat(" ", 2000)), 413, "The request body is too large.")
	w.refused(w.call("", "GET", "/api/auth/getUser?x=%00", ""), 400, "x must be valid UTF-8")
	require.Equal(t, "application/problem+json", w.call("", "GET", "/api/v1/nowhere", "").Header.Get("Content-Type"))
}
