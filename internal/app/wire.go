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
	"housecall/internal/auth"
	"housecall/internal/chat"
	"housecall/internal/config"
	"housecall/internal/doctor"
	"housecall/internal/httpd"
	"housecall/internal/idempotency"
	"housecall/internal/patient"
	"housecall/internal/postgres"
	"housecall/internal/schedule"
)

// wire makes the rooms, each from what it stands on, and mounts their routes.
func (a *App) wire(registry *prometheus.Registry) error {
	limiter := httpd.NewLimiter(a.redis, a.log)
	accounts, err := newAccounts(a.cfg, a.pool, limiter)
	if err != nil {
		return err
	}
	schedules, err := schedule.New(a.cfg)
	if err != nil {
		return err
	}
	doctors := doctor.New(a.pool, schedules, accounts)
	patients := patient.New(a.pool, doctors, appointment.Care{})
	log := chat.NewLog()
	appointments := appointment.New(a.pool, schedules, doctors, patients, log, a.cfg, time.Now)
	accounts.Connect(account.Ports{Profiles: profiles{doctors, patients}, Doctors: appointments})
	a.chat = chat.New(chat.Deps{
		Pool: a.pool, Bus: chat.NewRedisBus(a.redis, a.log), Log: log, Appointments: appointments, Accounts: accounts, Config: a.cfg, Registry: registry,
		Logger: a.log, Now: time.Now,
	})
	accounts.OnSessionsEnded(a.chat.SessionsEnded)
	a.accounts, a.doctors = accounts, doctors

	sealer, err := auth.NewSealer(a.cfg.Secrets())
	if err != nil {
		return err
	}
	a.idempotency = idempotency.New(a.pool, sealer, a.cfg, time.Now)
	a.http, err = httpd.New(httpd.Options{
		Config: a.cfg, Log: a.log, Registry: registry, Authenticator: accounts, Idempotency: a.idempotency, Checks: a.checks(),
		Version: Version, Now: time.Now,
	})
	if err != nil {
		return err
	}
	if a.cfg.MetricsAddr != "" {
		a.ops = httpd.NewOps(a.cfg.MetricsAddr, registry)
	}
	account.Routes(a.http, accounts)
	doctor.Routes(a.http, doctors)
	patient.Routes(a.http, patients)
	appointment.Routes(a.http, appointments)
	chat.Routes(a.http, a.chat)
	chat.Mount(a.http, a.chat)
	return nil
}

func newAccounts(cfg config.Config, pool *postgres.Pool, limiter httpd.Limiter) (*account.Service, error) {
	passwords, err := auth.NewPasswords()
	if err != nil {
		return nil, err
	}
	return account.New(pool, auth.NewTokens(cfg.Secrets(), cfg.AccessTTL, time.Now), passwords, limiter, cfg, time.Now)
}

// checks are what readiness asks: without PostgreSQL nothing works, without Redis it only gets slower.
func (a *App) checks() []httpd.Check {
	return []httpd.Check{
		{Name: "postgres", Required: true, Probe: a.pool.Ping},
		{Name: "redis", Probe: func(ctx context.Context) error { return a.redis.Ping(ctx).Err() }},
		{Name: "bus", Probe: a.chat.ProbeBus},
	}
}

// profiles makes what a role needs beside the account.
type profiles struct {
	doctors  *doctor.Service
	patients *patient.Service
}

// CreatePatient implements account.Profiles.
func (p profiles) CreatePatient(ctx context.Context, tx *postgres.Tx, userID int64, d account.PatientDetails) error {
	return p.patients.Create(ctx, tx, userID, patient.Details(d))
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

// redisTimeout is short: whatever Redis does for us, something else does when it does not answer.
const redisTimeout = time.Second

// quietRedis keeps the client library from writing to stderr on its own: the bus and the limiter say once when
// Redis goes and once when it comes back.
var quietRedis = sync.OnceFunc(func() { redis.SetLogger(silence{}) })

type silence struct{}

// Printf drops the line.
func (silence) Printf(context.Context, string, ...any) {}
