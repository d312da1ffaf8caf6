package hms_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const newDoctor = `{"name":"Dr Cara Lim","email":"cara@older.test","specialization":"Cardiology","experience":"7","qualification":"MD","phoneNo":"9841111111"}`

func TestRoutes_createDoctor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.admin()
	r := w.ok(admin.token, "POST", "/api/admin/doctor/create", newDoctor)
	golden(t, "doctor_created", r)
	secret := r.Text("plainPassword")
	require.Len(t, secret, 16)
	w.refused(w.call(admin.token, "POST", "/api/admin/doctor/create", newDoctor), 409, "There is already an account")
	w.refused(w.call(admin.token, "POST", "/api/admin/doctor/create", `{}`), 400,
		"name is required. email is required. specialization is required.")
	bad := strings.NewReplacer("cara@", "dan@", `"7"`, `"many"`).Replace(newDoctor)
	w.refused(w.call(admin.token, "POST", "/api/admin/doctor/create", bad), 400, "experience must be a whole number.")
	bad = strings.NewReplacer("cara@", "dan@", `"7"`, `99`).Replace(newDoctor)
	w.refused(w.call(admin.token, "POST", "/api/admin/doctor/create", bad), 400,
		"experience must be between 0 and 80 years.")

	// They can do nothing else until they have chosen a password.
	d := w.signIn("cara@older.test", secret)
	w.ok(d.token, "GET", "/api/auth/getUser", "")
	for _, route := range []string{
		"GET /api/doctor/get/info", "GET /api/doctor/appointments/pending", "PUT /api/auth/updateUser",
		"POST /api/auth/sendMessage",
		"GET /api/auth/getMessages/APP0000000000", "GET /api/patient/myAppointments",
	} {
		method, path, _ := strings.Cut(route, " ")
		w.refused(w.call(d.token, method, path, ""), 403, "Choose a new password first")
	}
	w.refused(w.call(d.token, "PUT", "/api/auth/updatePassword", fmt.Sprintf(`{"newPassword":%q}`, secret)), 400,
		"must differ")
	w.ok(d.token, "PUT", "/api/auth/updatePassword", fmt.Sprintf(`{"newPassword":%q}`, password))
	golden(t, "doctor_info", w.ok(d.token, "GET", "/api/doctor/get/info", ""))
	require.NotContains(t, w.log.String(), secret)
	require.Equal(t, 0, w.count(`select count(*) from audit_events where detail::text like '%' || $1 || '%'`, secret))
}

func TestRoutes_updateDoctorInfo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.doctor(w.admin(), "Dr Cara Lim")
	const path = "/api/doctor/update/info"
	golden(t, "doctor_updated", w.ok(d.token, "PUT", path, fmt.Sprintf(
		`{"name":"Dr Cara Ling","email":%q,"specialization":"Neurology","experience":"8","qualification":"MD, PhD","phoneNo":9841222222}`,
		d.email,
	)))
	before := w.ok(d.token, "GET", "/api/doctor/get/info", "").Raw
	for says, body := range map[string]string{
		"email can be changed only with your current password": `{"specialization":"x","email":"elsewhere@older.test"}`,
		"name must have 1 to 100 characters.":                  `{"specialization":"x","name":""}`,
		"experience must be a whole number.":                   `{"specialization":"x","experience":"long"}`,
		"phoneNo must be a telephone number":                   `{"name":"New","phoneNo":"call me"}`,
		"specialization must have at most 200 characters": fmt.Sprintf(`{"name":"New","specialization":%q}`,
			strings.Repeat("x", 201)),
	} {
		w.refused(w.call(d.token, "PUT", path, body), 400, says)
	}
	require.Equal(t, before, w.ok(d.token, "GET", "/api/doctor/get/info", "").Raw, "a refusal changes nothing at all")
	r := w.ok(d.token, "PUT", path, `{"qualification":null,"experience":9}`)
	require.Equal(t, "MD, PhD", r.Text("doctor.qualification"))
	require.EqualValues(t, 9, r.Value("doctor.experience"))
}

func TestRoutes_lists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	admin := w.admin()
	cara, dan := w.doctor(admin, "Dr Cara Lim"), w.doctor(admin, "Dr Dan Roth")
	pia := w.patient("Pia Patient")
	w.patient("Ben Okoro")
	golden(t, "doctors_for_patients", w.ok(pia.token, "GET", "/api/patient/doctors/getAll", ""))
	golden(t, "doctors", w.ok(admin.token, "GET", "/api/admin/doctors/all", ""))
	golden(t, "patients", w.ok(admin.token, "GET", "/api/admin/patients/all", ""))
	require.Equal(t, 2, w.count(`select count(*) from audit_events where action = 'patient.list'`),
		"an administrator's look is audited")

	w.exec(`update users set disabled_at = now() where public_id = any($1)`, []string{dan.userID, pia.userID})
	doctors := w.ok(admin.token, "GET", "/api/admin/doctors/all", "").list("doctors")
	require.Len(t, doctors, 1)
	require.Equal(t, cara.userID, doctors[0]["doctorId"])
	require.Equal(t, "Cardiology", doctors[0]["specialization"])
	counts := w.ok(admin.token, "GET", "/api/admin/dashboard/counts", "")
	require.EqualValues(t, 1, counts.Value("data.totalDoctors"), "active ones")
	require.EqualValues(t, 1, counts.Value("data.totalPatients"))

	w.exec(`insert into users (public_id, email, name, role, password_hash)
		select 'PAT' || lpad(n::text, 10, '0'), n || '@many.test', 'Patient ' || n, 'PATIENT', 'x' from generate_series(1, 1002) n`)
	w.exec(`insert into patients (user_id) select id from users where email like '%@many.test'`)
	patients := w.ok(admin.token, "GET", "/api/admin/patients/all", "").list("patients")
	require.Len(t, patients, 1000)
	require.Equal(t, "PAT0000001002", patients[0]["userId"], "the newest")
	require.Equal(t, "PAT0000000003", patients[999]["userId"])
}
