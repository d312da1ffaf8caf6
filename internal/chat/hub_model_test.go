package chat

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// model simulates one conversation: a log that grows, broadcasts that arrive in any order, repeatedly or never, and
// connections that come and go.
type model struct {
	t       *rapid.T
	hub     *hub
	log     *logStub
	flying  []delivery // published and neither delivered nor lost
	joining []*socket
	live    []*socket
}

// connection is what one client knows: it must see cursor+1 and nothing else.
type socket struct {
	recorder
	subscriber *subscriber
	sent       int64 // by catching up
	cursor     int64
}

func (m *model) commit() {
	for range rapid.IntRange(1, 4).Draw(m.t, "committed") {
		m.log.grow(m.log.head + 1)
		m.flying = append(m.flying, event(m.log.head))
	}
}

// bus delivers, repeats or loses a broadcast in flight.
func (m *model) bus() {
	if len(m.flying) == 0 {
		return
	}
	i := rapid.IntRange(0, len(m.flying)-1).Draw(m.t, "which")
	fate := rapid.SampledFrom([]string{"deliver", "deliver", "repeat", "lose"}).Draw(m.t, "fate")
	if fate != "lose" {
		m.hub.deliver(testConversation, m.flying[i])
	}
	if fate != "repeat" {
		m.flying = slices.Delete(m.flying, i, i+1)
	}
}

func (m *model) enter() {
	s := &socket{}
	s.subscriber, _ = m.hub.enter(testConversation, 1, s)
	s.sent = m.log.head // the read of the log
	s.cursor = s.sent
	m.joining = append(m.joining, s)
}

func (m *model) goLive() {
	if len(m.joining) == 0 {
		return
	}
	s := m.joining[0]
	if !s.subscriber.goLive(s.sent, liveAt(s.sent)) {
		for s.sent < m.log.head { // the second read, sent past the hub
			s.sent++
			s.deliver(event(s.sent).frame)
		}
		return
	}
	m.joining = m.joining[1:]
	m.live = append(m.live, s)
}

func (m *model) leave() {
	all := append(slices.Clone(m.joining), m.live...)
	if len(all) == 0 {
		return
	}
	s := rapid.SampledFrom(all).Draw(m.t, "who")
	m.hub.leave(s.subscriber)
	gone := func(other *socket) bool { return other == s }
	m.joining, m.live = slices.DeleteFunc(m.joining, gone), slices.DeleteFunc(m.live, gone)
}

// rewind truncates the log, as a restore does. The sweep notices, and every connection is told to reconnect.
func (m *model) rewind() {
	if m.log.head == 0 {
		return
	}
	m.flying = nil
	m.log.grow(rapid.Int64Range(0, m.log.head-1).Draw(m.t, "back to"))
	m.hub.forget(testConversation)
	for _, s := range append(m.joining, m.live...) {
		require.Equal(m.t, closeFault, endedWith(&s.recorder))
		m.hub.leave(s.subscriber)
	}
	m.joining, m.live = nil, nil
}

// check compares what every connection got with what it should have got.
func (m *model) check() {
	synctest.Wait()
	for _, s := range append(slices.Clone(m.joining), m.live...) {
		for _, f := range s.take() {
			if rest, ok := strings.CutPrefix(f, "live "); ok {
				require.Equal(m.t, strconv.FormatInt(s.cursor, 10), rest, "live names the cursor")
				continue
			}
			require.Equal(m.t, strconv.FormatInt(s.cursor+1, 10), f, "no hole, no duplicate")
			s.cursor++
		}
	}
}

// settle is what the sweep does in the end; then everyone must have everything.
func (m *model) settle() {
	for len(m.joining) > 0 {
		m.goLive()
	}
	m.hub.learn(testConversation, m.log.head)
	pass(2 * time.Second)
	m.check()
	for _, s := range m.live {
		require.Equal(m.t, m.log.head, s.cursor, "everyone has the whole log")
	}
	for len(m.live) > 0 {
		m.leave()
	}
	require.False(m.t, m.hub.has(testConversation))
	m.hub.close()
}

// anyT hides the *testing.T from rapid, which would ask it for its deadline; in a bubble that panics.
type anyT struct{ *testing.T }

func TestHub_Model(t *testing.T) {
	t.Parallel()
	for name, rewinds := range map[string]bool{"a log that grows": false, "a log that goes back": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rapid.Check(anyT{t}, func(rt *rapid.T) { playConversation(rt, rewinds) })
			})
		})
	}
}

func playConversation(rt *rapid.T, rewinds bool) {
	m := &model{t: rt, log: &logStub{}}
	m.hub = hubOn(m.log)
	defer m.hub.close()
	steps := map[string]func(){
		"commit": m.commit, "bus": m.bus, "enter": m.enter, "goLive": m.goLive, "leave": m.leave,
		"time":  func() { pass(time.Duration(rapid.IntRange(1, 60).Draw(rt, "ms")) * time.Millisecond) },
		"sweep": func() { m.hub.learn(testConversation, m.log.head) },
	}
	if rewinds {
		steps["rewind"] = m.rewind
	}
	names := []string{"commit", "commit", "bus", "bus", "bus", "enter", "goLive", "goLive", "leave", "time", "sweep"}
	if rewinds {
		names = append(names, "rewind")
	}
	for _, step := range rapid.SliceOfN(rapid.SampledFrom(names), 1, 60).Draw(rt, "steps") {
		steps[step]()
		m.check()
	}
	m.settle()
}
