package search

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/auth"
	"housecall/internal/conversation"
	"housecall/internal/postgres"
)

// longTexts fills a conversation with n messages of as many words as there can be: 4,000 different characters that are
// each a word.
func (w *world) longTexts(id int64, n int) {
	w.Exec(`insert into messages (room_id, seq, at, kind, sender_id, client_id, body)
		select $1, g, now(), 'text', $2, gen_random_uuid(),
			(select string_agg(chr(19968 + i), '' order by i) from generate_series(0, 3999) i)
		from generate_series(1, $3::int) g`, id, w.Patient.ID, n)
	w.Exec(`update conversations set head_seq = $2 where id = $1`, id, n)
}

// A transaction ends after a certain amount of text, since PostgreSQL ends one that is idle for too long. The next
// goes on from there.
func TestService_index_longTexts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, long, other := w.serve(), w.Conversation(), w.Conversation()
	w.nobodyIndexes() // but this test
	const n = 250
	w.longTexts(long, n)
	in.say(t, other, w.Patient, "An ordinary message")
	for _, seq := range []int64{100, 200, n} {
		require.NoError(t, w.Pool.InTx(t.Context(), func(tx *postgres.Tx) error {
			more, err := indexSome(t.Context(), tx, []int64{long, other}, indexLimit)
			require.Equal(t, seq < n, more)
			return err
		}))
		require.Equal(t, seq, w.Number(`select seq from search_rooms where room_id = $1`, long))
		require.Equal(t, seq, w.Number(`select count(*) from search_documents where room_id = $1`, long))
	}
	require.EqualValues(t, 1, w.Number(`select count(*) from search_documents where room_id = $1`, other))
	require.EqualValues(t, n+1, w.Number(`select sum(documents) from search_weeks where user_id = $1`, w.Patient.ID))
}

// A conversation that cannot be indexed is reported and does not hold up the others, and all indexers rest after each
// attempt.
func TestService_CatchUp_failure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve()
	w.nobodyIndexes()
	ids := []int64{w.Conversation(), w.Conversation(), w.Conversation(), w.Conversation(), w.Conversation()}
	for _, id := range ids {
		in.say(t, id, w.Patient, "An ordinary message")
	}
	bad := ids[1]
	w.Exec(`create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$`)
	w.Exec(fmt.Sprintf(`create trigger refuse before insert on search_documents
		for each row when (new.room_id = %d) execute function refuse()`, bad))
	w.somebodyIndexes()

	require.ErrorContains(t, in.svc.CatchUp(t.Context()), "no (SQLSTATE P0001)")
	require.EqualValues(t, len(ids)-1, w.Number(`select count(*) from search_documents where room_id != $1`, bad))
	require.EqualValues(t, 0, w.Number(`select count(*) from search_documents where room_id = $1`, bad))

	w.somebodyIndexes()
	done, err := in.svc.indexTurn(t.Context(), []int64{bad})
	require.Error(t, err)
	require.False(t, done)
	require.EqualValues(t, 1, w.Number(`select count(*) from search_sweeps where rest_until > '-infinity'`),
		"they rest after a failure too")

	w.Exec(`drop trigger refuse on search_documents`)
	in.indexAll(t)
	require.Len(t, in.found(t, w.Doctor, "ordinary", 9), len(ids))
}

// ending is a context that is over once it has been asked more than after times.
type ending struct {
	context.Context
	asked *atomic.Int64
	after int64
}

func (c ending) Err() error {
	if c.asked.Add(1) > c.after {
		return context.Canceled
	}
	return nil
}

// Cutting the words of many long texts breaks off when the service stops, or when nobody waits for a search any more.
func TestService_longTexts_stop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(), w.Conversation()
	w.nobodyIndexes()
	const n = 50
	w.longTexts(id, n)
	var entries []entry
	var places []place
	for seq := range int64(n) {
		entries = append(entries, entry{Conversation: id, Seq: seq + 1, Kind: conversation.KindText})
		places = append(places, place{Conversation: id, Seq: seq + 1})
	}

	unstopped := &atomic.Int64{}
	todo := []behind{{Conversation: id, Users: []int64{w.Patient.ID, w.Doctor.ID}}}
	step := newIndexStep(todo)
	require.NoError(t, step.add(ending{t.Context(), unstopped, 1 << 30}, w.Pool, entries))
	require.Len(t, step.docs, n)
	require.GreaterOrEqual(t, unstopped.Load(), int64(n), "asked at each message")
	step = newIndexStep(todo)
	err := step.add(ending{t.Context(), &atomic.Int64{}, unstopped.Load() - 10}, w.Pool, entries)
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, len(step.docs), n)

	q, err := parseQuery(strings.Repeat("一", 2))
	require.NoError(t, err)
	all := scope{user: w.Patient.ID}
	unstopped = &atomic.Int64{}
	_, err = in.svc.read(ending{t.Context(), unstopped, 1 << 30}, q, all, places)
	require.NoError(t, err)
	require.GreaterOrEqual(t, unstopped.Load(), int64(n), "asked at each message")
	_, err = in.svc.read(ending{t.Context(), &atomic.Int64{}, unstopped.Load() - 10}, q, all, places)
	require.ErrorIs(t, err, context.Canceled)
}

// A conversation that is handed over while it is being indexed stays behind, so that it is indexed for its new doctor.
func TestIndexSome_handOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, id := w.serve(), w.Conversation()
	w.nobodyIndexes()
	next := w.SignIn(w.User(auth.Doctor))
	seq := in.say(t, id, w.Patient, "My head hurts")
	ctx := t.Context()
	require.NoError(t, w.Pool.InTx(ctx, func(tx *postgres.Tx) error {
		todo, err := logsBehind(ctx, tx, []int64{id})
		require.NoError(t, err)
		w.handOver(t, id, next)
		entries, err := entriesAfter(ctx, tx, todo, 9)
		require.NoError(t, err)
		require.Equal(t, seq, entries[len(entries)-1].Seq, "not the event that changed who takes part")
		step := newIndexStep(todo)
		require.NoError(t, step.add(ctx, tx, entries))
		return saveProgress(ctx, tx, todo, step.weeks)
	}))
	behind, err := someBehind(ctx, w.Pool, 0, 9)
	require.NoError(t, err)
	require.Contains(t, behind, id)
}
