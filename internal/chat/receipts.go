package chat

import (
	"context"
	"sync"
	"time"
)

// receiptEvery is the least time between two writes of one participant's cursors.
const receiptEvery = 200 * time.Millisecond

// lastReceipts bounds the last write of a stopping instance.
const lastReceipts = time.Second

// receipts coalesces cursors: of all that a participant's devices report in a while the furthest is written.
type receipts struct {
	mu      sync.Mutex // guards pending
	pending map[receiptKey]cursors
}

type receiptKey struct{ room, user int64 }

func newReceipts() *receipts { return &receipts{pending: map[receiptKey]cursors{}} }

// move notes how far a participant has got; read implies delivered.
func (r *receipts) move(room, user, delivered, read int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := receiptKey{room, user}
	c := r.pending[k]
	c.read = max(c.read, read)
	c.delivered = max(c.delivered, delivered, c.read)
	r.pending[k] = c
}

func (r *receipts) take() map[receiptKey]cursors {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pending) == 0 {
		return nil
	}
	out := r.pending
	r.pending = make(map[receiptKey]cursors, len(out))
	return out
}

// receiptLoop writes what has gathered and tells the rooms what moved.
func (s *Service) receiptLoop() {
	s.every(receiptEvery, func() { s.saveReceipts(s.ctx, backgroundBudget) })
	s.saveReceipts(context.WithoutCancel(s.ctx), lastReceipts) // what the last sockets reported
}

func (s *Service) saveReceipts(ctx context.Context, budget time.Duration) {
	pending := s.receipts.take()
	if len(pending) == 0 {
		return
	}
	var rooms, users, delivered, read []int64
	for k, c := range pending {
		rooms, users = append(rooms, k.room), append(users, k.user)
		delivered, read = append(delivered, c.delivered), append(read, c.read)
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	changed, err := saveReceipts(ctx, s.d.Pool, rooms, users, delivered, read)
	if err != nil {
		for k, c := range pending { // again with the next round
			s.receipts.move(k.room, k.user, c.delivered, c.read)
		}
		return
	}
	for _, m := range changed {
		s.hub.receipt(m.room, reached{m.user, m.userID, m.cursors})
		s.bus.Publish(notice{kind: noticeSoft, room: m.room, soft: &softNote{
			What: softReceipt, User: m.user, UserID: m.userID, Delivered: m.delivered, Read: m.read,
		}}, softLoss)
	}
}
