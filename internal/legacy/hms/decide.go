package hms

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gofiber/fiber/v2"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/errs"
	"housecall/internal/zone"
)

// declined is the reason of rejections: the older pages do not ask for one, but patients are told one.
const declined = "Declined by the doctor."

func (a api) reject(c *fiber.Ctx, by auth.Actor) error {
	app, err := a.Appointments.Reject(c.UserContext(), by, c.Params("appointmentId"),
		appointment.Ending{Reason: declined})
	if err != nil {
		return err
	}
	return a.answerOne(c, by, http.StatusOK, "Appointment rejected successfully", app)
}

// approve confirms a request at a day and a clock time in the doctor's zone.
func (a api) approve(c *fiber.Ctx, by auth.Actor) error {
	f, err := read(c)
	if err != nil {
		return err
	}
	day, minutes, notes := f.day("date"), f.clock("time"), f.text("notes")
	if err := f.err(); err != nil {
		return err
	}
	ctx := c.UserContext()
	d, err := a.Doctors.Get(ctx, by.UserID)
	if err != nil {
		return err
	}
	loc, err := zone.Load(d.TimeZone)
	if err != nil {
		return fmt.Errorf("read the zone of doctor %d: %w", d.ID, err)
	}
	at, exists := instant(day, minutes, loc)
	if !exists {
		return a.skipped(ctx, by, at, loc)
	}
	app, err := a.Appointments.Confirm(ctx, by, c.Params("appointmentId"),
		appointment.Confirmation{StartsAt: &at, Note: notes})
	if err != nil {
		return withAlternatives(err, loc)
	}
	return a.answerOne(c, by, http.StatusOK, "Appointment booked successfully", app)
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

// clock reads a required clock time.
func (f *form) clock(name string) (minutes int) {
	s := f.required(name)
	if s == "" {
		return 0
	}
	minutes, err := parseClock(s)
	if err != nil {
		f.refuse(name, err.Error())
	}
	return minutes
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
	// offered is how many free times are offered instead of one that does not exist.
	offered = 5
	// offeredWithin is how far from it to look for them.
	offeredWithin = 14 * 24 * time.Hour
)

// skipped refuses a clock time that does not exist because the clocks go forward, with the nearest free times.
func (a api) skipped(ctx context.Context, by auth.Actor, near time.Time, loc *time.Location) error {
	e := errs.New(errs.BadRequest, "no_such_time",
		"This time does not exist on that day, because the clocks go forward. Choose another.")
	around := func(_ *time.Location, now time.Time) (from, to time.Time, err error) {
		from, to = near.Add(-offeredWithin), near.Add(offeredWithin)
		if from.Before(now) {
			from = now
		}
		return from, to, nil
	}
	free, _, err := a.Appointments.Slots(ctx, by.UserID, around)
	if errs.KindOf(err) == errs.Invalid {
		return e // too long ago for any offer
	}
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
	return offering(e, nearest, loc)
}
