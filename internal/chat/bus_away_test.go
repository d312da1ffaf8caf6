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
)

// flakyBus takes notices, or refuses them, as the test wants.
type flakyBus struct {
	deafBus
	sent chan notice

	mu    sync.Mutex // guards both below
	away  bool
	tried int
}

func (b *flakyBus) Healthy() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.away
}

func (b *flakyBus) Publish(n notice, lost func(int64)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n.kind == noticeInbox || n.kind == noticeSoft && n.soft.What != softReceipt {
		return // nobody repeats them
	}
	b.tried++
	if b.away {
		lost(n.room)
		return
	}
	b.sent <- n
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

// TestService_publishAgain: what the bus did not take it gets once it is back, and is left alone until then.
func TestService_publishAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := &flakyBus{sent: make(chan notice, 100), away: true}
	in, room := w.serveOn(b, nil), w.room()
	p := in.dial(t, w.patient, room, "")
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
	require.Equal(t, notice{kind: noticeHead, room: room, head: 1}, within(t, b.sent, "how far the room is"))
	require.Equal(t, notice{kind: noticeSoft, room: room, soft: &softNote{
		What: softReceipt, User: w.patient.ID, UserID: w.patient.UserID, Delivered: 1, Read: 1,
	}}, within(t, b.sent, "how far the patient is"))
}

// TestService_sweepReceipts: how far somebody has got reaches the other side without the bus, too.
func TestService_sweepReceipts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, other, room := w.serve(nil), w.serve(nil), w.room()
	w.fill(room, 3)
	p, d := in.dial(t, w.patient, room, ""), other.dial(t, w.doctor, room, "")
	p.until("live")
	d.until("live")
	d.say(`{"type":"read","upTo":2}`)
	d.until("receipt") // it is stored
	in.svc.sweepSoon()
	got := p.until("receipt")
	require.Equal(t, []any{w.doctor.UserID, 2.0, 2.0}, []any{got["userId"], got["deliveredSeq"], got["readSeq"]})

	next := w.user(auth.Doctor) // whoever handed the appointment over is no news
	w.exec(`update appointments set doctor_id = $2 where id = $1`, room, next.ID)
	all, err := receiptsIn(context.Background(), w.pool, []int64{room, room + 1})
	require.NoError(t, err)
	require.Empty(t, all)
	w.exec(`insert into receipts (room_id, user_id, delivered_seq, read_seq) values ($1, $2, 3, 1)`, room, next.ID)
	all, err = receiptsIn(context.Background(), w.pool, []int64{room, room + 1})
	require.NoError(t, err)
	require.Equal(t, []moved{{room, next.ID, next.UserID, cursors{3, 1}}}, all)
}
