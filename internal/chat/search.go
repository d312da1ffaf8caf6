package chat

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"housecall/internal/appointment"
	"housecall/internal/auth"
	"housecall/internal/postgres"
)

// Hit is a message that a search has found, as it stands now.
type Hit struct {
	Event
	AppointmentID string // public
	Snippet       string // of its text or of its attachment's name, on one line
	Highlights    []span // of the snippet, in order and without overlaps
}

// Position is a place in the order of results, newest first. The zero Position is the beginning.
type Position struct {
	At        time.Time
	Room, Seq int64
}

// compare puts newer messages first.
func (p Position) compare(o Position) int {
	return cmp.Or(o.At.Compare(p.At), cmp.Compare(o.Room, p.Room), cmp.Compare(o.Seq, p.Seq))
}

func (p Position) place() place { return place{p.Room, p.Seq} }

// Position gives the place of a hit.
func (h Hit) Position() Position { return Position{h.At, h.Room, h.Seq} }

// endOfTime is later than any message.
var endOfTime = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// scope is where a search looks.
type scope struct {
	user   int64 // whose conversations; of a search in one room its patient
	room   int64 // 0: all of the user's
	length int64 // how far the room's log goes
}

// Search finds up to limit messages of all conversations in which the actor takes part, newest first, from a position on
// (exclusive), and tells whether there are more. What was just sent is found at once, what was taken back is not, and
// what was corrected is by its latest text. See parseQuery for what can be typed.
func (s *Service) Search(ctx context.Context, actor auth.Actor, typed string, after Position, limit int) (hits []Hit, more bool, err error) {
	q, err := parseQuery(typed)
	if err != nil {
		return nil, false, err
	}
	return s.search(ctx, q, scope{user: actor.ID}, after, limit)
}

// SearchIn is Search in one conversation, which the caller has proved that he may read.
func (s *Service) SearchIn(ctx context.Context, a appointment.Appointment, typed string, after Position, limit int) (hits []Hit, more bool, err error) {
	q, err := parseQuery(typed)
	if err != nil {
		return nil, false, err
	}
	head, err := headSeq(ctx, s.d.Pool, a.ID)
	if err != nil {
		return nil, false, err
	}
	return s.search(ctx, q, scope{user: a.Patient.ID, room: a.ID, length: head}, after, limit)
}

// search looks into the end of the logs, of which there are no documents yet, and then into the documents, as far back as
// it takes. In this order nothing is missed that is indexed meanwhile; what comes twice is dropped.
func (s *Service) search(ctx context.Context, q query, in scope, after Position, limit int) (hits []Hit, more bool, err error) {
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

// read gives those of the messages that fit as they stand now, and that the user may still read.
func (s *Service) read(ctx context.Context, q query, in scope, places []place) ([]Hit, error) {
	if len(places) == 0 {
		return nil, nil
	}
	rooms := make([]int64, len(places))
	for i, p := range places {
		rooms[i] = p.room
	}
	names, err := readableRooms(ctx, s.d.Pool, rooms, in)
	if err != nil {
		return nil, err
	}
	messages, err := messagesAt(ctx, s.d.Pool, places)
	if err != nil {
		return nil, err
	}
	hits := make([]Hit, 0, len(messages))
	for _, e := range messages {
		if err := ctx.Err(); err != nil { // many long texts take a while, and nobody waits any more
			return nil, fmt.Errorf("compare messages: %w", err)
		}
		name, mine := names[e.Room]
		if !mine || e.Retracted {
			continue
		}
		text := e.searchable()
		if fits, why := q.match(wordsOf(text)); fits {
			h := Hit{Event: e, AppointmentID: name}
			h.Snippet, h.Highlights = snippet(text, why)
			hits = append(hits, h)
		}
	}
	return hits, nil
}

const (
	// smallRoom is how many events a room may have for all of its documents to be looked at.
	smallRoom = 5000
	// Documents in the weeks that one statement looks at: few at first, which is all it takes for a word that is everywhere.
	firstStretch, lastStretch = 4000, 64000
	// compared is how many documents are compared with the beginning of a word, before the index is asked for all words that
	// begin like that: for one that is common that takes long, but then it has been found by now.
	compared = firstStretch
)

// walk goes through the documents of a search, newest first, in stretches of weeks.
type walk struct {
	db      postgres.DB
	query   query
	in      scope
	weeks   []weekOfUser // still to be looked at, newest first; of a small room none
	stretch int64
	looked  int64 // documents that were there to be found so far
	at      Position
	over    bool
}

func (s *Service) walk(ctx context.Context, q query, in scope, after Position) (*walk, error) {
	w := &walk{db: s.d.Pool, query: q, in: in, stretch: firstStretch, at: after}
	if in.room != 0 && in.length <= smallRoom {
		return w, nil
	}
	var err error
	w.weeks, err = weeksOf(ctx, w.db, in.user, weekOf(after.At))
	w.over = len(w.weeks) == 0
	return w, err
}

// next gives up to limit places; fewer, or none, do not mean that it is over.
func (w *walk) next(ctx context.Context, limit int) ([]place, error) {
	n, documents := stretchOf(w.weeks, w.stretch)
	l := look{room: w.in.room, after: w.at, limit: limit}
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

// stretchOf tells how many weeks, one at least, have about so many documents, and how many they have.
func stretchOf(weeks []weekOfUser, want int64) (n int, documents int64) {
	for n < len(weeks) && documents < want {
		documents += weeks[n].Documents
		n++
	}
	return n, documents
}
