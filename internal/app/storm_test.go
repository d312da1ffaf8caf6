package app

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/client"
)

// storm has many conversations, each with a patient and a doctor on different instances, which they reach through
// gates.
type storm struct {
	w            *world
	appointments []string
	gates        []*gate
	peers        [][2]*peer // of each conversation
}

// newStorm gives patients the first gate and doctors the last, and makes as many people as the conversations need.
func newStorm(w *world, appointments int, gates ...*gate) *storm {
	w.t.Helper()
	s := &storm{w: w, gates: gates}
	const each = 10 // conversations of one pair of people
	var patient, doctor *client.API
	for i := range appointments {
		if i%each == 0 {
			patient = w.signIn(gates[0].url(), w.person(auth.Patient).email)
			doctor = w.signIn(gates[len(gates)-1].url(), w.person(auth.Doctor).email)
		}
		appointment := w.book(patient, doctor)
		s.appointments = append(s.appointments, appointment)
		s.peers = append(s.peers,
			[2]*peer{join(w.t, patient, appointment, fromStart), join(w.t, doctor, appointment, fromStart)})
	}
	return s
}

// talk has everybody send n messages at once, some of them twice on purpose. It calls halfway, if set, when about half
// of all messages are acknowledged.
func (s *storm) talk(n int, halfway func()) {
	s.w.t.Helper()
	total, acked := len(s.peers)*2*n, 0
	var mu sync.Mutex // guards acked
	half := make(chan struct{})
	count := func() {
		mu.Lock()
		defer mu.Unlock()
		if acked++; acked == total/2 {
			close(half)
		}
	}
	failures := make(chan error, len(s.peers)*2)
	var all sync.WaitGroup
	for i, pair := range s.peers {
		for j, p := range pair {
			all.Go(func() { failures <- p.chatter(n, fmt.Sprintf("conversation %d side %d", i, j), count) })
		}
	}
	ended := make(chan struct{})
	go func() { all.Wait(); close(ended) }()
	if halfway != nil {
		select {
		case <-half:
			halfway()
		case <-ended: // too early: other failures say why
		}
	}
	<-ended
	close(failures)
	for err := range failures {
		require.NoError(s.w.t, err)
	}
	for _, pair := range s.peers {
		pair[0].drained()
		pair[1].drained()
	}
}

// chatter sends n messages, two at a time, and every third one again once it is committed.
func (p *peer) chatter(n int, text string, acked func()) error {
	ctx := p.t.Context()
	for i := range n {
		id := client.NewClientID()
		if err := p.conv.SendAs(id, fmt.Sprintf("%s message %d", text, i)); err != nil {
			return err
		}
		if _, err := p.conv.SendWait(ctx, fmt.Sprintf("%s message %d, the other", text, i)); err != nil {
			return err
		}
		acked()
		if i%3 != 0 {
			continue
		}
		if err := p.conv.SendAs(id, fmt.Sprintf("%s message %d", text, i)); err != nil &&
			err != client.ErrPending { //nolint:errorlint // returned as is
			return err
		}
	}
	return nil
}

// same requires that every conversation ends the same for everybody and in PostgreSQL, with count texts.
func (s *storm) same(count int) {
	s.w.t.Helper()
	for i, appointment := range s.appointments {
		stored := s.w.stored(appointment)
		texts := 0
		for _, e := range stored {
			if e.Kind == "text" {
				texts++
			}
		}
		require.Equal(s.w.t, count, texts, "nothing is lost or duplicated")
		requireSame(s.w.t, stored, s.peers[i][0], s.peers[i][1])
		for _, p := range s.peers[i] {
			require.Zero(s.w.t, p.conv.Stats().Resets)
			require.Empty(s.w.t, p.refused)
		}
	}
}

// chaos breaks all connections of a gate again and again until stop is called.
func chaos(gates ...*gate) (stop func() int) {
	end, cuts := make(chan struct{}), make(chan int, 1)
	go func() {
		n := 0
		defer func() { cuts <- n }()
		for {
			pause := time.NewTimer(time.Duration(50+rand.IntN(150)) * time.Millisecond)
			select {
			case <-pause.C:
				n += gates[rand.IntN(len(gates))].cutSome(0.3)
			case <-end:
				pause.Stop()
				return
			}
		}
	}()
	return func() int { close(end); return <-cuts }
}

// cutSome breaks about this share of the connections.
func (g *gate) cutSome(share float64) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.open {
		if rand.Float64() < share {
			_ = c.Close()
			n++
		}
	}
	return n
}

// One clientId is one message, and everybody in a conversation sees the same order, without gaps or duplicates.
func TestApp_Storm(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	a, b := newGate(t, w.apps[0].Addr()), newGate(t, w.apps[1].Addr())
	s := newStorm(w, 50, a, b)
	stop := chaos(a, b)
	s.talk(6, nil)
	require.Positive(t, stop(), "connections were cut")
	s.same(2 * 2 * 6)
}

// A resend over another connection or instance gets the first one's seq, even while the first is under way.
func TestApp_ResendRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2)
	patient, doctor, appointment := w.pair()
	d := join(t, doctor, appointment, fromStart)
	token := w.token(patient)
	sockets := []*socket{
		w.dial(0, token, appointment, ""), w.dial(1, token, appointment, ""), w.dial(0, token, appointment, ""),
	}
	const n = 20
	seqs := make([]map[string]int64, len(sockets))
	ids := make([]string, n)
	for i := range ids {
		ids[i] = client.NewClientID()
	}
	var all sync.WaitGroup
	for i, s := range sockets {
		seqs[i] = map[string]int64{}
		all.Go(func() {
			for k := range ids {
				_ = s.WriteJSON(object{"type": "send", "clientId": ids[(k+7*i)%n], "text": "the same"}) // the read below notices
			}
			for len(seqs[i]) < n {
				var f frame
				if s.ReadJSON(&f) != nil {
					return
				}
				if f.Type == "ack" {
					seqs[i][f.ClientID] = f.Seq
				}
			}
		})
	}
	all.Wait()
	require.Len(t, seqs[0], n)
	require.Equal(t, seqs[0], seqs[1])
	require.Equal(t, seqs[0], seqs[2])
	requireSame(t, w.stored(appointment), d)
}
