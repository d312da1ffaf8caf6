// Package pms is the API of the Patient Management System as its clients know it: paths under /web, numbers for ids
// and roles, one envelope around every answer. It only translates: rules and SQL are in other packages.
package pms

import (
	"context"
	"net/http"
	"time"

	"housecall/internal/account"
	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/httpd"
	"housecall/internal/patient"
	"housecall/internal/schedule"
)

// Prefix precedes the path of every route.
const Prefix = "/web"

// Accounts is what this API needs to do with users.
type Accounts interface {
	Register(ctx context.Context, r account.Registration, client httpd.Client) (account.User, error)
	// CheckRegistration returns all that is wrong with a registration, as one errs.Invalid.
	CheckRegistration(r account.Registration) error
	LoginOlder(ctx context.Context, login, password string, client httpd.Client,
		api auth.Audience) (token string, u account.User, err error)
	AuthenticateOlder(ctx context.Context, token string, api auth.Audience) (auth.Actor, error)
	// ByID finds the user with a number.
	ByID(ctx context.Context, id int64) (account.User, error)
	SetRole(ctx context.Context, by auth.Actor, publicID string, role auth.Role, l account.Leave) (account.User, error)
}

// Patients is what it needs from the registry.
type Patients interface {
	Register(ctx context.Context, by auth.Actor, userID int64) (patient.Patient, error)
	Get(ctx context.Context, by auth.Actor, publicID string) (patient.Patient, error)
	List(ctx context.Context, by auth.Actor, after int64, limit int) (page []patient.Patient, more bool, err error)
	Assign(ctx context.Context, by auth.Actor, publicID string, version int,
		doctorPublicID string) (patient.Patient, error)
}

// Appointments is what it needs from booking and the life cycle.
type Appointments interface {
	Slots(ctx context.Context, doctorID string, window appointment.Window) ([]appointment.Slot, schedule.Rules, error)
	Book(ctx context.Context, actor auth.Actor, b appointment.Booking) (appointment.Appointment, error)
	List(ctx context.Context, actor auth.Actor, f appointment.Filter, before int64,
		limit int) (page []appointment.Appointment, more bool, err error)
	// ByKey finds the appointment with a number, if the actor may see it.
	ByKey(ctx context.Context, actor auth.Actor, id int64) (appointment.Appointment, error)
	Reschedule(ctx context.Context, actor auth.Actor, publicID string,
		r appointment.Rescheduling) (appointment.Appointment, error)
	Cancel(ctx context.Context, actor auth.Actor, publicID string, e appointment.Ending) (appointment.Appointment, error)
}

var (
	_ Accounts     = (*account.Service)(nil)
	_ Patients     = (*patient.Service)(nil)
	_ Appointments = (*appointment.Service)(nil)
)

// Deps are what the API needs. Zone is the clinic's zone, in which dates and slots are.
type Deps struct {
	Accounts     Accounts
	Patients     Patients
	Appointments Appointments
	Zone         *time.Location
	Now          func() time.Time
}

type api struct{ Deps }

// Mount adds the routes, and has errors under Prefix answered in the envelope.
func Mount(s *httpd.Server, d Deps) {
	a := api{d}
	s.Dialect(Prefix, refused)
	a.route(s, http.MethodPost, "/user/register", anyone, a.register)
	a.route(s, http.MethodPost, "/user/login", anyone, a.login)
	a.route(s, http.MethodGet, "/user/updateRole", admins, a.updateRole)
	a.route(s, http.MethodPut, "/user/updateRole", admins, a.updateRole)
	a.route(s, http.MethodPost, "/patient/register/:id", staff, a.registerPatient)
	a.route(s, http.MethodGet, "/patient/list", users, a.listPatients)
	a.route(s, http.MethodPost, "/patient/assignDoc", staff, a.assignDoc)
	a.route(s, http.MethodPost, "/appointment/availableSlot", users, a.availableSlot)
	a.route(s, http.MethodPost, "/appointment/book", users, a.book)
	a.route(s, http.MethodGet, "/appointment/list", users, a.listAppointments)
	// HEAD of updateRole is refused: a change must not come from a request that only asks (RFC 9110, 9.3.2).
	a.route(s, http.MethodHead, "/patient/list", users, a.listPatients)
	a.route(s, http.MethodHead, "/appointment/list", users, a.listAppointments)
	a.route(s, http.MethodPut, "/appointment/edit", users, a.edit)
	a.route(s, http.MethodDelete, "/appointment/cancel", users, a.cancel)
}

// find returns the user with a number; missing is the refusal if there is none.
func (a api) find(ctx context.Context, id int64, missing string) (account.User, error) {
	u, err := a.Accounts.ByID(ctx, id)
	if errs.KindOf(err) == errs.NotFound {
		return u, refusal(missing)
	}
	return u, err
}

// stamp formats a time as this API does.
func (a api) stamp(t time.Time) string { return t.In(a.Zone).Format(time.DateTime) }
