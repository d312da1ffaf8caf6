package soak

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/stretchr/testify/require"
)

// instance is one instance of the service, in a process of its own, with proxies to and from it.
type instance struct {
	n                   int // from 1
	addr                string
	env                 []string
	front, redis, store *toxiproxy.Proxy // clients to it, it to Redis, it to PostgreSQL
	log                 *tail

	frontAddr, redisAddr, storeAddr string

	mu     sync.Mutex // guards all below
	cmd    *exec.Cmd
	exited chan struct{}
}

// given are the addresses that freeAddr has returned: their owners may not have bound them yet.
var given sync.Map

// freeAddr returns an address whose port can be used again after a crash: it is below the ports of outgoing
// connections and of devservices, and nobody else in this process has it.
func freeAddr(t *testing.T) string {
	t.Helper()
	for range 1000 {
		addr := fmt.Sprintf("127.0.0.1:%d", 2000+rand.IntN(10000))
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		require.NoError(t, ln.Close())
		if _, taken := given.LoadOrStore(addr, true); !taken {
			return addr
		}
	}
	require.FailNow(t, "no free port")
	return ""
}

// start starts the process unless it runs.
func (in *instance) start() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.running() {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Env, cmd.Stdout, cmd.Stderr = in.env, in.log, in.log
	endsWithUs(cmd)
	started, exited := make(chan error), make(chan struct{})
	go func() {
		// If the thread that started a process ends, the kernel acts as if its parent had ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the log tells how it ended
			close(exited)
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	in.cmd, in.exited = cmd, exited
	return nil
}

// running tells whether the process runs. The caller holds mu.
func (in *instance) running() bool {
	if in.cmd == nil {
		return false
	}
	select {
	case <-in.exited:
		return false
	default:
		return true
	}
}

func (in *instance) signal(s syscall.Signal) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.running() {
		_ = in.cmd.Process.Signal(s) // it may just have ended
	}
}

// kill ends the process as a crash does.
func (in *instance) kill() {
	in.signal(syscall.SIGKILL)
	in.wait()
}

// stopPatience is well above SHUTDOWN_TIMEOUT, even on a busy machine.
const stopPatience = 90 * time.Second

// end asks the process to stop. If it does not, end has it print its goroutines and kills it: its log then counts as
// that of a crash.
func (in *instance) end() {
	in.signal(syscall.SIGCONT)
	in.signal(syscall.SIGTERM)
	in.mu.Lock()
	exited := in.exited
	in.mu.Unlock()
	if exited == nil {
		return
	}
	t := time.NewTimer(stopPatience)
	defer t.Stop()
	select {
	case <-exited:
	case <-t.C:
		_, _ = in.log.Write([]byte("fatal error: it did not stop after SIGTERM\n")) // it never fails
		in.signal(syscall.SIGQUIT)
		in.wait()
	}
}

func (in *instance) wait() {
	in.mu.Lock()
	exited := in.exited
	in.mu.Unlock()
	if exited != nil {
		<-exited
	}
}

// ready asks the process directly, not through the clients' proxy.
func (in *instance) ready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, hurry)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+in.addr+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := probes.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// probes uses a new connection for each request.
var probes = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: calm}

// awaitReady starts the process again if it has ended, and returns when it is ready.
func (in *instance) awaitReady(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !in.ready(ctx) {
		if err := in.start(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("instance %d is not ready: %w\n%s", in.n, ctx.Err(), in.log)
		}
	}
	return nil
}

// tail keeps the end of a process's output, and looks for what must never be in it.
type tail struct {
	mu    sync.Mutex // guards all below
	buf   bytes.Buffer
	wrong bool
}

const tailBytes = 64 << 10

var crashes = [][]byte{[]byte("WARNING: DATA RACE"), []byte("panic:"), []byte("fatal error:"), []byte("handler failed")}

// Write implements io.Writer.
func (l *tail) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, mark := range crashes {
		l.wrong = l.wrong || bytes.Contains(b, mark)
	}
	l.buf.Write(b)
	if extra := l.buf.Len() - tailBytes; extra > tailBytes && !l.wrong {
		l.buf.Next(extra)
	}
	return len(b), nil
}

// String returns the end of the output; after a crash, everything since the crash.
func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *tail) crashed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wrong
}
