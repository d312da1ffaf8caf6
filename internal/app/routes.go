package app

import (
	"time"

	"housecall/internal/account"
	"housecall/internal/appointment"
	"housecall/internal/assistant"
	"housecall/internal/attachment"
	"housecall/internal/calendar"
	"housecall/internal/chat"
	"housecall/internal/conversation"
	"housecall/internal/doctor"
	"housecall/internal/jobs"
	"housecall/internal/legacy/hms"
	"housecall/internal/legacy/pms"
	"housecall/internal/patient"
	"housecall/internal/preference"
	"housecall/internal/search"
	"housecall/internal/transcript"
	"housecall/internal/ui"
)

// mount adds the routes of all packages, and of the older APIs that are enabled.
func (a *App) mount(s *services) error {
	account.Routes(a.http, s.accounts)
	doctor.Routes(a.http, s.doctors)
	patient.Routes(a.http, s.patients)
	preference.Routes(a.http, s.preferences)
	appointment.Routes(a.http, s.appointments)
	calendar.Routes(a.http, newCalendar(a.cfg, a.pool, s.appointments, s.limiter))
	conversation.Routes(a.http, a.conversations)
	chat.Routes(a.http, a.chat)
	chat.Mount(a.http, a.chat)
	search.Routes(a.http, a.search)
	transcript.Routes(a.http, a.transcripts)
	attachment.Routes(a.http, a.files)
	assistant.Routes(a.http, a.assistant)
	jobs.Routes(a.http, a.jobs)
	ui.Routes(a.http, ui.Deps{Accounts: s.accounts, Options: ui.Options{Origin: a.cfg.Origins()[0]}})
	zone := a.cfg.ClinicZone.Location
	if a.cfg.LegacyPMS {
		pms.Mount(a.http,
			pms.Deps{Accounts: s.accounts, Patients: s.patients, Appointments: s.appointments, Zone: zone, Now: time.Now})
	}
	if a.cfg.LegacyHMS {
		hms.Routes(a.http, hms.Deps{
			Accounts:      s.accounts,
			Doctors:       s.doctors,
			Patients:      s.patients,
			Appointments:  s.appointments,
			Counter:       s.appointments,
			Conversations: a.conversations, Chat: a.chat, Assistant: a.assistant, Now: time.Now,
		})
	}
	return nil
}
