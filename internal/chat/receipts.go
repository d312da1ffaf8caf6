package chat

import (
	"context"
	"sync"
	"time"

	"housecall/internal/auth"
	"housecall/internal/errs"
)

// receiptEvery is the least time between two writes of one participant's cursors.
const receiptEvery = 200 * time.Millisecond

// lastReceipts bounds the last write of a stopping instance.
const lastReceipts = time.Second

var errReceipts = &errs.Error{
	Kind: errs.Unavailable, Code: "unavailable", Message: "How far you have got could not be stored right now. Send it again.", RetryAfter: time.Second,
}

// receipts coalesces cursors: of all that a participant's devices report in a while the furthest is written.
type receipts struct {
	mu      sync.Mutex // guards pending
	pending map[receiptKey]report
}

type receiptKey struct{ room, user int64 }

// report is how far a participant says that he has got, and who waits for it to be written: once, with the outcome.
type report struct {
	cursors
	waiting []chan<- error
}

func newReceipts() *receipts { return &receipts{pending: map[receiptKey]report{}} }

// move notes how far a participant has got; read implies delivered.
func (r *receipts) move(room, user, delivered, read int64, waiting ...chan<- error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := receiptKey{room, user}
	c := r.pending[k]
	c.read = max(c.read, read)
	c.delivered = max(c.delivered, delivered, c.read)
	c.waiting = append(c.waiting, waiting...)
	r.pending[k] = c
}

func (r *receipts) take() map[receiptKey]report {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pending) == 0 {
		return nil
	}
	out := r.pending
	r.pending = make(map[receiptKey]report, len(out))
	return out
}

// MoveReceipts moves a participant's cursors like a socket's frames do, together with all that his devices report, and gives them as they
// stand once that is written. Both may be behind or beyond: cursors never go back, and never past the end.
func (s *Service) MoveReceipts(ctx context.Context, actor auth.Actor, room, delivered, read int64) (deliveredSeq, readSeq int64, err error) {
	written := make(chan error, 1)
	s.receipts.move(room, actor.ID, delivered, read, written)
	select {
	case err = <-written:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		e := *errReceipts
		e.Err = err
		return 0, 0, &e
	}
	at, err := cursorsOf(ctx, s.d.Pool, room, actor.ID)
	return at.delivered, at.read, err
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
	for k, c := range pending {
		if err != nil {
			s.receipts.move(k.room, k.user, c.delivered, c.read) // again with the next round
		}
		for _, w := range c.waiting {
			w <- err
		}
	}
	for _, m := range changed {
		s.hub.receipt(m.room, m.reached())
		s.bus.Publish(m.notice(), s.lost)
		if pending[receiptKey{m.room, m.user}].read > 0 { // else it was delivered, which changes no count
			s.inboxes.stir(stirHere, m.room)
		}
	}
}

func (m moved) reached() reached { return reached{m.user, m.userID, m.cursors} }

func (m moved) notice() notice {
	return notice{kind: noticeSoft, room: m.room, soft: &softNote{
		What: softReceipt, User: m.user, UserID: m.userID, Delivered: m.delivered, Read: m.read,
	}}
}
