// Package app is the composition root: New wires the packages, Start and Stop run them in the right order. An App is a
// value, so that tests can run several instances in one process, each on a port of its own.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"housecall/internal/account"
	"housecall/internal/assistant"
	"housecall/internal/attachment"
	"housecall/internal/audit"
	"housecall/internal/blob"
	"housecall/internal/chat"
	"housecall/internal/config"
	"housecall/internal/conversation"
	"housecall/internal/doctor"
	"housecall/internal/httpd"
	"housecall/internal/jobs"
	"housecall/internal/postgres"
	"housecall/internal/search"
	"housecall/internal/transcript"
)

// Version is the program's version; main sets it.
var Version = "dev"

// App is one instance.
type App struct {
	cfg     config.Config
	log     zerolog.Logger
	pool    *postgres.Pool
	redis   redis.UniversalClient
	http    *httpd.Server
	ops     *httpd.Ops
	jobs    *jobs.Service
	blobs   blob.Store
	files   *attachment.Service
	stored  *blob.Watch
	commits *postgres.Commits
	sealer  *audit.Sealer

	conversations *conversation.Service
	chat          *chat.Service
	search        *search.Service
	transcripts   *transcript.Service
	assistant     *assistant.Service

	// For the methods in operate.go.
	accounts *account.Service
	doctors  *doctor.Service

	ln, opsLn net.Listener
	serving   sync.WaitGroup
	failed    chan error
	started   bool
}

// New wires an instance; nothing runs or connects until Start. cfg must be valid.
func New(cfg config.Config, log zerolog.Logger) (*App, error) {
	quietRedis()
	pool, err := postgres.Open(context.Background(), postgres.Options{
		DSN: cfg.DatabaseURL.Reveal(), MaxConns: int32(cfg.DatabaseMaxConns),
	})
	if err != nil {
		return nil, fmt.Errorf("%sDATABASE_URL: %w", config.Prefix, err)
	}
	rdb, err := openRedis(cfg)
	if err != nil {
		pool.Close()
		return nil, err
	}
	a := &App{
		cfg: cfg, log: log, pool: pool, redis: rdb, failed: make(chan error, 2), sealer: audit.NewSealer(pool, log),
		commits: postgres.NewCommits(pool),
	}
	if err := a.wire(prometheus.NewRegistry()); err != nil {
		a.closeClients()
		return nil, err
	}
	return a, nil
}

// Start waits for PostgreSQL, migrates the schema, and serves. Redis may come later. If Start fails, or ctx ends
// first, everything is closed again.
func (a *App) Start(ctx context.Context) error {
	err := a.bringUp(ctx)
	if err != nil && !a.started {
		a.closeClients()
	}
	return err
}

func (a *App) bringUp(ctx context.Context) error {
	err := a.pool.WaitReady(ctx, func(err error) { a.log.Warn().Err(err).Msg("waiting for PostgreSQL") })
	if err != nil {
		return err
	}
	if err := postgres.Migrate(ctx, a.cfg.MigrationDSN()); err != nil {
		return err
	}
	if err := a.doctors.CheckCollation(ctx); err != nil {
		return fmt.Errorf("%sNAME_COLLATION: %w", config.Prefix, err)
	}
	if err := a.listen(ctx); err != nil {
		return err
	}
	if err := a.chat.Start(ctx); err != nil {
		return errors.Join(err, a.unlisten())
	}
	a.conversations.Start()
	a.search.Start()
	if err := a.jobs.Start(ctx); err != nil {
		a.stopConversations(ctx)
		return errors.Join(err, a.unlisten())
	}
	a.sealer.Start()
	a.stored.Start()
	a.serve(func() error { return a.http.Serve(a.ln) })
	if a.ops != nil {
		a.serve(func() error { return a.ops.Serve(a.opsLn) })
	}
	a.started = true
	if err := a.answers(ctx); err != nil {
		return errors.Join(err, a.Stop())
	}
	a.log.Info().Str("addr", a.Addr()).Str("version", Version).Msg("serving")
	if a.cfg.SMTPURL == "" {
		a.log.Info().Str("folder", a.cfg.MailDir).Msg("no mail server is configured: writing email to a folder")
	}
	return nil
}

// listen binds both ports, or none if it fails.
func (a *App) listen(ctx context.Context) (err error) {
	if a.ops != nil {
		if a.opsLn, err = a.ops.Listen(); err != nil {
			return err
		}
	}
	if a.ln, err = new(net.ListenConfig).Listen(ctx, "tcp", a.cfg.Addr); err != nil {
		return errors.Join(fmt.Errorf("listen: %w", err), a.unlisten())
	}
	return nil
}

func (a *App) unlisten() error {
	var failures []error
	for _, ln := range []net.Listener{a.ln, a.opsLn} {
		if ln != nil {
			failures = append(failures, ln.Close())
		}
	}
	return errors.Join(failures...)
}

// answers returns once the instance answers requests: until then it cannot be stopped either.
func (a *App) answers(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.Addr()+"/healthz", http.NoBody)
	if err != nil {
		return fmt.Errorf("check that the instance answers: %w", err)
	}
	once := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := once.Do(req)
	if err != nil {
		return fmt.Errorf("check that the instance answers: %w", err)
	}
	return resp.Body.Close()
}

func (a *App) serve(f func() error) {
	a.serving.Go(func() {
		if err := f(); err != nil {
			a.failed <- err
		}
	})
}

// Addr is the address that REST and WebSocket listen on, once started.
func (a *App) Addr() string { return a.ln.Addr().String() }

// MetricsAddr is the address of metrics and pprof, "" if they are off.
func (a *App) MetricsAddr() string {
	if a.opsLn == nil {
		return ""
	}
	return a.opsLn.Addr().String()
}

// Failed receives an error when serving ends without Stop.
func (a *App) Failed() <-chan error { return a.failed }

// Stop ends the instance gracefully, within the configured deadline: it reports not ready, refuses upgrades, tells
// clients to reconnect to other instances, answers running requests, ends jobs, commits queued messages and closes
// connections.
func (a *App) Stop() error {
	if !a.started {
		a.closeClients()
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), a.cfg.ShutdownTimeout)
	defer cancel()
	a.log.Info().Msg("stopping")
	a.http.SetDraining()
	if a.cfg.DrainDelay > 0 {
		pause := time.NewTimer(a.cfg.DrainDelay)
		defer pause.Stop()
		<-pause.C
	}
	a.chat.Drain(ctx)
	err := a.http.Shutdown(ctx)
	err = errors.Join(err, a.jobs.Stop(ctx)) // while the bus can still carry their broadcasts
	a.stopConversations(ctx)
	a.sealer.Stop()
	a.stored.Stop()
	a.assistant.Interrupt()
	if a.ops != nil {
		err = errors.Join(err, a.ops.Shutdown(ctx))
	}
	// An instance that is stopped before its server accepts connections would otherwise wait for the server forever.
	_ = a.unlisten() // usually closed already
	a.serving.Wait()
	a.closeClients()
	a.log.Info().Msg("stopped")
	return err
}

// stopConversations commits queued messages, tells other instances, and ends the background work.
func (a *App) stopConversations(ctx context.Context) {
	a.conversations.Stop(ctx)
	a.search.Stop()
	a.transcripts.Stop()
	a.chat.Stop()
}

func (a *App) closeClients() {
	if a.redis != nil {
		_ = a.redis.Close() // nothing uses it any more
	}
	if c, ok := a.blobs.(io.Closer); ok {
		_ = c.Close() // the same
	}
	a.pool.Close()
}

// Run runs an instance until ctx ends.
func Run(ctx context.Context, cfg config.Config, log zerolog.Logger) error {
	a, err := New(cfg, log)
	if err != nil {
		return err
	}
	if err := a.Start(ctx); err != nil {
		return err
	}
	trimming, endTrim := context.WithCancel(ctx)
	var trimmer sync.WaitGroup
	trimmer.Go(func() { trim(trimming) })
	select {
	case <-ctx.Done():
	case err = <-a.Failed():
	}
	endTrim()
	trimmer.Wait()
	return errors.Join(err, a.Stop())
}
