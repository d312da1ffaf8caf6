package client

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// receive collects what a conversation reports.
type receive struct {
	mu     sync.Mutex
	seqs   []int64
	events chan int64
	ends   []error
	resets []string
}

func (r *receive) handler() Handler {
	r.events = make(chan int64, 10_000)
	return Handler{
		Event: func(e Event) {
			r.mu.Lock()
			r.seqs = append(r.seqs, e.Seq)
			r.mu.Unlock()
			r.events <- e.Seq
		},
		Reset: func(reason string) { r.resets = append(r.resets, reason) },
		State: func(_ State, why error) { r.ends = append(r.ends, why) },
	}
}

// upTo waits for an event.
func (r *receive) upTo(t *testing.T, seq int64) {
	t.Helper()
	ctx := within(t)
	for {
		select {
		case got := <-r.events:
			if got == seq {
				return
			}
		case <-ctx.Done():
			t.Fatalf("event %d did not come", seq)
		}
	}
}

func span(from, to int64) (out []int64) {
	for i := from; i <= to; i++ {
		out = append(out, i)
	}
	return out
}

func open(t *testing.T, api *API, o Options) (*Conversation, *fakeClock) {
	t.Helper()
	clock := &fakeClock{}
	if o.Clock.Now == nil {
		o.Clock = clock.clock()
	}
	if o.Random == nil {
		o.Random = func() float64 { return 0.5 }
	}
	c := Open(api, "APP1", o)
	t.Cleanup(c.Close)
	return c, clock
}

func TestConversation_Event_resumesAndDropsDuplicates(t *testing.T) {
	t.Parallel()
	resumed := make(chan map[string]string, 1)
	f := &fakeService{script: func(n int, s *fakeSocket) {
		s.sayHello(5)
		if n == 0 {
			for _, seq := range []int64{3, 4, 4, 5, 3} {
				s.event(seq)
			}
			s.live(5)
			return // cut
		}
		resumed <- s.query
		s.event(5)
		s.event(6)
		s.live(6)
		s.untilGone()
	}}
	var r receive
	c, _ := open(t, f.start(t), Options{Handler: r.handler()})
	r.upTo(t, 6)
	c.Close()
	require.Equal(t, map[string]string{"after": "5", "epoch": "e1"}, <-resumed)
	require.Equal(t, span(3, 6), r.seqs)
	require.Equal(t, Stats{Connections: 2, Duplicates: 3}, c.Stats())
	require.Equal(t, Cursor{Seq: 6, Epoch: "e1", Set: true}, c.Cursor())
}

func TestConversation_Event_asksForWhatWasSkipped(t *testing.T) {
	t.Parallel()
	f := &fakeService{script: func(n int, s *fakeSocket) {
		s.sayHello(4)
		if n == 0 {
			s.event(1)
			s.event(3)
		} else {
			s.event(2)
			s.event(3)
			s.event(4)
		}
		s.live(4)
		s.untilGone()
	}}
	var r receive
	c, _ := open(t, f.start(t), Options{Handler: r.handler()})
	r.upTo(t, 4)
	c.Close()
	require.Equal(t, span(1, 4), r.seqs)
	require.EqualValues(t, 1, c.Stats().Holes)
}

func TestConversation_Send_resendsInOrderUnderOneID(t *testing.T) {
	t.Parallel()
	const count = 6
	var mu sync.Mutex
	var ids []string
	texts := [3][]string{}
	f := &fakeService{script: func(n int, s *fakeSocket) {
		s.sayHello(0)
		s.live(0)
		for i := 0; ; i++ {
			m, ok := s.hear()
			if !ok {
				return
			}
			mu.Lock()
			texts[n] = append(texts[n], m.Text)
			if n == 0 {
				ids = append(ids, m.ClientID)
			}
			known := m.ClientID == ids[i+2*n]
			mu.Unlock()
			if !known {
				s.t.Errorf("connection %d: another id for %q", n, m.Text)
			}
			// Each connection acknowledges two messages, and breaks once all have been sent.
			switch {
			case n == 2 || i < 2:
				s.say(fmt.Sprintf(`{"type":"ack","clientId":%q,"seq":%d}`, m.ClientID, i+1+2*n))
			case i == count-1-2*n:
				return
			}
		}
	}}
	c, _ := open(t, f.start(t), Options{})
	for i := range count {
		_, err := c.Send(fmt.Sprint("m", i))
		require.NoError(t, err)
	}
	require.NoError(t, c.Drain(within(t)))
	require.Equal(t, []string{"m0", "m1", "m2", "m3", "m4", "m5"}, texts[0])
	require.Equal(t, []string{"m2", "m3", "m4", "m5"}, texts[1])
	require.Equal(t, []string{"m4", "m5"}, texts[2])
}

func TestConversation_SendWait(t *testing.T) {
	t.Parallel()
	f := &fakeService{script: func(_ int, s *fakeSocket) {
		s.sayHello(0)
		s.live(0)
		for deferred := false; ; {
			m, ok := s.hear()
			if !ok {
				return
			}
			switch {
			case m.Text == "bad":
				s.say(
					fmt.Sprintf(`{"type":"nack","clientId":%q,"code":"closed","detail":"It is closed.","retry":"never"}`, m.ClientID),
				)
			case !deferred:
				deferred = true
				s.say(fmt.Sprintf(`{"type":"nack","clientId":%q,"code":"rate","detail":"Slower.","retry":"later"}`, m.ClientID))
			default:
				s.say(fmt.Sprintf(`{"type":"ack","clientId":%q,"seq":9,"duplicate":true}`, m.ClientID))
			}
		}
	}}
	var deferrals []string
	c, clock := open(t, f.start(t),
		Options{Handler: Handler{Deferred: func(_, code string) { deferrals = append(deferrals, code) }}})
	seq, err := c.SendWait(within(t), "later")
	require.NoError(t, err)
	require.EqualValues(t, 9, seq)
	_, err = c.SendWait(within(t), "bad")
	var no *Refusal
	require.ErrorAs(t, err, &no)
	require.Equal(t, "closed", no.Code)
	c.Close()
	_, err = c.SendWait(within(t), "late")
	require.ErrorIs(t, err, ErrClosed)
	require.Equal(t, []string{"rate"}, deferrals)
	require.Contains(t, clock.asked(), deferPause)
}

// TestConversation_keepsToTheRate: all of a long queue goes out, and no faster than hello allows.
func TestConversation_keepsToTheRate(t *testing.T) {
	t.Parallel()
	const perSecond, messages = 10, 45
	f := &fakeService{script: func(_ int, s *fakeSocket) {
		s.say(fmt.Sprintf(`{"type":"hello","headSeq":0,"epoch":"e1","limits":{"perSecond":%d}}`, perSecond))
		s.live(0)
		for seq := 1; ; seq++ {
			m, ok := s.hear()
			if !ok {
				return
			}
			s.say(fmt.Sprintf(`{"type":"ack","clientId":%q,"seq":%d}`, m.ClientID, seq))
		}
	}}
	c, clock := open(t, f.start(t), Options{})
	require.NoError(t, c.WaitLive(within(t)))
	begun := clock.clockNow()
	for range messages {
		_, err := c.Send("one of many")
		require.NoError(t, err)
	}
	require.NoError(t, c.Drain(within(t)))
	require.GreaterOrEqual(t, clock.clockNow().Sub(begun), (messages-perSecond)*time.Second/perSecond,
		"by the conversation's own clock")
}

// TestConversation_WaitSpace: a caller who waits for space gets it with the first ack, or learns why not.
func TestConversation_WaitSpace(t *testing.T) {
	t.Parallel()
	answer := make(chan struct{})
	f := &fakeService{script: func(_ int, s *fakeSocket) {
		s.sayHello(0)
		s.live(0)
		m, _ := s.hear()
		<-answer
		s.say(fmt.Sprintf(`{"type":"ack","clientId":%q,"seq":1}`, m.ClientID))
		s.untilGone()
	}}
	c, _ := open(t, f.start(t), Options{QueueMax: 2})
	for range 2 {
		_, err := c.Send("fills the queue")
		require.NoError(t, err)
	}
	waited := make(chan error)
	go func() { waited <- c.WaitSpace(within(t)) }()
	_, err := c.Send("one too many")
	require.ErrorIs(t, err, ErrQueueFull)
	close(answer)
	require.NoError(t, <-waited)
	_, err = c.Send("fits now")
	require.NoError(t, err)
	c.Close()
	require.ErrorIs(t, c.WaitSpace(within(t)), ErrClosed)
}

func TestConversation_Close_givesUpWhatWaits(t *testing.T) {
	t.Parallel()
	f := &fakeService{script: func(_ int, s *fakeSocket) {
		s.sayHello(0)
		s.live(0)
		s.untilGone()
	}}
	c, _ := open(t, f.start(t), Options{QueueMax: 1})
	require.NoError(t, c.WaitLive(within(t)))
	answer := make(chan error)
	go func() {
		_, err := c.SendWait(within(t), "never acknowledged")
		answer <- err
	}()
	require.Eventually(t, func() bool { return c.Pending() == 1 }, time.Minute, time.Millisecond)
	require.ErrorIs(t, c.SendAs("x", "too many"), ErrQueueFull)
	c.Close()
	require.ErrorIs(t, <-answer, ErrClosed)
	state, _ := c.State()
	require.Equal(t, Closed, state)
}

func TestConversation_comesBackWhenTold(t *testing.T) {
	t.Parallel()
	f := &fakeService{
		refuse: func(n int) int { return map[int]int{1: 503, 2: 502}[n] },
		script: func(n int, s *fakeSocket) {
			s.sayHello(0)
			s.live(0)
			if n == 0 {
				s.say(`{"type":"bye","code":1012,"reason":"restart","reconnectAfterMs":1234}`)
				s.closeWith(1012)
				return
			}
			s.event(1)
			s.untilGone()
		},
	}
	var r receive
	_, clock := open(t, f.start(t), Options{Handler: r.handler()})
	r.upTo(t, 1)
	require.Equal(t, []time.Duration{1234 * time.Millisecond, 500 * time.Millisecond, time.Second}, clock.asked())
}

// TestConversation_balancersPage: only the service itself can end a conversation. What a balancer answers by itself while it
// starts, or has no instance, is a fault of the network.
func TestConversation_balancersPage(t *testing.T) {
	t.Parallel()
	pages := []int{-404, -403, -401, -400, -426, -200}
	f := &fakeService{
		refuse: func(n int) int {
			if n < len(pages) {
				return pages[n]
			}
			return 0
		},
		script: func(_ int, s *fakeSocket) {
			s.sayHello(0)
			s.live(0)
			s.untilGone()
		},
	}
	c, _ := open(t, f.start(t), Options{})
	require.NoError(t, c.WaitLive(within(t)))
	require.EqualValues(t, len(pages)+1, f.dials.Load())
	require.EqualValues(t, 1, f.tokens.Load(), "none of these pages said anything about the token")
}

func TestConversation_stops(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		refuse, code int
	}{"no such appointment": {refuse: 404}, "no longer a participant": {code: 4403}, "protocol error": {code: 4400}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fakeService{
				refuse: func(int) int { return c.refuse },
				script: func(_ int, s *fakeSocket) {
					s.sayHello(0)
					s.closeWith(c.code)
				},
			}
			conv, _ := open(t, f.start(t), Options{})
			err := conv.WaitLive(within(t))
			require.Error(t, err)
			<-conv.Done()
			require.EqualValues(t, 1, f.dials.Load())
			if c.code != 0 {
				var closed *CloseError
				require.ErrorAs(t, err, &closed)
				require.Equal(t, c.code, closed.Code)
			}
		})
	}
}

func TestConversation_reset(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		resume Cursor
		want   []int64
		resets int
	}{
		"a gap is filled":       {Cursor{Seq: 10, Epoch: "e1", Set: true}, span(11, 631), 0},
		"another history":       {Cursor{Seq: 10, Epoch: "e0", Set: true}, span(581, 631), 1},
		"a cursor from nowhere": {Cursor{Seq: 900, Epoch: "e1", Set: true}, span(581, 631), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fakeService{script: func(_ int, s *fakeSocket) {
				s.sayHello(630)
				s.say(`{"type":"reset","headSeq":630,"reason":"too far behind"}`)
				s.live(630)
				s.event(631)
				s.untilGone()
			}}
			for _, seq := range span(1, 631) {
				f.log = append(f.log, Event{Seq: seq, Kind: "text"})
			}
			var r receive
			conv, _ := open(t, f.start(t), Options{Handler: r.handler(), Resume: c.resume})
			r.upTo(t, 631)
			conv.Close()
			require.Equal(t, c.want, r.seqs)
			require.Len(t, r.resets, c.resets)
			require.Zero(t, conv.Stats().Holes)
		})
	}
}

func TestConversation_gathersReceipts(t *testing.T) {
	t.Parallel()
	frames, told := make(chan fromClient, 100), make(chan struct{})
	f := &fakeService{script: func(_ int, s *fakeSocket) {
		<-told
		s.sayHello(0)
		s.live(0)
		for {
			m, ok := s.hear()
			if !ok {
				close(frames)
				return
			}
			frames <- m
			if m.Type == "send" {
				s.say(fmt.Sprintf(`{"type":"ack","clientId":%q,"seq":1}`, m.ClientID))
			}
		}
	}}
	c, _ := open(t, f.start(t), Options{})
	for seq := range int64(50) {
		c.Delivered(seq)
		c.Read(seq)
	}
	c.Read(7) // never backwards
	close(told)
	require.NoError(t, c.WaitLive(within(t)))
	got := <-frames
	require.Equal(t, fromClient{Type: "read", UpTo: 49}, got)
	c.Typing(true)
	c.Typing(true)
	require.Equal(t, fromClient{Type: "typing", Active: true}, <-frames)
	_, err := c.SendWait(within(t), "done")
	require.NoError(t, err)
	require.Equal(t, "send", (<-frames).Type)
	c.Close()
	_, more := <-frames
	require.False(t, more, "a receipt covers what it implies, and typing is sent once")
}
