// Package search finds messages by their current words, in one conversation or in all of a user's. The index is
// written later than the log, never in a message's own transaction; messages that are not indexed yet are read from
// the end of the log.
package search

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"housecall/internal/auth"
	"housecall/internal/conversation"
	"housecall/internal/postgres"
)

// Deps are what a Service needs. All fields are required.
type Deps struct {
	Pool          *postgres.Pool
	Conversations *conversation.Service
}

// Service is the only way to search. Start and Stop are synchronous.
type Service struct {
	d         Deps
	unindexed *conversation.Set // conversations with events that may have no documents yet

	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup
}

// New returns a Service. Nothing runs until Start.
func New(d Deps) *Service {
	s := &Service{d: d, unindexed: conversation.NewSet()}
	s.ctx, s.stop = context.WithCancel(context.Background())
	d.Conversations.OnCommitted(func(events []conversation.Event) {
		last := int64(0) // events of one conversation usually come together
		for _, e := range events {
			if e.Conversation != last {
				last = e.Conversation
				s.unindexed.Add(last)
			}
		}
	})
	d.Conversations.OnDoubted(s.unindexed.Add)
	return s
}

// Start runs the indexer.
func (s *Service) Start() { s.work.Go(s.indexLoop) }

// Stop ends the indexer, in the middle of a step if necessary. Another instance, or the next start, continues from
// there.
func (s *Service) Stop() {
	s.stop()
	s.work.Wait()
}

// Hit is a found message in its current state.
type Hit struct {
	conversation.Event
	AppointmentID string // public
	Snippet       string // of its text or its attachment's name, on one line
	Highlights    []Span // in the snippet, in order and without overlaps
}

// Position is a place in the results, which are sorted newest first. The zero Position is before the first.
type Position struct {
	At                time.Time
	Conversation, Seq int64
}

// compare sorts newer messages first.
func (p Position) compare(o Position) int {
	return cmp.Or(o.At.Compare(p.At), cmp.Compare(o.Conversation, p.Conversation), cmp.Compare(o.Seq, p.Seq))
}

func (p Position) place() place { return place{Conversation: p.Conversation, Seq: p.Seq} }

// Position returns the hit's place in the results.
func (h Hit) Position() Position { return Position{h.At, h.Conversation, h.Seq} }

// endOfTime is later than any message.
var endOfTime = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// scope is where a search looks.
type scope struct {
	user   int64 // whose conversations; for a search in one conversation, one of its participants
	id     int64 // of one conversation; 0 for all of the user's
	length int64 // the last seq of that conversation
}

// place identifies an event among those of all conversations.
type place = conversation.Place

// Want describes a search.
type Want struct {
	Query string   // as typed; see parseQuery
	After Position // of the last hit already seen; zero to start with the newest
	Limit int      // the most hits to return
}

// Search finds messages in all conversations in which the actor takes part, newest first, and reports whether there
// are more. It finds messages as soon as they are sent, corrected ones by their latest text, and never retracted
// ones.
func (s *Service) Search(ctx context.Context, actor auth.Actor, w Want) (hits []Hit, more bool, err error) {
	q, err := parseQuery(w.Query)
	if err != nil {
		return nil, false, err
	}
	return s.find(ctx, q, scope{user: actor.ID}, w)
}

// SearchIn is Search in one conversation.
func (s *Service) SearchIn(ctx context.Context, r conversation.Reading, w Want) (hits []Hit, more bool, err error) {
	q, err := parseQuery(w.Query)
	if err != nil {
		return nil, false, err
	}
	head, err := s.d.Conversations.Head(ctx, r)
	if err != nil {
		return nil, false, err
	}
	return s.find(ctx, q, scope{user: r.Appointment().Patient.ID, id: r.Conversation(), length: head}, w)
}

// find searches the ends of the logs, which have no documents yet, and then the documents, as far back as necessary.
// In this order it misses nothing that is indexed in the meantime; it drops duplicates.
func (s *Service) find(ctx context.Context, q query, in scope, want Want) (hits []Hit, more bool, err error) {
	after, limit := want.After, want.Limit
	if after.At.IsZero() {
		after.At = endOfTime
	}
	latest, err := unindexed(ctx, s.d.Pool, in)
	if err != nil {
		return nil, false, err
	}
	if hits, err = s.read(ctx, q, in, latest); err != nil {
		return nil, false, err
	}
	hits = slices.DeleteFunc(hits, func(h Hit) bool { return h.Position().compare(after) <= 0 })
	known := make(map[place]bool, len(hits))
	for _, h := range hits {
		known[h.Position().place()] = true
	}
	walk, err := s.walk(ctx, q, in, after)
	if err != nil {
		return nil, false, err
	}
	for older := 0; older <= limit && !walk.over; {
		places, err := walk.next(ctx, limit+1)
		if err != nil {
			return nil, false, err
		}
		page, err := s.read(ctx, q, in, slices.DeleteFunc(places, func(p place) bool { return known[p] }))
		if err != nil {
			return nil, false, err
		}
		hits = append(hits, page...)
		older += len(page)
	}
	slices.SortFunc(hits, func(a, b Hit) int { return a.Position().compare(b.Position()) })
	if more = len(hits) > limit; more {
		hits = hits[:limit]
	}
	return hits, more, nil
}

// read returns the messages at the places that match in their current state and that the user may still read.
func (s *Service) read(ctx context.Context, q query, in scope, places []place) ([]Hit, error) {
	if len(places) == 0 {
		return nil, nil
	}
	ids := make([]int64, len(places))
	for i, p := range places {
		ids[i] = p.Conversation
	}
	names, err := readableNames(ctx, s.d.Pool, ids, in)
	if err != nil {
		return nil, err
	}
	messages, err := conversation.MessagesAt(ctx, s.d.Pool, places)
	if err != nil {
		return nil, err
	}
	hits := make([]Hit, 0, len(messages))
	for _, e := range messages {
		if err := ctx.Err(); err != nil { // many long texts take a while, and nobody may be waiting any more
			return nil, fmt.Errorf("compare messages: %w", err)
		}
		name, mine := names[e.Conversation]
		if !mine || e.Retracted {
			continue
		}
		text := searchable(e)
		if fits, why := q.match(wordsOf(text)); fits {
			h := Hit{Event: e, AppointmentID: name}
			h.Snippet, h.Highlights = snippet(text, why)
			hits = append(hits, h)
		}
	}
	return hits, nil
}
