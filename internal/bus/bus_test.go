package bus

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/testing/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// station is a started bus and what it has received.
type station struct {
	Bus
	messages chan Message
	again    chan struct{} // subscribed again
}

// listen starts a bus and stops it at the end of the test.
func listen(t *testing.T, namespace string, b Bus) *station {
	t.Helper()
	s := &station{Bus: b, messages: make(chan Message, 10_000), again: make(chan struct{}, 10_000)}
	b.Start(namespace, func(m Message) { s.messages <- m }, func(Topic, bool) { s.again <- struct{}{} })
	t.Cleanup(b.Stop)
	return s
}

func (s *station) say(topic Topic, what string) { s.Publish(topic, 'x', raw(what), func(Topic) {}) }

// raw is a payload of bytes.
type raw string

// AppendTo implements Payload.
func (r raw) AppendTo(b []byte) []byte { return append(b, r...) }

func within[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		require.FailNow(t, "did not come in time", what)
		panic("unreachable")
	}
}

// carries checks everything that a bus promises while all is well.
func carries(t *testing.T, one, two *station) {
	t.Helper()
	const topics = 40 // over all partitions
	for topic := Topic(1); topic <= topics; topic++ {
		within(t, two.Subscribe(topic), "a confirmation")
	}
	for topic := Topic(1); topic <= topics; topic++ {
		one.say(topic, string(rune('0'+topic)))
	}
	origins := map[uint64]bool{}
	for got := map[Topic]bool{}; len(got) < topics; {
		m := within(t, two.messages, "a message")
		require.Equal(t, string(rune('0'+m.Topic)), string(m.Payload))
		require.False(t, got[m.Topic], "once each")
		got[m.Topic], origins[m.Origin] = true, true
	}
	require.Len(t, origins, 1, "all from one instance")
	for _, payload := range [][]byte{{0}, bytes.Repeat([]byte("long "), 20_000), []byte("\r\n\x00\xff")} {
		one.Publish(3, 'k', raw(payload), func(Topic) { t.Error("lost") })
		m := within(t, two.messages, "opaque bytes")
		require.Equal(t, payload, m.Payload)
		require.EqualValues(t, 'k', m.Kind)
	}
	one.say(All, "to everybody")
	require.Equal(t, All, within(t, two.messages, "what needs no subscription").Topic)
	require.Eventually(t, func() bool { return one.Healthy() && two.Healthy() }, time.Minute, 5*time.Millisecond)

	two.Unsubscribe(5)
	within(t, two.Subscribe(6+topics), "a confirmation") // of another partition; the next one is behind the unsubscription
	within(t, two.Subscribe(5+16*topics), "a confirmation")
	two.say(6, "mine") // an instance does not hear itself
	one.say(5, "to nobody")
	one.say(5+16*topics, "behind them")
	require.EqualValues(t, 5+16*topics, within(t, two.messages, "the message behind them").Topic)

	two.Unsubscribe(7) // and at once again
	within(t, two.Subscribe(7), "a confirmation of a topic that was left and entered")
	one.say(7, "again")
	require.EqualValues(t, 7, within(t, two.messages, "its message").Topic)
}

// namespaces checks that deployments do not hear each other: theirs and others are of one, ours of another.
func namespaces(t *testing.T, ours, others, theirs *station) {
	t.Helper()
	within(t, theirs.Subscribe(1), "a confirmation")
	ours.say(1, "foreign")
	ours.say(All, "foreign")
	within(t, ours.Subscribe(1), "a confirmation, behind what was said") // it has been carried out by now
	others.say(1, "known")
	require.Equal(t, "known", string(within(t, theirs.messages, "its own deployment's message").Payload))
}

func TestMemory(t *testing.T) {
	t.Parallel()
	n := NewNetwork()
	one, two := listen(t, "test", n.Join()), listen(t, "test", n.Join())
	carries(t, one, two)
	two.Stop()
	require.False(t, two.Healthy())
	lost := make(chan Topic, 1)
	two.Publish(1, 'x', raw("late"), func(topic Topic) { lost <- topic })
	require.EqualValues(t, 1, within(t, lost, "word of a loss"))
	one.say(1, "to nobody") // a bus that has stopped neither hears nor blocks
}

func TestMemory_Namespaces(t *testing.T) {
	t.Parallel()
	n := NewNetwork()
	namespaces(t, listen(t, "ours", n.Join()), listen(t, "others", n.Join()), listen(t, "others", n.Join()))
}

// Instances of two releases hear each other during an upgrade, so the bytes and the names of channels stay as they are.
func TestMessage_Golden(t *testing.T) {
	t.Parallel()
	require.Equal(t, "\x01E\x01\x02\x03\x04\x05\x06\x07\x08\xd8\x04x", string(marshal(300, 0x0102030405060708, 'E', raw("x"))))
	p := newPartition(nil, "housecall", 3, true)
	require.Equal(t, []string{"housecall:{3}:room:300", "housecall:{3}:all"}, []string{p.channel(300), p.channel(All)})
}

func FuzzUnmarshal(f *testing.F) {
	f.Add(marshal(3, 7, 'k', raw("x")))
	f.Add(marshal(1<<40, 1<<63, 0, raw("")))
	f.Add([]byte{version, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := unmarshal(data)
		if err != nil {
			return
		}
		again, err := unmarshal(marshal(m.Topic, m.Origin, m.Kind, raw(m.Payload)))
		require.NoError(t, err)
		require.Equal(t, m.Topic, again.Topic)
		require.Equal(t, m.Origin, again.Origin)
		require.True(t, bytes.Equal(m.Payload, again.Payload))
	})
}
