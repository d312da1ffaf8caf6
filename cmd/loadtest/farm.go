package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"housecall/internal/config"
	"housecall/internal/devservices"
)

const (
	farmAdmin  = "admin@load.test"
	readyIn    = 30 * time.Second
	stopIn     = 40 * time.Second
	farmOfSize = 2
)

// farm is the servers of a bench: a durable PostgreSQL, Redis, two instances.
type farm struct {
	postgres *devservices.Postgres
	redis    *devservices.Redis
	binary   string
	password string // the admin's
	secret   string
	extra    []string
	limited  bool // messages and sockets have the default limits, which are meant for people
	log      io.WriteCloser

	addresses, metrics []string
	instances          []*exec.Cmd
	mail               string // the folder to which instances write mail
}

func startFarm(ctx context.Context, b *bench, p *plan) (f *farm, err error) {
	f = &farm{password: random(), secret: random() + random(), extra: b.env}
	if f.binary, err = filepath.Abs(b.binary); err != nil {
		return nil, err
	}
	if _, err = os.Stat(f.binary); err != nil {
		return nil, fmt.Errorf("--spawn: %w (run make build)", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.stop())
		}
	}()
	if b.logs != "" {
		if f.log, err = os.Create(b.logs); err != nil {
			return f, err
		}
	}
	fmt.Fprintln(p.progress, "starting PostgreSQL (durable), Redis and two instances")
	if f.mail, err = os.MkdirTemp("", "housecall-load-mail-"); err != nil {
		return f, err
	}
	if f.postgres, err = devservices.StartPostgres(ctx, devservices.PostgresOptions{Durable: true}); err != nil {
		return f, err
	}
	if f.redis, err = devservices.StartRedis(ctx, devservices.RedisOptions{}); err != nil {
		return f, err
	}
	if err = f.choosePorts(p); err != nil {
		return f, err
	}
	if err = f.once(ctx, "migrate", "up"); err != nil {
		return f, err
	}
	if err = f.once(ctx, "admin", "create", "--email", farmAdmin, "--name", "Load Admin"); err != nil {
		return f, err
	}
	return f, f.serve(ctx)
}

func random() string {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	return hex.EncodeToString(raw[:])
}

// choosePorts finds free ports. If one is taken before serve uses it, serve says so.
func (f *farm) choosePorts(p *plan) error {
	p.servers = nil
	for range 2 * farmOfSize {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return fmt.Errorf("find a free port: %w", err)
		}
		defer func() { _ = l.Close() }()
		if len(f.addresses) < farmOfSize {
			f.addresses = append(f.addresses, l.Addr().String())
			p.servers = append(p.servers, "http://"+l.Addr().String())
		} else {
			f.metrics = append(f.metrics, l.Addr().String())
		}
	}
	return nil
}

// environment returns an instance's environment. It only raises limits that are meant for people; if the farm is
// limited, only those of sign-ins and registrations.
func (f *farm) environment(i int) []string {
	env := []string{"PATH=/usr/local/bin:/usr/bin:/bin"}
	settings := map[string]string{
		"ADDR": f.addresses[i], "METRICS_ADDR": f.metrics[i], "PUBLIC_URL": "http://" + f.addresses[i],
		"DATABASE_URL": f.postgres.DSN("postgres"), "REDIS_URL": f.redis.URL(),
		"TOKEN_SECRETS": f.secret, "PASSWORD": f.password, "LOG_LEVEL": "warn",
		"MAIL_DIR":           f.mail,
		"LOGINS_PER_ADDRESS": "1000000", "REGISTERS_PER_ADDRESS": "1000000",
	}
	if !f.limited {
		for _, name := range []string{
			"SOCKETS_PER_USER", "SOCKETS_PER_ADDRESS",
			"MESSAGES_PER_SECOND", "USER_MESSAGES_PER_SECOND", "ROOM_MESSAGES_PER_SECOND",
		} {
			settings[name] = "1000000"
		}
	}
	for name, value := range settings {
		env = append(env, config.Prefix+name+"="+value)
	}
	return append(env, f.extra...)
}

// once runs a command of the binary to its end.
func (f *farm) once(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, f.binary, args...) //nolint:gosec // the binary is what the user named
	cmd.Env = f.environment(0)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("housecall %s %s: %w: %s", args[0], args[1], err, out)
	}
	return nil
}

// serve starts the instances and waits until they are ready.
func (f *farm) serve(ctx context.Context) error {
	for i := range f.addresses {
		cmd := exec.Command(f.binary, "serve") //nolint:gosec,noctx // the binary is what the user named; stop ends it
		cmd.Env = f.environment(i)
		// Ctrl-C must reach only us: we stop them in order.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if f.log != nil {
			cmd.Stdout, cmd.Stderr = f.log, f.log
		}
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("start an instance: %w", err)
		}
		f.instances = append(f.instances, cmd)
	}
	ctx, cancel := context.WithTimeout(ctx, readyIn)
	defer cancel()
	for _, address := range f.addresses {
		if err := ready(ctx, "http://"+address+"/readyz"); err != nil {
			return err
		}
	}
	return nil
}

func ready(ctx context.Context, url string) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("an instance did not become ready (%s): see --logs", url)
		}
	}
}

// restart starts new processes on the same ports and data.
func (f *farm) restart(ctx context.Context) error {
	if err := f.stopInstances(); err != nil {
		return err
	}
	return f.serve(ctx)
}

func (f *farm) pids() []int {
	var out []int
	for _, cmd := range f.instances {
		out = append(out, cmd.Process.Pid)
	}
	return out
}

// stopInstances asks the instances to stop and waits. It kills one that does not stop in time, and returns an error.
func (f *farm) stopInstances() error {
	var failures []error
	for _, cmd := range f.instances {
		_ = cmd.Process.Signal(syscall.SIGTERM) // fails only if it has ended
	}
	for i, cmd := range f.instances {
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case err := <-done:
			if err != nil {
				failures = append(failures, fmt.Errorf("instance %d stopped with %w", i+1, err))
			}
		case <-time.After(stopIn):
			_ = cmd.Process.Kill() // fails only if it has ended
			failures = append(failures, fmt.Errorf("instance %d did not stop within %s: %w", i+1, stopIn, <-done))
		}
	}
	f.instances = nil
	return errors.Join(failures...)
}

func (f *farm) stop() error {
	err := f.stopInstances()
	if f.redis != nil {
		err = errors.Join(err, f.redis.Stop())
	}
	if f.postgres != nil {
		err = errors.Join(err, f.postgres.Stop())
	}
	if f.log != nil {
		err = errors.Join(err, f.log.Close())
	}
	if f.mail != "" {
		err = errors.Join(err, os.RemoveAll(f.mail))
	}
	return err
}
