package devservices

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// postgresUser is the superuser of the private cluster.
const postgresUser = "housecall"

// PostgresOptions says where and how a private PostgreSQL runs.
type PostgresOptions struct {
	// Dir holds the cluster (in Dir/data) and its password. The first start makes it, and its content stays. Empty
	// means a temporary folder, which Stop removes.
	Dir string
	// Durable makes PostgreSQL write to the disk at every commit. Without it the server is faster and loses data only
	// if the whole machine goes down.
	Durable bool
	// Settings are server settings (postgresql.conf) that override ours.
	Settings map[string]string
	// LogTo receives the server's log; nil drops it.
	LogTo io.Writer
}

// Postgres is a private PostgreSQL server. Its methods may be called from
// several goroutines.
type Postgres struct {
	// Dir is the folder in use. If we are root, it differs from PostgresOptions.Dir if the server's user cannot reach
	// that.
	Dir string

	opts     PostgresOptions
	place    *place
	binDir   string
	password string

	mu   sync.Mutex // guards proc and port
	proc *process
	port int
}

// StartPostgres starts a server and returns when it accepts connections, at most 30 s later. Each of its errors is one
// sentence that can be shown to people. Cancelling ctx ends the start, not the running server.
func StartPostgres(ctx context.Context, opts PostgresOptions) (*Postgres, error) {
	temporaryRoot := os.TempDir()
	if !opts.Durable {
		temporaryRoot = volatileRoot()
	}
	place, err := takePlace(opts.Dir, "postgres", temporaryRoot)
	if err != nil {
		return nil, err
	}
	p := &Postgres{Dir: place.dir, opts: opts, place: place}
	if err := p.open(ctx); err != nil {
		return nil, errors.Join(err, place.release())
	}
	return p, nil
}

// open makes the cluster if there is none, and runs it on a new port.
func (p *Postgres) open(ctx context.Context) error {
	if err := p.initialize(ctx); err != nil {
		return err
	}
	if err := p.waitForOld(ctx); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var err error
	for range bindTries {
		if p.port, err = freePort(); err != nil {
			return err
		}
		if err = p.start(ctx); !errors.Is(err, errPortTaken) {
			return err
		}
	}
	return err
}

// DSN returns the URL of a database, for pgx.
func (p *Postgres) DSN(database string) string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable", postgresUser, p.password, p.Port(), database)
}

// Port returns the TCP port on 127.0.0.1.
func (p *Postgres) Port() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.port
}

// Exited returns a channel that is closed when the current run of the server is over, for whatever reason.
func (p *Postgres) Exited() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proc.exited
}

// LogCause returns the log line that best says why the server ended.
func (p *Postgres) LogCause() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.proc.log.cause()
}

// Stop shuts the server down (it cuts connections and flushes data) and returns when it has ended. A second Stop does
// nothing.
func (p *Postgres) Stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return errors.Join(p.proc.shutDown(syscall.SIGINT), p.place.release())
}

// Kill ends the server with SIGKILL, as a crash would, and returns when all its processes have ended. The data stays,
// for Restart.
func (p *Postgres) Kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.proc.alive() {
		return nil
	}
	file, readErr := p.readPID()
	err := p.proc.killAll()
	if readErr == nil && err == nil {
		removeSharedMemory(file.memory)
	}
	return err
}

// removeSharedMemory frees the System V segment of a server that was killed. The segment is small, but some systems
// allow only 32 of them, and otherwise only a restart in the same folder would free it. Without ipcrm it stays.
func removeSharedMemory(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), killWithin)
	defer cancel()
	_ = exec.CommandContext(ctx, "ipcrm", "-m", id).Run() //nolint:gosec // a number from our own server
}

// Restart starts the server again with its data and on its port. If it still runs, Restart shuts it down first. A
// temporary server cannot be restarted after Stop.
func (p *Postgres) Restart(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.place.lock == nil {
		if p.place.temporary {
			return errors.New("this temporary PostgreSQL was stopped, and its data removed: only Kill allows a restart")
		}
		if err := p.place.claim(); err != nil {
			return err
		}
	}
	if err := p.proc.shutDown(syscall.SIGINT); err != nil {
		return err
	}
	return p.start(ctx)
}

// Pause freezes all processes of the server until Resume: nothing answers, and no connection breaks.
func (p *Postgres) Pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proc.freeze()
}

// Resume ends a Pause.
func (p *Postgres) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proc.thaw()
}

func (p *Postgres) dataDir() string { return filepath.Join(p.Dir, "data") }

// initialize makes the cluster with initdb if there is none, and finds the binaries and the password that fit it.
func (p *Postgres) initialize(ctx context.Context) error {
	_, err := os.Lstat(p.dataDir())
	switch {
	case errors.Is(err, os.ErrNotExist):
		return p.initdb(ctx)
	case err != nil:
		return fmt.Errorf("the data folder %s cannot be used: %w", p.Dir, pathCause(err))
	}
	broken := func(what string) error {
		return fmt.Errorf("the data folder %s is broken (%s): restore it, or move it away to start over", p.Dir, what)
	}
	version, err := os.ReadFile(filepath.Join(p.dataDir(), "PG_VERSION"))
	if err != nil {
		return broken("data/PG_VERSION cannot be read")
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(version)))
	if err != nil {
		return broken("data/PG_VERSION does not hold a version")
	}
	password, err := os.ReadFile(filepath.Join(p.Dir, "password"))
	if err != nil {
		return broken("its password file cannot be read")
	}
	p.password = strings.TrimSpace(string(password))
	p.binDir, err = findPostgres(major)
	return err
}

// initdb makes a cluster beside its final place and moves it there when it is complete, so that an interrupted start
// leaves nothing that looks usable.
func (p *Postgres) initdb(ctx context.Context) error {
	var err error
	if p.binDir, err = findPostgres(0); err != nil {
		return err
	}
	failed := func(cause any) error {
		return fmt.Errorf("a PostgreSQL cluster cannot be made in %s: %v", p.Dir, cause)
	}
	fresh := filepath.Join(p.Dir, "data.new")
	if err := os.RemoveAll(fresh); err != nil {
		return failed(err)
	}
	p.password = randomPassword()
	if err := p.place.writeFile("password", p.password+"\n"); err != nil {
		return failed(err)
	}
	args := []string{
		"--pgdata", fresh, "--username", postgresUser, "--pwfile", filepath.Join(p.Dir, "password"),
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", locale(),
	}
	if !p.opts.Durable {
		args = append(args, "--no-sync")
	}
	log := &logTail{to: p.opts.LogTo}
	cmd := exec.CommandContext(ctx, filepath.Join(p.binDir, "initdb"), args...) //nolint:gosec // our own arguments
	cmd.Dir, cmd.Env = p.Dir, childEnv(p.Dir)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: p.place.cred}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("make a PostgreSQL cluster: %w", ctx.Err())
		}
		return failed(log.cause())
	}
	if err := os.Rename(fresh, p.dataDir()); err != nil {
		return failed(err)
	}
	return nil
}

// locale returns a locale that knows more than ASCII: lower() and ILIKE are used on what is not folded.
func locale() string {
	if runtime.GOOS == "darwin" {
		return "en_US.UTF-8"
	}
	return "C.UTF-8"
}

// errPortTaken means that another port has to be tried.
var errPortTaken = errors.New("the port chosen for PostgreSQL was taken meanwhile")

// start runs the server on p.port and waits until it is ready. The caller holds p.mu.
func (p *Postgres) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	cmd := exec.Command(filepath.Join(p.binDir, "postgres"), p.arguments()...) //nolint:gosec,noctx // it outlives ctx
	proc, err := startProcess(cmd, p.place, syscall.SIGINT, p.opts.LogTo)
	if err != nil {
		return err
	}
	p.proc = proc
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		if lock, err := p.readPID(); err == nil && lock.pid == cmd.Process.Pid && lock.status == "ready" {
			return nil
		}
		select {
		case <-ticker.C:
		case <-proc.exited:
			if proc.log.contains("could not create any TCP/IP sockets") {
				return errPortTaken
			}
			return fmt.Errorf("the private PostgreSQL does not start in %s: %s", p.Dir, proc.log.cause())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the private PostgreSQL was not ready in time in %s (last log line: %s): %w",
				p.Dir, proc.log.cause(), ctx.Err()), proc.killAll())
		}
	}
}

// arguments returns the server's command line.
func (p *Postgres) arguments() []string {
	settings := map[string]string{
		"listen_addresses": "127.0.0.1",
		"port":             strconv.Itoa(p.port),
		// No socket: the machine's own servers share its usual folder, and a private path may be too long.
		"unix_socket_directories": "",
		"logging_collector":       "off",
		"log_destination":         "stderr",
		"timezone":                "UTC",
	}
	if p.place.temporary {
		// Files in the folder, so that they are removed with it even if the server is killed.
		settings["dynamic_shared_memory_type"] = "mmap"
	}
	if !p.opts.Durable {
		settings["fsync"] = "off"
		settings["full_page_writes"] = "off"
	}
	maps.Copy(settings, p.opts.Settings)
	args := []string{"-D", p.dataDir()}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// pidFile is the content of postmaster.pid: which process serves the folder, and its state ("starting", "ready",
// "stopping").
type pidFile struct {
	pid    int
	memory string // the id of its System V shared memory
	status string
}

// readPID reads postmaster.pid. PostgreSQL's miscadmin.h defines its lines, and pg_ctl also reads it to learn when a
// server is ready.
func (p *Postgres) readPID() (pidFile, error) {
	raw, err := os.ReadFile(filepath.Join(p.dataDir(), "postmaster.pid"))
	if err != nil {
		return pidFile{}, err
	}
	lines := strings.Split(string(raw), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil {
		return pidFile{}, fmt.Errorf("read postmaster.pid: %w", err)
	}
	file := pidFile{pid: pid}
	if len(lines) >= 8 {
		if _, id, ok := strings.Cut(strings.TrimSpace(lines[6]), " "); ok {
			file.memory = strings.TrimSpace(id)
		}
		file.status = strings.TrimSpace(lines[7])
	}
	return file, nil
}

// waitForOld deals with a server that an earlier process left in the folder. It waits for one that is stopping; one
// that is not is an error. If the server is dead, it removes postmaster.pid, because PostgreSQL would mistake a
// process that now has the same id for the server.
func (p *Postgres) waitForOld(ctx context.Context) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	began := time.Now()
	for {
		old, err := p.readPID()
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil || !strings.HasPrefix(commandOf(old.pid), "postgres") {
			return os.Remove(filepath.Join(p.dataDir(), "postmaster.pid"))
		}
		// Its parent may have died just now: give the kernel's signal time to take effect.
		patience := 5 * time.Second
		if old.status == "stopping" {
			patience = stopWithin
		}
		if time.Since(began) > patience {
			return fmt.Errorf("another PostgreSQL (process %d) is running in the data folder %s: stop it first", old.pid, p.Dir)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for the last PostgreSQL in %s to end: %w", p.Dir, ctx.Err())
		}
	}
}
