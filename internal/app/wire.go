package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"housecall/internal/account"
	"housecall/internal/appointment"
	"housecall/internal/attachment"
	"housecall/internal/auth"
	"housecall/internal/bus"
	"housecall/internal/chat"
	"housecall/internal/config"
	"housecall/internal/conversation"
	"housecall/internal/doctor"
	"housecall/internal/httpd"
	"housecall/internal/httpd/ratelimit"
	"housecall/internal/idempotency"
	"housecall/internal/patient"
	"housecall/internal/postgres"
	"housecall/internal/preference"
	"housecall/internal/schedule"
	"housecall/internal/search"
	"housecall/internal/transcript"
)

// rooms are the services of an instance, for code that needs several of them.
type rooms struct {
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

// wire makes the services, each from those it needs, connects those that call each other, and mounts their routes.
func (a *App) wire(registry *prometheus.Registry) error {
	log := conversation.NewLog()
	r, err := newRooms(a.cfg, a.pool, ratelimit.New(a.redis, a.log), log)
	if err != nil {
		return err
	}
	if a.jobs, err = newJobs(a.cfg, a.pool, registry, a.log); err != nil {
		return err
	}
	notifications, err := a.newNotifications(r)
	if err != nil {
		return err
	}
	r.appointments.Connect(told{notifications, r})
	a.wireConversations(r, log, registry, notifications)
	r.accounts.Connect(account.Ports{
		Profiles: profiles{r.doctors, r.patients}, Doctors: r.appointments, Mail: notifications, Listener: a.chat,
	})
	a.accounts, a.doctors = r.accounts, r.doctors
	if a.blobs, err = openBlobs(a.cfg); err != nil {
		return err
	}
	a.files = attachment.New(attachment.Deps{
		Pool: a.pool, Store: a.blobs, Conversations: conversations{a.conversations}, Limiter: r.limiter,
		Options: attachmentOptions(a.cfg),
	})
	a.timers(r)
	a.http, err = httpd.New(httpd.Deps{
		Log: a.log, Registry: registry, Authenticator: r.accounts, Idempotency: r.answers, Checks: a.checks(),
		Options: httpdOptions(a.cfg),
	})
	if err != nil {
		return err
	}
	if a.cfg.MetricsAddr != "" {
		a.ops = httpd.NewOps(a.cfg.MetricsAddr, registry)
	}
	return a.mount(r)
}

// wireConversations makes what conversations are made of.
func (a *App) wireConversations(
	r *rooms, log *conversation.Log, registry *prometheus.Registry, notifications chat.Notifications,
) {
	a.conversations = conversation.New(conversation.Deps{
		Pool: a.pool, Log: log, Appointments: r.appointments, Registry: registry, Logger: a.log, Now: time.Now,
		Options: conversationOptions(a.cfg),
	})
	a.chat = chat.New(chat.Deps{
		Pool: a.pool, Bus: bus.NewRedis(a.redis, a.log), Conversations: a.conversations, Accounts: r.accounts,
		Registry: registry, Logger: a.log, Now: time.Now, Notifications: notifications, Options: chatOptions(a.cfg),
	})
	a.search = search.New(search.Deps{Pool: a.pool, Conversations: a.conversations})
	a.transcripts = transcript.New(transcript.Deps{
		Pool: a.pool, Conversations: a.conversations, Zones: r.preferences, Now: time.Now,
		Options: transcriptOptions(a.cfg),
	})
}

// newRooms makes the services that need nothing that runs.
func newRooms(
	cfg config.Config, pool *postgres.Pool, limiter ratelimit.Limiter, log *conversation.Log,
) (*rooms, error) {
	r := &rooms{pool: pool, limiter: limiter}
	var err error
	if r.sealer, err = auth.NewSealer(cfg.Secrets()); err != nil {
		return nil, fmt.Errorf("%sTOKEN_SECRETS: %w", config.Prefix, err)
	}
	if r.accounts, err = newAccounts(cfg, pool, limiter); err != nil {
		return nil, err
	}
	r.schedules = schedule.New(schedule.Deps{Now: time.Now, Options: scheduleOptions(cfg)})
	r.preferences = preference.New(preference.Deps{Pool: pool, Options: preferenceOptions(cfg)})
	r.doctors = doctor.New(doctor.Deps{Pool: pool, Schedules: r.schedules, Inviter: r.accounts})
	r.patients = patient.New(patient.Deps{Pool: pool, Doctors: r.doctors, Care: appointment.Care{}})
	r.appointments = appointment.New(appointment.Deps{
		Pool: pool, Schedule: r.schedules, Doctors: r.doctors, Patients: r.patients,
		Conversations: conversationsOf{log, chat.Counts{}}, Now: time.Now,
		Options: appointmentOptions(cfg),
	})
	r.answers = idempotency.New(idempotency.Deps{
		Pool: pool, Sealer: r.sealer, Now: time.Now, Options: idempotencyOptions(cfg),
	})
	return r, nil
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

// checks decide readiness: without PostgreSQL nothing works; without Redis the service is only slower.
func (a *App) checks() []httpd.Check {
	return []httpd.Check{
		{Name: "postgres", Required: true, Probe: a.pool.Ping},
		{Name: "redis", Probe: func(ctx context.Context) error { return a.redis.Ping(ctx).Err() }},
		{Name: "bus", Probe: a.chat.ProbeBus},
	}
}

// profiles makes what a role needs besides the account.
type profiles struct {
	doctors  *doctor.Service
	patients *patient.Service
}

// CreatePatient implements account.Profiles.
func (p profiles) CreatePatient(ctx context.Context, tx *postgres.Tx, userID int64, d account.PatientDetails) error {
	return p.patients.Create(ctx, tx, userID, detailsOf(d))
}

func detailsOf(d account.PatientDetails) patient.Details {
	entry := patient.Details{Phone: d.Phone, Gender: d.Gender, DateOfBirth: d.DateOfBirth, Address: d.Address}
	if d.Age != nil {
		entry.StatedAge = &patient.StatedAge{Years: *d.Age}
	}
	return entry
}

// KeepSignup implements account.Profiles.
func (p profiles) KeepSignup(ctx context.Context, tx *postgres.Tx, userID int64, d account.PatientDetails) error {
	return p.patients.KeepSignup(ctx, tx, userID, detailsOf(d))
}

// CreateDoctor implements account.Profiles.
func (p profiles) CreateDoctor(ctx context.Context, tx *postgres.Tx, userID int64) error {
	return p.doctors.Create(ctx, tx, userID)
}

// openRedis makes the client that REDIS_URL describes: one node, or with REDIS_MODE a Sentinel or a Cluster.
func openRedis(cfg config.Config) (redis.UniversalClient, error) {
	malformed := fmt.Errorf("%sREDIS_URL is malformed", config.Prefix) // the cause would repeat the password
	switch cfg.RedisMode {
	case "sentinel":
		o, err := redis.ParseFailoverURL(cfg.RedisURL.Reveal())
		if err != nil {
			return nil, malformed
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = redisTimeout, redisTimeout, redisTimeout
		return redis.NewFailoverClient(o), nil
	case "cluster":
		o, err := redis.ParseClusterURL(cfg.RedisURL.Reveal())
		if err != nil {
			return nil, malformed
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = redisTimeout, redisTimeout, redisTimeout
		return redis.NewClusterClient(o), nil
	default:
		o, err := redis.ParseURL(cfg.RedisURL.Reveal())
		if err != nil {
			return nil, malformed
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = redisTimeout, redisTimeout, redisTimeout
		return redis.NewClient(o), nil
	}
}

// redisTimeout is short: whatever Redis does for us, something else does if it does not answer.
const redisTimeout = time.Second

// quietRedis keeps the client library from writing to stderr on its own: the bus and the limiter say once when
// Redis goes and once when it comes back.
var quietRedis = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

// Printf drops the line.
func (silence) Printf(context.Context, string, ...any) {}
