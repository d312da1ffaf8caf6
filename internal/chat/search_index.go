package chat

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
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
// call goes on.
func (s *Service) CatchUpSearch(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, catchUpTime, errLater)
	defer cancel()
	for above := int64(0); ; {
		rooms, err := someBehind(ctx, s.d.Pool, above, findLimit)
		if err == nil && len(rooms) > 0 {
			err = s.index(ctx, rooms)
		}
		switch {
		case errors.Is(context.Cause(ctx), errLater):
			return nil
		case err != nil || len(rooms) == 0:
			return err
		}
		above = rooms[len(rooms)-1]
	}
}

// errLater ends a call of CatchUpSearch that has worked for long enough.
var errLater = errors.New("the next call goes on")

// index brings the documents of rooms up to their logs, in its turn among all instances.
func (s *Service) index(ctx context.Context, rooms []int64) error {
	for more := true; more; {
		mine := false
		err := s.d.Pool.InTx(ctx, func(tx *postgres.Tx) (err error) {
			if mine, err = takeSearchSweep(ctx, tx); err != nil || !mine {
				return err
			}
			started := time.Now()
			if more, err = indexSome(ctx, tx, rooms, indexLimit); err != nil {
				return err
			}
			return restSearchSweep(ctx, tx, indexRest*time.Since(started))
		})
		if err != nil {
			return err
		}
		if !mine || more {
			if err := s.pause(ctx, indexEvery/10); err != nil {
				return err
			}
		}
	}
	return nil
}

// pause returns after a while, or with an error when ctx or the service ends.
func (s *Service) pause(ctx context.Context, d time.Duration) error {
	pause := time.NewTimer(d)
	defer pause.Stop()
	select {
	case <-pause.C:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the caller's own
	case <-s.ctx.Done():
		return errors.New("chat has stopped")
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
	byRoom := make(map[int64]*behind, len(some))
	for i := range some {
		byRoom[some[i].Room] = &some[i]
	}
	wanted := map[place]int32{} // how many documents more that makes
	for _, e := range entries {
		byRoom[e.Room].Seq = e.Seq
		switch e.Kind {
		case KindText, KindAttachment:
			wanted[place{e.Room, e.Seq}] = 1
		case KindRetraction, KindCorrection:
			wanted[place{e.Room, e.Target}] += 0
		case KindSystem:
		}
	}
	weeks, err := writeDocuments(ctx, tx, byRoom, wanted)
	if err != nil {
		return false, err
	}
	return !all, saveProgress(ctx, tx, some, weeks)
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

// writeDocuments writes what search finds of messages, and tells in which weeks their users have got documents.
func writeDocuments(ctx context.Context, tx *postgres.Tx, rooms map[int64]*behind, wanted map[place]int32) (map[userWeek]int32, error) {
	places := slices.SortedFunc(maps.Keys(wanted), func(a, b place) int { return cmp.Or(cmp.Compare(a.room, b.room), cmp.Compare(a.seq, b.seq)) })
	messages, err := messagesAt(ctx, tx, places)
	if err != nil {
		return nil, err
	}
	weeks := map[userWeek]int32{}
	docs := make([]document, 0, len(messages))
	for _, e := range messages {
		if err := ctx.Err(); err != nil { // thousands of long texts take a while, and a stop does not wait for it
			return nil, fmt.Errorf("cut words: %w", err)
		}
		d := document{place: place{e.Room, e.Seq}, at: e.At, retracted: e.Retracted}
		if !e.Retracted {
			r, week := rooms[e.Room], weekOf(e.At)
			for _, user := range []int64{r.Patient, r.Doctor} {
				weeks[userWeek{user, week}] += wanted[d.place]
			}
			d.words = vector(wordsOf(e.searchable()), scopeWord(r.Patient, week), scopeWord(r.Doctor, week))
		}
		docs = append(docs, d)
	}
	return weeks, saveDocuments(ctx, tx, docs)
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
