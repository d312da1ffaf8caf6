package chat

import (
	"context"
	"sync"
	"time"

	"housecall/internal/conversation"
)

// receiptEvery is the shortest time between two writes of one participant's cursors.
const receiptEvery = 200 * time.Millisecond

// lastReceipts bounds how long the last write of a stopping instance may take.
const lastReceipts = time.Second

// receipts collects what participants' devices report, and keeps the furthest positions for the next write.
type receipts struct {
	mu      sync.Mutex // guards pending
	pending map[receiptKey]report
}

type receiptKey struct{ conversation, user int64 }

// report is how far a participant's devices say they have got. Each channel in waiting gets the outcome of the write,
// once.
type report struct {
	conversation.Cursors
	waiting []chan<- error
}

func newReceipts() *receipts { return &receipts{pending: map[receiptKey]report{}} }

// move records how far a participant has got; read implies delivered.
func (r *receipts) move(id, user int64, at conversation.Cursors, waiting ...chan<- error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := receiptKey{id, user}
	c := r.pending[k]
	c.Read = max(c.Read, at.Read)
	c.Delivered = max(c.Delivered, at.Delivered, c.Read)
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

// MoveReceipts moves a participant's cursors as a connection's frames do, together with what their devices report,
// and returns the cursors once they are written. These may differ from the request: cursors never move back, or past
// the end of the conversation.
func (s *Service) MoveReceipts(
	ctx context.Context, r conversation.Reading, to conversation.Cursors,
) (conversation.Cursors, error) {
	written := make(chan error, 1)
	s.receipts.move(r.Conversation(), r.Reader(), to, written)
	var err error
	select {
	case err = <-written:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		e := *errUnavailableReceipts
		e.Err = err
		return conversation.Cursors{}, &e
	}
	return cursorsOf(ctx, s.d.Pool, r.Conversation(), r.Reader())
}

// MarkRead records that a participant has read a conversation up to an event. It does what a read frame does, for
// clients without a connection.
func (s *Service) MarkRead(r conversation.Reading, upTo int64) {
	s.receipts.move(r.Conversation(), r.Reader(), conversation.Cursors{Delivered: upTo, Read: upTo})
}

// receiptLoop writes the collected reports and tells the conversations which cursors have moved.
func (s *Service) receiptLoop() {
	s.every(receiptEvery, func() { s.saveReceipts(s.ctx, backgroundBudget) })
	s.saveReceipts(context.WithoutCancel(s.ctx), lastReceipts) // what was reported before the stop
}

func (s *Service) saveReceipts(ctx context.Context, budget time.Duration) {
	pending := s.receipts.take()
	if len(pending) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, budget)
	defer cancel()
	changed, err := writeReceipts(ctx, s.d.Pool, pending)
	for k, r := range pending {
		if err != nil {
			s.receipts.move(k.conversation, k.user, r.Cursors) // try again in the next round
		}
		for _, w := range r.waiting {
			w <- err
		}
	}
	for _, m := range changed {
		s.hub.receipt(m.id, m.receipt)
		s.publish(m.broadcast(), s.lost)
		if pending[receiptKey{m.id, m.user}].Read > 0 { // delivered alone does not change a count
			s.inboxes.touch(touchedHere, m.id)
		}
	}
}

// moved is a receipt and its conversation.
type moved struct {
	id int64
	receipt
}

func (m moved) broadcast() broadcast {
	return broadcast{kind: broadcastSignal, id: m.id, signal: &signal{
		What: signalReceipt, User: m.user, UserID: m.userID, Delivered: m.Delivered, Read: m.Read,
	}}
}
