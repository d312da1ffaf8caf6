package hms

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/schedule"
	"housecall/internal/zone"
)

// declined is the reason of rejections: the older pages do not ask for one, but patients are told one.
const declined = "Declined by the doctor."

func (a api) reject(c *fiber.Ctx, by auth.Actor) error {
	ctx, id := c.UserContext(), c.Params("appointmentId")
	request, err := a.request(ctx, by, id)
	if err != nil {
		return err
	}
	app, err := a.Appointments.Reject(ctx, by, id, appointment.Ending{Reason: declined, Version: request.Version})
	if err != nil {
		return err
	}
	return a.answerOne(c, by, http.StatusOK, "Appointment rejected successfully", app)
}

// request reads an appointment that is to be answered. One that is booked is refused even if its patient has asked for
// another time: the older pages do not show that wish, so nobody answers it there by mistake.
func (a api) request(ctx context.Context, by auth.Actor, id string) (appointment.Appointment, error) {
	r, err := a.Appointments.Get(ctx, by, id)
	if err == nil && r.Status == appointment.Booked {
		err = r.NotPossible()
	}
	return r, err
}

// approve confirms a request at a day and a clock time in the doctor's zone.
func (a api) approve(c *fiber.Ctx, by auth.Actor) error {
	f, err := read(c)
	if err != nil {
		return err
	}
	w := when{day: f.day("date"), minutes: f.clock("time")}
	notes := f.text("notes")
	if err := f.err(); err != nil {
		return err
	}
	ctx := c.UserContext()
	d, err := a.Doctors.Get(ctx, by.UserID)
	if err != nil {
		return err
	}
	if w.zone, err = zone.Load(d.TimeZone); err != nil {
		return fmt.Errorf("read the zone of doctor %d: %w", d.ID, err)
	}
	app, err := a.confirm(ctx, by, c.Params("appointmentId"), w, notes)
	if err != nil {
		return withAlternatives(err, w.zone)
	}
	return a.answerOne(c, by, http.StatusOK, "Appointment booked successfully", app)
}

// when is the time that a doctor has chosen: a day and minutes since midnight, nil for the first free time.
type when struct {
	day     time.Time
	minutes *int
	zone    *time.Location
}

func (a api) confirm(
	ctx context.Context, by auth.Actor, id string, w when, notes string,
) (appointment.Appointment, error) {
	request, err := a.request(ctx, by, id)
	if err != nil {
		return appointment.Appointment{}, err
	}
	if w.minutes == nil {
		return a.confirmFirst(ctx, by, request, w, notes)
	}
	at, exists := instant(w.day, *w.minutes, w.zone)
	if !exists {
		return appointment.Appointment{}, a.instead(ctx, by, at, w.zone, errSkipped)
	}
	return a.Appointments.Confirm(ctx, by, id,
		appointment.Confirmation{StartsAt: &at, Note: notes, Version: request.Version})
}

// confirmFirst confirms a request at the first free time of the day, or at the time that the request itself names, if
// it is on that day. If somebody takes a time meanwhile, or the patient is busy then, the next one is tried.
func (a api) confirmFirst(
	ctx context.Context, by auth.Actor, request appointment.Appointment, w when, notes string,
) (none appointment.Appointment, err error) {
	c := appointment.Confirmation{Note: notes, Version: request.Version}
	if request.StartsAt != nil && sameDay(request.StartsAt.In(w.zone), w.day) {
		return a.Appointments.Confirm(ctx, by, request.PublicID, c)
	}
	begins, ends := schedule.DayStart(w.day, w.zone), schedule.DayStart(w.day.AddDate(0, 0, 1), w.zone)
	if !ends.After(a.Now()) {
		return none, errDayOver
	}
	free, err := a.free(ctx, by, begins, ends)
	if err != nil {
		return none, err
	}
	for _, slot := range free {
		c.StartsAt = &slot.StartsAt
		app, err := a.Appointments.Confirm(ctx, by, request.PublicID, c)
		if !aboutTime(err) {
			return app, err
		}
	}
	return none, a.instead(ctx, by, begins, w.zone, errDayFull)
}

// aboutTime reports whether err refuses a time because it is not free.
func aboutTime(err error) bool {
	var e *errs.Error
	return errors.As(err, &e) && e.Extra["alternatives"] != nil
}

// day reads a required day.
func (f *form) day(name string) time.Time {
	s := f.required(name)
	if s == "" {
		return time.Time{}
	}
	day, err := parseDay(s)
	if err != nil {
		f.refuse(name, err.Error())
	}
	return day
}

// clock reads a clock time; nil if it was not sent or is empty.
func (f *form) clock(name string) *int {
	s := f.text(name)
	if strings.TrimSpace(s) == "" {
		return nil
	}
	minutes, err := parseClock(s)
	if err != nil {
		f.refuse(name, err.Error())
	}
	return &minutes
}

// withAlternatives adds a refusal's free times to its message.
func withAlternatives(err error, loc *time.Location) error {
	var e *errs.Error
	if !errors.As(err, &e) {
		return err
	}
	free, ok := e.Extra["alternatives"].([]appointment.Alternative)
	if !ok {
		return err
	}
	return offering(e, free, loc)
}

const (
	// offered is how many free times are offered instead of one that cannot be had.
	offered = 5
	// offeredWithin is how far from it to look for them.
	offeredWithin = 14 * 24 * time.Hour
)

var (
	errSkipped = errs.New(errs.BadRequest, "no_such_time",
		"This time does not exist on that day, because the clocks go forward. Choose another.")
	errDayOver = errs.New(errs.BadRequest, "day_over", "This day has passed. Choose another.")
	errDayFull = errs.New(errs.Conflict, "no_free_time", "No time is free on this day. Choose another.")
)

// instead returns a refusal of a time with the free times nearest to it.
func (a api) instead(
	ctx context.Context, by auth.Actor, near time.Time, loc *time.Location, refusal *errs.Error,
) error {
	free, err := a.free(ctx, by, near.Add(-offeredWithin), near.Add(offeredWithin))
	if err != nil {
		return err
	}
	slices.SortStableFunc(free, func(x, y appointment.Slot) int {
		return cmp.Compare(x.StartsAt.Sub(near).Abs(), y.StartsAt.Sub(near).Abs())
	})
	nearest := make([]appointment.Alternative, min(len(free), offered))
	for i := range nearest {
		nearest[i] = appointment.Alternative(free[i])
	}
	return offering(refusal, nearest, loc)
}

// free returns the doctor's free times between two times, as far as they are still ahead, in order.
func (a api) free(ctx context.Context, by auth.Actor, from, to time.Time) ([]appointment.Slot, error) {
	if !to.After(a.Now()) {
		return nil, nil
	}
	free, _, err := a.Appointments.Slots(ctx, by.UserID,
		func(_ *time.Location, now time.Time) (_, _ time.Time, err error) {
			if from.Before(now) {
				return now, to, nil
			}
			return from, to, nil
		})
	return free, err
}
