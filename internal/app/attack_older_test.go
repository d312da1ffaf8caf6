package app

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/client"
)

// The prefixes of the older APIs.
const pmsPrefix = "/web/"

var hmsPrefixes = []string{"/api/auth/", "/api/patient/", "/api/doctor/", "/api/admin/"}

// olderRoutes are all routes of the older APIs that are mounted.
func (w *world) olderRoutes() (out []route) {
	w.t.Helper()
	app, ok := w.apps[0].http.Router().(*fiber.App)
	require.True(w.t, ok)
	for _, r := range app.GetRoutes(true) {
		hms := slices.ContainsFunc(hmsPrefixes, func(p string) bool { return strings.HasPrefix(r.Path, p) })
		if r.Method != http.MethodHead && (hms || strings.HasPrefix(r.Path, pmsPrefix)) {
			public := strings.HasSuffix(r.Path, "/login") || strings.HasSuffix(r.Path, "/register") ||
				strings.HasSuffix(r.Path, "/register/patient")
			out = append(out, route{method: r.Method, path: r.Path, public: public})
		}
	}
	require.Len(w.t, out, 12+26, "the tables of both")
	return out
}

// hmsToken signs in to the older HMS API.
func (w *world) hmsToken(n int, email string) string {
	w.t.Helper()
	r := w.call(n, "", "POST", "/api/auth/login", `{"userId":"`+email+`","password":"`+password+`"}`)
	token, _ := r.body["token"].(string)
	require.NotEmpty(w.t, token, string(r.raw))
	return token
}

// inItsShape requires an answer as clients of the older APIs read every answer.
func (w *world) inItsShape(path string, r reply, what string) {
	w.t.Helper()
	require.Less(w.t, r.status, 500, "%s: %s", what, r.raw)
	require.True(w.t, strings.HasPrefix(r.header.Get("Content-Type"), "application/json"), "%s: %s", what, r.raw)
	said := "message"
	if r.status == 200 && strings.HasSuffix(path, "/agent/chat") {
		said = "reply"
	}
	message, _ := r.body[said].(string)
	require.NotEmpty(w.t, message, "%s: %s", what, r.raw)
	if !strings.HasPrefix(path, pmsPrefix) {
		if r.status >= 400 {
			require.Len(w.t, r.body, 1, "%s: %s", what, r.raw)
		}
		return
	}
	success, ok := r.body["success"].(bool)
	require.True(w.t, ok, "%s: %s", what, r.raw)
	require.Len(w.t, r.body, 3, "%s: %s", what, r.raw)
	require.NotNil(w.t, r.body["data"], "%s: %s", what, r.raw)
	require.Equal(w.t, r.status < 400 && success, success, "%s: %s", what, r.raw)
}

// olderVictim has what others try to get at.
type olderVictim struct {
	patient, doctor, appointment string
	patientNo, doctorNo, book    int64
}

// at fills in a route's path; PMS uses numbers.
func (v olderVictim) at(r route) string {
	path := strings.ReplaceAll(r.path, ":appointmentId", v.appointment)
	return strings.ReplaceAll(path, ":id", strconv.FormatInt(v.patientNo, 10))
}

// wishes are bodies that name the victim's things under every possible name, and claim more rights than the sender
// has.
func (v olderVictim) wishes() []string {
	tomorrow := time.Now().AddDate(0, 0, 1).Format(time.DateOnly)
	pms := fmt.Sprintf(
		`{"id":%d,"patientId":%d,"docId":%d,"appointmentId":%d,"date":%q,"slotId":3,"reason":"mine now","role":1}`,
		v.patientNo, v.patientNo, v.doctorNo, v.book, tomorrow,
	)
	hms := fmt.Sprintf(
		`{"appointmentId":%q,"receiverId":%q,"message":"mine now","date":%q,"time":"10:30","userId":%q,"patientId":%q,"role":"Admin"}`,
		v.appointment, v.patient, tomorrow, v.patient, v.patient,
	)
	return []string{pms, hms, strings.Replace(hms, v.patient, v.doctor, 1)}
}

// Everybody tries every route of the older APIs: nobody gets at other people's data, nothing answers 5xx or in another
// shape, nothing personal is logged.
func TestApp_AttackSweep_OlderAPIs(t *testing.T) {
	t.Parallel()
	long(t)
	w := newWorld(t, 1)
	victim, doctor := w.person(auth.Patient), w.person(auth.Doctor)
	vp, vd := victim.at(0), doctor.at(0)
	v := olderVictim{patient: victim.userID, doctor: doctor.userID, appointment: w.book(vp, vd)}
	_, err := vp.SendMessage(w.context(), v.appointment, client.NewClientID(), "the-most-private-text")
	require.NoError(t, err)
	w.pools(func(exec func(sql string, args ...any)) {
		exec(`update patients set phone = '+441632960123', address = 'Private-Street 1'`)
		exec(`update appointments set note = 'most-private-note', summary = 'most-private-summary'`)
	})
	require.NoError(t, w.apps[0].pool.QueryRow(w.context(), `
		select p.id, d.id, a.id from appointments a join users p on p.id = a.patient_id join users d on d.id = a.doctor_id
		where a.public_id = $1`, v.appointment).Scan(&v.patientNo, &v.doctorNo, &v.book))
	people := map[string]*person{
		"patient": victim, "doctor": doctor, "admin": w.person(auth.Admin),
		"other patient": w.person(auth.Patient), "other doctor": w.person(auth.Doctor),
	}
	pms, hms, native := map[string]string{}, map[string]string{}, map[string]string{}
	for who, p := range people {
		pms[who], hms[who], native[who] = w.olderToken(0, p.email), w.hmsToken(0, p.email), w.token(p.at(0))
	}
	for _, r := range w.olderRoutes() {
		own, foreign := pms, hms
		if !strings.HasPrefix(r.path, pmsPrefix) {
			own, foreign = hms, pms
		}
		w.attackWithout(r, v.at(r), "", foreign["admin"], native["admin"], own["admin"]+"x", "null")
		for who, token := range own {
			w.attackOlder(r, v, who, token)
		}
	}
	appointment, err := vp.Appointment(w.context(), v.appointment)
	require.NoError(t, err)
	require.Equal(t, "BOOKED", appointment.Status)
	for who, p := range people {
		var role string
		require.NoError(t,
			w.apps[0].pool.QueryRow(w.context(), `select role from users where public_id = $1`, p.userID).Scan(&role))
		require.True(t, strings.HasSuffix(who, strings.ToLower(role)), "%s is now %s", who, role)
	}
	for _, e := range w.stored(v.appointment) {
		require.NotEqual(t, "mine now", e.Text)
	}
	words := []string{password, "the-most-private-text", "private.test", "+441632960123", "Private-Street", "mine now"}
	for _, all := range []map[string]string{pms, hms, native} {
		words = append(words, secretsOf(all)...)
	}
	w.requireDiscreet(t, words...)
}

// attackWithout tries a route with invalid tokens.
func (w *world) attackWithout(r route, path string, tokens ...string) {
	w.t.Helper()
	if r.public {
		return
	}
	status := 401
	if strings.HasPrefix(path, pmsPrefix) {
		status = 403
	}
	for i, token := range tokens {
		for _, body := range []string{"", `{`} {
			a := w.call(0, token, r.method, path, body)
			what := fmt.Sprintf("%s %s with token %d", r.method, path, i)
			w.inItsShape(path, a, what)
			require.Equal(w.t, status, a.status, what)
			a = w.call(0, "", r.method, path, body, "auth-token", token)
			require.Equal(w.t, status, a.status, what)
		}
	}
}

// attackOlder tries one route as somebody: with garbage, and as a stranger with the victim's things.
func (w *world) attackOlder(r route, v olderVictim, who, token string) {
	w.t.Helper()
	path := v.at(r)
	for k, kind := range []string{"application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ";"} {
		for i, body := range append(slices.Clone(garbage), `{"id":1e999,"docId":1e400,"slotId":-1,"date":"0000-00-00","age":1e99}`,
			`{"id":9223372036854775807,"appointmentId":9223372036854775807,"patientId":9223372036854775807,"docId":9223372036854775807}`,
			`{"appointmentId":1,"appointmentId":"\u0000"}`, `{"password":{},"email":[],"userId":true,"newPassword":7}`,
			fmt.Sprintf(`{"docId":%d,"date":"0000-01-01","dateOfAppointment":"9999-12-31"}`, v.doctorNo),
			fmt.Sprintf(`{"docId":%d,"patientId":%d,"date":"9999-12-31"}`, v.doctorNo, v.patientNo),
			fmt.Sprintf(`{"docId":%d,"patientId":%d,"date":"9999-12-31","slotId":15}`, v.doctorNo, v.patientNo),
			fmt.Sprintf(`{"appointmentId":%d,"date":"9999-12-31"}`, v.book), `{"date":"9999-12-31","time":"23:59"}`,
			`{"date":"0001-01-01","time":"0:00"}`, `{"age":2147483648,"experience":2147483648}`, `{"experience":99999}`,
			`a=%00&b=%ff&appointmentId=%zz`) {
			if strings.HasSuffix(path, "/cancel") || strings.Contains(path, "/reject/APP") ||
				strings.Contains(path, "/patient/register/") {
				break // the path says whom it affects, whatever the body
			}
			if k > 0 && i%5 != k { // the other types each with some of the bodies, since one reader handles them all
				continue
			}
			a := w.call(0, token, r.method, path, body, "Content-Type", kind)
			w.inItsShape(path, a, fmt.Sprintf("%s %s as %s with %.60q as %s", r.method, path, who, body, kind))
			require.NotContains(w.t, string(a.raw), `\u0000`)
		}
	}
	if !strings.HasPrefix(who, "other ") {
		return
	}
	if who == "other doctor" && (strings.HasSuffix(path, "/assignDoc") || strings.Contains(path, "/patient/register/")) {
		return // a doctor may assign a patient to themselves
	}
	for _, body := range v.wishes() {
		a := w.call(0, token, r.method, path, body)
		what := fmt.Sprintf("%s %s as %s with %s: %s", r.method, path, who, body, a.raw)
		w.inItsShape(path, a, what)
		for _, word := range []string{"most-private", "441632960123", "Private-Street", "patient-1@private.test", "PATIENT Number 1"} {
			require.NotContains(w.t, string(a.raw), word, what)
		}
	}
}

// In the older APIs, too, other people's things look as if they did not exist.
func TestApp_OthersThingsAreMissing_OlderAPIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	victim, doctor := w.person(auth.Patient), w.person(auth.Doctor)
	appointment := w.book(victim.at(0), doctor.at(0))
	var patientNo, doctorNo, book int64
	require.NoError(
		t,
		w.apps[0].pool.QueryRow(w.context(),
			`select patient_id, doctor_id, id from appointments where public_id = $1`, appointment).
			Scan(&patientNo, &doctorNo, &book),
	)
	otherPatient, otherDoctor := w.person(auth.Patient), w.person(auth.Doctor)
	const none = 1 << 40
	tomorrow := time.Now().AddDate(0, 0, 1).Format(time.DateOnly)
	for who, p := range map[string]*person{"patient": otherPatient, "doctor": otherDoctor} {
		token := w.olderToken(0, p.email)
		for _, c := range []struct {
			method, path, body string
			theirs, nobodys    int64
		}{
			{"PUT", "/web/appointment/edit", `{"appointmentId":%d,"slotId":2,"date":"` + tomorrow + `"}`, book, none},
			{"DELETE", "/web/appointment/cancel", `{"appointmentId":%d,"reason":"mine now"}`, book, none},
			{"POST", "/web/appointment/book", `{"patientId":%d,"slotId":2,"date":"` + tomorrow + `"}`, patientNo, none},
			{"POST", "/web/appointment/book", `{"docId":%d,"slotId":2,"date":"` + tomorrow + `"}`, patientNo, none},
			{"POST", "/web/appointment/availableSlot", `{"docId":%d}`, patientNo, none},
		} {
			theirs := w.call(0, token, c.method, c.path, fmt.Sprintf(c.body, c.theirs))
			nobodys := w.call(0, token, c.method, c.path, fmt.Sprintf(c.body, c.nobodys))
			require.Equal(t, 200, theirs.status)
			require.Equal(t, false, theirs.body["success"], "%s", theirs.raw)
			require.Equal(t, string(nobodys.raw), string(theirs.raw), "%s %s as %s", c.method, c.path, who)
		}
		token = w.hmsToken(0, p.email)
		for _, c := range []struct{ role, method, path, body string }{
			{"", "GET", "/api/auth/getMessages/%s", ""},
			{"", "POST", "/api/auth/sendMessage", `{"appointmentId":"%s","receiverId":"` + victim.userID + `","message":"mine now"}`},
			{"doctor", "PUT", "/api/doctor/appointments/approve/%s", `{"date":"` + tomorrow + `","time":"10:30"}`},
			{"doctor", "PUT", "/api/doctor/appointments/reject/%s", `{}`},
		} {
			if c.role != "" && c.role != who {
				continue
			}
			about := func(id string) reply {
				return w.call(0, token, c.method, strings.ReplaceAll(c.path, "%s", id), strings.ReplaceAll(c.body, "%s", id))
			}
			theirs, nobodys := about(appointment), about("APP0000000000")
			require.Equal(t, 404, theirs.status, "%s", theirs.raw)
			require.Equal(t, string(nobodys.raw), string(theirs.raw), "%s %s as %s", c.method, c.path, who)
		}
	}
}

// Nobody gains rights by claiming them, and reading does not change anything.
func TestApp_OlderAPIs_NoSmuggling(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	admin, pia := w.person(auth.Admin), w.person(auth.Patient)
	roleOf := func(email string) (role string) {
		require.NoError(t, w.apps[0].pool.QueryRow(w.context(), `select role from users where email = $1`, email).Scan(&role))
		return role
	}
	r, _ := w.older(
		0, "", "POST", "/user/register?role=1&isAdmin=true",
		`{"name":"Nia Rai","email":"nia@private.test","contact":"9841000000","role":1,
		"dateOfBirth":"1990-02-28","gender":"2","address":"Lane 1","password":"`+password+`","userId":1,"id":1}`,
	)
	require.Equal(t, 201, r.status, "%s", r.raw)
	require.Equal(t, "PATIENT", roleOf("nia@private.test"))
	r = w.call(
		0, "", "POST", "/api/auth/register/patient",
		`{"name":"Max Rai","email":"max@private.test","phoneNo":"9841000000","gender":"Male",
		"age":30,"password":"`+password+`","role":"Admin","userId":"ADM0000000000","mustChangePassword":false}`,
	)
	require.Equal(t, 201, r.status, "%s", r.raw)
	require.Equal(t, "PATIENT", roleOf("max@private.test"))
	r = w.call(0, "", "PUT", "/api/auth/updateUser", `{"role":"Admin","userId":"`+admin.userID+`","name":"Pia Rai"}`,
		"auth-token", w.hmsToken(0, pia.email))
	require.Equal(t, 200, r.status, "%s", r.raw)
	require.Equal(t, "PATIENT", roleOf(pia.email))
	require.Equal(t, "ADMIN", roleOf(admin.email))

	// Proxies and link scanners try HEAD.
	var number int64
	require.NoError(t,
		w.apps[0].pool.QueryRow(w.context(), `select id from users where email = $1`, pia.email).Scan(&number))
	r = w.call(0, w.olderToken(0, admin.email), "HEAD", fmt.Sprintf("/web/user/updateRole?id=%d&role=1", number), "")
	require.Equal(t, 405, r.status)
	require.Equal(t, "PATIENT", roleOf(pia.email))

	// A password in a URL ends up in histories and in the logs of proxies, so it is not read from there.
	r = w.call(0, "", "POST", "/web/user/login?email="+pia.email+"&password="+password, "")
	require.Equal(t, 400, r.status, "%s", r.raw)
}

// A request that is refused before it reaches a route gets the shape of the API for which it was meant.
func TestApp_Oddities_OlderAPIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	big, err := json.Marshal(map[string]string{"name": strings.Repeat("x", w.cfg.BodyLimit)})
	require.NoError(t, err)
	for _, c := range []struct {
		method, path, body string
		status             int
		header             []string
	}{
		{"GET", "/web/nothing", "", 404, nil},
		{"GET", "/web", "", 404, nil},
		{"DELETE", "/web/user/login", "", 405, nil},
		{"POST", "/web/user/login", string(big), 413, nil},
		{"POST", "/web/user/login", "x", 415, []string{"Content-Encoding", "gzip"}},
		{"GET", "/web/appointment/list?x=%00", "", 400, nil},
		{"GET", "/web/%ff", "", 400, nil},
		{"GET", "/api/auth/nothing", "", 404, nil},
		{"DELETE", "/api/auth/login", "", 405, nil},
		{"POST", "/api/auth/login", string(big), 413, nil},
		{"POST", "/api/auth/login", "x", 415, []string{"Content-Encoding", "br"}},
		{"GET", "/api/admin/patients/all?x=%ff", "", 400, nil},
	} {
		r := w.call(0, "", c.method, c.path, c.body, c.header...)
		w.inItsShape(c.path+"/", r, c.method+" "+c.path)
		require.Equal(t, c.status, r.status, "%s %s: %s", c.method, c.path, r.raw)
	}
	for _, path := range []string{
		"/web/user/login/", "/web//user/login", "/web/./user/login", "/web/%75ser/login", "/web/user%2flogin", "/web/patient/register/1%20",
		"/api/auth//login", "/api/auth/../admin/patients/all", "/api/auth/getMessages/%2e%2e", "/api/auth/getMessages/a%2fb",
	} {
		for _, method := range []string{"GET", "POST", "OPTIONS", "PATCH"} {
			r := w.call(0, "", method, path, "")
			w.inItsShape(path, r, method+" "+path)
			require.GreaterOrEqual(t, r.status, 400, "%s %s: %s", method, path, r.raw)
		}
		require.Less(t, w.call(0, "", "HEAD", path, "").status, 500)
	}
	for path, status := range map[string]int{
		"/WEB/user/login": 405, "//Web/nothing": 404, "/API/AUTH/login": 405, "/api//admin/nothing": 404,
	} {
		r := w.call(0, "", "GET", path, "")
		w.inItsShape(strings.ToLower(strings.ReplaceAll(path, "//", "/")), r, path)
		require.Equal(t, status, r.status, path)
	}
	for _, path := range []string{"/API/v1/me", "/api//v1/me", "//api/v1/me", "/api/v1//me", "/api/v1/ME", "/WEBHOOK"} {
		w.call(0, "", "GET", path, "").problem(t, 404)
	}
	w.call(0, "", "GET", "/webhook", "").problem(t, 404)
	w.call(0, "", "GET", "/api/authentic", "").problem(t, 404)
}
