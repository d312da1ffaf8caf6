package hms_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The pages compare some messages letter by letter and show the others, so each success has the words of the older
// server. The rows run in order, in one instance; {name} in a path or body stands for what an earlier row has made.
var successes = []struct {
	who, route, body string
	status           int
	message          string
	keep             map[string]string // {name}: where it is in the answer
}{
	{
		"", "POST /api/auth/register/patient",
		`{"name":"Pia Patient","email":"pia@older.test","password":"{password}","phoneNo":"9841000000","gender":"Female","age":"34"}`,
		201, "Patient registered Successfully",
		map[string]string{"pia": "user.userId"},
	},
	{
		"", "POST /api/auth/login", `{"userId":"{pia}","password":"{password}"}`,
		200, "Login Successful",
		map[string]string{"patient": "token"},
	},
	{
		"", "POST /api/auth/login", `{"userId":"{eve}","password":"{password}"}`,
		200, "Admin Login Successfully",
		map[string]string{"admin": "token"},
	},
	{
		"admin", "POST /api/admin/doctor/create", newDoctor,
		201, "Doctor Created Successfully",
		map[string]string{"cara": "doctor.doctorId", "plain": "plainPassword"},
	},
	{
		"", "POST /api/auth/login", `{"userId":"{cara}","password":"{plain}"}`,
		200, "Login Successful",
		map[string]string{"doctor": "token"},
	},
	{
		"doctor", "PUT /api/auth/updatePassword", `{"newPassword":"{password}"}`,
		200, "Password Updated Successfully", nil,
	},
	{"doctor", "GET /api/auth/getUser", "", 200, "User fetched Successfully", nil},
	{"patient", "GET /api/auth/getUser", "", 200, "User fetched Successfully", nil},
	{"admin", "GET /api/auth/getUser", "", 200, "User fetched Successfully", nil},
	{"patient", "PUT /api/auth/updateUser", `{"name":"Pia Other"}`, 200, "User Updated Successfully", nil},
	{"patient", "GET /api/patient/doctors/getAll", "", 200, "Doctors Fetched Successfully", nil},
	{
		"patient", "POST /api/patient/request/appointment", `{"doctorId":"{cara}"}`,
		201, "Appointment request created successfully",
		map[string]string{"first": "appointment.appointmentId"},
	},
	{"patient", "GET /api/patient/myAppointments", "", 200, "Appointments fetched successfully", nil},
	{
		"doctor", "PUT /api/doctor/appointments/approve/{first}", `{"date":"{tomorrow}","time":"10:30 AM"}`,
		200, "Appointment booked successfully", nil,
	},
	{
		"patient", "POST /api/patient/request/appointment", `{"doctorId":"{cara}"}`,
		201, "Appointment request created successfully",
		map[string]string{"second": "appointment.appointmentId"},
	},
	{"doctor", "GET /api/doctor/appointments/pending", "", 200, "Pending Appointments fetched successfully", nil},
	{"admin", "GET /api/admin/appointments/pending/all", "", 200, "All Pending Appointments fetched successfully", nil},
	{
		"doctor", "PUT /api/doctor/appointments/reject/{second}", "",
		200, "Appointment rejected successfully", nil,
	},
	{"doctor", "GET /api/doctor/appointments/reject/all", "", 200, "Rejected Appointments fetched successfully", nil},
	{"doctor", "GET /api/doctor/appointments/booked/all", "", 200, "Booked Appointments fetched successfully", nil},
	{"admin", "GET /api/admin/appointments/rejected/all", "", 200, "All Rejected Appointments fetched successfully", nil},
	{"admin", "GET /api/admin/appointments/booked/all", "", 200, "All Booked Appointments fetched successfully", nil},
	{
		"patient", "POST /api/auth/sendMessage", `{"appointmentId":"{first}","receiverId":"{cara}","message":"Hello"}`,
		201, "Message Sent Successfully", nil,
	},
	{"doctor", "GET /api/auth/getMessages/{first}", "", 200, "Chat history fetched Successfully", nil},
	{"doctor", "GET /api/doctor/get/info", "", 200, "Doctor info fetched successfully", nil},
	{"doctor", "PUT /api/doctor/update/info", `{"experience":8}`, 200, "Doctor info updated successfully", nil},
	{"doctor", "GET /api/doctor/dashboard/counts", "", 200, "Dashboard counts fetched successfully", nil},
	{"admin", "GET /api/admin/dashboard/counts", "", 200, "Dashboard counts fetched successfully", nil},
	{"admin", "GET /api/admin/patients/all", "", 200, "All Patients Fetched Successfully", nil},
	{"admin", "GET /api/admin/doctors/all", "", 200, "All Doctors Fetched Successfully", nil},
}

// The pages show nothing when these are refused, but they read message, and compare one of them letter by letter.
var refusals = []struct {
	who, route, body string
	status           int
	message          string
}{
	{
		"", "POST /api/auth/register/patient",
		`{"name":"Pia Patient","email":"PIA@older.test","password":"{password}","phoneNo":"9841000000","gender":"Female","age":"34"}`,
		400, "User Already exists",
	},
	{
		"", "POST /api/auth/register/patient",
		`{"name":"Ben Okoro","email":"ben@older.test","password":"short","phoneNo":"984","gender":"Male","age":"34"}`,
		400, "phoneNo must have 10 digits.",
	},
	{
		"doctor", "PUT /api/doctor/appointments/approve/{first}", `{"date":"{tomorrow}","time":"11:30 AM"}`,
		409, "This appointment is booked, so that is no longer possible.",
	},
	{
		"doctor", "PUT /api/doctor/appointments/approve/{first}", `{"date":"soon","time":"11:30 AM"}`,
		400, "date must be a day such as 2026-03-31.",
	},
}

func TestRoutes_words(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	made := map[string]string{"password": password, "tomorrow": tomorrow(t), "eve": w.admin().userID}
	fill := func(s string) string {
		for name, value := range made {
			s = strings.ReplaceAll(s, "{"+name+"}", value)
		}
		return s
	}
	call := func(who, route, body string) reply {
		method, path, _ := strings.Cut(fill(route), " ")
		return w.call(made[who], method, path, fill(body))
	}
	for _, c := range successes {
		w.timePasses()
		r := call(c.who, c.route, c.body)
		require.Equal(t, fmt.Sprint(c.status, " ", c.message), fmt.Sprint(r.Status, " ", r.message()), "%s: %s", c.route, r.Raw)
		for name, path := range c.keep {
			require.NotEmpty(t, r.Text(path), "%s: %s", c.route, path)
			made[name] = r.Text(path)
		}
	}
	for _, c := range refusals {
		r := call(c.who, c.route, c.body)
		w.refused(r, c.status, c.message)
		require.Equal(t, c.message, r.message(), c.route)
	}
}
