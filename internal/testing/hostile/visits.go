package hostile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"time"
)

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// visit is one connection of a bad client, until the service or ctx ends it. No outcome is an error.
type visit func(ctx context.Context, t Target, r *rand.Rand, tally *Tally)

// kinds are the bad clients, except those that send mutated frames.
var kinds = map[string]visit{
	"silent":             silent,
	"half a request":     halfRequest,
	"slow request":       slowRequest,
	"header flood":       requestOf(headerFlood()),
	"long header":        requestOf("Sec-WebSocket-Protocol: " + string(make([]byte, 1<<20)) + "\r\n"),
	"slow frame":         slowFrame,
	"endless fragments":  endlessFragments,
	"huge frame":         hugeFrame,
	"flood of pings":     flood(frame(final|opPing, []byte("are you there?"))),
	"flood of messages":  flood(frame(final|opText, Frames[0])),
	"flood of tokens":    flood(frame(final|opText, []byte(`{"type":"auth","token":"eyJhbGciOiJIUzI1NiJ9.e30.x"}`))),
	"never reads":        neverReads,
	"comes and goes":     comesAndGoes,
	"goes without a bye": halfClose,
}

// silent opens a connection and sends nothing.
func silent(ctx context.Context, t Target, _ *rand.Rand, _ *Tally) {
	c, end, err := t.connect(ctx)
	if err != nil {
		return
	}
	defer end()
	_, _ = io.Copy(io.Discard, c)
}

// halfRequest stops in the middle of the handshake.
func halfRequest(ctx context.Context, t Target, r *rand.Rand, _ *Tally) {
	c, end, err := t.connect(ctx)
	if err != nil {
		return
	}
	defer end()
	request := t.request()
	_, _ = io.WriteString(c, request[:r.IntN(len(request))])
	_, _ = io.Copy(io.Discard, c)
}

// slowRequest sends the handshake a byte at a time.
func slowRequest(ctx context.Context, t Target, _ *rand.Rand, _ *Tally) {
	c, end, err := t.connect(ctx)
	if err != nil {
		return
	}
	defer end()
	drip(ctx, c, []byte(t.request()+"\r\n"), 50*time.Millisecond)
	_, _ = io.Copy(io.Discard, c)
}

// drip writes a byte at a time.
func drip(ctx context.Context, c net.Conn, what []byte, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for i := range what {
		if _, err := c.Write(what[i : i+1]); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// requestOf sends a request with more header lines than any browser.
func requestOf(more string) visit {
	return func(ctx context.Context, t Target, _ *rand.Rand, tally *Tally) {
		c, end, err := t.connect(ctx)
		if err != nil {
			return
		}
		defer end()
		if status, err := ask(c, bufio.NewReader(c), t.request()+more+"\r\n"); err == nil {
			tally.Add("answered " + strconv.Itoa(status))
		}
	}
}

// slowFrame begins a frame of 60,000 bytes and sends it a byte at a time.
func slowFrame(ctx context.Context, t Target, _ *rand.Rand, tally *Tally) {
	visitSocket(ctx, t, tally, func(c net.Conn) {
		if _, err := c.Write(header(final|opText, 60_000, true)); err == nil {
			drip(ctx, c, make([]byte, 60_000), 50*time.Millisecond)
		}
	})
}

// endlessFragments never ends a message, but answers pings.
func endlessFragments(ctx context.Context, t Target, _ *rand.Rand, tally *Tally) {
	visitSocket(ctx, t, tally, func(c net.Conn) {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		first := byte(opText)
		for {
			if _, err := c.Write(join(frame(first, []byte(" ")), frame(final|opPong, nil))); err != nil {
				return
			}
			first = opContinue
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	})
}

// hugeFrame announces and sends a frame that is larger than any limit.
func hugeFrame(ctx context.Context, t Target, r *rand.Rand, tally *Tally) {
	visitSocket(ctx, t, tally, func(c net.Conn) {
		length := []uint64{1<<16 + 1, 1 << 20, 1 << 32, 1 << 62}[r.IntN(4)]
		if _, err := c.Write(header(final|opText, length, true)); err != nil {
			return
		}
		filling := make([]byte, 1<<16)
		for sent := uint64(0); sent < min(length, 8<<20); sent += uint64(len(filling)) {
			if _, err := c.Write(filling); err != nil {
				return
			}
		}
	})
}

// atOnce is how many frames a flood writes in one go, so that it costs its sender little.
const atOnce = 50

// flood sends the same thing as fast as it can.
func flood(what []byte) visit {
	what = bytes.Repeat(what, atOnce)
	return func(ctx context.Context, t Target, _ *rand.Rand, tally *Tally) {
		visitSocket(ctx, t, tally, func(c net.Conn) {
			for ctx.Err() == nil {
				if _, err := c.Write(what); err != nil {
					return
				}
			}
		})
	}
}

// neverReads asks for answers and does not read them.
func neverReads(ctx context.Context, t Target, _ *rand.Rand, tally *Tally) {
	c, _, end, err := t.join(ctx)
	if err != nil {
		tally.Add("refused")
		return
	}
	defer end()
	asking := bytes.Repeat(frame(final|opText, []byte(`{"type":"ping","id":"0123456789012345678901234567890123456789"}`)),
		atOnce)
	for ctx.Err() == nil {
		if _, err := c.Write(asking); err != nil {
			break
		}
	}
	tally.Add("sockets")
}

// comesAndGoes opens a socket and cuts it again.
func comesAndGoes(ctx context.Context, t Target, _ *rand.Rand, tally *Tally) {
	_, _, end, err := t.join(ctx)
	if err != nil {
		tally.Add("refused")
		return
	}
	tally.Add("sockets")
	end()
}

// halfClose closes only its own direction.
func halfClose(ctx context.Context, t Target, _ *rand.Rand, tally *Tally) {
	visitSocket(ctx, t, tally, func(c net.Conn) {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	})
}

// visitSocket opens a socket, runs say, and notes how the service ends the socket.
func visitSocket(ctx context.Context, t Target, tally *Tally, say func(net.Conn)) {
	c, r, end, err := t.join(ctx)
	if err != nil {
		tally.Add("refused")
		return
	}
	defer end()
	tally.Add("sockets")
	read := make(chan struct{})
	go func() {
		defer close(read)
		tally.Add(howItEnds(r))
	}()
	say(c)
	<-read
}

// howItEnds reads what the service sends, up to its close frame or the connection's end.
func howItEnds(r *bufio.Reader) string {
	for {
		op, payload, err := read(r)
		switch {
		case err != nil:
			return "cut"
		case op == opClose:
			return ending(payload)
		}
	}
}

// ending describes a close frame.
func ending(payload []byte) string {
	if len(payload) < 2 {
		return "closed"
	}
	return "closed " + strconv.Itoa(int(binary.BigEndian.Uint16(payload)))
}

// read reads one frame as servers send them.
func read(r *bufio.Reader) (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	length := int(head[1])
	if length == 126 {
		var more [2]byte
		if _, err := io.ReadFull(r, more[:]); err != nil {
			return 0, nil, err
		}
		length = int(binary.BigEndian.Uint16(more[:]))
	}
	if head[1] > 126 {
		return 0, nil, errors.New("not a frame that the service would send")
	}
	payload = make([]byte, length)
	_, err = io.ReadFull(r, payload)
	return head[0] &^ final, payload, err
}
