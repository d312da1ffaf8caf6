package hms

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/account"
	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/doctor"
	"housecall/internal/patient"
	"housecall/internal/zone"
)

// The statuses that the older API knows.
const (
	pending  = "PENDING"
	booked   = "BOOKED"
	rejected = "REJECTED"
)

// statuses maps each of them to our statuses; each of ours is in it once.
var statuses = map[string][]appointment.Status{
	pending:  {appointment.Pending},
	booked:   {appointment.Booked, appointment.Completed},
	rejected: {appointment.Rejected, appointment.Cancelled, appointment.Expired, appointment.NoShow},
}

// titles are the older statuses in the messages of lists.
var titles = map[string]string{pending: "Pending", booked: "Booked", rejected: "Rejected"}

// statusOf is the reverse of statuses.
var statusOf = func() map[appointment.Status]string {
	out := map[appointment.Status]string{}
	for older, ours := range statuses {
		for _, s := range ours {
			out[s] = older
		}
	}
	return out
}()

// appointmentBody is an appointment; date (see dayShown) and time are in the doctor's zone, null for a request without
// a time.
type appointmentBody struct {
	ID            string      `json:"id"`
	AppointmentID string      `json:"appointmentId"`
	Date          *string     `json:"date"`
	Time          *string     `json:"time"`
	Status        string      `json:"status"`
	Notes         *string     `json:"notes"`
	PatientID     string      `json:"patientId"`
	DoctorID      string      `json:"doctorId"`
	CreatedAt     string      `json:"createdAt"`
	Patient       patientBody `json:"patient"`
	Doctor        doctorBody  `json:"doctor"`
}

// dayShown is the form of a day in answers. JavaScript reads a day alone as midnight in UTC, which is the day before
// for a page west of it, and a time without an offset as the time there (ECMA-262, Date Time String Format).
const dayShown = "2006-01-02T00:00:00"

// people are the participants of some appointments: doctors, the patients whom the actor may see, and accounts.
type people struct {
	doctors  map[int64]doctor.Doctor
	patients map[int64]patient.Patient
	accounts map[int64]account.User
}

// bodiesOf returns appointments as the actor may see them, with a constant number of statements.
func (a api) bodiesOf(ctx context.Context, by auth.Actor, all ...appointment.Appointment) ([]appointmentBody, error) {
	out := make([]appointmentBody, len(all))
	who, err := a.peopleOf(ctx, by, all)
	if err != nil {
		return nil, err
	}
	for i, app := range all {
		if out[i], err = who.body(app, a.Now()); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (a api) peopleOf(ctx context.Context, by auth.Actor, all []appointment.Appointment) (p people, err error) {
	doctorIDs, patientIDs := distinct(all)
	if p.doctors, err = a.Doctors.Lookup(ctx, doctorIDs...); err != nil {
		return p, err
	}
	if p.patients, err = a.Patients.Seen(ctx, by, patientIDs...); err != nil {
		return p, err
	}
	for id := range p.patients {
		doctorIDs = append(doctorIDs, id)
	}
	p.accounts, err = a.Accounts.ByIDs(ctx, doctorIDs...)
	return p, err
}

func distinct(all []appointment.Appointment) (doctors, patients []int64) {
	seen := map[int64]bool{}
	once := func(ids []int64, id int64) []int64 {
		if seen[id] {
			return ids
		}
		seen[id] = true
		return append(ids, id)
	}
	for _, app := range all {
		doctors = once(doctors, app.Doctor.ID)
	}
	clear(seen) // a doctor may be somebody's patient
	for _, app := range all {
		patients = once(patients, app.Patient.ID)
	}
	return doctors, patients
}

func (p people) body(app appointment.Appointment, now time.Time) (appointmentBody, error) {
	d := p.doctors[app.Doctor.ID]
	b := appointmentBody{
		ID: app.PublicID, AppointmentID: app.PublicID, Status: statusOf[app.Status], Notes: orNull(app.Note),
		PatientID: app.Patient.UserID, DoctorID: app.Doctor.UserID, CreatedAt: moment(app.CreatedAt),
		Patient: patientBody{UserID: app.Patient.UserID, Name: app.Patient.Name},
		Doctor:  doctorOf(d, p.accounts[app.Doctor.ID].Email),
	}
	if entry, seen := p.patients[app.Patient.ID]; seen {
		b.Patient = patientOf(entry, p.accounts[entry.ID].Email, now)
	}
	if app.StartsAt == nil {
		return b, nil
	}
	loc, err := zone.Load(d.TimeZone)
	if err != nil {
		return appointmentBody{}, fmt.Errorf("read the zone of doctor %d: %w", d.ID, err)
	}
	date, clock := app.StartsAt.In(loc).Format(dayShown), app.StartsAt.In(loc).Format("15:04")
	b.Date, b.Time = &date, &clock
	return b, nil
}

// gather lists the newest listMost appointments that the actor may see and that match.
func (a api) gather(ctx context.Context, by auth.Actor, f appointment.Filter) ([]appointment.Appointment, error) {
	var found []appointment.Appointment
	before := int64(0)
	for len(found) < listMost {
		page, more, err := a.Appointments.List(ctx, by, f, before, pageSize)
		if err != nil {
			return nil, err
		}
		found = append(found, page...)
		if !more {
			break
		}
		before = page[len(page)-1].ID
	}
	return found, nil
}

func (a api) answerList(c *fiber.Ctx, by auth.Actor, message string, f appointment.Filter) error {
	found, err := a.gather(c.UserContext(), by, f)
	if err != nil {
		return err
	}
	bodies, err := a.bodiesOf(c.UserContext(), by, found...)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, message, "appointments", bodies)
}

// listed answers with the appointments of one of the older statuses: a doctor's own, or all for an admin.
func (a api) listed(status string) handler {
	return func(c *fiber.Ctx, by auth.Actor) error {
		f, message := appointment.Filter{Statuses: statuses[status]}, titles[status]+" Appointments fetched successfully"
		if by.Role == auth.Doctor {
			f.Doctor = by.UserID
		} else {
			message = "All " + message
		}
		return a.answerList(c, by, message, f)
	}
}

func (a api) myAppointments(c *fiber.Ctx, by auth.Actor) error {
	return a.answerList(c, by, "Appointments fetched successfully", appointment.Filter{Patient: by.UserID})
}

func (a api) answerOne(c *fiber.Ctx, by auth.Actor, status int, message string, app appointment.Appointment) error {
	bodies, err := a.bodiesOf(c.UserContext(), by, app)
	if err != nil {
		return err
	}
	return answer(c, status, message, "appointment", bodies[0])
}

func (a api) requestAppointment(c *fiber.Ctx, by auth.Actor) error {
	f, err := read(c)
	if err != nil {
		return err
	}
	b := appointment.Booking{Doctor: f.required("doctorId"), Unlimited: true}
	if err := f.err(); err != nil {
		return err
	}
	app, err := a.Appointments.Book(c.UserContext(), by, b)
	if err != nil {
		return err
	}
	return a.answerOne(c, by, http.StatusCreated, "Appointment request created successfully", app)
}

// count counts the appointments that listed lists, by older status.
func (a api) count(ctx context.Context, by auth.Actor) (map[string]int, error) {
	doctor := ""
	if by.Role == auth.Doctor {
		doctor = by.UserID
	}
	counts, err := a.Counter.Counts(ctx, by, doctor)
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for ours, n := range counts {
		out[statusOf[ours]] += n
	}
	return out, nil
}
