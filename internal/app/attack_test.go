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

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/client"
	"housecall/internal/config"
)

// route is one operation of the OpenAPI document.
type route struct {
	method, path string
	public, body bool
	required     bool // the body is required
}

// routes returns all routes in the service's OpenAPI document.
func (w *world) routes() []route {
	w.t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			Security    []map[string][]string `json:"security"`
			RequestBody *struct {
				Required bool `json:"required"`
			} `json:"requestBody"`
		} `json:"paths"`
	}
	r := w.call(0, "", "GET", "/openapi.json", "")
	require.NoError(w.t, json.Unmarshal(r.raw, &doc))
	var out []route
	for path, methods := range doc.Paths {
		for method, op := range methods {
			out = append(out, route{
				method: strings.ToUpper(method), path: path, public: len(op.Security) == 0, body: op.RequestBody != nil,
				required: op.RequestBody != nil && op.RequestBody.Required,
			})
		}
	}
	require.Greater(w.t, len(out), 30)
	slices.SortFunc(out, func(a, b route) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return out
}

// target is a victim: everything that one patient and one doctor have.
type target struct{ patient, doctor, appointment, message, session, hold, waiting, exception, file string }

// at fills a route's path with the victim's ids.
func (v target) at(r route) string {
	id := v.patient
	switch {
	case strings.Contains(r.path, "/doctors/"):
		id = v.doctor
	case strings.Contains(r.path, "/appointments/"):
		id = v.appointment
	case strings.Contains(r.path, "/sessions/"):
		id = v.session
	case strings.Contains(r.path, "/holds/"):
		id = v.hold
	case strings.Contains(r.path, "/jobs/"):
		id = "1"
	}
	path := strings.NewReplacer("{id}", id, "{wid}", v.waiting, "{eid}", v.exception, "{seq}", v.message, "{attachmentId}", v.file).
		Replace(r.path)
	if strings.Contains(path, "{") {
		panic("the sweep knows no victim for " + r.path)
	}
	if strings.HasSuffix(path, "/search") {
		path += "?q=the-most-private-text"
	}
	return path
}

// keep gives the victim what patients and doctors have besides an appointment.
func (w *world) keep(v *target, patient, doctor string) {
	w.t.Helper()
	id := func(r reply) string {
		id, _ := r.body["id"].(string)
		require.Equal(w.t, 201, r.status, "%s", r.raw)
		require.NotEmpty(w.t, id, "%s", r.raw)
		return id
	}
	if v.appointment != "" {
		one := "/api/v1/appointments/" + v.appointment
		v.file = id(
			w.call(0, patient, "POST", one+"/attachments?name=the-most-private-name", "the-most-private-text of a file"),
		)
	}
	day := func(days int) string { return time.Now().UTC().AddDate(0, 0, days).Format(time.DateOnly) }
	doctors := "/api/v1/doctors/" + v.doctor
	slots := w.call(0, "", "GET", doctors+"/slots?from="+day(3)+"&to="+day(3), "")
	var free struct {
		Items []struct {
			StartsAt string `json:"startsAt"`
		} `json:"items"`
	}
	require.NoError(w.t, json.Unmarshal(slots.raw, &free))
	require.NotEmpty(w.t, free.Items, "%s", slots.raw)
	v.hold = id(
		w.call(0, patient, "POST", "/api/v1/holds",
			fmt.Sprintf(`{"doctorId":%q,"startsAt":%q}`, v.doctor, free.Items[0].StartsAt)),
	)
	v.waiting = id(w.call(0, patient, "POST", doctors+"/waitlist", fmt.Sprintf(`{"from":%q,"to":%q}`, day(4), day(5))))
	v.exception = id(
		w.call(0, doctor, "POST", doctors+"/exceptions",
			fmt.Sprintf(`{"from":%q,"to":%q,"note":"the-most-private-note"}`, day(20), day(21))),
	)
}

// requireKept requires that the victim still has it.
func (w *world) requireKept(v target, patient, doctor string) {
	w.t.Helper()
	for id, where := range map[string][2]string{
		v.hold: {patient, "/holds"}, v.waiting: {patient, "/doctors/" + v.doctor + "/waitlist"},
		v.exception: {doctor, "/doctors/" + v.doctor + "/exceptions"},
	} {
		r := w.call(0, where[0], "GET", "/api/v1"+where[1], "")
		require.Contains(w.t, string(r.raw), id, where[1])
	}
}

// garbage are bodies that no route accepts.
var garbage = []string{
	`{`, `[]`, `null`, `"text"`, `42`, `{"surprise":true}`, `{"email":{"$gt":""}}`, `{"reason":["x"],"startsAt":{}}`,
	`{"text":"a\u0000b","reason":"\u0000","name":"\u0000"}`, "{\"name\":\"\xff\xfe\"}",
	`{"startsAt":"not a time","weekday":1e999}`, strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000),
	`{"role":"ADMIN","id":1,"userId":"ADM0000000001"}`,
}

// Everybody tries every route: nobody gets at other people's data, nothing answers 5xx, nothing personal is logged.
func TestApp_AttackSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, func(c *config.Config) { c.HoldTTL = time.Hour }) // longer than all attacks take
	victim, doctor := w.person(auth.Patient), w.person(auth.Doctor)
	vp, vd := victim.at(0), doctor.at(1)
	v := target{patient: victim.userID, doctor: doctor.userID, appointment: w.book(vp, vd)}
	sent, err := vp.SendMessage(w.context(), v.appointment, client.NewClientID(), "the-most-private-text")
	require.NoError(t, err)
	v.message = strconv.FormatInt(sent.Seq, 10)
	w.pools(func(exec func(sql string, args ...any)) {
		exec(`update patients set phone = '+441632960123', address = 'Private-Street 1'`)
		exec(`update appointments set summary = 'the-most-private-summary'`)
	})
	require.NoError(
		t,
		w.apps[0].pool.QueryRow(w.context(), `select s.public_id from sessions s join users u on u.id = s.user_id
		where u.public_id = $1`, v.patient).Scan(&v.session),
	)
	actors := map[string]string{
		"nobody": "", "patient": w.token(vp), "doctor": w.token(vd),
		"other patient": w.token(w.person(auth.Patient).at(0)), "other doctor": w.token(w.person(auth.Doctor).at(0)),
		"admin": w.token(w.person(auth.Admin).at(1)),
	}
	w.keep(&v, actors["patient"], actors["doctor"])
	routes := w.routes()
	for _, r := range routes {
		for who, token := range actors {
			w.attack(t, r, v.at(r), who, token)
		}
	}
	// The victim's things are unchanged.
	appointment, err := vp.Appointment(w.context(), v.appointment)
	require.NoError(t, err)
	require.Equal(t, "BOOKED", appointment.Status)
	w.requireKept(v, actors["patient"], actors["doctor"])
	require.Equal(t, 200, w.call(1, actors["patient"], "GET", "/api/v1/me", "").status, "still signed in")
	w.requireDiscreet(t, append([]string{password, "the-most-private", "private.test", "+441632960123", "Private-Street"},
		secretsOf(actors)...)...)
}

func secretsOf(actors map[string]string) (out []string) {
	for _, token := range actors {
		if token != "" {
			out = append(out, token)
		}
	}
	return out
}

// pools runs statements on the world's database.
func (w *world) pools(f func(exec func(sql string, args ...any))) {
	w.t.Helper()
	f(func(sql string, args ...any) {
		w.t.Helper()
		_, err := w.apps[0].pool.Exec(w.context(), sql, args...)
		require.NoError(w.t, err)
	})
}

// requireDiscreet requires that no instance has logged any of the words.
func (w *world) requireDiscreet(t *testing.T, words ...string) {
	t.Helper()
	text := w.log.String()
	for _, word := range words {
		if strings.Contains(text, word) { // require.NotContains would print the whole log
			require.Fail(t, "the log is not discreet", "it has %.12q…", word)
		}
	}
}

// attack tries one route as somebody, with garbage and, where it only reads, without.
func (w *world) attack(t *testing.T, r route, path, who, token string) {
	t.Helper()
	what := fmt.Sprintf("%s %s as %s", r.method, r.path, who)
	bodies := garbage
	if !r.body {
		bodies = []string{""}
		if r.method != http.MethodGet {
			bodies = nil // such as logout, which does the same whatever the body
		}
	}
	if token == "" && len(bodies) == 0 {
		bodies = []string{""}
	}
	for _, body := range bodies {
		if body == "null" && !r.required {
			continue // the same as no body
		}
		a := w.call(0, token, r.method, path, body, "If-Match", `"1"`)
		require.Less(t, a.status, 500, "%s with %.40q: %s", what, body, a.raw)
		require.NotContains(t, string(a.raw), "\u0000", what)
		if a.status >= 400 {
			a.problem(t, a.status)
		} else {
			// Garbage is a valid text file.
			require.True(t, body == "" || !r.required || strings.HasSuffix(r.path, "/attachments"), "%s took %.40q: %d", what,
				body, a.status)
		}
		if token == "" && !r.public {
			require.Equal(t, 401, a.status, what)
		}
		if strings.HasPrefix(who, "other ") && private(r.path) {
			if body == "" {
				require.Contains(t, []int{403, 404}, a.status, what)
			}
			require.Contains(t, []int{400, 403, 404, 422}, a.status, "%s with %.40q: %s", what, body, a.raw)
		}
		if who != "doctor" && who != "admin" {
			require.NotContains(t, string(a.raw), "most-private-note", what)
		}
		if who != "patient" && who != "doctor" {
			require.NotContains(t, string(a.raw), "most-private-text", what)
			require.NotContains(t, string(a.raw), "most-private-summary", what)
		}
		if who == "admin" && (strings.Contains(r.path, "/messages") || strings.HasSuffix(r.path, "/transcript")) {
			require.Contains(t, []int{400, 404, 422}, a.status, what)
		}
	}
}

// private are the routes of one patient or one appointment.
func private(path string) bool {
	return strings.Contains(path, "/patients/{") || strings.Contains(path, "/appointments/{") ||
		strings.Contains(path, "/sessions/{")
}

// Somebody else's things get the same answer as things that do not exist.
func TestApp_OthersThingsAreMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	vp, vd := w.person(auth.Patient).at(0), w.person(auth.Doctor).at(0)
	appointment := w.book(vp, vd)
	otherPatient, otherDoctor := w.token(w.person(auth.Patient).at(0)), w.token(w.person(auth.Doctor).at(0))
	send := fmt.Sprintf(`{"clientId":%q,"text":"hello"}`, client.NewClientID())
	for _, c := range []struct{ token, method, path, body string }{
		{otherPatient, "GET", "/appointments/%s", ""},
		{otherPatient, "GET", "/appointments/%s/history", ""},
		{otherPatient, "GET", "/appointments/%s/messages", ""},
		{otherPatient, "POST", "/appointments/%s/messages", send},
		{otherPatient, "POST", "/appointments/%s/messages/1/retract", fmt.Sprintf(`{"clientId":%q}`, client.NewClientID())},
		{otherDoctor, "POST", "/appointments/%s/messages/1/correct", send},
		{otherPatient, "POST", "/appointments/%s/cancel", `{"reason":"mine now"}`},
		{otherDoctor, "GET", "/appointments/%s", ""},
		{otherDoctor, "GET", "/appointments/%s/messages", ""},
		{otherDoctor, "POST", "/appointments/%s/messages", send},
		{otherDoctor, "POST", "/appointments/%s/confirm", `{}`},
		{otherDoctor, "POST", "/appointments/%s/reject", `{"reason":"mine now"}`},
		{otherDoctor, "POST", "/appointments/%s/cancel", `{"reason":"mine now"}`},
		{otherDoctor, "POST", "/appointments/%s/complete", `{"summary":"mine now"}`},
		{otherDoctor, "POST", "/appointments/%s/no-show", ""},
		{otherDoctor, "POST", "/appointments/%s/reschedule", `{"startsAt":"2099-01-01T10:00:00Z"}`},
		{otherPatient, "POST", "/appointments/%s/reschedule", `{"startsAt":"2099-01-01T10:00:00Z"}`},
		{otherDoctor, "POST", "/appointments/%s/propose", `{"startsAt":"2099-01-01T10:00:00Z"}`},
		{otherPatient, "POST", "/appointments/%s/accept", ``},
		{otherPatient, "POST", "/appointments/%s/decline", `{"reason":"x"}`},
		{otherDoctor, "POST", "/appointments/%s/withdraw", ``},
	} {
		theirs := w.call(0, c.token, c.method, "/api/v1"+fmt.Sprintf(c.path, appointment), c.body).problem(t, 404)
		none := w.call(0, c.token, c.method, "/api/v1"+fmt.Sprintf(c.path, "APP0000000000"), c.body).problem(t, 404)
		for _, r := range []reply{theirs, none} {
			delete(r.body, "requestId")
		}
		require.Equal(t, none.body, theirs.body, "%s %s", c.method, c.path)
	}
	victim := vp.User().UserID
	w.call(0, otherPatient, "GET", "/api/v1/patients/"+victim, "").problem(t, 404)
	w.call(0, otherDoctor, "GET", "/api/v1/patients/"+victim, "").problem(t, 404)
	w.call(0, otherPatient, "PATCH", "/api/v1/patients/"+victim, `{"phone":"1"}`, "If-Match", `"1"`).problem(t, 404)
	for _, token := range []string{otherPatient, otherDoctor} {
		w.call(0, token, "GET", "/api/v1/users", "").problem(t, 403)
		w.call(0, token, "GET", "/api/v1/users/"+victim, "").problem(t, 403)
		w.call(0, token, "PUT", "/api/v1/users/"+victim+"/role", `{"role":"ADMIN"}`).problem(t, 403)
		w.call(0, token, "POST", "/api/v1/users/"+victim+"/disable", "").problem(t, 403)
	}
	w.call(0, otherPatient, "POST", "/api/v1/appointments", fmt.Sprintf(`{"doctorId":%q,"patientId":%q,"reason":"x"}`,
		vd.User().UserID, victim)).problem(t, 404)
	list := w.call(0, otherPatient, "GET", "/api/v1/appointments", "")
	require.Equal(t, 200, list.status)
	require.Empty(t, list.body["items"])
}

// Nobody can see, use or end what belongs to others, or find out whether it exists.
func TestApp_OthersHoldsAreMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	vp, vd := w.person(auth.Patient), w.person(auth.Doctor)
	patient, doctor := w.token(vp.at(0)), w.token(vd.at(0))
	v := target{patient: vp.userID, doctor: vd.userID}
	w.keep(&v, patient, doctor)
	otherPatient, otherDoctor := w.token(w.person(auth.Patient).at(0)), w.token(w.person(auth.Doctor).at(0))
	const none = "00000000-0000-4000-8000-000000000000"
	doctors := "/api/v1/doctors/" + v.doctor
	for _, c := range []struct {
		token, method, path, id, body string
		status                        int
	}{
		{otherPatient, "DELETE", "/api/v1/holds/%s", v.hold, "", 404},
		{otherPatient, "POST", "/api/v1/appointments", v.hold, `{"holdId":"%s","reason":"mine now"}`, 404},
		{otherPatient, "DELETE", doctors + "/waitlist/%s", v.waiting, "", 404},
		{otherDoctor, "DELETE", doctors + "/waitlist/%s", v.waiting, "", 404},
		{doctor, "DELETE", "/api/v1/holds/%s", v.hold, "", 403},
		{otherPatient, "DELETE", doctors + "/exceptions/%s", v.exception, "", 403},
	} {
		about := func(id string) map[string]any {
			r := w.call(0, c.token, c.method, strings.ReplaceAll(c.path, "%s", id), strings.ReplaceAll(c.body, "%s", id)).
				problem(t, c.status)
			delete(r.body, "requestId")
			return r.body
		}
		require.Equal(t, about(none), about(c.id), "%s %s", c.method, c.path)
		require.Equal(t, about("no-uuid"), about(c.id), "%s %s", c.method, c.path)
	}
	for _, path := range []string{"/exceptions/" + v.exception, "/exceptions/" + none} {
		require.Contains(t, []int{403, 404}, w.call(0, otherDoctor, "DELETE", doctors+path, "").status, path)
	}
	require.Empty(t, w.call(0, otherPatient, "GET", "/api/v1/holds", "").body["items"])
	require.Empty(t, w.call(0, otherPatient, "GET", doctors+"/waitlist", "").body["items"])
	w.call(0, otherDoctor, "GET", doctors+"/waitlist", "").problem(t, 404)
	w.requireKept(v, patient, doctor)
}

// Secrets in URLs reach no log, whoever sends them, and pages with them are not cached.
func TestApp_SecretsInAddresses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	pia := w.token(w.person(auth.Patient).at(0))
	r := w.call(0, pia, "POST", "/api/v1/me/calendar", "")
	require.Equal(t, 201, r.status)
	address, _ := r.body["url"].(string)
	feed := strings.TrimPrefix(address, w.cfg.PublicURL)
	require.True(t, strings.HasPrefix(feed, "/calendar/"), address)
	secret := strings.TrimSuffix(strings.TrimPrefix(feed, "/calendar/"), ".ics")
	for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS", "BREW"} {
		for _, path := range []string{
			feed, feed + "x", strings.ToUpper(feed), "/calendar/" + secret, "/Calendar/" + secret + ".ics", "/verify?token=" + secret, "/reset?token=" + secret,
			"/invitation?token=" + secret, "/nowhere?token=" + secret, "/nowhere/" + secret, "/web/user/login?password=" + secret, "/api/auth/login?x=" + secret,
		} {
			r := w.call(0, "", method, path, "")
			require.Less(t, r.status, 502, "%s %s", method, path)
			require.NotEqual(t, 500, r.status, "%s %s", method, path)
			require.Equal(t, "no-referrer", r.header.Get("Referrer-Policy"), "%s %s", method, path)
			if path != feed {
				require.Equal(t, "no-store", r.header.Get("Cache-Control"), "%s %s", method, path)
			}
		}
	}
	w.requireDiscreet(t, secret, strings.ToUpper(secret))
}

// Guesses count together, on whichever API.
func TestApp_OneThrottle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1, few)
	pia := w.person(auth.Patient)
	guess := func(path, name string) int {
		return w.call(0, "", "POST", path,
			fmt.Sprintf(`{%q:%q,"password":"wrong-guess-of-it"}`, name, " "+strings.ToUpper(pia.email))).status
	}
	native, pms, hms := "/api/v1/auth/login", "/web/user/login", "/api/auth/login"
	require.Equal(t, []int{401, 200, 401}, []int{guess(native, "login"), guess(pms, "email"), guess(hms, "userId")})
	for _, at := range [][2]string{{native, "login"}, {pms, "email"}, {hms, "userId"}, {hms, "email"}} {
		status := guess(at[0], at[1])
		for range 3 { // on a busy machine Redis may not answer in time: then this instance counts from the beginning
			if status == 429 {
				break
			}
			status = guess(at[0], at[1])
		}
		require.Equal(t, 429, status, at)
	}
	require.Equal(t, 429, w.call(0, "", "POST", pms, `{"email":"`+pia.email+`","password":"`+password+`"}`).status,
		"nor does the right one get through")
}

// Paths, methods and bodies that are refused before they reach a route.
func TestApp_Oddities(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 1)
	token := w.token(w.person(auth.Patient).at(0))
	w.call(0, "", "GET", "/nothing/here", "").problem(t, 404)
	w.call(0, token, "DELETE", "/api/v1/me", "").problem(t, 405)
	w.call(0, token, "PATCH", "/api/v1/me", `{"name":"`+strings.Repeat("x", w.cfg.BodyLimit)+`"}`).problem(t, 413)
	w.call(0, token, "PATCH", "/api/v1/me", `{"name":"x"}`).problem(t, 428)
	w.call(0, token, "PATCH", "/api/v1/me", `{"name":"x"}`, "If-Match", `"99"`).problem(t, 412)
	w.call(0, token, "PATCH", "/api/v1/me", `name=x`, "Content-Type", "application/x-www-form-urlencoded", "If-Match", `"1"`).
		problem(t, 415)
	w.call(0, "", "GET", "/api/v1/doctors?q=%00", "").problem(t, 422)
	w.call(0, "", "GET", "/api/v1/doctors?limit=101", "").problem(t, 422)
	w.call(0, "", "GET", "/api/v1/doctors?cursor=garbage", "").problem(t, 422)
	w.call(0, "", "POST", "/api/v1/auth/register", `{"name":"A","email":"a@b.test","password":"`+password+`","role":"ADMIN"}`).
		problem(t, 422)
	r := w.call(0, "", "POST", "/api/v1/auth/register", `{"name":"A","email":"not an address","password":"short-pass-phrase"}`).
		problem(t, 422)
	require.NotContains(t, string(r.raw), "short-pass-phrase")
	require.NotContains(t, string(r.raw), "not an address")
	require.Equal(t, 200, w.call(0, "", "GET", "/docs", "").status)
	require.Equal(t, "3.0.0", w.call(0, "", "GET", "/asyncapi.json", "").body["asyncapi"])
	require.Equal(t, 200, w.call(0, "", "GET", "/healthz", "").status)
}
