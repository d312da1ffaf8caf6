package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"housecall/internal/config"
	"housecall/internal/devservices"
)

// devDatabase is the database of dev inside its private PostgreSQL.
const devDatabase = "housecall"

// DevOptions say how to run the whole product on one machine.
type DevOptions struct {
	Dir   string // where PostgreSQL keeps its data over restarts
	Ports []int  // one instance each
	Out   io.Writer
	Log   zerolog.Logger
	// Ready is called, if set, once everything answers, with the demo appointment's id.
	Ready func(urls []string, appointment string)
}

// Dev runs a private PostgreSQL and Redis, an instance on each port, and the demo data, until ctx ends. Its errors
// are sentences for the person at the terminal.
func Dev(ctx context.Context, o DevOptions) (err error) {
	for _, port := range o.Ports {
		if err := portFree(ctx, port); err != nil {
			return err
		}
	}
	base, err := config.Unchecked()
	if err != nil {
		return err
	}
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(o.Out, format+"\n", args...) }
	say("Starting a private PostgreSQL and Redis under %s …", o.Dir)
	pg, err := devservices.StartPostgres(ctx, devservices.PostgresOptions{Dir: filepath.Join(o.Dir, "postgres"), Durable: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pg.Stop()) }()
	rdb, err := devservices.StartRedis(ctx, devservices.RedisOptions{Dir: filepath.Join(o.Dir, "redis")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rdb.Stop()) }()
	if err := ensureDatabase(ctx, pg.DSN("postgres")); err != nil {
		return err
	}
	if err := o.confine(&base, pg, rdb); err != nil {
		return err
	}
	box, err := openMailbox(ctx, base.MailDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, box.close()) }()
	say("Starting %d instances …", len(o.Ports))
	instances, err := startInstances(ctx, base, o)
	defer func() { err = errors.Join(err, stopAll(instances)) }()
	if err != nil {
		return err
	}
	return o.hold(ctx, instances, pg, rdb, box)
}

// confine has instances use nothing but what is in the folder: an environment made for serve must not lead elsewhere.
func (o DevOptions) confine(c *config.Config, pg *devservices.Postgres, rdb *devservices.Redis) error {
	secret, err := devSecret(filepath.Join(o.Dir, "token-secret"))
	if err != nil {
		return err
	}
	c.DatabaseURL, c.RedisURL = config.Secret(pg.DSN(devDatabase)), config.Secret(rdb.URL())
	c.MigrateURL, c.RedisMode = "", "single"
	c.TokenSecrets = []config.Secret{config.Secret(secret)}
	c.SMTPURL, c.MailDir = "", filepath.Join(o.Dir, "mail")
	c.S3Endpoint, c.AttachmentsDir = "", filepath.Join(o.Dir, "attachments")
	return nil
}

// hold seeds, says what there is to see, and waits for the end.
func (o DevOptions) hold(ctx context.Context, instances []*App, pg *devservices.Postgres, rdb *devservices.Redis, box *mailbox) error {
	first, last := instances[0], instances[len(instances)-1]
	if err := first.seedUsers(ctx); err != nil {
		return err
	}
	appointment, err := seedAppointment(ctx, first.cfg.PublicURL, last.cfg.PublicURL)
	if err != nil {
		return err
	}
	o.table(instances, appointment, pg.Dir, box.url())
	if o.Ready != nil {
		urls := make([]string, len(instances))
		for i, a := range instances {
			urls[i] = a.cfg.PublicURL
		}
		o.Ready(urls, appointment)
	}
	failed := make(chan error, len(instances))
	for _, a := range instances {
		go func() {
			select {
			case err := <-a.Failed():
				failed <- err
			case <-ctx.Done():
			}
		}()
	}
	select {
	case <-ctx.Done():
		_, _ = fmt.Fprintln(o.Out, "\nStopping …")
		return nil
	case err := <-failed:
		return err
	case <-pg.Exited():
		return fmt.Errorf("the private PostgreSQL has stopped: %s", pg.LogCause())
	case <-rdb.Exited():
		return fmt.Errorf("the private Redis has stopped: %s", rdb.LogCause())
	}
}

// startInstances gives the instances that run, also when a later one fails.
func startInstances(ctx context.Context, base config.Config, o DevOptions) ([]*App, error) {
	var running []*App
	for _, port := range o.Ports {
		cfg := base
		cfg.Addr = fmt.Sprintf("127.0.0.1:%d", port) // the demo passwords are known to everybody
		cfg.PublicURL = fmt.Sprintf("http://localhost:%d", port)
		cfg.MetricsAddr = "127.0.0.1:0"
		for _, other := range o.Ports {
			if other != port {
				cfg.AllowedOrigins = append(cfg.AllowedOrigins, fmt.Sprintf("http://localhost:%d", other))
			}
		}
		if err := cfg.Validate(); err != nil {
			return running, err
		}
		a, err := New(cfg, o.Log.With().Int("port", port).Logger())
		if err != nil {
			return running, err
		}
		if err := a.Start(ctx); err != nil {
			return running, err
		}
		running = append(running, a)
	}
	return running, nil
}

func stopAll(instances []*App) error {
	failures := make([]error, len(instances))
	var all sync.WaitGroup
	for i, a := range instances {
		all.Go(func() { failures[i] = a.Stop() })
	}
	all.Wait()
	return errors.Join(failures...)
}

// portFree says in one sentence when a port is taken, before anything else is started.
func portFree(ctx context.Context, port int) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return fmt.Errorf("port %d cannot be used (%s): stop what uses it, or choose others with --ports", port, reason(err))
	}
	return ln.Close()
}

// reason is the last part of a network error: what the system said.
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
	var there bool
	if err := conn.QueryRow(ctx, `select exists (select from pg_database where datname = $1)`, devDatabase).Scan(&there); err != nil {
		return fmt.Errorf("look for the database: %w", err)
	}
	if there {
		return nil
	}
	if _, err := conn.Exec(ctx, `create database `+devDatabase); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	return nil
}

// devSecret keeps one random token secret, so that sign-ins survive a restart.
func devSecret(path string) (string, error) {
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

// table prints what there is to see. data is where PostgreSQL really keeps its data.
func (o DevOptions) table(instances []*App, appointment, data, mailbox string) {
	var b strings.Builder
	b.WriteString("\nHousecall is running.\n\n")
	for i, a := range instances {
		fmt.Fprintf(&b, "  instance %d   %s   API docs %s/docs   metrics http://%s/metrics\n",
			i+1, a.cfg.PublicURL, a.cfg.PublicURL, a.MetricsAddr())
	}
	fmt.Fprintf(&b, "  mailbox      %s   every mail that the instances write\n", mailbox)
	fmt.Fprintf(&b, "\n  sign-ins (all with the password %s)\n", DemoPassword)
	for _, u := range DemoUsers {
		fmt.Fprintf(&b, "    %-20s %-18s %s\n", u.Email, u.Name, strings.TrimSpace(strings.ToLower(string(u.Role))+" "+u.profile.Specialization))
	}
	if appointment == "" {
		b.WriteString("\n  patient1 and doctor1 have no appointment now: other bookings are in the way, or their accounts have changed.\n" +
			"  Book one to chat, or remove the data to begin anew.\n")
	} else {
		chatLines(&b, instances, appointment)
	}
	fmt.Fprintf(&b, "\nCtrl-C stops everything; the data stays in %s.\n", data)
	_, _ = io.WriteString(o.Out, b.String())
}

func chatLines(b *strings.Builder, instances []*App, appointment string) {
	people := []struct {
		email string
		at    *App
	}{{"patient1@demo.test", instances[0]}, {"doctor1@demo.test", instances[len(instances)-1]}}
	fmt.Fprintf(b, "\n  appointment %s of patient1 with doctor1: chat in it on two instances, in a browser, signed in as each,\n\n", appointment)
	for _, who := range people {
		fmt.Fprintf(b, "    %-20s %s%s/%s\n", who.email, who.at.cfg.PublicURL, config.AppointmentsPath, appointment)
	}
	b.WriteString("\n  or in two terminals:\n\n")
	program := programName()
	for _, who := range people {
		fmt.Fprintf(b, "    HOUSECALL_PASSWORD=%s %s chat --as %s --server %s %s\n", DemoPassword, program, who.email, who.at.cfg.PublicURL, appointment)
	}
}

// programName is how the user started the program, so that the printed commands can be pasted.
func programName() string {
	exe, err := os.Executable()
	if err != nil {
		return "housecall"
	}
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, exe); err == nil && !strings.HasPrefix(rel, "..") {
			return "./" + rel
		}
	}
	return exe
}
