package conversation

import (
	"context"
	"time"
)

// Page selects part of a log: the events after the seq After if it is 0 or more; otherwise those before the seq
// Before if it is positive; otherwise the latest. Limit is the most events to return.
type Page struct {
	After, Before int64
	Limit         int
}

// History returns a page of a conversation's log, oldest first, and the log's head.
func (s *Service) History(ctx context.Context, r Reading, p Page) (events []Event, head int64, err error) {
	id := r.Conversation()
	if p.After >= 0 {
		events, err = eventsAfter(ctx, s.d.Pool, id, p.After, p.Limit)
	} else {
		events, err = eventsBefore(ctx, s.d.Pool, id, p.Before, p.Limit)
	}
	if err != nil {
		return nil, 0, err
	}
	head, err = headSeq(ctx, s.d.Pool, id)
	if n := len(events); n > 0 {
		head = max(head, events[n-1].Seq)
	}
	return events, head, err
}

// After returns up to limit events after a seq, oldest first.
func (s *Service) After(ctx context.Context, r Reading, seq int64, limit int) ([]Event, error) {
	return eventsAfter(ctx, s.d.Pool, r.Conversation(), seq, limit)
}

// Backlog is After without a Reading, for delivery to connections: their rights were checked when they joined.
func (s *Service) Backlog(ctx context.Context, id, seq int64, limit int) ([]Event, error) {
	return eventsAfter(ctx, s.d.Pool, id, seq, limit)
}

// Head returns the last seq of a conversation; 0 if its log is empty.
func (s *Service) Head(ctx context.Context, r Reading) (int64, error) {
	return headSeq(ctx, s.d.Pool, r.Conversation())
}

// Heads returns the last seq of each of several conversations and the epoch, read in one query.
func (s *Service) Heads(ctx context.Context, ids []int64) (heads map[int64]int64, epoch string, err error) {
	return headsOf(ctx, s.d.Pool, ids)
}

// Identity is a name that tells this database apart from others on the same bus.
func (s *Service) Identity(ctx context.Context) (string, error) { return identity(ctx, s.d.Pool) }

// Retracted returns which of the given messages of a conversation have been retracted.
func (s *Service) Retracted(ctx context.Context, id int64, seqs []int64) (map[int64]bool, error) {
	targets, err := selectRetracted(ctx, s.d.Pool, id, seqs)
	if err != nil {
		return nil, err
	}
	out := make(map[int64]bool, len(targets))
	for _, seq := range targets {
		out[seq] = true
	}
	return out, nil
}

// Stretch is the part of a log up to an event, as it stood at one moment.
type Stretch struct {
	UpTo    int64 // its last event
	Present int64 // the log's head at that moment; later edits do not count
}

// Stretch returns up to limit events after a seq, oldest first, as they stood when Present was the last event.
func (s *Service) Stretch(ctx context.Context, r Reading, of Stretch, seq int64, limit int) ([]Event, error) {
	return eventsUpTo(ctx, s.d.Pool, r.Conversation(), of, Page{After: seq, Limit: limit})
}

// Edit is the retraction of an event, or its last correction.
type Edit struct {
	Target int64
	Kind   Kind
	At     time.Time
}

// Edits returns the edits of the given events, ignoring edits after the seq present.
func (s *Service) Edits(ctx context.Context, r Reading, present int64, targets []int64) ([]Edit, error) {
	return editsOf(ctx, s.d.Pool, r.Conversation(), present, targets)
}

// Writer is a user who takes part in a conversation or has written in it.
type Writer struct{ UserID, Name, Role string }

// Writers returns everyone who takes part in a conversation or has written in it, in the order of their accounts.
func (s *Service) Writers(ctx context.Context, r Reading) ([]Writer, error) {
	return writersOf(ctx, s.d.Pool, r.Conversation())
}

// Originals returns the original texts of messages, by seq, whether or not they were corrected or retracted. Only
// observers get any.
func (s *Service) Originals(ctx context.Context, r Reading, seqs []int64) (map[int64]string, error) {
	if !r.Observer() {
		return nil, nil
	}
	return originalsOf(ctx, s.d.Pool, r.Conversation(), seqs)
}
