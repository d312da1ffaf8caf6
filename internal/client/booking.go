package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Doctor is an entry of the directory.
type Doctor struct {
	UserID         string `json:"userId"`
	Name           string `json:"name"`
	Specialization string `json:"specialization"`
	Qualification  string `json:"qualification"`
	Experience     int    `json:"experience"` // years
	TimeZone       string `json:"timeZone"`
	SlotMinutes    int    `json:"slotMinutes"`
}

// NewDoctor describes a doctor whom an administrator invites.
type NewDoctor struct {
	Name           string `json:"name"`
	Email          string `json:"email"`
	Specialization string `json:"specialization"`
	Qualification  string `json:"qualification"`
	Experience     int    `json:"experience"` // years
	Phone          string `json:"phone"`
}

// Slot is a time that can be booked.
type Slot struct {
	StartsAt time.Time `json:"startsAt"`
	EndsAt   time.Time `json:"endsAt"`
}

// Person is a participant of an appointment.
type Person struct {
	UserID         string `json:"userId"`
	Name           string `json:"name"`
	Specialization string `json:"specialization"` // of doctors
}

// Appointment is one appointment; StartsAt and EndsAt are nil for a request without a time.
type Appointment struct {
	ID        string     `json:"id"`
	Status    string     `json:"status"`
	Patient   Person     `json:"patient"`
	Doctor    Person     `json:"doctor"`
	StartsAt  *time.Time `json:"startsAt"`
	EndsAt    *time.Time `json:"endsAt"`
	Reason    string     `json:"reason"`
	Version   int        `json:"version"`
	CanReply  bool       `json:"canReply"`
	WhyNot    string     `json:"whyNot"`
	CreatedAt time.Time  `json:"createdAt"`
}

// page is one page of a list.
type page[T any] struct {
	Items      []T    `json:"items"`
	NextCursor string `json:"nextCursor"`
}

// Page selects a part of a list: Limit entries (0: the service's default) after Cursor.
type Page struct {
	Limit  int
	Cursor string
}

func (p Page) query() url.Values {
	q := url.Values{}
	if p.Limit > 0 {
		q.Set("limit", strconv.Itoa(p.Limit))
	}
	if p.Cursor != "" {
		q.Set("cursor", p.Cursor)
	}
	return q
}

// Doctors searches the directory; text may be empty. next is the cursor of the next page, empty after the last.
func (a *API) Doctors(ctx context.Context, text string, p Page) (doctors []Doctor, next string, err error) {
	q := p.query()
	if text != "" {
		q.Set("q", text)
	}
	var out page[Doctor]
	err = a.sendOnce(ctx, ask{method: http.MethodGet, path: "/doctors", query: q, out: &out})
	return out.Items, out.NextCursor, err
}

// InviteDoctor creates a doctor's account, as an administrator, and returns the one-time token of the invitation.
func (a *API) InviteDoctor(ctx context.Context, d NewDoctor) (invitation string, err error) {
	var out struct {
		Invitation struct {
			Token string `json:"token"`
		} `json:"invitation"`
	}
	err = a.call(ctx, ask{method: http.MethodPost, path: "/doctors", in: d, out: &out})
	return out.Invitation.Token, err
}

// Slots lists a doctor's free slots from the day from to the day to, both included, in the doctor's zone.
func (a *API) Slots(ctx context.Context, doctorID string, from, to time.Time) ([]Slot, error) {
	q := url.Values{"from": {from.Format(time.DateOnly)}, "to": {to.Format(time.DateOnly)}}
	var out page[Slot]
	path := "/doctors/" + url.PathEscape(doctorID) + "/slots"
	err := a.sendOnce(ctx, ask{method: http.MethodGet, path: path, query: q, out: &out})
	return out.Items, err
}

// Book requests an appointment, as a patient; with the zero time, the doctor chooses the time. If the slot has been
// taken, the error is a Problem slot_taken with Alternatives.
func (a *API) Book(ctx context.Context, doctorID string, startsAt time.Time, reason string) (Appointment, error) {
	in := map[string]any{"doctorId": doctorID, "reason": reason}
	if !startsAt.IsZero() {
		in["startsAt"] = startsAt
	}
	var out Appointment
	err := a.call(ctx, ask{method: http.MethodPost, path: "/appointments", in: in, out: &out})
	return out, err
}

// Confirm accepts a request, as its doctor. startsAt sets the time if the request has none; nil keeps the time.
func (a *API) Confirm(ctx context.Context, id string, startsAt *time.Time) (Appointment, error) {
	in := map[string]any{}
	if startsAt != nil {
		in["startsAt"] = *startsAt
	}
	return a.move(ctx, id, "confirm", in)
}

// Reject declines a request, as its doctor.
func (a *API) Reject(ctx context.Context, id, reason string) (Appointment, error) {
	return a.move(ctx, id, "reject", map[string]any{"reason": reason})
}

// Cancel cancels an appointment.
func (a *API) Cancel(ctx context.Context, id, reason string) (Appointment, error) {
	return a.move(ctx, id, "cancel", map[string]any{"reason": reason})
}

func (a *API) move(ctx context.Context, id, action string, in map[string]any) (Appointment, error) {
	var out Appointment
	err := a.call(ctx, ask{method: http.MethodPost, path: appointmentPath(id) + "/" + action, in: in, out: &out})
	return out, err
}

// Appointment reads one appointment.
func (a *API) Appointment(ctx context.Context, id string) (Appointment, error) {
	var out Appointment
	err := a.call(ctx, ask{method: http.MethodGet, path: appointmentPath(id), out: &out})
	return out, err
}

// Appointments lists the user's own appointments, newest first; status may be empty.
func (a *API) Appointments(ctx context.Context, status string, p Page) (list []Appointment, next string, err error) {
	q := p.query()
	if status != "" {
		q.Set("status", status)
	}
	var out page[Appointment]
	err = a.call(ctx, ask{method: http.MethodGet, path: "/appointments", query: q, out: &out})
	return out.Items, out.NextCursor, err
}

func appointmentPath(id string) string { return "/appointments/" + url.PathEscape(id) }
