package app

import (
	"context"
	"time"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/calendar"
	"housecall/internal/config"
	"housecall/internal/httpd/ratelimit"
	"housecall/internal/postgres"
	"housecall/internal/ui"
)

// newCalendar makes the calendar feeds.
func newCalendar(
	cfg config.Config, pool *postgres.Pool, appointments *appointment.Service, limiter ratelimit.Limiter,
) *calendar.Service {
	return calendar.New(calendar.Deps{
		Pool: pool, Appointments: bookings{appointments}, Links: ui.Links{PublicURL: cfg.PublicURL}, Limiter: limiter,
		Now: time.Now, Options: calendarOptions(cfg),
	})
}

// bookings finds the appointments for calendar feeds.
type bookings struct{ appointments *appointment.Service }

var _ calendar.Appointments = bookings{}

// Between implements calendar.Appointments. It lists as for a doctor, whatever the user's role: that shows the
// user's appointments both as doctor and as patient, while an administrator would see everybody's. A former doctor's
// feed keeps none of those in which they were the doctor: they no longer take part in them.
func (b bookings) Between(
	ctx context.Context, userID int64, from, to time.Time, limit int,
) ([]calendar.Appointment, error) {
	self := auth.Actor{ID: userID, Role: auth.Doctor}
	which := appointment.Filter{Statuses: calendar.Statuses(), From: from, To: to}
	page, _, err := b.appointments.List(ctx, self, which, 0, limit)
	if err != nil {
		return nil, err
	}
	out := make([]calendar.Appointment, 0, len(page))
	for _, a := range page {
		out = append(out, calendar.Appointment{
			PublicID: a.PublicID, Version: a.Version, Status: a.Status,
			StartsAt: *a.StartsAt, EndsAt: *a.EndsAt, UpdatedAt: a.UpdatedAt,
		})
	}
	return out, nil
}
