package app

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"housecall/internal/account"
	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/config"
	"housecall/internal/jobs"
	"housecall/internal/mail"
	"housecall/internal/notify"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
)

// newJobs makes the instance's jobs; nothing runs before Start.
func newJobs(cfg config.Config, pool *postgres.Pool, registry prometheus.Registerer, log zerolog.Logger) (*jobs.Service, error) {
	return jobs.New(jobs.Deps{
		Pool: pool, Log: log, Registry: registry, Now: time.Now, Workers: cfg.JobWorkers, PollOnly: cfg.JobsPollOnly,
	})
}

// newMailer makes what mail goes through: a server, or without one a folder.
func newMailer(cfg config.Config) (mail.Sender, error) {
	if cfg.SMTPURL == "" {
		return mail.NewFolder(cfg.MailDir, cfg.Sender()), nil
	}
	server, err := config.ParseSMTP(cfg.SMTPURL)
	if err != nil {
		return nil, fmt.Errorf("%sSMTP_URL %w", config.Prefix, err)
	}
	return mail.NewSMTP(server, cfg.Sender(), nil)
}

// newNotices makes the mails of what happens in the rooms.
func newNotices(
	cfg config.Config, log zerolog.Logger, work *jobs.Service, accounts *account.Service, appointments *appointment.Service,
	zones doctorZones,
) (*notify.Service, error) {
	mailer, err := newMailer(cfg)
	if err != nil {
		return nil, err
	}
	sealer, err := auth.NewSealer(cfg.Secrets())
	if err != nil {
		return nil, fmt.Errorf("%sTOKEN_SECRETS: %w", config.Prefix, err)
	}
	zone, err := config.LoadZone(cfg.ClinicZone)
	if err != nil {
		return nil, fmt.Errorf("%sCLINIC_ZONE %w", config.Prefix, err)
	}
	return notify.New(notify.Deps{
		Jobs: work, Mail: mailer, Sealer: sealer, Appointments: noticedAppointments{appointments, zones}, People: everybodyVerified{accounts},
		Preferences: noPreferences{}, PublicURL: cfg.PublicURL, Domain: mail.Domain(cfg.Sender()), Zone: zone, Now: time.Now, Log: log,
	}), nil
}

// doctorZones tell in which zone a doctor works.
type doctorZones struct {
	pool      *postgres.Pool
	schedules *schedule.Service
}

func (z doctorZones) of(ctx context.Context, doctorID int64) (string, error) {
	rules, err := z.schedules.Rules(ctx, z.pool, doctorID)
	return rules[doctorID].TimeZone, err
}

// noticedAppointments show appointments as mails need them.
type noticedAppointments struct {
	appointments *appointment.Service
	zones        doctorZones
}

var _ notify.Appointments = noticedAppointments{}

// Appointment implements notify.Appointments.
func (n noticedAppointments) Appointment(ctx context.Context, id int64) (notify.Appointment, error) {
	a, err := n.appointments.ByID(ctx, id)
	if err != nil {
		return notify.Appointment{}, err
	}
	zone, err := n.zones.of(ctx, a.Doctor.ID)
	if err != nil {
		return notify.Appointment{}, err
	}
	return noticed(a, zone), nil
}

// noticed is an appointment without anything clinical in it.
func noticed(a appointment.Appointment, zone string) notify.Appointment {
	return notify.Appointment{
		ID: a.ID, PublicID: a.PublicID, Version: a.Version, Status: string(a.Status), StartsAt: a.StartsAt, EndsAt: a.EndsAt, TimeZone: zone,
		PatientID: a.Patient.ID, DoctorID: a.Doctor.ID, PatientName: a.Patient.Name, DoctorName: a.Doctor.Name, UpdatedAt: a.UpdatedAt,
	}
}

// everybodyVerified gives people by their accounts, and takes every address for verified: accounts do not yet know
// which ones are.
type everybodyVerified struct{ accounts *account.Service }

var _ notify.People = everybodyVerified{}

// Addressee implements notify.People.
func (e everybodyVerified) Addressee(ctx context.Context, userID int64) (notify.Addressee, error) {
	u, err := e.accounts.Me(ctx, auth.Actor{ID: userID})
	if err != nil {
		return notify.Addressee{}, err
	}
	return notify.Addressee{ID: u.ID, Name: u.Name, Email: u.Email, Verified: true, Active: u.DisabledAt == nil}, nil
}

// noPreferences are those of people who have none: everything at once, times in the doctor's zone.
type noPreferences struct{}

var _ notify.Preferences = noPreferences{}

// Decide implements notify.Preferences.
func (noPreferences) Decide(_ context.Context, _ int64, _ string, _ bool, at time.Time) (send bool, notBefore time.Time, err error) {
	return true, at, nil
}

// Zone implements notify.Preferences.
func (noPreferences) Zone(context.Context, int64) (*time.Location, error) { return nil, nil } //nolint:nilnil // nil is "none chosen"
