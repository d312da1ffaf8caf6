package pms

import (
	"context"
	"time"

	"housecall/internal/appointment"
)

// The statuses of an appointment, in this API's numbers.
const (
	created   = 1
	nextDate  = 2
	done      = 3
	cancelled = 4
)

var statusTexts = map[int]string{
	created: "Appointment created", nextDate: "Next date given", done: "Treatment given", cancelled: "Cancelled",
}

// statusNumber returns this API's number for a status. A follow-up date takes precedence, except over cancelled.
func statusNumber(a appointment.Appointment) int {
	switch {
	case a.Status != appointment.Pending && a.Status != appointment.Booked && a.Status != appointment.Completed:
		return cancelled
	case a.FollowUpOn != nil:
		return nextDate
	case a.Status == appointment.Completed:
		return done
	default:
		return created
	}
}

// appointmentBody is an appointment. SlotID is null if it is off the grid of slots, or a request without a time; such
// a request has no date either.
type appointmentBody struct {
	ID              int64   `json:"id"`
	AppointmentID   int64   `json:"appointmentId"`
	PatientID       int64   `json:"patientId"`
	PatientName     string  `json:"patientName"`
	DocID           int64   `json:"docId"`
	DocName         string  `json:"docName"`
	DoctorName      string  `json:"doctorName"`
	Status          int     `json:"status"`
	StatusText      string  `json:"statusText"`
	AppointmentDate *string `json:"appointmentDate"`
	Date            *string `json:"date"`
	SlotID          *int    `json:"slotId"`
	Slot            string  `json:"slot"`
	Time            string  `json:"time"`
	NextDate        string  `json:"nextDate,omitempty"`
	Created         string  `json:"created"`
	Updated         string  `json:"updated"`
}

func (a api) appointmentBody(p appointment.Appointment) appointmentBody {
	status := statusNumber(p)
	b := appointmentBody{
		ID: p.ID, AppointmentID: p.ID, PatientID: p.Patient.ID, PatientName: p.Patient.Name, DocID: p.Doctor.ID,
		DocName:    p.Doctor.Name,
		DoctorName: p.Doctor.Name, Status: status, StatusText: statusTexts[status], Created: a.stamp(p.CreatedAt),
		Updated: a.stamp(p.UpdatedAt),
	}
	if p.StartsAt != nil {
		at := p.StartsAt.In(a.Zone)
		day := at.Format(time.DateOnly)
		b.AppointmentDate, b.Date, b.Slot, b.Time = &day, &day, clock(at), at.Format("15:04")
		if n := slotAt(at, a.Zone); n != 0 {
			b.SlotID = &n
		}
	}
	if p.FollowUpOn != nil {
		b.NextDate = p.FollowUpOn.Format(time.DateOnly)
	}
	return b
}

// listed are the statuses that lists show: all but those that this API calls cancelled.
var listed = []appointment.Status{appointment.Pending, appointment.Booked, appointment.Completed}

// listAppointments answers with all listed appointments that the actor may see, newest first.
func (a api) listAppointments(ctx context.Context, c call) (reply, error) {
	all := []appointmentBody{}
	for before, more := int64(0), true; more; {
		page, next, err := a.Appointments.List(ctx, c.actor, appointment.Filter{Statuses: listed}, before, pageSize)
		if err != nil {
			return reply{}, err
		}
		for _, p := range page {
			all = append(all, a.appointmentBody(p))
		}
		if more = next; more {
			before = page[len(page)-1].ID
		}
	}
	return reply{message: "Success", data: all}, nil
}
