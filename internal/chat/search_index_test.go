package chat

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"housecall/internal/postgres"
)

// longTexts fills a room with n messages of as many words as there can be: 4,000 different characters that stand alone.
func (w *world) longTexts(room int64, n int) {
	w.exec(`insert into messages (room_id, seq, at, kind, sender_id, client_id, body)
		select $1, g, now(), 'text', $2, gen_random_uuid(), (select string_agg(chr(19968 + i), '' order by i) from generate_series(0, 3999) i)
		from generate_series(1, $3::int) g`, room, w.patient.ID, n)
	w.exec(`update conversations set head_seq = $2 where id = $1`, room, n)
}

// A transaction ends after so much text, since PostgreSQL ends one in which too long nothing happens. The next goes on.
func TestService_index_longTexts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, long, other := w.serve(nil), w.room(), w.room()
	w.exec(`update search_sweeps set rest_until = 'infinity'`) // only this test indexes
	const n = 250
	w.longTexts(long, n)
	in.say(t, other, w.patient, "An ordinary message")
	for _, seq := range []int64{100, 200, n} {
		require.NoError(t, w.pool.InTx(t.Context(), func(tx *postgres.Tx) error {
			more, err := indexSome(t.Context(), tx, []int64{long, other}, indexLimit)
			require.Equal(t, seq < n, more)
			return err
		}))
		require.Equal(t, seq, w.number(`select seq from search_rooms where room_id = $1`, long))
		require.Equal(t, seq, w.number(`select count(*) from search_documents where room_id = $1`, long))
	}
	require.EqualValues(t, 1, w.number(`select count(*) from search_documents where room_id = $1`, other))
	require.EqualValues(t, n+1, w.number(`select sum(documents) from search_weeks where user_id = $1`, w.patient.ID))
}

// What cannot be indexed keeps nothing else from it, is reported, and everybody rests after each attempt.
func TestService_CatchUpSearch_failure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in := w.serve(nil)
	w.exec(`update search_sweeps set rest_until = 'infinity'`)
	rooms := []int64{w.room(), w.room(), w.room(), w.room(), w.room()}
	for _, room := range rooms {
		in.say(t, room, w.patient, "An ordinary message")
	}
	bad := rooms[1]
	w.exec(`create function refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$`)
	w.exec(fmt.Sprintf(`create trigger refuse before insert on search_documents for each row when (new.room_id = %d) execute function refuse()`, bad))
	w.exec(`update search_sweeps set rest_until = '-infinity'`)

	require.ErrorContains(t, in.svc.CatchUpSearch(t.Context()), "no (SQLSTATE P0001)")
	require.EqualValues(t, len(rooms)-1, w.number(`select count(*) from search_documents where room_id != $1`, bad))
	require.EqualValues(t, 0, w.number(`select count(*) from search_documents where room_id = $1`, bad))

	w.exec(`update search_sweeps set rest_until = '-infinity'`)
	done, err := in.svc.indexTurn(t.Context(), []int64{bad})
	require.Error(t, err)
	require.False(t, done)
	require.EqualValues(t, 1, w.number(`select count(*) from search_sweeps where rest_until > '-infinity'`), "a failure rests too")

	w.exec(`drop trigger refuse on search_documents`)
	in.indexAll(t)
	require.Len(t, in.found(t, w.doctor, "ordinary", 9), len(rooms))
}

// ending is a context that ends when it has been asked for the nth time.
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

// Neither a stop nor whoever no longer waits for a search waits for the words of all long texts.
func TestService_longTexts_stop(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	in, room := w.serve(nil), w.room()
	w.exec(`update search_sweeps set rest_until = 'infinity'`)
	const n = 50
	w.longTexts(room, n)
	var entries []entry
	var places []place
	for seq := range int64(n) {
		entries = append(entries, entry{Room: room, Seq: seq + 1, Kind: KindText})
		places = append(places, place{room, seq + 1})
	}

	unstopped := &atomic.Int64{}
	step := newIndexStep([]behind{{Room: room, Patient: w.patient.ID, Doctor: w.doctor.ID}})
	require.NoError(t, step.add(ending{t.Context(), unstopped, 1 << 30}, w.pool, entries))
	require.Len(t, step.docs, n)
	require.GreaterOrEqual(t, unstopped.Load(), int64(n), "asked at each message")
	step = newIndexStep([]behind{{Room: room, Patient: w.patient.ID, Doctor: w.doctor.ID}})
	err := step.add(ending{t.Context(), &atomic.Int64{}, unstopped.Load() - 10}, w.pool, entries)
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, len(step.docs), n)

	q, err := parseQuery(strings.Repeat("一", 2))
	require.NoError(t, err)
	all := scope{user: w.patient.ID}
	unstopped = &atomic.Int64{}
	_, err = in.svc.read(ending{t.Context(), unstopped, 1 << 30}, q, all, places)
	require.NoError(t, err)
	require.GreaterOrEqual(t, unstopped.Load(), int64(n), "asked at each message")
	_, err = in.svc.read(ending{t.Context(), &atomic.Int64{}, unstopped.Load() - 10}, q, all, places)
	require.ErrorIs(t, err, context.Canceled)
}
