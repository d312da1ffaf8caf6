package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/client"
)

// twoSides makes a conversation without a service: the test plays what the sides send and receive.
func twoSides() (*drive, *side, *side) {
	d := newDrive(&plan{size: 40, duration: time.Second}, "open")
	a, b := &side{
		drive: d, user: "PAT1", idPrefix: client.NewClientID()[:24],
	}, &side{
		drive: d, user: "DOC1", idPrefix: client.NewClientID()[:24],
	}
	a.peer, b.peer = b, a
	return d, a, b
}

// meantToSend notes a message as sent.
func (s *side) meantToSend() int {
	s.meant = append(s.meant, 0)
	return len(s.meant) - 1
}

func (s *side) eventOf(n int, seq int64) client.Event {
	return client.Event{Seq: seq, Kind: "text", Sender: s.user, ClientID: s.clientID(n), Text: s.text(n, 0)}
}

func TestSide_check(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		play func(a, b *side)
		want map[string]int64
	}{
		"all is well":        {func(_, _ *side) {}, nil},
		"never acknowledged": {func(a, _ *side) { a.ackedSeq[1] = 0 }, map[string]int64{"never acknowledged": 1}},
		"lost": {func(a, _ *side) {
			a.meantToSend()
			a.onAck(client.Ack{ClientID: a.clientID(3), Seq: 4})
			a.onEvent(a.eventOf(3, 4))
		}, map[string]int64{"acknowledged, never delivered": 1}},
		"lost to its sender": {func(a, b *side) {
			a.meantToSend()
			a.onAck(client.Ack{ClientID: a.clientID(3), Seq: 4})
			b.onEvent(a.eventOf(3, 4))
		}, map[string]int64{"acknowledged, never seen by its sender": 1}},
		"doubled under two seqs": {func(a, b *side) {
			a.onEvent(a.eventOf(2, 4))
			b.onEvent(a.eventOf(2, 4))
		}, map[string]int64{"duplicates": 2, "acknowledged under another seq": 1}},
		"a hole": {func(_, b *side) { b.onEvent(b.eventOf(0, 9)) }, map[string]int64{"holes": 1}},
		"reordered": {func(a, b *side) {
			a.meantToSend()
			a.meantToSend()
			for _, s := range []*side{a, b} {
				s.onEvent(a.eventOf(4, 4))
				s.onEvent(a.eventOf(3, 5))
			}
			a.onAck(client.Ack{ClientID: a.clientID(3), Seq: 5})
			a.onAck(client.Ack{ClientID: a.clientID(4), Seq: 4})
		}, map[string]int64{"reordered": 2}},
		"two stories": {func(a, b *side) {
			a.onEvent(client.Event{Seq: 4, Kind: "system", ClientID: "one"})
			b.onEvent(client.Event{Seq: 4, Kind: "system", ClientID: "other"})
		}, map[string]int64{"the two sides saw different logs": 2}},
		"refused, yet there": {
			func(a, _ *side) { a.onRefused(client.Refusal{ClientID: a.clientID(1), Code: "closed"}) },
			map[string]int64{"refused, yet delivered": 1},
		},
		"somebody else's": {
			func(_, b *side) { b.onEvent(client.Event{Seq: 4, Kind: "text", Sender: "PAT1", Text: "Good morning"}) },
			map[string]int64{"foreign messages": 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, a, b := twoSides()
			for n := range 3 {
				a.meantToSend()
				a.onAck(client.Ack{ClientID: a.clientID(n), Seq: int64(n + 1)})
				for _, s := range []*side{a, b} {
					s.onEvent(a.eventOf(n, int64(n+1)))
				}
			}
			c.play(a, b)
			got := map[string]int64{}
			for _, s := range []*side{a, b} {
				s.check(client.Stats{Connections: 1}, got)
			}
			for what, n := range got {
				if n == 0 {
					delete(got, what)
				}
			}
			if c.want == nil {
				c.want = map[string]int64{}
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestLatencyOf(t *testing.T) {
	t.Parallel()
	require.Nil(t, latencyOf())
	var samples []int64
	for ms := range int64(1000) {
		samples = append(samples, (ms+1)*int64(time.Millisecond))
	}
	l := latencyOf(samples[:400], samples[400:])
	require.InDelta(t, 500, l.P50, 1)
	require.InDelta(t, 990, l.P99, 1)
	require.InDelta(t, 1000, l.Max, 1)
}

func TestSide_clientID(t *testing.T) {
	t.Parallel()
	_, a, b := twoSides()
	for _, n := range []int{0, 9, 12345, messageMax - 1} {
		require.Len(t, a.clientID(n), 36)
		got, err := a.number(a.clientID(n))
		require.NoError(t, err)
		require.Equal(t, n, got)
	}
	_, err := a.number(b.clientID(0))
	require.Error(t, err)
}
