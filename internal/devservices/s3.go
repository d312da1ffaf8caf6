package devservices

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// s3Program is the S3 server of the tests: a gateway to a folder, which checks signatures as any other store does. The
// program does not depend on it: deploy/setup.sh installs it.
const s3Program = "versitygw-v1.8.0"

// S3Options says where a private S3 store runs.
type S3Options struct {
	// Dir holds buckets and their metadata. Empty means a temporary folder, which Stop removes.
	Dir string
	// LogTo receives the server's log; nil drops it.
	LogTo io.Writer
}

// S3 is a private S3-compatible store on one folder, with one bucket. Its methods may be called from several
// goroutines.
type S3 struct {
	// Dir is the folder in use; see Postgres.Dir.
	Dir string
	// Bucket, AccessKey and SecretKey are what a client needs besides the address.
	Bucket, AccessKey, SecretKey string

	opts   S3Options
	place  *place
	binary string

	mu   sync.Mutex // guards proc and port
	proc *process
	port int
}

// StartS3 starts a store and returns when it answers, at most 30 s later. Cancelling ctx ends the start, not the
// running server.
func StartS3(ctx context.Context, opts S3Options) (*S3, error) {
	binary, err := findS3()
	if err != nil {
		return nil, err
	}
	place, err := takePlace(opts.Dir, "s3", os.TempDir())
	if err != nil {
		return nil, err
	}
	s := &S3{
		Dir: place.dir, Bucket: "files", AccessKey: "housecall", SecretKey: randomPassword(), opts: opts,
		place: place, binary: binary,
	}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, place.release())
	}
	return s, nil
}

// findS3 looks on PATH and where setup.sh installs it: in the work tree, whatever folder a test runs in.
func findS3() (string, error) {
	if path, err := exec.LookPath(s3Program); err == nil {
		return filepath.Abs(path)
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the S3 server: %w", err)
	}
	for {
		path := filepath.Join(dir, ".housecall", "bin", s3Program)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("%s, the S3 server of the tests, is not on this machine: run `deploy/setup.sh test`",
				s3Program)
		}
		dir = filepath.Dir(dir)
	}
}

// open runs the server on a new port.
func (s *S3) open(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, dir := range []string{s.bucketDir(), s.sidecar()} {
		if err := s.makeDir(dir); err != nil {
			return fmt.Errorf("the data folder %s is not writable: %w", s.Dir, pathCause(err))
		}
	}
	var err error
	for range bindTries {
		if s.port, err = freePort(); err != nil {
			return err
		}
		err = s.start(ctx)
		if err == nil || s.proc == nil || !s.proc.log.contains("address already in use") {
			return err
		}
	}
	return err
}

// bucketDir is where objects are, each a file under its key.
func (s *S3) bucketDir() string { return filepath.Join(s.Dir, "buckets", s.Bucket) }

// sidecar is the folder for metadata of objects: not every file system can store it in attributes.
func (s *S3) sidecar() string { return filepath.Join(s.Dir, "sidecar") }

// makeDir makes a folder that the server can write to.
func (s *S3) makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // the server's user works in it
		return err
	}
	if s.place.cred == nil {
		return nil
	}
	for ; dir != s.Dir; dir = filepath.Dir(dir) {
		if err := os.Chown(dir, int(s.place.cred.Uid), int(s.place.cred.Gid)); err != nil {
			return err
		}
	}
	return nil
}

// Addr returns host:port.
func (s *S3) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hostPort()
}

func (s *S3) hostPort() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Objects lists the keys in the bucket, and those of unfinished uploads.
func (s *S3) Objects() ([]string, error) {
	var keys []string
	err := filepath.WalkDir(s.bucketDir(), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		key, err := filepath.Rel(s.bucketDir(), path)
		keys = append(keys, key)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the bucket: %w", err)
	}
	return keys, nil
}

// start runs the server on s.port and waits until it answers. The caller holds s.mu.
func (s *S3) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	//nolint:gosec,noctx // it outlives ctx
	cmd := exec.Command(s.binary, "--quiet", "--port", s.hostPort(), "--health", "/health",
		"posix", "--sidecar", s.sidecar(), filepath.Join(s.Dir, "buckets"))
	// The secrets are in the environment, because every user of the machine can see the arguments.
	proc, err := startProcessWith(cmd, s.place, syscall.SIGTERM, s.opts.LogTo,
		"ROOT_ACCESS_KEY="+s.AccessKey, "ROOT_SECRET_KEY="+s.SecretKey)
	if err != nil {
		return err
	}
	s.proc = proc
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		if s.answers(ctx) {
			return nil
		}
		select {
		case <-ticker.C:
		case <-proc.exited:
			return fmt.Errorf("the private S3 store does not start in %s: %s", s.Dir, proc.log.cause())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("the private S3 store was not ready in time in %s (last log line: %s): %w",
				s.Dir, proc.log.cause(), ctx.Err()), proc.killAll())
		}
	}
}

func (s *S3) answers(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.hostPort()+"/health", http.NoBody)
	if err != nil {
		return false
	}
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// Stop shuts the server down and returns when it has ended. A second Stop does nothing.
func (s *S3) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.proc.shutDown(syscall.SIGTERM), s.place.release())
}

// Kill ends the server with SIGKILL, as a crash would, and returns when it has ended.
func (s *S3) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc.killAll()
}

// Restart kills the server if it still runs, and starts it again on its port and folder.
func (s *S3) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.proc.killAll(); err != nil {
		return err
	}
	return s.start(ctx)
}

// Pause freezes the server until Resume: nothing answers, and no connection breaks.
func (s *S3) Pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proc.freeze()
}

// Resume ends a Pause.
func (s *S3) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proc.thaw()
}
