package deploytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// patience is how long a test waits for what must happen.
	patience = time.Minute
	// glance is how often it looks.
	glance = 20 * time.Millisecond
	// nobody is the user that nginx runs as if we are root, unprivileged as in its container.
	nobody = 65534
)

// balancer is nginx with the configuration of deploy/nginx, except for its own address and those of the instances,
// started with the command of docker-compose.yml.
type balancer struct {
	url       string
	conf      string
	instances []string
	cmd       *exec.Cmd
	access    string // the access log
	exited    chan error
}

// startBalancer runs nginx in front of instances (host:port) until the test ends.
func startBalancer(t testing.TB, instances ...string) *balancer {
	t.Helper()
	return startBalancerWith(t, read(t, "deploy", "nginx", "nginx.conf"), instances...)
}

// startBalancerWith is startBalancer with another nginx.conf.
func startBalancerWith(t testing.TB, conf string, instances ...string) *balancer {
	t.Helper()
	dir, err := os.MkdirTemp("", "housecall-balancer-") // not t.TempDir, which the user nobody cannot enter
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	b := &balancer{conf: filepath.Join(dir, "conf"), instances: instances, exited: make(chan error, 1)}
	prefix := filepath.Join(dir, "prefix")
	require.NoError(t, os.Mkdir(b.conf, 0o755))
	require.NoError(t, os.Mkdir(prefix, 0o755))

	address := freeAddress(t)
	b.url = "http://" + address
	b.write(t, "nginx.conf", conf)
	b.write(t, "listen.conf", replace(t, read(t, "deploy", "nginx", "listen.conf"), "listen 8080;", "listen "+address+";"))
	b.writeUpstream(t, "")

	args := nginxCommand(t, prefix, b.conf)
	b.cmd = exec.Command(args[0], args[1:]...)
	b.access = filepath.Join(prefix, "stdout")
	stdout, err := os.Create(b.access)
	require.NoError(t, err)
	defer func() { require.NoError(t, stdout.Close()) }()
	if os.Getuid() == 0 {
		require.NoError(t, os.Chown(prefix, nobody, nobody))
		require.NoError(t, stdout.Chown(nobody, nobody))
		b.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	endsWithUs(b.cmd)
	var stderr bytes.Buffer
	b.cmd.Stdout, b.cmd.Stderr = stdout, &stderr
	require.NoError(t, b.cmd.Start())
	go func() { b.exited <- b.cmd.Wait() }()
	t.Cleanup(func() { b.stop(t, &stderr) })
	require.Eventually(t, func() bool { return reachable(address) }, patience, glance, "nginx listens")
	return b
}

// stop ends nginx. Its complaints fail the test, except the expected ones.
func (b *balancer) stop(t testing.TB, stderr *bytes.Buffer) {
	t.Helper()
	require.NoError(t, b.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, <-b.exited)
	for line := range strings.Lines(stderr.String()) {
		if !expected.MatchString(line) {
			t.Errorf("nginx said: %s", line)
		}
	}
}

// expected are complaints that say nothing: about a low limit of open files, and about sockets that an old worker still
// had after a reload when it was ended, because it had not noticed yet that the test had closed them.
var expected = regexp.MustCompile(
	`exceed open file resource limit|open socket #\d+ left in connection|\] \d+#\d+: aborting`,
)

// nginxCommand returns the balancer's command line of docker-compose.yml with other folders.
func nginxCommand(t testing.TB, prefix, conf string) []string {
	t.Helper()
	service := compose(t).Services["balancer"]
	require.Equal(t, "/etc/housecall", service.Volumes[0].Target)
	require.Empty(t, service.Command)
	args := slices.Clone([]string(service.Entrypoint))
	require.Equal(t, "nginx", args[0])
	args[0] = findNginx(t)
	for i, arg := range args {
		arg = strings.Replace(arg, "/etc/housecall", conf, 1)
		if arg == "/tmp" {
			arg = prefix
		}
		args[i] = arg
	}
	return args
}

func findNginx(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx", "/usr/local/bin/nginx", "/opt/homebrew/bin/nginx"} {
		if found, err := exec.LookPath(name); err == nil {
			return found
		}
	}
	t.Fatal("nginx is not installed, and without it the load balancer's configuration is not tested: " +
		"run `deploy/setup.sh test` (`make test` does), or install your system's package nginx")
	return ""
}

func (b *balancer) write(t testing.TB, name, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(b.conf, name), []byte(content), 0o644))
}

// writeUpstream puts the instances' addresses into the shipped file, and marks one down.
func (b *balancer) writeUpstream(t testing.TB, down string) {
	t.Helper()
	content := read(t, "deploy", "nginx", "upstream.conf")
	lines := serverLine.FindAllStringSubmatch(content, -1)
	require.Len(t, lines, len(b.instances))
	for i, line := range lines {
		mine := strings.Replace(line[0], line[1], b.instances[i], 1)
		if b.instances[i] == down {
			mine = strings.TrimSuffix(mine, ";") + " down;"
		}
		content = replace(t, content, line[0], mine)
	}
	b.write(t, "upstream.conf", content)
}

// reload marks an instance down, or none with "", as upstream.conf tells operators to, and waits until only new
// workers accept connections.
func (b *balancer) reload(t testing.TB, down string) {
	t.Helper()
	b.writeUpstream(t, down)
	master := b.cmd.Process.Pid
	old := serving(master)
	require.NoError(t, b.cmd.Process.Signal(syscall.SIGHUP))
	require.Eventually(t, func() bool {
		now := serving(master)
		return (len(old) == 0 || len(now) > 0) &&
			!slices.ContainsFunc(now, func(pid int) bool { return slices.Contains(old, pid) })
	}, patience, glance, "the reload takes effect")
}

// logLine is a line of the access log.
type logLine struct {
	Client         string `json:"client"`
	Method         string `json:"method"`
	Area           string `json:"area"`
	Status         int    `json:"status"`
	RequestID      string `json:"requestId"`
	Upstream       string `json:"upstream"`
	UpstreamStatus string `json:"upstreamStatus"`
}

// log reads the access log. It contains requests that are over, and sockets that are closed.
func (b *balancer) log(t testing.TB) []logLine {
	t.Helper()
	raw, err := os.ReadFile(b.access)
	require.NoError(t, err)
	var out []logLine
	for line := range bytes.Lines(raw) {
		var l logLine
		require.NoError(t, json.Unmarshal(line, &l), "%s", line)
		out = append(out, l)
	}
	return out
}

// logged waits until n matching lines are in the access log, and returns them.
func (b *balancer) logged(t testing.TB, n int, match func(logLine) bool) []logLine {
	t.Helper()
	var found []logLine
	require.Eventually(t, func() bool {
		found = found[:0]
		for _, l := range b.log(t) {
			if match(l) {
				found = append(found, l)
			}
		}
		return len(found) >= n
	}, patience, glance)
	return found
}

func replace(t testing.TB, text, old, by string) string {
	t.Helper()
	require.Equal(t, 1, strings.Count(text, old), "%q is there once", old)
	return strings.Replace(text, old, by, 1)
}

// ports returns free ports, none twice. They are below those of outgoing connections: a port must still be free when a
// test listens on it, even for the second time.
var ports struct {
	sync.Mutex
	given map[int]bool
}

func freeAddress(t testing.TB) string {
	t.Helper()
	ports.Lock()
	defer ports.Unlock()
	if ports.given == nil {
		ports.given = map[int]bool{}
	}
	for range 1000 {
		port := 12000 + rand.IntN(18000)
		if ports.given[port] {
			continue
		}
		ports.given[port] = true
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if l, err := net.Listen("tcp", address); err == nil {
			require.NoError(t, l.Close())
			return address
		}
	}
	t.Fatal("there is no free port")
	return ""
}

func reachable(address string) bool {
	c, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// webClient returns a client whose connections are closed when the test ends.
func webClient(t testing.TB) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}
