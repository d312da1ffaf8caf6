package search

import (
	"context"

	"housecall/internal/postgres"
)

const (
	// smallLog is the largest number of events for which a conversation's documents are all read, without the index.
	smallLog = 5000
	// How many documents are in the weeks that one statement searches: few at first, which are enough for very common
	// words.
	firstStretch, lastStretch = 4000, 64000
	// compared is how many documents are compared with the beginning of a word before the index is asked for all
	// words with that beginning. The index takes long for common beginnings, but those have been found by then.
	compared = firstStretch
)

// walk goes through the documents that a search may find, newest first, a few weeks at a time.
type walk struct {
	db      postgres.DB
	query   query
	in      scope
	weeks   []weekOfUser // weeks still to be searched, newest first; none for a small conversation
	stretch int64        // roughly how many documents the next weeks should have
	looked  int64        // roughly how many documents have been searched
	at      Position
	over    bool
}

func (s *Service) walk(ctx context.Context, q query, in scope, after Position) (*walk, error) {
	w := &walk{db: s.d.Pool, query: q, in: in, stretch: firstStretch, at: after}
	if in.id != 0 && in.length <= smallLog {
		return w, nil
	}
	var err error
	w.weeks, err = weeksOf(ctx, w.db, in.user, weekOf(after.At))
	w.over = len(w.weeks) == 0
	return w, err
}

// next returns up to limit places. Fewer or none do not mean that the walk is over.
func (w *walk) next(ctx context.Context, limit int) ([]place, error) {
	n, documents := stretchOf(w.weeks, w.stretch)
	l := look{id: w.in.id, after: w.at, limit: limit}
	find := documentsOf
	switch sought := w.query.tsquery(); {
	case n == 0:
		find, l.filter = documentsIn, sought
	case w.query.unfinished() && w.looked < compared:
		l.index, l.filter = scopeQuery(w.in.user, w.weeks[:n]), sought
	default:
		l.index = scopeQuery(w.in.user, w.weeks[:n]) + " & " + sought
	}
	page, err := find(ctx, w.db, l)
	if err != nil {
		return nil, err
	}
	if len(page) == limit {
		w.at = page[limit-1]
	} else {
		w.weeks, w.stretch, w.looked = w.weeks[n:], min(4*w.stretch, lastStretch), w.looked+documents
		w.over = len(w.weeks) == 0
	}
	places := make([]place, len(page))
	for i, p := range page {
		places[i] = p.place()
	}
	return places, nil
}

// stretchOf returns how many of the weeks, at least one, together have about want documents, and how many documents
// those weeks have.
func stretchOf(weeks []weekOfUser, want int64) (n int, documents int64) {
	for n < len(weeks) && documents < want {
		documents += weeks[n].Documents
		n++
	}
	return n, documents
}
