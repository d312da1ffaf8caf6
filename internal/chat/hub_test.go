package chat

import (
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHub_DeliversInOrderOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, h *hub, l *logStub) {
		m, r := joinAt(t, h, 1, 3)
		h.deliver(testConversation, event(5), event(3), event(6))
		require.Empty(t, r.take())
		h.deliver(testConversation, event(4), event(4))
		require.Equal(t, []string{"4", "5", "6"}, r.take())
		h.deliver(testConversation, event(5), event(6))
		require.Empty(t, r.take())
		pass(time.Minute)
		require.Zero(t, l.count(), "the hole was filled by the bus in time")
		h.leave(m)
	})
}

func TestHub_GapIsReadAfterTheWait(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, h *hub, l *logStub) {
		m, r := joinAt(t, h, 1, 3)
		l.grow(5)
		h.deliver(testConversation, event(5))
		pass(gapWait - time.Millisecond)
		require.Empty(t, r.take())
		require.Zero(t, l.count())
		pass(time.Millisecond)
		require.Equal(t, []string{"4", "5"}, r.take())
		require.Equal(t, 1, l.count())
		h.leave(m)
	})
}

// TestHub_GapIsNotPutOff: events after a gap, however many and however fast, must not delay the read that fills it.
func TestHub_GapIsNotPutOff(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, h *hub, l *logStub) {
		m, r := joinAt(t, h, 1, 0)
		for seq := int64(2); seq < 22; seq++ { // 1 is lost, an event comes every 10 ms
			l.grow(seq)
			h.deliver(testConversation, event(seq))
			pass(10 * time.Millisecond)
		}
		require.Len(t, r.take(), 21)
		require.Equal(t, 1, l.count())
		h.leave(m)
	})
}

// TestHub_GapBeforeLive: a gap that arose before the first subscriber was live is still known afterwards.
func TestHub_GapBeforeLive(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, h *hub, l *logStub) {
		r := &recorder{}
		m, _ := h.enter(testConversation, 1, r)
		l.grow(7)
		h.deliver(testConversation, event(7))
		require.True(t, m.goLive(5, liveAt(5)))
		pass(gapWait)
		require.Equal(t, []string{"live 5", "6", "7"}, r.take())
		h.leave(m)
	})
}

func TestHub_LearnReadsAtOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, h *hub, l *logStub) {
		m, r := joinAt(t, h, 1, 0)
		l.grow(3 * catchUpLimit)
		h.learn(testConversation, 3*catchUpLimit)
		synctest.Wait()
		pass(time.Millisecond)
		require.Len(t, r.take(), 3*catchUpLimit, "page after page")
		require.Equal(t, map[int64]int64{testConversation: 3 * catchUpLimit}, h.heads())
		h.leave(m)
	})
}

func TestHub_FetchFailsThenRetries(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, h *hub, l *logStub) {
		m, r := joinAt(t, h, 1, 0)
		l.head, l.err = 2, errors.New("away")
		h.deliver(testConversation, event(2))
		pass(gapWait)
		require.Equal(t, 1, l.count())
		l.mu.Lock()
		l.err = nil
		l.mu.Unlock()
		pass(fetchRetry)
		require.Equal(t, []string{"1", "2"}, r.take())
		h.leave(m)
	})
}

// TestHub_EmptyFetchForgetsOnlyWhatItDisproved: a read that finds nothing proves nothing about what arrived during
// it.
func TestHub_EmptyFetchForgetsOnlyWhatItDisproved(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, h *hub, l *logStub) {
		m, r := joinAt(t, h, 1, 0)
		l.gate = make(chan struct{})
		h.learn(testConversation, 1) // wrong: there is nothing yet
		pass(time.Millisecond)
		require.Equal(t, 1, l.count())
		l.grow(3)
		h.deliver(testConversation, event(1), event(3))
		close(l.gate)
		pass(gapWait)
		require.Equal(t, []string{"1", "2", "3"}, r.take())
		h.learn(testConversation, 9) // wrong too, and nothing more comes
		pass(time.Minute)
		require.Less(t, l.count(), 6, "the hub does not go on asking")
		h.leave(m)
	})
}

func TestHub_PendingOverflow(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, h *hub, _ *logStub) {
		first, _ := joinAt(t, h, 1, 0)
		r := &recorder{}
		m, _ := h.enter(testConversation, 2, r)
		h.deliver(testConversation, events(1, maxPending+1)...)
		require.False(t, m.goLive(0, liveAt(0)), "what came meanwhile was more than is kept")
		require.Empty(t, r.take())
		h.deliver(testConversation, event(maxPending+2))
		require.True(t, m.goLive(maxPending+1, liveAt(maxPending+1)), "after another read of the log")
		require.Equal(t, []string{"live " + strconv.Itoa(maxPending+1), strconv.Itoa(maxPending + 2)}, r.take())
		h.leave(m)
		h.leave(first)
	})
}

func TestHub_JoinAheadOfTheChannel(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, h *hub, l *logStub) {
		first, slow := joinAt(t, h, 1, 3)
		l.grow(6)
		second, quick := joinAt(t, h, 2, 6) // its read of the log was ahead of the bus
		h.deliver(testConversation, event(4))
		require.Equal(t, []string{"4"}, slow.take())
		pass(gapWait)
		require.Equal(t, []string{"5", "6"}, slow.take())
		h.deliver(testConversation, event(7))
		require.Equal(t, []string{"7"}, slow.take())
		require.Equal(t, []string{"7"}, quick.take(), "nothing it had already")
		h.leave(first)
		h.leave(second)
	})
}

// TestHub_Forget: when the log was replaced, everyone must reconnect, and nothing more of the old log is delivered.
func TestHub_Forget(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, h *hub, l *logStub) {
		m, r := joinAt(t, h, 1, 5)
		early := &recorder{}
		joining, _ := h.enter(testConversation, 2, early)
		l.gate = make(chan struct{})
		l.grow(9)
		h.deliver(testConversation, event(7)) // of the history that is gone
		pass(gapWait)
		require.Equal(t, 1, l.count())
		h.forget(testConversation)
		require.Equal(t, closeFault, endedWith(r))
		require.Equal(t, closeFault, endedWith(early))
		require.True(t, joining.goLive(5, liveAt(5)), "it need not read again")
		close(l.gate)
		pass(time.Minute)
		require.Empty(t, r.take())
		require.Empty(t, early.take())
		require.Empty(t, h.heads())
		again, fresh := joinAt(t, h, 1, 3)
		h.leave(m)
		h.leave(joining)
		h.deliver(testConversation, event(4))
		require.Equal(t, []string{"4"}, fresh.take())
		h.leave(again)
		require.Equal(t, map[int64]int{testConversation: 0}, l.subs)
	})
}

func TestHub_LeaveWhileFetching(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, h *hub, l *logStub) {
		m, r := joinAt(t, h, 1, 0)
		l.gate = make(chan struct{})
		h.learn(testConversation, 2)
		pass(time.Millisecond)
		require.Equal(t, 1, l.count())
		h.leave(m)
		require.False(t, h.has(testConversation))
		again, fresh := joinAt(t, h, 1, 2)
		l.grow(2)
		close(l.gate)
		pass(time.Minute)
		require.Empty(t, r.take(), "nothing goes to whoever has left")
		require.Empty(t, fresh.take())
		h.leave(again)
		require.Equal(t, map[int64]int{testConversation: 0}, l.subs)
	})
}

// TestHub_CloseEndsFetches: close returns even if a fetch hangs, and nothing starts after it.
func TestHub_CloseEndsFetches(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, h *hub, l *logStub) {
		_, r := joinAt(t, h, 1, 0)
		l.gate = make(chan struct{})
		h.learn(testConversation, 2)
		pass(time.Millisecond)
		h.close()
		h.learn(testConversation, 9)
		pass(time.Minute)
		require.Equal(t, 1, l.count())
		require.Empty(t, r.take())
	})
}

func TestHub_ExpelAndBroadcast(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, h *hub, l *logStub) {
		patient, p := joinAt(t, h, 1, 0)
		doctor, d := joinAt(t, h, 2, 0)
		joining := &recorder{}
		third, _ := h.enter(testConversation, 2, joining)
		h.tellOthers(testConversation, 1, wire("typing"))
		require.Empty(t, p.take())
		require.Equal(t, []string{"typing"}, d.take())
		for range 2 * maxSignals {
			h.tellOthers(testConversation, 1, wire("typing"))
		}
		require.Empty(t, joining.take(), "nothing before it is live")
		require.True(t, third.goLive(0, liveAt(0)))
		require.Len(t, joining.take(), 1+maxSignals, "then a bounded number")
		require.Equal(t, map[int64]int{1: 1, 2: 2}, h.present(testConversation))
		h.expel(testConversation, func(user int64) bool { return user == 1 })
		require.Zero(t, endedWith(p))
		require.Equal(t, closeForbidden, endedWith(d))
		require.Equal(t, closeForbidden, endedWith(joining))
		h.deliver(testConversation, delivery{seq: 1, frame: wire("1"), system: true})
		require.Equal(t, []int64{testConversation}, l.changes)
		for _, m := range []*subscriber{patient, doctor, third} {
			h.leave(m)
		}
		require.Empty(t, h.occupied())
		h.deliver(testConversation, event(2)) // for nobody: none of these may panic
		h.tellOthers(testConversation, 0, wire("x"))
		h.forget(testConversation)
		h.learn(testConversation, 9)
		require.Nil(t, h.present(testConversation))
		h.expel(testConversation, func(int64) bool { return false })
	})
}

// TestHub_Regroup: what follows a hand-over reaches only those who have reconnected after it.
func TestHub_Regroup(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, h *hub, _ *logStub) {
		former, f := joinAt(t, h, 1, 0)
		joining := &recorder{}
		late, _ := h.enter(testConversation, 2, joining)
		h.deliver(testConversation, event(1), delivery{seq: 2, frame: wire("handed over"), system: true, regroup: true},
			event(3))
		require.Equal(t, []string{"1", "handed over"}, f.take())
		require.Equal(t, closeRestart, endedWith(f))
		require.Equal(t, closeRestart, endedWith(joining))
		require.True(t, late.goLive(0, liveAt(0)), "its socket is being closed")
		require.Empty(t, joining.take())
		back, b := joinAt(t, h, 1, 3)
		h.deliver(testConversation, event(4))
		require.Equal(t, []string{"4"}, b.take())
		require.Empty(t, f.take())
		for _, m := range []*subscriber{former, late, back} {
			h.leave(m)
		}
		require.Empty(t, h.occupied())
	})
}

// TestHub_EarlyIsBounded: only a bounded number of events after a gap is kept, and yet all arrive.
func TestHub_EarlyIsBounded(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, h *hub, l *logStub) {
		m, r := joinAt(t, h, 1, 0)
		const last = 3 * maxEarly
		l.grow(last)
		h.deliver(testConversation, events(2, last)...)
		require.Equal(t, maxEarly, keptEarly(m.channel))
		pass(time.Second)
		require.Len(t, r.take(), last)
		require.Zero(t, keptEarly(m.channel))
		h.leave(m)
	})
}

// TestHub_SignalsWait: a subscriber that is catching up gets signals once it is live, except its user's own; those
// beyond the bound are lost.
func TestHub_SignalsWait(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, h *hub, _ *logStub) {
		r := &recorder{}
		m, _ := h.enter(testConversation, 1, r)
		h.tellOthers(testConversation, 0, wire("appointment"))
		h.tellOthers(testConversation, 1, wire("their own typing"))
		for range maxSignals {
			h.tellOthers(testConversation, 0, wire("receipt"))
		}
		require.Empty(t, r.take())
		require.True(t, m.goLive(0, wire("live")))
		got := r.take()
		require.Equal(t, []string{"live", "appointment", "receipt"}, got[:3])
		require.Len(t, got, 1+maxSignals)
		h.tellOthers(testConversation, 0, wire("presence"))
		require.Equal(t, []string{"presence"}, r.take())
		h.leave(m)
	})
}
