package deploytest

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"housecall/internal/testing/pgtest"
)

// site is what docker-compose.yml describes, without containers: a migrated database, Redis, and instances of the
// image's program with the environment of the file.
type site struct {
	img *image
	env map[string]string
}

// startSite makes a site, whose database the compose file's migration step migrates.
func startSite(t testing.TB, img *image) *site {
	t.Helper()
	s := &site{img: img, env: environment(compose(t).Services["app1"])}
	_, dsn := pgtest.Own(t)
	there, err := url.Parse(dsn)
	require.NoError(t, err)
	planned, err := url.Parse(s.env["HOUSECALL_DATABASE_URL"])
	require.NoError(t, err)
	require.Equal(t, there.User.Username(), planned.User.Username())
	s.env["PGPASSWORD"], _ = there.User.Password()
	planned.Host, planned.Path = there.Host, there.Path
	s.env["HOUSECALL_DATABASE_URL"] = planned.String()
	s.env["HOUSECALL_REDIS_URL"] = pgtest.Redis(t).URL()
	s.env["HOUSECALL_METRICS_ADDR"] = "127.0.0.1:0" // several instances share this machine
	s.env["HOUSECALL_TRUSTED_PROXIES"] = "127.0.0.1"
	s.env["HOUSECALL_MAIL_DIR"] = t.TempDir()
	for _, limit := range []string{"LOGINS_PER_ADDRESS", "REGISTERS_PER_ADDRESS", "MESSAGES_PER_SECOND", "USER_MESSAGES_PER_SECOND", "ROOM_MESSAGES_PER_SECOND"} {
		s.env["HOUSECALL_"+limit] = "100000" // all clients have the same address
	}
	s.run(t, compose(t).Services["migrate"].Command...)
	return s
}

// command prepares the image's program with only the site's environment.
func (s *site) command(t testing.TB, extra map[string]string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := s.img.program(t, args...)
	// Not t.Context(), which ends before an instance is asked to stop.
	cmd = exec.Command(cmd.Path, cmd.Args[1:]...)
	all := maps.Clone(s.env)
	maps.Copy(all, extra)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		cmd.Env = append(cmd.Env, name+"="+all[name])
	}
	endsWithUs(cmd)
	return cmd
}

// run runs the program to its end.
func (s *site) run(t testing.TB, args ...string) {
	t.Helper()
	out, err := s.command(t, nil, args...).CombinedOutput()
	require.NoError(t, err, "housecall %v: %s", args, out)
}

// instance is one `housecall serve`.
type instance struct {
	address string
	cmd     *exec.Cmd
	log     *bytes.Buffer
	exited  chan struct{} // closed when err is set
	err     error
	stop    sync.Once
}

// start runs an instance until the test ends, and returns when it is ready.
func (s *site) start(t testing.TB, address string, extra map[string]string) *instance {
	t.Helper()
	i := &instance{address: address, log: &bytes.Buffer{}, exited: make(chan struct{})}
	own := map[string]string{"HOUSECALL_ADDR": address}
	maps.Copy(own, extra)
	i.cmd = s.command(t, own, s.img.command...)
	i.cmd.Stdout, i.cmd.Stderr = i.log, i.log
	require.NoError(t, i.cmd.Start())
	go func() {
		defer close(i.exited)
		i.err = i.cmd.Wait()
	}()
	t.Cleanup(func() {
		i.drain(t)
		if t.Failed() {
			t.Logf("instance %s ended (%v) and said:\n%s", address, i.err, tail(i.log.Bytes(), 8<<10))
		}
	})
	health := append(slices.Clone(s.img.health[2:3]), "--url", "http://"+address+"/readyz")
	require.Eventually(t, func() bool {
		return !i.gone() && s.command(t, nil, health...).Run() == nil
	}, patience, glance, "the image's health check passes")
	return i
}

func (i *instance) gone() bool {
	select {
	case <-i.exited:
		return true
	default:
		return false
	}
}

// drain stops the instance as `docker compose stop` does, and waits until it has ended without an error.
func (i *instance) drain(t testing.TB) {
	t.Helper()
	i.stop.Do(func() {
		_ = i.cmd.Process.Signal(syscall.SIGTERM) // fails if it has ended, which the next lines notice
		ctx, cancel := context.WithTimeout(context.Background(), stopGrace(t))
		defer cancel()
		select {
		case <-i.exited:
		case <-ctx.Done():
			_ = i.cmd.Process.Kill()
			<-i.exited
			t.Errorf("instance %s did not stop in time, and would have been killed", i.address)
		}
		assert.NoError(t, i.err, "the exit of instance %s", i.address)
	})
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// from returns a client that connects from one of this machine's addresses.
func from(t testing.TB, address string) *http.Client {
	t.Helper()
	c := webClient(t)
	c.Transport.(*http.Transport).DialContext = dialerFrom(t, address).DialContext
	return c
}

// createAdmin creates the first administrator as docker-compose.yml tells operators to.
func (s *site) createAdmin(t testing.TB, email string) {
	t.Helper()
	cmd := s.command(t, nil, "admin", "create", "--name", "Root", "--email", email)
	cmd.Stdin = strings.NewReader(password + "\n")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}
