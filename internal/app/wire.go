package app

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"housecall/internal/account"
	"housecall/internal/appointment"
	"housecall/internal/assistant"
	"housecall/internal/attachment"
	"housecall/internal/auth"
	"housecall/internal/blob"
	"housecall/internal/bus"
	"housecall/internal/chat"
	"housecall/internal/config"
	"housecall/internal/conversation"
	"housecall/internal/doctor"
	"housecall/internal/httpd"
	"housecall/internal/httpd/ratelimit"
	"housecall/internal/idempotency"
	"housecall/internal/patient"
	"housecall/internal/pdf"
	"housecall/internal/postgres"
	"housecall/internal/preference"
	"housecall/internal/schedule"
	"housecall/internal/search"
	"housecall/internal/transcript"
)

// services are those services of an instance that the code in this package needs together.
type services struct {
	pool         *postgres.Pool
	limiter      ratelimit.Limiter
	sealer       *auth.Sealer
	accounts     *account.Service
	schedules    *schedule.Service
	preferences  *preference.Service
	doctors      *doctor.Service
	patients     *patient.Service
	appointments *appointment.Service
	answers      *idempotency.Service
}

// wire makes the services in the order in which they need each other, connects those that call each other, and mounts
// their routes.
func (a *App) wire(registry *prometheus.Registry) error {
	log := conversation.NewLog()
	s, err := newServices(a.cfg, a.pool, ratelimit.New(a.redis, a.log), log)
	if err != nil {
		return err
	}
	if a.jobs, err = newJobs(a.cfg, a.pool, registry, a.log); err != nil {
		return err
	}
	notifications, err := a.newNotifications(s)
	if err != nil {
		return err
	}
	s.appointments.Connect(told{notifications, s})
	if err := a.wireConversations(s, log, registry, notifications); err != nil {
		return err
	}
	notifications.Connect(a.chat)
	s.accounts.Connect(account.Ports{
		Profiles: profiles{s.doctors, s.patients}, Doctors: s.appointments, Mail: notifications, Listener: a.chat,
	})
	a.accounts, a.doctors = s.accounts, s.doctors
	if a.blobs, err = openBlobs(a.cfg); err != nil {
		return err
	}
	a.stored = blob.NewWatch(a.blobs, a.log, registry)
	a.files = attachment.New(attachment.Deps{
		Pool: a.pool, Store: a.blobs, Conversations: conversations{a.conversations}, Limiter: s.limiter,
		Options: attachmentOptions(a.cfg),
	})
	if err := a.wireAssistant(s, registry); err != nil {
		return err
	}
	a.timers(s)
	a.http, err = httpd.New(httpd.Deps{
		Log: a.log, Registry: registry, Authenticator: s.accounts, Idempotency: s.answers, Checks: a.checks(),
		Options: httpdOptions(a.cfg),
	})
	if err != nil {
		return err
	}
	if a.cfg.MetricsAddr != "" {
		a.ops = httpd.NewOps(a.cfg.MetricsAddr, registry)
	}
	return a.mount(s)
}

// wireConversations makes the services around conversations.
func (a *App) wireConversations(
	s *services, log *conversation.Log, registry *prometheus.Registry, notifications chat.Notifications,
) error {
	fonts, err := pdf.LoadFonts(a.cfg.TranscriptFonts)
	if err != nil {
		return fmt.Errorf("HOUSECALL_TRANSCRIPT_FONTS: %w", err)
	}
	a.conversations = conversation.New(conversation.Deps{
		Pool: a.pool, Log: log, Appointments: s.appointments, Registry: registry, Logger: a.log, Now: time.Now,
		Options: conversationOptions(a.cfg),
	})
	a.chat = chat.New(chat.Deps{
		Pool: a.pool, Bus: a.newBus(), Conversations: a.conversations, Accounts: s.accounts,
		Registry: registry, Logger: a.log, Now: time.Now, Notifications: notifications, Options: chatOptions(a.cfg),
	})
	a.search = search.New(search.Deps{Pool: a.pool, Conversations: a.conversations})
	a.transcripts = transcript.New(transcript.Deps{
		Pool: a.pool, Conversations: a.conversations, Fonts: fonts, Zones: s.preferences, Now: time.Now,
		Options: transcriptOptions(a.cfg),
	})
	return nil
}

func (a *App) wireAssistant(s *services, registry *prometheus.Registry) error {
	o, err := assistantOptions(a.cfg)
	if err != nil {
		return err
	}
	a.assistant = assistant.New(assistant.Deps{Limiter: s.limiter, Registry: registry, Logger: a.log, Options: o})
	return nil
}

// newServices makes the services that need nothing but PostgreSQL, a limiter and each other.
func newServices(
	cfg config.Config, pool *postgres.Pool, limiter ratelimit.Limiter, log *conversation.Log,
) (*services, error) {
	s := &services{pool: pool, limiter: limiter}
	var err error
	if s.sealer, err = auth.NewSealer(cfg.Secrets()); err != nil {
		return nil, fmt.Errorf("%sTOKEN_SECRETS: %w", config.Prefix, err)
	}
	if s.accounts, err = newAccounts(cfg, pool, limiter); err != nil {
		return nil, err
	}
	s.schedules = schedule.New(schedule.Deps{Now: time.Now, Options: scheduleOptions(cfg)})
	s.preferences = preference.New(preference.Deps{Pool: pool, Options: preferenceOptions(cfg)})
	s.doctors = doctor.New(doctor.Deps{
		Pool: pool, Schedules: s.schedules, Inviter: s.accounts, Options: doctorOptions(cfg),
	})
	s.patients = patient.New(patient.Deps{
		Pool: pool, Doctors: s.doctors, Care: appointment.Care{}, Options: patient.Options{PhoneRegion: cfg.PhoneRegion},
	})
	s.appointments = appointment.New(appointment.Deps{
		Pool: pool, Schedule: s.schedules, Doctors: s.doctors, Patients: s.patients,
		Conversations: conversationsOf{log, chat.Counts{}}, Now: time.Now,
		Options: appointmentOptions(cfg),
	})
	s.answers = idempotency.New(idempotency.Deps{
		Pool: pool, Sealer: s.sealer, Now: time.Now, Options: idempotencyOptions(cfg),
	})
	return s, nil
}

func newAccounts(cfg config.Config, pool *postgres.Pool, limiter ratelimit.Limiter) (*account.Service, error) {
	passwords, err := auth.NewPasswords()
	if err != nil {
		return nil, err
	}
	return account.New(account.Deps{
		Pool: pool, Tokens: auth.NewTokens(cfg.Secrets(), cfg.AccessTTL, time.Now), Passwords: passwords, Limiter: limiter,
		Now: time.Now, Options: accountOptions(cfg),
	})
}

// newBus makes the bus to other instances; an instance without Redis has none.
func (a *App) newBus() bus.Bus {
	if a.redis == nil {
		return bus.NewNetwork().Join()
	}
	return bus.NewRedis(a.redis, a.log)
}

// checks decide readiness: nothing works without PostgreSQL; without Redis the service is only slower; while nothing
// commits, or files cannot be stored, people can still read, and no other instance would do better.
func (a *App) checks() []httpd.Check {
	all := []httpd.Check{
		{Name: "postgres", Required: true, Probe: a.pool.Ping},
		{Name: "commits", Probe: a.commits.Probe},
		{Name: "files", Probe: a.stored.Probe},
	}
	if a.redis == nil {
		return all
	}
	return append(all,
		httpd.Check{Name: "redis", Probe: func(ctx context.Context) error { return a.redis.Ping(ctx).Err() }},
		httpd.Check{Name: "bus", Probe: a.chat.ProbeBus})
}
