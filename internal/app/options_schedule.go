package app

import (
	"housecall/internal/config"
	"housecall/internal/schedule"
)

func scheduleOptions(c config.Config) schedule.Options {
	o := schedule.Options{
		Zone: c.Zone(), SlotMinutes: c.ClinicSlotMinutes, Notice: c.BookingNotice, Horizon: c.BookingHorizon,
	}
	hours, _ := config.ParseHours(c.ClinicHours) // Validate has made sure that they can be read
	for _, v := range hours {
		o.Hours = append(o.Hours, schedule.Clock(v))
	}
	return o
}
