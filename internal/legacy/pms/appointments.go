package pms

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/patient"
	"housecall/internal/schedule"
)

// slotBody is a free slot.
type slotBody struct {
	SlotID int    `json:"slotId"`
	Slot   string `json:"slot"`
	Time   string `json:"time"`
}

func slotBodyOf(o offered) slotBody {
	return slotBody{SlotID: o.n, Slot: clock(o.at), Time: o.at.Format("15:04")}
}

// availableSlot answers with a doctor's free slots on a day; by default today.
func (a api) availableSlot(ctx context.Context, c call) (reply, error) {
	if c.actor.Role != auth.Doctor {
		c.require("docId")
	}
	docID, day := c.id("docId"), c.day()
	if err := c.err(); err != nil {
		return reply{}, err
	}
	if day.IsZero() {
		day = a.Now().In(a.Zone)
	}
	if docID == 0 {
		docID = c.actor.ID
	}
	d, err := a.doctor(ctx, docID)
	if err != nil {
		return reply{}, err
	}
	free, err := a.free(ctx, d.PublicID, day)
	if err != nil {
		return reply{}, err
	}
	list := make([]slotBody, len(free))
	for i, o := range free {
		list[i] = slotBodyOf(o)
	}
	return reply{message: "Success", data: map[string]any{
		"docId": d.ID, "name": d.Name, "date": day.Format(time.DateOnly), "slots": list,
	}}, nil
}

func (a api) free(ctx context.Context, doctor string, day time.Time) ([]offered, error) {
	found, _, err := a.Appointments.Slots(ctx, doctor, window(day, a.Zone))
	if errs.KindOf(err) == errs.NotFound {
		return nil, refusal(sayNoDoctor)
	}
	return offer(day, found, a.Zone), err
}

// day reads the date of an appointment, which has two names.
func (f *fields) day() time.Time {
	if f.given("date") {
		return f.date("date")
	}
	return f.date("dateOfAppointment")
}

// bookedBody confirms a booking: texts to show, then the appointment.
type bookedBody struct {
	BookedAt   string `json:"Booked At"`
	BookedFor  string `json:"Booked For"`
	BookedWith string `json:"Booked With"`
	BookedSlot string `json:"Booked Slot"`
	Notes      string `json:"Notes"`
	appointmentBody
}

// book makes an appointment that is booked at once: with the named doctor, or else the patient's own; in the named
// slot, or else the first free one.
func (a api) book(ctx context.Context, c call) (reply, error) {
	if !c.given("date") && !c.given("dateOfAppointment") {
		c.complain("date", "is required")
	}
	patientID, docID, slot, day := c.id("patientId"), c.id("docId"), int(c.number("slotId", slots)), c.day()
	if err := c.err(); err != nil {
		return reply{}, err
	}
	if day.Format(time.DateOnly) < a.Now().In(a.Zone).Format(time.DateOnly) {
		return reply{}, refusal("Invalid date")
	}
	b, err := a.parties(ctx, c, patientID, docID)
	if err != nil {
		return reply{}, err
	}
	made, err := a.bookSlot(ctx, c.actor, b, day, slot)
	if c.actor.Role == auth.Doctor && errs.KindOf(err) == errs.NotFound && !errors.Is(err, patient.ErrNotRegistered) {
		return reply{}, refusal(sayNoPatient) // another doctor's patient gets the same answer as an unknown one
	}
	if err != nil {
		return reply{}, err
	}
	body := a.appointmentBody(made)
	return reply{message: "Appointment booked successfully", data: bookedBody{
		BookedAt: a.stamp(made.CreatedAt), BookedFor: made.Patient.Name, BookedWith: titled(made.Doctor.Name),
		BookedSlot: body.Slot,
		Notes:      "Please be available at least 10 minutes before your appointment slot", appointmentBody: body,
	}}, nil
}

// parties says who books with whom.
func (a api) parties(ctx context.Context, c call, patientID, docID int64) (appointment.Booking, error) {
	b := appointment.Booking{Booked: true}
	switch {
	case c.actor.Role == auth.Patient && patientID != 0 && patientID != c.actor.ID:
		return b, refusal("You can book for yourself only")
	case c.actor.Role == auth.Patient:
		b.Patient = c.actor.UserID
	case patientID == 0:
		return b, refusal("patientId is required")
	default:
		u, err := a.find(ctx, patientID, sayNoPatient)
		if err != nil {
			return b, err
		}
		b.Patient = u.PublicID
	}
	switch {
	case docID != 0:
		d, err := a.doctor(ctx, docID)
		if b.Doctor = d.PublicID; err != nil {
			return b, err
		}
	case c.actor.Role == auth.Doctor:
		b.Doctor = c.actor.UserID
	}
	if b.Doctor != "" {
		return b, nil // Book looks the patient up itself
	}
	return a.withOwnDoctor(ctx, c.actor, b)
}

// withOwnDoctor fills in the doctor who is assigned to the patient.
func (a api) withOwnDoctor(ctx context.Context, actor auth.Actor, b appointment.Booking) (appointment.Booking, error) {
	p, err := a.Patients.Get(ctx, actor, b.Patient)
	switch {
	case errs.KindOf(err) == errs.NotFound && actor.Role != auth.Patient:
		return b, refusal(sayNoPatient)
	case errs.KindOf(err) == errs.NotFound, err == nil && p.Doctor == nil:
		return b, refusal(sayDoctor)
	case err != nil:
		return b, err
	}
	b.Doctor = p.Doctor.UserID
	return b, nil
}

// bookSlot books a slot of a day; 0 means the first free one, or the next if somebody else was faster. If that is asked
// for twice, it is booked once; the second time may come when the day is full.
func (a api) bookSlot(
	ctx context.Context, actor auth.Actor, b appointment.Booking, day time.Time, slot int,
) (made appointment.Appointment, err error) {
	var wanted []offered
	if slot == 0 {
		if wanted, err = a.free(ctx, b.Doctor, day); err != nil {
			return made, err
		}
		first, _ := moment(day, minuteOf(1), a.Zone)
		last, _ := moment(day, minuteOf(slots), a.Zone)
		b.Within = &schedule.Range{From: first, To: last.Add(halfHour * time.Minute)}
		if len(wanted) == 0 {
			b.StartsAt = &first
			made, err = a.Appointments.Book(ctx, actor, b)
			if code := errs.CodeOf(err); strings.HasPrefix(code, "slot_") || code == "patient_busy" {
				err = refusal(sayNoSlot)
			}
			return made, err
		}
	} else if at, ok := moment(day, minuteOf(slot), a.Zone); ok {
		wanted = []offered{{slot, at}}
	}
	err = refusal(sayNoSlot)
	for _, o := range wanted {
		b.StartsAt = &o.at
		made, err = a.Appointments.Book(ctx, actor, b)
		if code := errs.CodeOf(err); code != "slot_taken" && code != "patient_busy" {
			break
		}
	}
	return made, err
}

// edit moves an appointment. It stays booked, since nobody could confirm it in this API. If the day or the slot is
// left out, the appointment keeps its day or time of day.
func (a api) edit(ctx context.Context, c call) (reply, error) {
	c.require("appointmentId")
	id, slot, day := c.id("appointmentId"), int(c.number("slotId", slots)), c.day()
	if len(c.complaints) == 0 && slot == 0 && day.IsZero() {
		c.complain("date", "or slotId is required")
	}
	if err := c.err(); err != nil {
		return reply{}, err
	}
	found, err := a.Appointments.ByKey(ctx, c.actor, id)
	if err != nil {
		return reply{}, err
	}
	at, err := a.moved(found, day, slot)
	if err != nil {
		return reply{}, err
	}
	if !found.Status.Live() || found.StartsAt == nil || !found.StartsAt.Equal(at) {
		r := appointment.Rescheduling{StartsAt: at, Version: found.Version, Booked: true}
		if found, err = a.Appointments.Reschedule(ctx, c.actor, found.PublicID, r); err != nil {
			return reply{}, err
		}
	}
	return reply{message: "Appointment updated successfully", data: a.appointmentBody(found)}, nil
}

// moved returns the new time of an appointment. The time must exist in the clinic's zone, but need not be on the grid:
// an appointment off the grid keeps its time of day if only the day changes.
func (a api) moved(found appointment.Appointment, day time.Time, slot int) (time.Time, error) {
	minutes := 0
	switch {
	case found.StartsAt == nil && day.IsZero():
		return time.Time{}, refusal("date is required")
	case found.StartsAt == nil && slot == 0:
		return time.Time{}, refusal("slotId is required")
	case found.StartsAt != nil:
		now := found.StartsAt.In(a.Zone)
		minutes = now.Hour()*60 + now.Minute()
		if day.IsZero() {
			day = now
		}
	}
	if slot != 0 {
		minutes = minuteOf(slot)
	}
	at, ok := moment(day, minutes, a.Zone)
	if !ok {
		return time.Time{}, refusal(sayNoSlot)
	}
	return at, nil
}

// The limits of a reason's length, in characters.
const (
	reasonMin = 3
	reasonMax = 200
)

// cancel cancels an appointment.
func (a api) cancel(ctx context.Context, c call) (reply, error) {
	c.require("appointmentId")
	id := c.id("appointmentId")
	if c.require("reason") {
		reason := utf8.RuneCountInString(c.text("reason"))
		if reason < reasonMin || reason > reasonMax {
			c.complain("reason", "must have 3 to 200 characters")
		}
	}
	if err := c.err(); err != nil {
		return reply{}, err
	}
	found, err := a.Appointments.ByKey(ctx, c.actor, id)
	if err != nil {
		return reply{}, err
	}
	_, err = a.Appointments.Cancel(ctx, c.actor, found.PublicID, appointment.Ending{Reason: c.text("reason")})
	return reply{message: "Appointment cancelled successfully"}, err
}
