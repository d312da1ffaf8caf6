// Package hostile has bad clients: they send malformed frames, break the framing of WebSocket, never finish, never
// read, and never stop. Tests and load tests run them against their own instances, and check whether other clients
// notice. The clients keep to one address, and to the given number of connections and time.
package hostile

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Target is what bad clients visit: a conversation in which they are a participant, as others do not get far.
type Target struct {
	// Addr is the instance's host and port, a loopback address.
	Addr string
	// Path is the path of a socket, such as /ws/appointments/APP….
	Path string
	// Token is the access token of a participant.
	Token string
	// From is the address that they come from, so that limits by address affect only them; nil: any.
	From net.IP
}

// Tally counts the outcomes of visits.
type Tally struct {
	mu   sync.Mutex // guards all below
	what map[string]int
}

// Add counts one outcome.
func (t *Tally) Add(what string) { t.AddN(what, 1) }

// AddN counts n outcomes.
func (t *Tally) AddN(what string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.what == nil {
		t.what = map[string]int{}
	}
	t.what[what] += n
}

// Count returns how many there were.
func (t *Tally) Count(what string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.what[what]
}

// String returns all counts.
func (t *Tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(t.what)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, t.what[name]))
	}
	return strings.Join(parts, ", ")
}

// errRefused means that a handshake was not answered with 101.
var errRefused = errors.New("no upgrade")

// patience limits each step of a visit, so that it does not hang if the service does not end it.
const patience = time.Minute

// connect opens a TCP connection that ends with ctx.
func (t Target) connect(ctx context.Context) (net.Conn, func(), error) {
	host, _, err := net.SplitHostPort(t.Addr)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return nil, nil, errors.New("bad clients visit loopback addresses only")
	}
	d := net.Dialer{Timeout: patience}
	if t.From != nil {
		d.LocalAddr = &net.TCPAddr{IP: t.From}
	}
	c, err := d.DialContext(ctx, "tcp", t.Addr)
	if err != nil {
		return nil, nil, err
	}
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // otherwise thousands of ports would stay in TIME_WAIT
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	return c, func() { stop(); _ = c.Close() }, nil
}

// request returns the request for the upgrade, without the empty line at its end.
func (t Target) request() string {
	lines := []string{
		"GET " + t.Path + " HTTP/1.1", "Host: " + t.Addr, "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + base64.StdEncoding.EncodeToString([]byte("sixteen bytes!!!")),
		"Sec-WebSocket-Protocol: housecall.v1",
		"Authorization: Bearer " + t.Token,
	}
	return strings.Join(lines, "\r\n") + "\r\n"
}

// join opens a socket, up to the 101.
func (t Target) join(ctx context.Context) (net.Conn, *bufio.Reader, func(), error) {
	c, end, err := t.connect(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	r := bufio.NewReaderSize(c, 1024)
	status, err := ask(c, r, t.request()+"\r\n")
	if err == nil && status != http.StatusSwitchingProtocols {
		err = fmt.Errorf("%w: %d", errRefused, status)
	}
	if err != nil {
		end()
		return nil, nil, nil, err
	}
	return c, r, end, nil
}

// ask sends a request, reads the answer, and returns its status.
func ask(c net.Conn, r *bufio.Reader, request string) (int, error) {
	if _, err := io.WriteString(c, request); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		_, err = io.Copy(io.Discard, resp.Body)
	}
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}

// newRandom makes a source for each visitor, so that the seed determines what they all do.
func newRandom(seed uint64, visitor int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(visitor))) //nolint:gosec // chooses what to break, keeps no secret
}
