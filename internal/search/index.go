package search

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"housecall/internal/conversation"
	"housecall/internal/postgres"
)

const (
	// indexEvery is how often what was committed here is indexed. Messages can be found before that: a search also
	// reads the end of the log.
	indexEvery = time.Second
	// indexLimit is the most events that one transaction processes.
	indexLimit int64 = 1000
	// indexText is the number of bytes of text after which it ends early: its session is idle while we split words,
	// and PostgreSQL terminates sessions that are idle in a transaction for too long.
	indexText = 256 << 10
	// indexRead is how many events' texts it reads at once.
	indexRead = 100
	// indexRest is how much longer all indexers rest than one of them has just worked. So they take at most a tenth
	// of one connection's time from the committer, however much there is to index.
	indexRest = 9
	// findLimit is the most conversations to index that one statement finds.
	findLimit = 1000
	// catchUpTime is how long one call of CatchUp works.
	catchUpTime = 45 * time.Second
)

// scopeWord is a word of a document that stands for a user and a week. Words of texts never contain a full stop.
func scopeWord(user int64, week int32) string {
	return "u" + strconv.FormatInt(user, 10) + "." + strconv.Itoa(int(week))
}

// scopeQuery is a tsquery for a user's documents of certain weeks.
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

// indexLoop indexes what this instance has committed. CatchUp indexes what indexLoop does not get to and what other
// instances have left behind.
func (s *Service) indexLoop() {
	tick := time.NewTicker(indexEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		if ids := s.unindexed.Take(); len(ids) > 0 {
			// After a failure CatchUp indexes them; others report when PostgreSQL is away.
			_ = s.index(s.ctx, ids)
		}
	}
}

// CatchUp indexes what no instance has indexed, because it is older than search itself or an instance ended too soon.
// It may run on several instances at once, takes a small share of the database's time, and returns after a while; the
// next call continues. A conversation that cannot be indexed does not hold up the others; CatchUp returns the first
// such error.
func (s *Service) CatchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, catchUpTime, errLater)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	var failed error
	for above := int64(0); ; {
		ids, err := someBehind(ctx, s.d.Pool, above, findLimit)
		if err == nil && len(ids) > 0 {
			around := s.indexAround(ctx, ids)
			if err = ctx.Err(); err == nil {
				failed = cmp.Or(failed, around)
			}
		}
		switch {
		case errors.Is(context.Cause(ctx), errLater), err == nil && len(ids) == 0:
			return failed
		case err != nil:
			return err
		}
		above = ids[len(ids)-1]
	}
}

// errLater ends a call of CatchUp that has worked long enough.
var errLater = errors.New("the next call continues")

// indexAround indexes those of the conversations that can be indexed, and returns the first error of the others.
func (s *Service) indexAround(ctx context.Context, ids []int64) error {
	err := s.index(ctx, ids)
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case len(ids) == 1:
		return fmt.Errorf("conversation %d: %w", ids[0], err)
	}
	half := len(ids) / 2
	return cmp.Or(s.indexAround(ctx, ids[:half]), s.indexAround(ctx, ids[half:]))
}

// index brings the documents of some conversations up to date with their logs, taking turns with all other instances.
func (s *Service) index(ctx context.Context, ids []int64) error {
	for {
		done, err := s.indexTurn(ctx, ids)
		if done && err == nil {
			return nil
		}
		if paused := pause(ctx, indexEvery/10); err != nil || paused != nil {
			return cmp.Or(err, paused)
		}
	}
}

// indexTurn takes one step if it is this instance's turn, and reports whether that was the last one. All indexers
// rest after a step, even a failed one, so that repeated failures do not take all of the database's time.
func (s *Service) indexTurn(ctx context.Context, ids []int64) (done bool, err error) {
	var started time.Time
	err = s.d.Pool.InTx(ctx, func(tx *postgres.Tx) error {
		done, started = false, time.Time{} // a second attempt may find that it is another instance's turn
		mine, err := takeTurn(ctx, tx)
		if err != nil || !mine {
			return err
		}
		started = time.Now()
		more, err := indexSome(ctx, tx, ids, indexLimit)
		if err != nil {
			return err
		}
		done = !more
		return rest(ctx, tx, indexRest*time.Since(started))
	})
	if err != nil && !started.IsZero() {
		_ = rest(ctx, s.d.Pool, indexRest*time.Since(started)) // if this fails too, nobody can index anyway
	}
	return done, err
}

// pause waits for d; it fails if ctx ends before that.
func pause(ctx context.Context, d time.Duration) error {
	pause := time.NewTimer(d)
	defer pause.Stop()
	select {
	case <-pause.C:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the caller ended it
	}
}

// indexSome processes the next events of some conversations, limit in all, and reports whether there may be more. A
// conversation's events commit in the order of seq, so none can appear before those already processed. Messages are
// always indexed in their current state, so it does not matter whether a message or its retraction comes first.
func indexSome(ctx context.Context, tx *postgres.Tx, ids []int64, limit int64) (more bool, err error) {
	todo, err := logsBehind(ctx, tx, ids)
	if err != nil || len(todo) == 0 {
		return false, err
	}
	some, all := firstLogs(todo, limit)
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

// firstLogs returns the first conversations that together have limit events to process, and whether these are all
// conversations.
func firstLogs(todo []behind, limit int64) (some []behind, all bool) {
	var events int64
	for i, l := range todo {
		if events += l.Head - l.Seq; events > limit {
			return todo[:i+1], false
		}
	}
	return todo, true
}

// indexStep is what one transaction writes.
type indexStep struct {
	logs  map[int64]*behind
	docs  []document
	more  map[place]int32    // how many documents each message adds: 0 if it already has one
	weeks map[userWeek]int32 // the same by user and week
	text  int                // bytes of text so far
}

func newIndexStep(todo []behind) *indexStep {
	x := &indexStep{logs: make(map[int64]*behind, len(todo)), more: map[place]int32{}, weeks: map[userWeek]int32{}}
	for i := range todo {
		x.logs[todo[i].Conversation] = &todo[i]
	}
	return x
}

// add processes more events, which follow those of the previous call.
func (x *indexStep) add(ctx context.Context, db postgres.DB, entries []entry) error {
	var places []place
	for _, e := range entries {
		x.logs[e.Conversation].Seq = e.Seq
		at, more := place{Conversation: e.Conversation, Seq: e.Seq}, int32(1)
		if e.Seq <= x.logs[e.Conversation].Known {
			more = 0
		}
		switch e.Kind {
		case conversation.KindText, conversation.KindAttachment:
		case conversation.KindRetraction, conversation.KindCorrection:
			at.Seq, more = e.Target, 0
		case conversation.KindSystem:
			continue
		}
		if _, looked := x.more[at]; !looked {
			x.more[at] = more
			places = append(places, at)
		}
	}
	messages, err := conversation.MessagesAt(ctx, db, places)
	if err != nil {
		return err
	}
	for _, e := range messages {
		if err := ctx.Err(); err != nil { // many long texts take a while, and Stop does not wait for them
			return fmt.Errorf("cut words: %w", err)
		}
		x.docs = append(x.docs, x.document(e))
	}
	return nil
}

// document writes the document of a message.
func (x *indexStep) document(e conversation.Event) document {
	d := document{place: place{Conversation: e.Conversation, Seq: e.Seq}, at: e.At, retracted: e.Retracted}
	if e.Retracted {
		return d
	}
	log, week, text := x.logs[e.Conversation], weekOf(e.At), searchable(e)
	scopes := make([]string, len(log.Users))
	for i, user := range log.Users {
		x.weeks[userWeek{user, week}] += x.more[d.place]
		scopes[i] = scopeWord(user, week)
	}
	x.text += len(text)
	d.words = vectorOf(text, scopes...)
	return d
}

// searchable is the text by which a message is found: its own, or the name of its attachment.
func searchable(e conversation.Event) string {
	if e.Attachment != nil {
		return e.Attachment.Name
	}
	return e.Text
}

// vectorOf writes the words of a text with their positions, and the scope words that say who may find it, as a tsvector
// in PostgreSQL's notation (manual, 8.11.1). The words of the release before follow where they differ, after a gap, so
// that no phrase is made of both.
func vectorOf(text string, scopes ...string) string {
	words := wordsOf(text)
	out := vector(words, 0)
	if before := wordsBefore(text); !sameWords(words, before) {
		out += vector(before, len(words)+1)
	}
	for _, s := range scopes {
		out += lexeme(s) + " "
	}
	return out
}

// vector writes words whose first position comes after one.
func vector(words []word, after int) string {
	var b strings.Builder
	at := func(word string, position int) {
		b.WriteString(lexeme(word) + ":" + strconv.Itoa(after+position) + " ")
	}
	for i, w := range words {
		at(w.text, i+1)
		if w.char != "" && w.char != w.text {
			at(w.char, i+1)
		}
	}
	return b.String()
}
