package main

import (
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"housecall/internal/client"
)

// side is one participant of one conversation. It sends numbered messages and checks what it receives.
type side struct {
	drive *drive
	conv  *client.Conversation
	user  string
	peer  *side
	// idPrefix is the first 24 characters of its messages' client ids; the last 12 are the message's number.
	idPrefix string

	mu    sync.Mutex // guards what follows; held during a send, so that numbers go out in order
	meant []int64    // when message n was meant to be sent, in nanoseconds since the run began

	// Only the goroutine of conv uses the rest until the conversation is closed.
	lastSeq   int64
	chain     uint64   // a hash of the log as this side saw it
	seen      [2]marks // 0: own messages, 1: the peer's
	ackedSeq  []int64  // by number; 0: not acknowledged, -1: refused
	echoSeq   []int64  // by number, as the log showed it
	latency   []int64  // of the peer's messages, in nanoseconds
	ackTimes  []int64
	delivered int64 // of the peer's messages, in the measured time
	faults    faults
}

// faults counts broken guarantees and refusals.
type faults struct {
	holes, duplicates, reordered, foreign int64
	refusals                              map[string]int64
}

func (f *faults) refused(code string) {
	if f.refusals == nil {
		f.refusals = map[string]int64{}
	}
	f.refusals[code]++
}

// marks remembers which numbers have come.
type marks struct {
	bits []uint64
	top  int // one more than the highest number
}

func (m *marks) has(n int) bool { return n/64 < len(m.bits) && m.bits[n/64]&(1<<(n%64)) != 0 }

// set notes a number; again means that it had come before, late that a higher one had.
func (m *marks) set(n int) (again, late bool) {
	for n/64 >= len(m.bits) {
		m.bits = append(m.bits, 0)
	}
	again, late = m.has(n), n < m.top
	m.bits[n/64] |= 1 << (n % 64)
	m.top = max(m.top, n+1)
	return again, late
}

// messageMax limits the numbers that are accepted: a foreign message must not make us allocate memory for it.
const messageMax = 100_000_000

func (s *side) open(r *chat, who *account, from int64) {
	s.user = who.api.User().UserID
	s.lastSeq = from
	s.idPrefix = client.NewClientID()[:24]
	s.conv = client.Open(who.api, r.id, client.Options{
		Resume: client.Cursor{Seq: from, Set: true}, QueueMax: 1 << 20,
		Handler: client.Handler{
			Event: s.onEvent, Ack: s.onAck,
			Refused:  func(no client.Refusal) { s.onRefused(no) },
			Deferred: func(_, code string) { s.faults.refused("deferred: " + code) },
		},
	})
}

// send sends the next message; meant is when it was meant to be sent, since the run began.
func (s *side) send(meant time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.meant)
	s.meant = append(s.meant, int64(meant))
	s.drive.sent.Add(1)
	if err := s.conv.SendAs(s.clientID(n), s.text(n, meant)); err != nil {
		s.drive.failed.Store(&failure{fmt.Errorf("send: %w", err)}) // closed by the service, or the queue is full
	}
}

type failure struct{ err error }

func (s *side) clientID(n int) string {
	digits := strconv.Itoa(n)
	return s.idPrefix + "000000000000"[len(digits):] + digits
}

// number returns the number in a client id; it is the reverse of clientID.
func (s *side) number(clientID string) (int, error) {
	digits, ours := strings.CutPrefix(clientID, s.idPrefix)
	if !ours {
		return 0, errors.New("not ours")
	}
	return strconv.Atoi(digits)
}

// text returns a message's text: its number, its time, and then filler.
func (s *side) text(n int, meant time.Duration) string {
	buf := make([]byte, 0, s.drive.plan.size)
	buf = strconv.AppendInt(buf, int64(n), 10)
	buf = append(buf, ' ')
	buf = strconv.AppendInt(buf, int64(meant), 10)
	buf = append(buf, ' ')
	for len(buf) < s.drive.plan.size {
		buf = append(buf, '.')
	}
	return string(buf)
}

func parseText(text string) (n int, meant int64, ok bool) {
	first, rest, _ := strings.Cut(text, " ")
	second, _, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(first)
	meant, err2 := strconv.ParseInt(second, 10, 64)
	return n, meant, err == nil && err2 == nil && n >= 0 && n < messageMax
}

func (s *side) onEvent(e client.Event) {
	if e.Seq != s.lastSeq+1 {
		s.faults.holes++
	}
	s.lastSeq = e.Seq
	s.chain = chain(s.chain, e)
	if e.Kind != "text" {
		return
	}
	n, meant, ok := parseText(e.Text)
	if !ok {
		s.faults.foreign++
		return
	}
	if e.Sender == s.user {
		s.note(&s.seen[0], n)
		s.echoSeq = setAt(s.echoSeq, n, e.Seq)
		s.drive.echoed.Add(1)
		return
	}
	s.note(&s.seen[1], n)
	now := s.drive.now()
	s.drive.delivered.Add(1)
	if s.drive.measuring(now) {
		s.delivered++
	}
	if s.drive.measuring(time.Duration(meant)) {
		s.latency = append(s.latency, int64(now)-meant)
	}
	s.drive.onDelivered(s.peer)
}

func (s *side) note(m *marks, n int) {
	again, late := m.set(n)
	switch {
	case again:
		s.faults.duplicates++
	case late:
		s.faults.reordered++
	}
}

func (s *side) onAck(a client.Ack) {
	n, err := s.number(a.ClientID)
	if err != nil {
		s.faults.foreign++
		return
	}
	s.ackedSeq = setAt(s.ackedSeq, n, a.Seq)
	s.drive.acked.Add(1)
	if meant := s.meantAt(n); s.drive.measuring(meant) {
		s.ackTimes = append(s.ackTimes, int64(s.drive.now()-meant))
	}
}

func (s *side) onRefused(no client.Refusal) {
	s.faults.refused(no.Code)
	if n, err := s.number(no.ClientID); err == nil {
		s.ackedSeq = setAt(s.ackedSeq, n, -1)
	}
	s.drive.refused.Add(1)
	s.drive.onDelivered(s)
}

func (s *side) meantAt(n int) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Duration(s.meant[n])
}

func setAt(list []int64, n int, value int64) []int64 {
	for n >= len(list) {
		list = append(list, 0)
	}
	list[n] = value
	return list
}

// chain extends the hash of a log: two sides with the same hash saw the same order.
func chain(before uint64, e client.Event) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(strconv.AppendUint(nil, before, 16))
	_, _ = h.Write(strconv.AppendInt(nil, e.Seq, 10))
	_, _ = h.Write([]byte(e.ClientID))
	return h.Sum64()
}

// counters are shared by all sides.
type counters struct {
	sent, acked, refused, delivered, echoed atomic.Int64
	failed                                  atomic.Pointer[failure]
}

// settled tells whether nothing is under way.
func (c *counters) settled() bool {
	want := c.sent.Load() - c.refused.Load()
	return c.acked.Load() >= want && c.delivered.Load() >= want && c.echoed.Load() >= want
}
