package chat

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/bus"
	"housecall/internal/conversation"
)

// flakyBus accepts or refuses broadcasts, as the test chooses.
type flakyBus struct {
	bus.Bus
	sent chan broadcast

	mu    sync.Mutex // guards both below
	away  bool
	tried int
}

func (b *flakyBus) Healthy() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.away
}

func (b *flakyBus) Publish(topic bus.Topic, kind byte, payload bus.Payload, lost func(bus.Topic)) {
	said, err := decodeBroadcast(bus.Message{Topic: topic, Kind: kind, Payload: payload.AppendTo(nil)})
	if err != nil {
		panic(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if said.kind == broadcastInbox || said.kind == broadcastSignal && said.signal.What != signalReceipt {
		return // nobody repeats them
	}
	b.tried++
	if b.away {
		lost(topic)
		return
	}
	b.sent <- said
}

func (b *flakyBus) set(away bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.away = away
}

func (b *flakyBus) tries() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tried
}

// TestService_publishAgain: once the bus is back, it gets what it refused; until then nothing is published.
func TestService_publishAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := &flakyBus{Bus: alone(), sent: make(chan broadcast, 100), away: true}
	in, id := w.serveOn(b, nil), w.Conversation()
	p := in.dial(t, w.Patient, id, "")
	p.say(map[string]any{"type": "send", "clientId": uuid.New(), "text": "x"})
	p.until("ack")
	p.say(`{"type":"read","upTo":1}`)
	p.until("receipt")
	require.Eventually(t, func() bool { return b.tries() == 2 }, time.Minute, time.Millisecond)
	polls := make(chan struct{}, 100)
	in.accounts.end(0, func() { polls <- struct{}{} })
	for range 4 { // as often as what was lost is looked for
		<-polls
	}
	require.Equal(t, 2, b.tries())
	require.InDelta(t, 2, testutil.ToFloat64(in.svc.metrics.lost), 0)
	b.set(false)
	require.Equal(t, broadcast{kind: broadcastHead, id: id, head: 1}, within(t, b.sent, "how far the id is"))
	require.Equal(t, broadcast{kind: broadcastSignal, id: id, signal: &signal{
		What: signalReceipt, User: w.Patient.ID, UserID: w.Patient.UserID, Delivered: 1, Read: 1,
	}}, within(t, b.sent, "how far the patient is"))
}

// TestService_sweepReceipts: receipts reach the other side without the bus too.
func TestService_sweepReceipts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, other, id := w.serve(nil), w.serve(nil), w.Conversation()
	w.fill(id, 3)
	p, d := in.dial(t, w.Patient, id, ""), other.dial(t, w.Doctor, id, "")
	p.until("live")
	d.until("live")
	d.say(`{"type":"read","upTo":2}`)
	d.until("receipt") // it is stored
	in.svc.sweepSoon()
	got := p.until("receipt")
	require.Equal(t, []any{w.Doctor.UserID, 2.0, 2.0}, []any{got["userId"], got["deliveredSeq"], got["readSeq"]})

	next := w.User(auth.Doctor) // the receipts of a doctor who handed over are no news
	w.Exec(`update appointments set doctor_id = $2 where id = $1`, id, next.ID)
	all, err := receiptsIn(context.Background(), w.Pool, []int64{id, id + 1})
	require.NoError(t, err)
	require.Empty(t, all)
	w.Exec(`insert into receipts (room_id, user_id, delivered_seq, read_seq) values ($1, $2, 3, 1)`, id, next.ID)
	all, err = receiptsIn(context.Background(), w.Pool, []int64{id, id + 1})
	require.NoError(t, err)
	require.Equal(t, []moved{{id, receipt{next.ID, next.UserID, conversation.Cursors{Delivered: 3, Read: 1}}}}, all)
}
