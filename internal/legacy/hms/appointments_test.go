package hms_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRoutes_appointments(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.admin()
	doctor, stranger := w.doctor(admin, "Dr Cara Lim"), w.doctor(admin, "Dr Dan Roth")
	patient, other := w.patient("Pia Patient"), w.patient("Ben Okoro")

	r := w.ok(patient.token, "POST", "/api/patient/request/appointment",
		fmt.Sprintf(`{"doctorId":%q,"status":"BOOKED"}`, doctor.userID))
	golden(t, "requested", r)
	id := r.Text("appointment.appointmentId")
	require.Equal(t, id, r.Text("appointment.id"))
	w.refused(w.call(patient.token, "POST", "/api/patient/request/appointment", `{}`), 400, "doctorId is required.")
	w.refused(w.call(patient.token, "POST", "/api/patient/request/appointment", `{"doctorId":"DOC0000000000"}`), 404,
		"There is no such doctor.")
	w.refused(w.call(patient.token, "POST", "/api/patient/request/appointment", `{"doctorId":"\u0000"}`), 400,
		"doctorId must not contain")

	// The doctor sees the patient's details once they have accepted.
	golden(t, "pending", w.ok(doctor.token, "GET", "/api/doctor/appointments/pending", ""))
	approve := "/api/doctor/appointments/approve/" + id
	yes := fmt.Sprintf(`{"date":%q,"time":"10:30 AM","notes":"Bring your papers.","status":"x"}`, tomorrow(t))
	w.refused(w.call(stranger.token, "PUT", approve, yes), 404, "There is no such appointment.")
	golden(t, "approved", w.ok(doctor.token, "PUT", approve, yes))
	golden(t, "booked", w.ok(doctor.token, "GET", "/api/doctor/appointments/booked/all", ""))
	w.refused(w.call(doctor.token, "PUT", approve, yes), 409,
		"This appointment is booked, so that is no longer possible.")
	// A wish for another time, which these pages do not show, is not answered by mistake.
	w.exec(`update appointments set answer_by = starts_at, proposed_starts_at = starts_at + interval '1 hour',
		proposed_ends_at = ends_at + interval '1 hour' where public_id = $1`, id)
	for _, press := range []string{yes, fmt.Sprintf(`{"date":%q}`, tomorrow(t))} {
		w.refused(w.call(doctor.token, "PUT", approve, press), 409, "This appointment is booked, so that is")
	}
	w.refused(w.call(doctor.token, "PUT", "/api/doctor/appointments/reject/"+id, ""), 409, "This appointment is booked")
	require.Equal(t, 1, w.count(`select count(*) from appointments where public_id = $1 and answer_by is not null`, id))

	second := w.request(other, doctor)
	refuse := "/api/doctor/appointments/reject/" + second
	w.refused(w.call(stranger.token, "PUT", refuse, ""), 404, "There is no such appointment.")
	golden(t, "rejected", w.ok(doctor.token, "PUT", refuse, ""))
	require.Equal(t, 1,
		w.count(`select count(*) from appointments where public_id = $1 and end_reason = 'Declined by the doctor.'`, second))
	w.refused(w.call(doctor.token, "PUT", refuse, "{}"), 409, "This appointment is rejected")
	third := w.request(patient, stranger)

	mine := w.ok(patient.token, "GET", "/api/patient/myAppointments", "")
	golden(t, "mine", mine)
	require.Equal(t, []string{third, id}, ids(mine.list("appointments")), "newest first, and nobody else's")
	require.Equal(t, []string{second},
		ids(w.ok(doctor.token, "GET", "/api/doctor/appointments/reject/all", "").list("appointments")))
	require.Empty(t, w.ok(doctor.token, "GET", "/api/doctor/appointments/pending", "").list("appointments"))
	require.Equal(t, []string{third},
		ids(w.ok(admin.token, "GET", "/api/admin/appointments/pending/all", "").list("appointments")))
	require.Equal(t, []string{second},
		ids(w.ok(admin.token, "GET", "/api/admin/appointments/rejected/all", "").list("appointments")))
	golden(t, "admin_booked", w.ok(admin.token, "GET", "/api/admin/appointments/booked/all", ""))

	golden(t, "counts_doctor", w.ok(doctor.token, "GET", "/api/doctor/dashboard/counts", ""))
	golden(t, "counts_admin", w.ok(admin.token, "GET", "/api/admin/dashboard/counts", ""))
}

func ids(list []map[string]any) []string {
	out := []string{}
	for _, a := range list {
		id, _ := a["appointmentId"].(string)
		out = append(out, id)
	}
	return out
}

// Pressing the button twice asks once; and as these pages can cancel nothing, a patient may ask each doctor.
func TestRoutes_requestTwice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin, patient := w.admin(), w.patient("Pia Patient")
	for i := range 6 {
		d := w.doctor(admin, fmt.Sprint("Dr Cara Lim ", i))
		first := w.request(patient, d)
		require.Equal(t, first, w.request(patient, d))
	}
	require.Equal(t, 6, w.count(`select count(*) from appointments`))
}

// The three older statuses, their lists and their counts, from all of our statuses.
func TestRoutes_statuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.admin()
	doctor, patient := w.doctor(admin, "Dr Cara Lim"), w.patient("Pia Patient")
	for i, status := range []string{"PENDING", "BOOKED", "COMPLETED", "REJECTED", "CANCELLED", "EXPIRED", "NO_SHOW"} {
		id := w.request(patient, doctor)
		w.exec(
			`update appointments set status = $2, created_at = now() - interval '1 hour', starts_at = now() + make_interval(days => $3), ends_at = now() + make_interval(days => $3, mins => 30)
			where public_id = $1`,
			id, status, i+1,
		)
	}
	// A doctor may be somebody's patient; those appointments are not in their lists.
	w.exec(`insert into patients (user_id) select id from users where public_id = $1`, doctor.userID)
	w.exec(
		`insert into appointments (public_id, patient_id, doctor_id, status) select 'APP0000000000', d.id, e.id, 'PENDING'
		from users d, users e where d.public_id = $1 and e.public_id = $2`,
		doctor.userID, w.doctor(admin, "Dr Dan Roth").userID,
	)
	for path, want := range map[string]int{"pending": 1, "booked/all": 2, "reject/all": 4} {
		list := w.ok(doctor.token, "GET", "/api/doctor/appointments/"+path, "").list("appointments")
		require.Len(t, list, want, path)
		for _, a := range list {
			require.Equal(t, map[string]string{"pending": "PENDING", "booked/all": "BOOKED", "reject/all": "REJECTED"}[path],
				a["status"])
		}
	}
	for who, pending := range map[string]int{"/api/doctor": 1, "/api/admin": 2} {
		token := map[string]string{"/api/doctor": doctor.token, "/api/admin": admin.token}[who]
		data, _ := w.ok(token, "GET", who+"/dashboard/counts", "").Body["data"].(map[string]any)
		require.EqualValues(t, pending, data["pendingAppointments"], who)
		require.EqualValues(t, 2, data["bookedAppointments"], who)
		require.EqualValues(t, 4, data["rejectedAppointments"], who)
	}
}

// Lists without pages are limited, and read in pages.
func TestRoutes_longList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.admin()
	doctor, patient := w.doctor(admin, "Dr Cara Lim"), w.patient("Pia Patient")
	w.exec(`insert into appointments (public_id, patient_id, doctor_id, status)
		select 'APP' || lpad(n::text, 10, '0'), (select id from users where public_id = $1), (select id from users where public_id = $2), 'PENDING'
		from generate_series(1, 1205) n`, patient.userID, doctor.userID)
	for path, token := range map[string]string{
		"/api/patient/myAppointments": patient.token, "/api/doctor/appointments/pending": doctor.token,
		"/api/admin/appointments/pending/all": admin.token,
	} {
		list := w.ok(token, "GET", path, "").list("appointments")
		require.Len(t, list, 1000, path)
		require.Equal(t, "APP0000001205", list[0]["id"], path)
		require.Equal(t, "APP0000000206", list[999]["id"], path)
	}
	require.EqualValues(t, 1205,
		w.ok(doctor.token, "GET", "/api/doctor/dashboard/counts", "").Value("data.totalAppointments"))
}

func TestRoutes_approve(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.admin()
	doctor := w.doctor(admin, "Dr Cara Lim")
	w.exec(
		`insert into schedules (doctor_id, time_zone, slot_minutes) select id, 'America/New_York', 30 from users where public_id = $1`,
		doctor.userID,
	)
	patient, other := w.patient("Pia Patient"), w.patient("Ben Okoro")
	loc, err := time.LoadLocation("America/New_York")
	require.NoError(t, err)
	day := time.Now().In(loc).AddDate(0, 0, 7).Format(time.DateOnly)
	id := w.request(patient, doctor)
	path := "/api/doctor/appointments/approve/" + id
	for says, body := range map[string]string{
		"date is required.":                                    `{"time":"10:30"}`,
		"date must be a day such as 2026-03-31.":               `{"date":"31.03.2026","time":"10:30"}`,
		"time must be a clock time such as 10:30 or 10:30 AM.": `{"date":"2026-03-31","time":"half past ten"}`,
		"This time has passed.":                                `{"date":"2020-03-31","time":"10:30"}`,
		"too far ahead to be booked":                           `{"date":"2099-03-31","time":"10:30"}`,
		"notes must have at most 1000 characters.": fmt.Sprintf(`{"date":%q,"time":"10:30","notes":%q}`, day,
			string(make1001())),
	} {
		w.refused(w.call(doctor.token, "PUT", path, body), 400, says)
	}
	r := w.ok(doctor.token, "PUT", path, fmt.Sprintf(`{"date":"%sT23:00:00.000Z","time":"10:30 PM"}`, day))
	require.Equal(t, day+"T00:00:00", r.Text("appointment.date"), "in the doctor's zone, not the clinic's")
	require.Equal(t, "22:30", r.Text("appointment.time"))
	require.Nil(t, r.Value("appointment.notes"))
	starts, err := time.ParseInLocation("2006-01-02 15:04", day+" 22:30", loc)
	require.NoError(t, err)
	require.Equal(t, 1, w.count(`select count(*) from appointments where public_id = $1 and starts_at = $2`, id, starts))

	second := "/api/doctor/appointments/approve/" + w.request(other, doctor)
	taken := w.call(doctor.token, "PUT", second, fmt.Sprintf(`{"date":%q,"time":"22:30"}`, day))
	w.refused(taken, 409, "This time is no longer available. Choose another time. Available times: "+day+" 2")
}

// Without a time, a request gets the first free one of the day.
func TestRoutes_approve_firstFree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.admin()
	doctor, elsewhere := w.doctor(admin, "Dr Cara Lim"), w.doctor(admin, "Dr Dan Roth")
	patient, day := w.patient("Pia Patient"), tomorrow(t)
	approve := func(id, body string) reply {
		return w.call(doctor.token, "PUT", "/api/doctor/appointments/approve/"+id, body)
	}
	require.Equal(t, "00:00", approve(w.request(patient, doctor), fmt.Sprintf(`{"date":%q,"time":""}`, day)).Text("appointment.time"))
	w.booked(patient, elsewhere, "00:30")
	id := w.request(patient, doctor)
	r := approve(id, fmt.Sprintf(`{"date":%q,"time":null,"notes":"Come fasting."}`, day))
	require.Equal(t, "01:00", r.Text("appointment.time"), "the patient is elsewhere at half past: %s", r.Raw)
	require.Equal(t, day+"T00:00:00", r.Text("appointment.date"))
	require.Equal(t, "Come fasting.", r.Text("appointment.notes"))
	w.refused(approve(id, fmt.Sprintf(`{"date":%q}`, day)), 409, "This appointment is booked")
	w.refused(approve("APP0000000000", fmt.Sprintf(`{"date":%q}`, day)), 404, "There is no such appointment.")

	asked := w.call("", "POST", "/api/v1/auth/login", fmt.Sprintf(`{"login":%q,"password":%q}`, patient.email, password))
	loc, err := time.LoadLocation(zone)
	require.NoError(t, err)
	starts, err := time.ParseInLocation("2006-01-02 15:04", day+" 20:00", loc)
	require.NoError(t, err)
	own := w.call("", "POST", "/api/v1/appointments",
		fmt.Sprintf(`{"doctorId":%q,"reason":"Cough","startsAt":%q}`, doctor.userID, starts.Format(time.RFC3339)),
		"Authorization", "Bearer "+asked.Text("accessToken"))
	require.Equal(t, 201, own.Status, "%s", own.Raw)
	require.Equal(t, "20:00", approve(own.Text("id"), fmt.Sprintf(`{"date":%q}`, day)).Text("appointment.time"),
		"the time that the patient has asked for")

	last := w.request(patient, doctor)
	w.refused(approve(last, `{"date":"2020-03-31","time":" "}`), 400, "This day has passed. Choose another.")
	w.exec(`insert into schedules (doctor_id, time_zone, slot_minutes, per_day) select id, $2, 30, 1 from users where public_id = $1`,
		doctor.userID, zone)
	w.refused(approve(last, fmt.Sprintf(`{"date":%q}`, day)), 409,
		"No time is free on this day. Choose another. Available times: ")
}

// Requests that are approved for the same day at once get different times.
func TestRoutes_approve_firstFree_contended(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	doctor := w.doctor(w.admin(), "Dr Cara Lim")
	const workers = 6
	statuses, body := make(chan int, workers), fmt.Sprintf(`{"date":%q,"time":""}`, tomorrow(t))
	for i := range workers {
		id := w.request(w.patient(fmt.Sprint("Patient ", i)), doctor)
		go func() { statuses <- w.status(doctor.token, "PUT", "/api/doctor/appointments/approve/"+id, body) }()
	}
	for range workers {
		require.Equal(t, 200, <-statuses)
	}
	require.Equal(t, workers, w.count(`select count(distinct starts_at) from appointments where status = 'BOOKED'`))
}

func make1001() []byte {
	long := make([]byte, 1001)
	for i := range long {
		long[i] = 'x'
	}
	return long
}

// The night in which the clocks go forward has an hour less.
func TestRoutes_approve_timeThatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.admin()
	doctor, patient := w.doctor(admin, "Dr Cara Lim"), w.patient("Pia Patient")
	path := "/api/doctor/appointments/approve/" + w.request(patient, doctor)
	night := springForward(t)
	r := w.call(doctor.token, "PUT", path, fmt.Sprintf(`{"date":%q,"time":"02:30"}`, night))
	w.refused(r, 400,
		"This time does not exist on that day, because the clocks go forward. Choose another. Available times: "+night+" 0")
	w.ok(doctor.token, "PUT", path, fmt.Sprintf(`{"date":%q,"time":"3:30 am"}`, night))

	long := "/api/doctor/appointments/approve/" + w.request(patient, doctor)
	r = w.call(doctor.token, "PUT", long, `{"date":"2020-03-29","time":"02:30"}`)
	w.refused(r, 400, "This time does not exist on that day")
	require.NotContains(t, r.message(), "Available times")
}

// springForward is the next day on which Berlin's clocks go from 2 to 3.
func springForward(t *testing.T) string {
	t.Helper()
	loc, err := time.LoadLocation(zone)
	require.NoError(t, err)
	for n := 2; n < 500; n++ {
		y, m, d := time.Now().In(loc).AddDate(0, 0, n).Date()
		if time.Date(y, m, d, 4, 0, 0, 0, loc).Sub(time.Date(y, m, d, 0, 0, 0, 0, loc)) == 3*time.Hour {
			return time.Date(y, m, d, 12, 0, 0, 0, loc).Format(time.DateOnly)
		}
	}
	t.Fatal("the clocks are never set forward any more")
	return ""
}

// If a doctor approves two requests for the same time at once, one gets it.
func TestRoutes_approve_oneWinner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.admin()
	doctor, patient := w.doctor(admin, "Dr Cara Lim"), w.patient("Pia Patient")
	id, body := w.request(patient, doctor), fmt.Sprintf(`{"date":%q,"time":"10:30"}`, tomorrow(t))
	const workers = 8
	statuses := make(chan int, workers)
	for range workers {
		go func() { statuses <- w.status(doctor.token, "PUT", "/api/doctor/appointments/approve/"+id, body) }()
	}
	won := 0
	for range workers {
		switch s := <-statuses; s {
		case 200:
			won++
		case 409:
		default:
			t.Errorf("status %d", s)
		}
	}
	require.Equal(t, 1, won)
}
