package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/client"
	"housecall/internal/testing/pgtest"
)

const (
	patience = time.Minute
	glance   = 20 * time.Millisecond
	password = "a-rather-long-passphrase-7"
	// beHousecall makes this test program act as housecall: this needs no build, and the race detector watches it.
	beHousecall = "HOUSECALL_TEST_BE_HOUSECALL"
)

func TestMain(m *testing.M) {
	if os.Getenv(beHousecall) != "" {
		main()
		return
	}
	pgtest.Main(m)
}

// program is the environment of housecall.
type program map[string]string

// serving is an environment in which serve starts.
func serving(t *testing.T) program {
	t.Helper()
	return program{
		"DATABASE_URL": pgtest.DSN(t), "REDIS_URL": pgtest.Redis(t).URL(), "TOKEN_SECRETS": rand.Text() + rand.Text(),
		"METRICS_ADDR": "off", "CLINIC_HOURS": "00:00-24:00", "LOGINS_PER_ACCOUNT": "10000", "LOGINS_PER_ADDRESS": "10000",
		"MESSAGES_PER_SECOND": "10000", "USER_MESSAGES_PER_SECOND": "10000", "ROOM_MESSAGES_PER_SECOND": "10000",
		"MAIL_DIR": t.TempDir(),
	}
}

func (p program) with(pairs ...string) program {
	out := maps.Clone(p)
	if out == nil {
		out = program{}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		out[pairs[i]] = pairs[i+1]
	}
	return out
}

// command prepares a run of housecall with this environment only.
func (p program) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, args...)
	cmd.Env = []string{beHousecall + "=1", "PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	for _, name := range slices.Sorted(maps.Keys(p)) {
		cmd.Env = append(cmd.Env, "HOUSECALL_"+name+"="+p[name])
	}
	endsWithUs(cmd)
	return cmd
}

// result is the outcome of one run.
type result struct {
	code           int
	stdout, stderr string
}

// run runs housecall to its end.
func (p program) run(t *testing.T, input string, args ...string) result {
	t.Helper()
	cmd := p.command(t, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	err := cmd.Start()
	require.NoError(t, err)
	tooLong := time.AfterFunc(2*patience, func() { _ = cmd.Process.Kill() })
	defer tooLong.Stop()
	_ = cmd.Wait() // the exit code tells
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// process is a housecall that keeps running.
type process struct {
	t      *testing.T
	addr   string
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *output
	exited chan struct{}
}

// launch starts housecall; it ends with the test.
func (p program) launch(t *testing.T, args ...string) *process {
	t.Helper()
	s := &process{t: t, cmd: p.command(t, args...), out: newOutput(), exited: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	var err error
	s.in, err = s.cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	go func() {
		defer close(s.exited)
		_ = s.cmd.Wait() // ProcessState tells
	}()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("housecall %v said:\n%s", args, s.out)
		}
	})
	return s
}

// serve starts an instance and returns when it is ready.
func (p program) serve(t *testing.T) *process {
	t.Helper()
	port := freePort(t)
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	s := p.with("ADDR", addr, "PUBLIC_URL", "http://"+addr).launch(t, "serve")
	s.addr = addr
	require.Eventually(t, func() bool {
		resp, err := http.Get("http://" + addr + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}, patience, glance, "the instance is ready")
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s
}

func (s *process) url() string { return "http://" + s.addr }

// kill ends the process as a crash would.
func (s *process) kill() {
	_ = s.cmd.Process.Kill() // it may have ended already
	<-s.exited
}

// end asks the process to end, as Ctrl-C does, and returns its exit code.
func (s *process) end(sig syscall.Signal) int {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Signal(sig))
	return s.wait()
}

func (s *process) wait() int {
	s.t.Helper()
	select {
	case <-s.exited:
	case <-time.After(patience):
		require.FailNow(s.t, "the process does not end", "%s", s.out)
	}
	return s.cmd.ProcessState.ExitCode()
}

func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// output collects what a process writes; shows waits for it.
type output struct {
	mu      sync.Mutex // guards the rest
	buf     bytes.Buffer
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.buf.Write(b)
}

// String returns everything so far.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// shows waits until the output has all of the texts.
func (s *process) shows(texts ...string) {
	s.t.Helper()
	deadline := time.NewTimer(2 * patience)
	defer deadline.Stop()
	for {
		s.out.mu.Lock()
		text, changed := s.out.buf.String(), s.out.changed
		s.out.mu.Unlock()
		missing := slices.IndexFunc(texts, func(want string) bool { return !strings.Contains(text, want) })
		if missing < 0 {
			return
		}
		select {
		case <-changed:
		case <-s.exited:
			// Its last output may have come just now.
			if text := s.out.String(); strings.Contains(text, texts[missing]) {
				continue
			}
			require.FailNow(s.t, "the process ended without "+texts[missing], "%s", s.out)
		case <-deadline.C:
			require.FailNow(s.t, "the process did not show "+texts[missing], "%s", s.out)
		}
	}
}

// signIn signs in over REST.
func signIn(t *testing.T, url, email string) *client.API {
	t.Helper()
	api, err := client.New(url)
	require.NoError(t, err)
	t.Cleanup(api.CloseIdle)
	_, err = api.Login(t.Context(), email, password)
	require.NoError(t, err)
	return api
}

// clinic is a patient and a doctor with a confirmed appointment, made as an operator and their users would.
func (p program) clinic(t *testing.T, url string) (appointment string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	made := p.with("PASSWORD", password).run(t, "", "admin", "create", "--email", "root@clinic.test", "--name", "Root")
	require.Zero(t, made.code, made.stderr)
	token, err := signIn(t, url,
		"root@clinic.test").InviteDoctor(ctx, client.NewDoctor{Name: "Dr Cara Lim", Email: "doctor@clinic.test"})
	require.NoError(t, err)
	anyone, err := client.New(url)
	require.NoError(t, err)
	t.Cleanup(anyone.CloseIdle)
	require.NoError(t, anyone.AcceptInvitation(ctx, token, password))
	_, err = anyone.Register(ctx, "Ada Jones", "patient@clinic.test", password)
	require.NoError(t, err)
	patient, doctor := signIn(t, url, "patient@clinic.test"), signIn(t, url, "doctor@clinic.test")
	asked, err := patient.Book(ctx, doctor.User().UserID, time.Time{}, "A cough")
	require.NoError(t, err)
	start := time.Now().Truncate(time.Minute).Add(time.Hour)
	_, err = doctor.Confirm(ctx, asked.ID, &start)
	require.NoError(t, err)
	return asked.ID
}
