package devservices

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// RedisOptions says where a private Redis runs.
type RedisOptions struct {
	// Dir holds the server's configuration and nothing else. Empty means a temporary folder, which Stop removes.
	Dir string
	// LogTo receives the server's log; nil drops it.
	LogTo io.Writer
}

// Redis is a private Redis server without persistence. Its methods may be
// called from several goroutines.
type Redis struct {
	// Dir is the folder in use; see Postgres.Dir.
	Dir string

	opts     RedisOptions
	place    *place
	binary   string
	password string

	mu   sync.Mutex // guards proc and port
	proc *process
	port int
}

// StartRedis starts a server and returns when it answers, at most 30 s later.
// Cancelling ctx ends the start, not the running server.
func StartRedis(ctx context.Context, opts RedisOptions) (*Redis, error) {
	binary, err := FindRedis()
	if err != nil {
		return nil, err
	}
	place, err := takePlace(opts.Dir, "redis", os.TempDir())
	if err != nil {
		return nil, err
	}
	r := &Redis{Dir: place.dir, opts: opts, place: place, binary: binary, password: randomPassword()}
	if err := r.open(ctx); err != nil {
		return nil, errors.Join(err, place.release())
	}
	return r, nil
}

// open runs the server on a new port.
func (r *Redis) open(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	for range bindTries {
		if r.port, err = freePort(); err != nil {
			return err
		}
		err = r.start(ctx)
		if err == nil || !r.portTaken() {
			return err
		}
	}
	return err
}

func (r *Redis) portTaken() bool {
	return r.proc != nil && r.proc.log.contains("Address already in use")
}

// URL returns the server's address with its password, for go-redis.
func (r *Redis) URL() string {
	return fmt.Sprintf("redis://:%s@%s/0", r.password, r.Addr())
}

// Addr returns host:port.
func (r *Redis) Addr() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hostPort()
}

func (r *Redis) hostPort() string { return fmt.Sprintf("127.0.0.1:%d", r.port) }

// Password returns the password for AUTH.
func (r *Redis) Password() string { return r.password }

// Exited returns a channel that is closed when the current run of the server is over, for whatever reason.
func (r *Redis) Exited() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proc.exited
}

// LogCause returns the log line that best says why the server ended.
func (r *Redis) LogCause() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proc.log.cause()
}

// Stop shuts the server down and returns when it has ended. A second Stop does nothing.
func (r *Redis) Stop() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(r.proc.shutDown(syscall.SIGTERM), r.place.release())
}

// Kill ends the server with SIGKILL, as a crash would, and returns when it has ended.
func (r *Redis) Kill() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proc.killAll()
}

// Restart starts the server again, empty, on its port and with its password. If it still runs, Restart shuts it down
// first. A temporary server cannot be restarted after Stop.
func (r *Redis) Restart(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.place.lock == nil {
		if r.place.temporary {
			return errors.New("this temporary Redis was stopped, and its folder removed: only Kill allows a restart")
		}
		if err := r.place.claim(); err != nil {
			return err
		}
	}
	if err := r.proc.shutDown(syscall.SIGTERM); err != nil {
		return err
	}
	return r.start(ctx)
}

// Pause freezes the server until Resume: nothing answers, and no connection breaks.
func (r *Redis) Pause() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.proc.freeze()
}

// Resume ends a Pause.
func (r *Redis) Resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.proc.thaw()
}

// start runs the server on r.port and waits until it answers. The caller
// holds r.mu.
func (r *Redis) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	// In a file, because every user of the machine can see the arguments.
	conf := fmt.Sprintf("bind 127.0.0.1\nport %d\nrequirepass %s\ndir %s\nsave \"\"\nappendonly no\ndaemonize no\n",
		r.port, r.password, quoteConf(r.Dir))
	if err := r.place.writeFile("redis.conf", conf); err != nil {
		return fmt.Errorf("the data folder %s is not writable: %w", r.Dir, pathCause(err))
	}
	cmd := exec.Command(r.binary, filepath.Join(r.Dir, "redis.conf")) //nolint:gosec,noctx // it outlives ctx
	proc, err := startProcess(cmd, r.place, syscall.SIGTERM, r.opts.LogTo)
	if err != nil {
		return err
	}
	r.proc = proc
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		if r.answers(ctx) {
			return nil
		}
		select {
		case <-ticker.C:
		case <-proc.exited:
			return fmt.Errorf("the private Redis does not start in %s: %s", r.Dir, proc.log.cause())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the private Redis was not ready in time in %s (last log line: %s): %w",
				r.Dir, proc.log.cause(), ctx.Err()), proc.killAll())
		}
	}
}

// answers reports whether our server is up, and not another one on the same port: only ours accepts the password.
func (r *Redis) answers(ctx context.Context) bool {
	dialer := net.Dialer{Timeout: time.Second}
	conn, err := dialer.DialContext(ctx, "tcp", r.hostPort())
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return false
	}
	if _, err := fmt.Fprintf(conn, "AUTH %s\r\nPING\r\n", r.password); err != nil {
		return false
	}
	replies := bufio.NewReader(conn)
	for _, want := range []string{"+OK", "+PONG"} {
		line, err := replies.ReadString('\n')
		if err != nil || strings.TrimSpace(line) != want {
			return false
		}
	}
	return true
}
