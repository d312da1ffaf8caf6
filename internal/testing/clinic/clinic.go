// Package clinic makes the services about people, hours and appointments, for tests of packages that need them.
package clinic

import (
	"time"

	"housecall/internal/appointment"
	"housecall/internal/config"
	"housecall/internal/doctor"
	"housecall/internal/patient"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
)

// Clinic has the services, over one pool.
type Clinic struct {
	Schedules    *schedule.Service
	Doctors      *doctor.Service
	Patients     *patient.Service
	Appointments *appointment.Service
}

// Deps are what a Clinic needs.
type Deps struct {
	Pool          *postgres.Pool
	Inviter       doctor.Inviter // nil: nobody becomes a doctor
	Conversations appointment.Conversations
	Now           func() time.Time // nil: time.Now
	Config        config.Config    // the clinic's settings and limits
}

// New makes a clinic.
func New(d Deps) Clinic {
	var c Clinic
	c.Schedules = schedule.New(schedule.Deps{Now: d.Now, Options: ScheduleOptions(d.Config)})
	c.Doctors = doctor.New(doctor.Deps{
		Pool: d.Pool, Schedules: c.Schedules, Inviter: d.Inviter,
		Options: doctor.Options{PhoneRegion: d.Config.PhoneRegion, Collation: d.Config.NameCollation},
	})
	c.Patients = patient.New(patient.Deps{
		Pool: d.Pool, Doctors: c.Doctors, Care: appointment.Care{},
		Options: patient.Options{PhoneRegion: d.Config.PhoneRegion},
	})
	c.Appointments = appointment.New(appointment.Deps{
		Pool: d.Pool, Schedule: c.Schedules, Doctors: c.Doctors, Patients: c.Patients, Conversations: d.Conversations,
		Now: d.Now, Options: appointmentOptions(d.Config),
	})
	return c
}

// ScheduleOptions returns a configuration's defaults for doctors.
func ScheduleOptions(c config.Config) schedule.Options {
	o := schedule.Options{
		Zone: c.ClinicZone.Location, SlotMinutes: c.ClinicSlotMinutes, Notice: c.BookingNotice, Horizon: c.BookingHorizon,
	}
	for _, v := range c.ClinicHours {
		o.Hours = append(o.Hours, schedule.Clock(v))
	}
	return o
}

func appointmentOptions(c config.Config) appointment.Options {
	return appointment.Options{
		Zone:    c.ClinicZone.Location,
		HoldTTL: c.HoldTTL, OfferTTL: c.OfferTTL, RequestTTL: c.RequestTTL, CompleteAfter: c.CompleteAfter,
		CancellationWindow: c.CancellationWindow, FollowUpWindow: c.FollowUpWindow, MaxUpcoming: c.MaxUpcoming,
		MaxOpenRequests: c.MaxOpenRequests, MaxHolds: c.MaxHolds,
	}
}
