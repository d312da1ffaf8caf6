package chat

import (
	"cmp"
	"context"
	"slices"
	"time"

	"housecall/internal/appointment"
	"housecall/internal/auth"
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
	for older := 0; older <= limit && !walk.over(); {
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
	messages, err := standing(ctx, s.d.Pool, places)
	if err != nil {
		return nil, err
	}
	hits := make([]Hit, 0, len(messages))
	for _, e := range messages {
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
	// bigRoom is how many events a room has before its documents are not simply all looked at.
	bigRoom = 5000
	// Documents in the weeks that one statement looks at: few at first, which is all it takes for a word that is everywhere.
	firstStretch, lastStretch = 4000, 64000
)

// walk goes through the documents of a search, newest first, in stretches of weeks.
type walk struct {
	s       *Service
	tsquery string
	room    int64
	user    int64
	weeks   []weekOfUser // still to be looked at, newest first; of a small room none
	stretch int64
	at      Position
	ended   bool
}

func (s *Service) walk(ctx context.Context, q query, in scope, after Position) (*walk, error) {
	w := &walk{s: s, tsquery: q.tsquery(), room: in.room, user: in.user, stretch: firstStretch, at: after}
	if in.room != 0 && in.length <= bigRoom {
		return w, nil
	}
	var err error
	w.weeks, err = weeksOf(ctx, s.d.Pool, in.user, weekOf(after.At))
	w.ended = len(w.weeks) == 0
	return w, err
}

func (w *walk) over() bool { return w.ended }

// next gives up to limit places; fewer, or none, do not mean that it is over.
func (w *walk) next(ctx context.Context, limit int) ([]place, error) {
	tsquery, n := w.tsquery, len(w.weeks)
	if n > 0 {
		n = stretchOf(w.weeks, w.stretch)
		tsquery = scopeQuery(w.user, w.weeks[:n]) + " & " + tsquery
	}
	page, err := documentsOf(ctx, w.s.d.Pool, tsquery, w.room, w.at, limit)
	if err != nil {
		return nil, err
	}
	if len(page) == limit {
		w.at = page[limit-1]
	} else {
		w.weeks, w.stretch = w.weeks[n:], min(4*w.stretch, lastStretch)
		w.ended = len(w.weeks) == 0
	}
	places := make([]place, len(page))
	for i, p := range page {
		places[i] = p.place()
	}
	return places, nil
}

// stretchOf tells how many weeks, one at least, have so many documents.
func stretchOf(weeks []weekOfUser, documents int64) int {
	for i, w := range weeks {
		if documents -= w.Documents; documents <= 0 {
			return i + 1
		}
	}
	return len(weeks)
}
