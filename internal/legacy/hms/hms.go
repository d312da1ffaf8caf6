// Package hms is the older API of the Health Management System, so that its web pages keep working: the same routes
// under /api/auth, /api/patient, /api/doctor and /api/admin, with the same shapes and messages. Other packages do all
// the work; this one only translates between an age and a date of birth, between a day with a clock time and an
// instant, and between three statuses and seven.
package hms

import (
	"context"
	"time"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/account"
	"housecall/internal/appointment"
	"housecall/internal/assistant"
	"housecall/internal/auth"
	"housecall/internal/chat"
	"housecall/internal/conversation"
	"housecall/internal/doctor"
	"housecall/internal/httpd"
	"housecall/internal/patient"
)

// Counter counts appointments; appointment.Service does it.
type Counter interface {
	// Counts returns the number of appointments in each status: all for an admin, their own for others; those with one
	// doctor (a public id), or with any ("").
	Counts(ctx context.Context, actor auth.Actor, doctor string) (map[appointment.Status]int, error)
}

// Deps are what the older API needs.
type Deps struct {
	Accounts      *account.Service
	Doctors       *doctor.Service
	Patients      *patient.Service
	Appointments  *appointment.Service
	Counter       Counter
	Conversations *conversation.Service
	Chat          *chat.Service // for read cursors
	Assistant     *assistant.Service
	Now           func() time.Time
}

// The paths under which the older API answers.
const (
	pathAuth    = "/api/auth"
	pathPatient = "/api/patient"
	pathDoctor  = "/api/doctor"
	pathAdmin   = "/api/admin"
)

// listMost limits its lists, which have no pages; pageSize is how many entries are read at a time.
const (
	listMost = 1000
	pageSize = 200
)

type api struct{ Deps }

// Routes adds the older API.
func Routes(s *httpd.Server, d Deps) {
	for _, prefix := range []string{pathAuth, pathPatient, pathDoctor, pathAdmin} {
		s.Dialect(prefix, envelope)
	}
	a := api{d}
	a.signInRoutes(s.Router().Group(pathAuth))
	a.patientRoutes(s.Router().Group(pathPatient))
	a.doctorRoutes(s.Router().Group(pathDoctor))
	a.adminRoutes(s.Router().Group(pathAdmin))
}

func (a api) signInRoutes(r fiber.Router) {
	r.Post("/register/patient", a.register)
	r.Post("/login", a.login)
	r.Get("/getUser", a.beforePasswordChange(a.getUser))
	r.Put("/updateUser", a.signedIn(a.updateUser))
	r.Put("/updatePassword", a.beforePasswordChange(a.updatePassword))
	r.Post("/sendMessage", a.signedIn(a.sendMessage))
	r.Get("/getMessages/:appointmentId", a.signedIn(a.getMessages))
}

func (a api) patientRoutes(r fiber.Router) {
	r.Get("/doctors/getAll", a.only(auth.Patient, a.doctorsForPatients))
	r.Post("/request/appointment", a.only(auth.Patient, a.requestAppointment))
	r.Get("/myAppointments", a.only(auth.Patient, a.myAppointments))
	r.Post("/agent/chat", a.signedIn(a.askAgent))
}

func (a api) doctorRoutes(r fiber.Router) {
	r.Get("/get/info", a.only(auth.Doctor, a.doctorInfo))
	r.Put("/update/info", a.only(auth.Doctor, a.updateDoctorInfo))
	r.Get("/appointments/pending", a.only(auth.Doctor, a.listed(pending)))
	r.Get("/appointments/booked/all", a.only(auth.Doctor, a.listed(booked)))
	r.Get("/appointments/reject/all", a.only(auth.Doctor, a.listed(rejected)))
	r.Put("/appointments/approve/:appointmentId", a.only(auth.Doctor, a.approve))
	r.Put("/appointments/reject/:appointmentId", a.only(auth.Doctor, a.reject))
	r.Get("/dashboard/counts", a.only(auth.Doctor, a.doctorCounts))
}

func (a api) adminRoutes(r fiber.Router) {
	r.Post("/doctor/create", a.only(auth.Admin, a.createDoctor))
	r.Get("/appointments/pending/all", a.only(auth.Admin, a.listed(pending)))
	r.Get("/appointments/booked/all", a.only(auth.Admin, a.listed(booked)))
	r.Get("/appointments/rejected/all", a.only(auth.Admin, a.listed(rejected)))
	r.Get("/patients/all", a.only(auth.Admin, a.allPatients))
	r.Get("/doctors/all", a.only(auth.Admin, a.allDoctors))
	r.Get("/dashboard/counts", a.only(auth.Admin, a.adminCounts))
}

// answer writes what a page expects: a message, and a value under its name.
func answer(c *fiber.Ctx, status int, message, name string, value any) error {
	return c.Status(status).JSON(fiber.Map{"message": message, name: value})
}

// moment formats a time as JavaScript's Date does.
func moment(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// orNull returns nil for the empty text, as the older database had it.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
