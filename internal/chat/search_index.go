package chat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"housecall/internal/postgres"
)

const (
	// indexEvery is how long what was committed here waits to be indexed. Until then it is found all the same: search reads
	// the end of the log itself.
	indexEvery = time.Second
	// indexLimit is how many events one transaction looks at.
	indexLimit int64 = 1000
	// indexText is after how many bytes of texts it ends nevertheless: PostgreSQL waits while words are cut, and takes one for
	// dead that keeps it waiting for long.
	indexText = 256 << 10
	// indexRead is how many events it reads the texts of at once.
	indexRead = 100
	// indexRest is how many times as long as an indexer has worked all of them rest, so that they never take more than that
	// share of one connection from the committer, however much is behind.
	indexRest = 9
	// findLimit is how many rooms that are behind one statement looks for.
	findLimit = 1000
	// catchUpTime is how long one call of CatchUpSearch works.
	catchUpTime = 45 * time.Second
)

// scopeWord stands for a user and a week among the words of a document. No word of a text has a full stop in it.
func scopeWord(user int64, week int32) string {
	return "u" + strconv.FormatInt(user, 10) + "." + strconv.Itoa(int(week))
}

// scopeQuery asks for documents of a user in some weeks.
func scopeQuery(user int64, weeks []weekOfUser) string {
	words := make([]string, len(weeks))
	for i, w := range weeks {
		words[i] = lexeme(scopeWord(user, w.Week))
	}
	return "(" + strings.Join(words, " | ") + ")"
}

const secondsPerWeek = 7 * 24 * 60 * 60

// weekOf numbers weeks since the epoch.
func weekOf(at time.Time) int32 { return int32(at.Unix() / secondsPerWeek) }

// indexLoop indexes what this instance has committed. What it no longer comes to, or another left behind, CatchUpSearch finds.
func (s *Service) indexLoop() {
	s.every(indexEvery, func() {
		rooms := s.unindexed.take()
		if len(rooms) == 0 {
			return
		}
		// A failure leaves them to CatchUpSearch: while PostgreSQL is away, sessionLoop says so.
		_ = s.index(s.ctx, rooms)
	})
}

// CatchUpSearch indexes what nobody has, because it is older than search itself, or an instance ended before it came to it.
// It may run on several instances at once, takes a small share of the database's time, and ends after a while: the next
// call goes on. A room that cannot be indexed keeps no other from it; the first of such errors is returned.
func (s *Service) CatchUpSearch(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, catchUpTime, errLater)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	var failed error
	for above := int64(0); ; {
		rooms, err := someBehind(ctx, s.d.Pool, above, findLimit)
		if err == nil && len(rooms) > 0 {
			around := s.indexAround(ctx, rooms)
			if err = ctx.Err(); err == nil {
				failed = cmp.Or(failed, around)
			}
		}
		switch {
		case errors.Is(context.Cause(ctx), errLater), err == nil && len(rooms) == 0:
			return failed
		case err != nil:
			return err
		}
		above = rooms[len(rooms)-1]
	}
}

// errLater ends a call of CatchUpSearch that has worked for long enough.
var errLater = errors.New("the next call goes on")

// indexAround indexes all of the rooms that can be, and gives the first error of the others.
func (s *Service) indexAround(ctx context.Context, rooms []int64) error {
	err := s.index(ctx, rooms)
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case len(rooms) == 1:
		return fmt.Errorf("conversation %d: %w", rooms[0], err)
	}
	half := len(rooms) / 2
	return cmp.Or(s.indexAround(ctx, rooms[:half]), s.indexAround(ctx, rooms[half:]))
}

// index brings the documents of rooms up to their logs, in its turn among all instances.
func (s *Service) index(ctx context.Context, rooms []int64) error {
	for {
		done, err := s.indexTurn(ctx, rooms)
		if done && err == nil {
			return nil
		}
		if paused := pause(ctx, indexEvery/10); err != nil || paused != nil {
			return cmp.Or(err, paused)
		}
	}
}

// indexTurn goes a step on if it is this instance's turn, and tells whether that was the last. After a step everybody rests,
// also if it failed: what fails again and again must not take all of the database's time.
func (s *Service) indexTurn(ctx context.Context, rooms []int64) (done bool, err error) {
	var started time.Time
	err = s.d.Pool.InTx(ctx, func(tx *postgres.Tx) error {
		done, started = false, time.Time{} // it may be tried again, and find that it is another's turn
		mine, err := takeSearchSweep(ctx, tx)
		if err != nil || !mine {
			return err
		}
		started = time.Now()
		more, err := indexSome(ctx, tx, rooms, indexLimit)
		if err != nil {
			return err
		}
		done = !more
		return restSearchSweep(ctx, tx, indexRest*time.Since(started))
	})
	if err != nil && !started.IsZero() {
		_ = restSearchSweep(ctx, s.d.Pool, indexRest*time.Since(started)) // where this fails too, nobody can index
	}
	return done, err
}

// pause returns after a while, or with an error when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	pause := time.NewTimer(d)
	defer pause.Stop()
	select {
	case <-pause.C:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the caller's own
	}
}

// place names an event among all rooms.
type place struct{ room, seq int64 }

// indexSome looks at the next limit events of the rooms, and tells whether there may be more. In a room events commit in the
// order of seq, so none comes later behind what was seen. What an event says of another is written as it stands now,
// whenever that is, so that it does not matter whether a message or what takes it back is looked at first.
func indexSome(ctx context.Context, tx *postgres.Tx, rooms []int64, limit int64) (more bool, err error) {
	todo, err := roomsBehind(ctx, tx, rooms)
	if err != nil || len(todo) == 0 {
		return false, err
	}
	some, all := firstRooms(todo, limit)
	entries, err := entriesAfter(ctx, tx, some, limit)
	if err != nil {
		return false, err
	}
	step := newIndexStep(some)
	for part := range slices.Chunk(entries, indexRead) {
		if step.text > indexText {
			all = false
			break
		}
		if err := step.add(ctx, tx, part); err != nil {
			return false, err
		}
	}
	if err := saveDocuments(ctx, tx, step.docs); err != nil {
		return false, err
	}
	return !all, saveProgress(ctx, tx, some, step.weeks)
}

// firstRooms gives as many of the rooms as have limit events to look at, and whether that is all there is to do.
func firstRooms(todo []behind, limit int64) (some []behind, all bool) {
	var events int64
	for i, r := range todo {
		if events += r.Head - r.Seq; events > limit {
			return todo[:i+1], false
		}
	}
	return todo, true
}

// indexStep is what one transaction writes.
type indexStep struct {
	rooms map[int64]*behind
	docs  []document
	more  map[place]int32    // how many documents more there are where it has looked
	weeks map[userWeek]int32 // the same by users and weeks
	text  int                // bytes
}

func newIndexStep(rooms []behind) *indexStep {
	x := &indexStep{rooms: make(map[int64]*behind, len(rooms)), more: map[place]int32{}, weeks: map[userWeek]int32{}}
	for i := range rooms {
		x.rooms[rooms[i].Room] = &rooms[i]
	}
	return x
}

// add looks at more events, which follow those before.
func (x *indexStep) add(ctx context.Context, db postgres.DB, entries []entry) error {
	var places []place
	for _, e := range entries {
		x.rooms[e.Room].Seq = e.Seq
		at, more := place{e.Room, e.Seq}, int32(1)
		switch e.Kind {
		case KindText, KindAttachment:
		case KindRetraction, KindCorrection:
			at.seq, more = e.Target, 0
		case KindSystem:
			continue
		}
		if _, looked := x.more[at]; !looked {
			x.more[at] = more
			places = append(places, at)
		}
	}
	messages, err := messagesAt(ctx, db, places)
	if err != nil {
		return err
	}
	for _, e := range messages {
		if err := ctx.Err(); err != nil { // many long texts take a while, and a stop does not wait for it
			return fmt.Errorf("cut words: %w", err)
		}
		x.docs = append(x.docs, x.document(e))
	}
	return nil
}

// document is what search finds of a message.
func (x *indexStep) document(e Event) document {
	d := document{place: place{e.Room, e.Seq}, at: e.At, retracted: e.Retracted}
	if e.Retracted {
		return d
	}
	r, week, text := x.rooms[e.Room], weekOf(e.At), e.searchable()
	for _, user := range []int64{r.Patient, r.Doctor} {
		x.weeks[userWeek{user, week}] += x.more[d.place]
	}
	x.text += len(text)
	d.words = vector(wordsOf(text), scopeWord(r.Patient, week), scopeWord(r.Doctor, week))
	return d
}

// searchable is what of a message can be found: its text, or the name of its attachment.
func (e Event) searchable() string {
	if e.Attachment != nil {
		return e.Attachment.Name
	}
	return e.Text
}

// vector writes the words of a text with their positions, and those that stand for who may find it, in PostgreSQL's
// notation of a tsvector (manual, 8.11.1).
func vector(words []word, scopes ...string) string {
	var b strings.Builder
	at := func(word string, position int) {
		b.WriteString(lexeme(word) + ":" + strconv.Itoa(position) + " ")
	}
	for i, w := range words {
		at(w.text, i+1)
		if w.char != "" && w.char != w.text {
			at(w.char, i+1)
		}
	}
	for _, s := range scopes {
		b.WriteString(lexeme(s) + " ")
	}
	return b.String()
}
