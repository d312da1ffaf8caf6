package devservices

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startWithin = 30 * time.Second
	stopWithin  = 20 * time.Second
	killWithin  = 10 * time.Second
	pollEvery   = 10 * time.Millisecond
	bindTries   = 5
)

// process is one run of a server, from its start until it and all its children have ended.
type process struct {
	cmd    *exec.Cmd
	log    *logTail
	exited chan struct{} // closed when nothing of the server is left
}

// startProcess runs a server in a process group of its own, so that Ctrl-C in a terminal reaches only us, and has
// onDeath sent to it if we die.
func startProcess(cmd *exec.Cmd, pl *place, onDeath syscall.Signal, logTo io.Writer) (*process, error) {
	return startProcessWith(cmd, pl, onDeath, logTo)
}

// startProcessWith adds variables to the server's environment.
func startProcessWith(
	cmd *exec.Cmd, pl *place, onDeath syscall.Signal, logTo io.Writer, env ...string,
) (*process, error) {
	p := &process{cmd: cmd, log: &logTail{to: logTo}, exited: make(chan struct{})}
	cmd.Dir = pl.dir
	cmd.Env = append(childEnv(pl.dir), env...)
	// A pipe, not a file: the server's children inherit it, so it ends when the last of them has ended, and cmd.Wait
	// waits for that.
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: pl.cred}
	signalOnParentDeath(cmd.SysProcAttr, onDeath)

	started := make(chan error)
	go func() {
		// The kernel sends the signal when the *thread* that started the child ends, so this thread must live as long
		// as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		_ = cmd.Wait() // the log says how it ended; our own signal is no error
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// childEnv returns an environment for servers, without PGDATA, PGPORT and the like.
func childEnv(dir string) []string {
	return []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + dir, "LC_ALL=C", "TZ=UTC"}
}

func (p *process) alive() bool {
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// signal sends a signal to the server itself. It does not matter if the server has just ended.
func (p *process) signal(sig syscall.Signal) {
	if p.alive() {
		_ = p.cmd.Process.Signal(sig)
	}
}

// waitGone waits until nothing of the server is left; false if that takes too long.
func (p *process) waitGone(within time.Duration) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-p.exited:
		return true
	case <-timer.C:
		return false
	}
}

// shutDown asks the server to end, with sig. If it does not end in time, shutDown kills it.
func (p *process) shutDown(sig syscall.Signal) error {
	p.thaw()
	p.signal(sig)
	if p.waitGone(stopWithin) {
		return nil
	}
	return p.killAll()
}

// killAll ends the server and its children with SIGKILL.
func (p *process) killAll() error {
	if !p.alive() {
		return nil
	}
	// PostgreSQL's children are in sessions of their own: a signal to the group does not reach them.
	children := childrenOf(p.cmd.Process.Pid)
	p.signal(syscall.SIGKILL)
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if !p.waitGone(killWithin) {
		return fmt.Errorf("%s (process %d) did not end within %s of SIGKILL", p.cmd.Path, p.cmd.Process.Pid, killWithin)
	}
	return nil
}

// freeze stops the server and its children: connections stay open and nothing answers, as if the machine hung.
func (p *process) freeze() {
	p.signal(syscall.SIGSTOP)
	p.signalChildren(syscall.SIGSTOP)
}

func (p *process) thaw() {
	p.signalChildren(syscall.SIGCONT)
	p.signal(syscall.SIGCONT)
}

func (p *process) signalChildren(sig syscall.Signal) {
	if !p.alive() {
		return
	}
	for _, pid := range childrenOf(p.cmd.Process.Pid) {
		_ = syscall.Kill(pid, sig)
	}
}

// freePort finds a TCP port of 127.0.0.1 that nobody listens on. It stays below the range from which systems take the
// ports of outgoing connections: there, a client that retries while the server is down could get the server's own
// port, and the server could not come back.
func freePort() (int, error) {
	var err error
	for range 100 {
		port := 20000 + rand.IntN(12000) //nolint:gosec // a port is not a secret
		var listener net.Listener
		if listener, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}

// logTail keeps the last lines that a server logged and passes everything on.
type logTail struct {
	to io.Writer // may be nil

	mu    sync.Mutex // guards lines and part
	lines []string
	part  string
}

const tailLines = 40

// Write never fails: a server must not die because of our log.
func (l *logTail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.Split(l.part+string(b), "\n")
	l.part = lines[len(lines)-1]
	l.lines = append(l.lines, lines[:len(lines)-1]...)
	if extra := len(l.lines) - tailLines; extra > 0 {
		l.lines = append([]string(nil), l.lines[extra:]...)
	}
	if l.to != nil {
		_, _ = l.to.Write(b)
	}
	return len(b), nil
}

// contains reports whether one of the last lines contains text.
func (l *logTail) contains(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			return true
		}
	}
	return false
}

// causeMarks find the line that says why a server ended, clearest first. PostgreSQL's log names a full disk more
// clearly than its consequences.
var causeMarks = regexps(
	`No space left on device`,
	`Check free disk space`, // the hint if a write was cut short
	`PANIC:|FATAL:|FATAL CONFIG`,
	`(?i)error:|could not|can't`,
	`\S`,
)

// logPrefix matches what servers put before a message: time, process, severity.
var logPrefix = regexp.MustCompile(`^.*?(PANIC|FATAL|ERROR|LOG|HINT|WARNING|error|# Warning):\s+`)

// cause returns the message that best says why a server ended.
func (l *logTail) cause() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := append(slices.Clone(l.lines), l.part)
	slices.Reverse(lines)
	for _, mark := range causeMarks {
		if at := slices.IndexFunc(lines, mark.MatchString); at >= 0 {
			return strings.TrimSpace(logPrefix.ReplaceAllString(lines[at], ""))
		}
	}
	return "it logged nothing"
}

func regexps(patterns ...string) []*regexp.Regexp {
	compiled := make([]*regexp.Regexp, len(patterns))
	for i, pattern := range patterns {
		compiled[i] = regexp.MustCompile(pattern)
	}
	return compiled
}
