package app

import (
	"cmp"

	"housecall/internal/calendar"
	"housecall/internal/config"
)

func calendarOptions(c config.Config) calendar.Options {
	return calendar.Options{PublicURL: c.PublicURL, Horizon: c.BookingHorizon, Organizer: organizer(c)}
}

// organizer is the clinic, as calendars show who invites.
func organizer(c config.Config) calendar.Party {
	from := c.Sender()
	return calendar.Party{Name: cmp.Or(from.Name, "Housecall"), Email: from.Address}
}
