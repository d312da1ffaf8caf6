package app

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// cable is the connection from a browser to an instance, which can be unplugged.
type cable struct {
	ln   net.Listener
	work sync.WaitGroup

	mu    sync.Mutex // guards the rest
	to    string
	state cableState
	open  map[net.Conn]struct{}
}

type cableState uint8

const (
	whole     cableState = iota
	noSockets            // pages and the API come through
	muted                // the browser's requests arrive, but no answers
	pulled               // nothing comes through
)

func newCable(t *testing.T) *cable {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cable{ln: ln, open: map[net.Conn]struct{}{}}
	c.work.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			c.work.Go(func() { c.carry(in) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		c.set(pulled)
		c.work.Wait()
	})
	return c
}

func (c *cable) url() string { return "http://" + c.ln.Addr().String() }

// leads sets where connections lead from now on.
func (c *cable) leads(to string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.to = to
}

// set changes what comes through. It breaks off open connections, unless it only mutes them.
func (c *cable) set(s cableState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state = s
	if s == muted {
		return
	}
	for conn := range c.open {
		_ = conn.Close()
	}
}

// plug returns what currently comes through, and counts the connection as open.
func (c *cable) plug(in net.Conn) (cableState, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != pulled {
		c.open[in] = struct{}{}
	}
	return c.state, c.to
}

func (c *cable) carry(in net.Conn) {
	defer in.Close()
	state, to := c.plug(in)
	defer func() {
		c.mu.Lock()
		delete(c.open, in)
		c.mu.Unlock()
	}()
	first := make([]byte, len("GET /ws/")) // Chromium opens a new connection for each socket
	if state == pulled {
		return
	}
	if _, err := io.ReadFull(in, first); err != nil || state == noSockets && string(first) == "GET /ws/" {
		return
	}
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(muffler{c, in}, out)
		_ = in.Close()
	})
	_, _ = io.Copy(out, io.MultiReader(bytes.NewReader(first), in))
	_ = out.Close()
	back.Wait()
}

// muffler drops what goes to the browser while the cable is muted.
type muffler struct {
	c  *cable
	to net.Conn
}

// Write implements io.Writer.
func (m muffler) Write(b []byte) (int, error) {
	m.c.mu.Lock()
	quiet := m.c.state == muted
	m.c.mu.Unlock()
	if quiet {
		return len(b), nil
	}
	return m.to.Write(b)
}
