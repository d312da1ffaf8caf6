// Package dev runs the whole product on one machine: a private PostgreSQL and Redis, instances that use them, demo
// data, and a mailbox that shows their emails. It uses package app as main does, and the reference client.
package dev

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"housecall/internal/config"
	"housecall/internal/devservices"
)

// database is dev's database inside its private PostgreSQL.
const database = "housecall"

// Options say how to run the whole product on one machine.
type Options struct {
	Dir   string // where the data is kept between runs
	Ports []int  // one instance each
	Out   io.Writer
	Log   zerolog.Logger
	// Ready is called, if set, once everything answers, with the instances' addresses and the demo appointment's id.
	Ready func(urls []string, appointment string)
}

// services are what instances run on.
type services struct {
	postgres *devservices.Postgres
	redis    *devservices.Redis
	mailbox  *mailbox // nil if emails go to a mail server
}

// Run runs a private PostgreSQL and Redis, and an instance on each port with the demo data, until ctx ends. Its errors
// are sentences for the person at the terminal.
func Run(ctx context.Context, o Options) (err error) {
	for _, port := range o.Ports {
		if err := portFree(ctx, port); err != nil {
			return err
		}
	}
	base, err := config.Unchecked()
	if err != nil {
		return err
	}
	o.say("Starting a private PostgreSQL and Redis in %s …", o.Dir)
	s := &services{}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := s.start(ctx, o.Dir); err != nil {
		return err
	}
	if err := o.confine(&base, s); err != nil {
		return err
	}
	if base.SMTPURL == "" {
		if s.mailbox, err = openMailbox(ctx, base.MailDir); err != nil {
			return err
		}
	}
	o.say("Starting %d instances …", len(o.Ports))
	instances, err := startInstances(ctx, base, o)
	defer func() { err = errors.Join(err, stopAll(instances)) }()
	if err != nil {
		return err
	}
	return o.hold(ctx, instances, s)
}

func (o Options) say(format string, args ...any) { _, _ = fmt.Fprintf(o.Out, format+"\n", args...) }

// start starts the servers. stop stops those that were started, even if start fails.
func (s *services) start(ctx context.Context, dir string) (err error) {
	s.postgres, err = devservices.StartPostgres(ctx, devservices.PostgresOptions{
		Dir: filepath.Join(dir, "postgres"), Durable: true,
	})
	if err != nil {
		return err
	}
	s.redis, err = devservices.StartRedis(ctx, devservices.RedisOptions{Dir: filepath.Join(dir, "redis")})
	if err != nil {
		return err
	}
	return ensureDatabase(ctx, s.postgres.DSN("postgres"))
}

func (s *services) stop() (err error) {
	if s.mailbox != nil {
		err = s.mailbox.close()
	}
	if s.redis != nil {
		err = errors.Join(err, s.redis.Stop())
	}
	if s.postgres != nil {
		err = errors.Join(err, s.postgres.Stop())
	}
	return err
}

// confine makes instances use only what is in the folder, whatever an environment made for serve says. A mail server is
// the exception: who names one wants to see what arrives there.
func (o Options) confine(c *config.Config, s *services) error {
	secret, err := tokenSecret(filepath.Join(o.Dir, "token-secret"))
	if err != nil {
		return err
	}
	c.DatabaseURL, c.RedisURL = config.Secret(s.postgres.DSN(database)), config.Secret(s.redis.URL())
	c.MigrateURL, c.RedisMode = "", "single"
	c.TokenSecrets = []config.Secret{config.Secret(secret)}
	c.MailDir = filepath.Join(o.Dir, "mail")
	c.S3Endpoint, c.AttachmentsDir = "", filepath.Join(o.Dir, "attachments")
	return nil
}

// hold creates the demo data, prints what there is to see, and waits until something ends.
func (o Options) hold(ctx context.Context, instances []instance, s *services) error {
	first, last := instances[0], instances[len(instances)-1]
	if err := seedUsers(ctx, first.App, first.zone); err != nil {
		return err
	}
	appointment, err := seedAppointment(ctx, first.url, last.url)
	if err != nil {
		return err
	}
	o.printTable(instances, appointment, s)
	if o.Ready != nil {
		urls := make([]string, len(instances))
		for i, in := range instances {
			urls[i] = in.url
		}
		o.Ready(urls, appointment)
	}
	select {
	case <-ctx.Done():
		o.say("\nStopping …")
		return nil
	case err := <-firstFailure(ctx, instances):
		return err
	case <-s.postgres.Exited():
		return fmt.Errorf("the private PostgreSQL has stopped: %s", s.postgres.LogCause())
	case <-s.redis.Exited():
		return fmt.Errorf("the private Redis has stopped: %s", s.redis.LogCause())
	}
}

// portFree returns an error, as one sentence, if a port is taken. It runs before anything is started.
func portFree(ctx context.Context, port int) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return fmt.Errorf("port %d cannot be used (%s): stop the program that uses it, or choose others with --ports",
			port, reason(err))
	}
	return ln.Close()
}

// reason returns the last part of a network error: what the system said.
func reason(err error) string {
	var sys *os.SyscallError
	if errors.As(err, &sys) {
		return sys.Err.Error()
	}
	return err.Error()
}

func ensureDatabase(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return fmt.Errorf("reach the private PostgreSQL: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var exists bool
	err = conn.QueryRow(ctx, `select exists (select from pg_database where datname = $1)`, database).Scan(&exists)
	if err != nil {
		return fmt.Errorf("look for the database: %w", err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, `create database `+database); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	return nil
}

// tokenSecret returns the random token secret in a file, which it creates if need be: sign-ins survive a restart.
func tokenSecret(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil && len(b) >= config.SecretMin {
		return string(b), nil
	}
	secret := rand.Text() + rand.Text()
	if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
		return "", fmt.Errorf("keep the token secret: %w", err)
	}
	return secret, nil
}
