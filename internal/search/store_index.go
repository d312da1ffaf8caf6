package search

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"housecall/internal/conversation"
	"housecall/internal/postgres"
)

// takeTurn makes this transaction the only one that indexes until it ends. It returns false while another transaction
// has the turn, or while all indexers rest.
func takeTurn(ctx context.Context, tx *postgres.Tx) (mine bool, err error) {
	// An instance that is suspended in the middle must not keep all others out.
	if _, err := tx.Exec(ctx, `set local idle_in_transaction_session_timeout = '10s'`); err != nil {
		return false, fmt.Errorf("begin to index: %w", err)
	}
	err = tx.QueryRow(ctx, `select rest_until <= clock_timestamp() from search_sweeps for update skip locked`).Scan(&mine)
	if err != nil && !errors.Is(err, postgres.ErrNoRows) {
		return false, fmt.Errorf("begin to index: %w", err)
	}
	return mine, nil
}

// rest makes all indexers, this one included, rest for a while.
func rest(ctx context.Context, db postgres.DB, d time.Duration) error {
	_, err := postgres.Exec(ctx, db, "rest from indexing",
		`update search_sweeps set rest_until = clock_timestamp() + make_interval(secs => $1)`, d.Seconds())
	return err
}

// behind is a conversation whose documents are behind its log.
type behind struct {
	Conversation int64
	Users        []int64 // the participants, in order
	Seq          int64   // the last event indexed for all of them by this version
	Known        int64   // the last event indexed for all of them by any version: searches read the log from there
	Head         int64   // the last event of the log
}

// version is how texts are cut into words and words are folded. When that changes, it goes up by one, and all logs are
// indexed anew, bit by bit, while searches go on with the documents that are there. The change has to keep what
// words_before.go does: for the releases that run side by side, documents and queries have the words of both.
const version = 2

// participantsOf are a conversation c's participants, in order.
const participantsOf = `array(select p.user_id from participants p where p.appointment_id = c.id order by p.user_id)`

// indexedSeq is the last event of a conversation c that is indexed for its current participants; r is its row of
// search_rooms. A change of participants always appends an event, so a conversation is behind only if its log has
// grown.
//
// Instances of the release before note for whom they have indexed in doctor_id. A row that they wrote counts only if it
// is for the same people; one that we wrote has no doctor_id, so that they index it again.
const indexedSeq = `case when r.users = ` + participantsOf + ` and (r.doctor_id is null or r.doctor_id = any(r.users))
    then r.seq else 0 end`

// cutSeq is the last event of a conversation c that is indexed by this version, or a later one, for its current
// participants; r is its row of search_rooms. Instances of the release before go on with seq and users alone, so
// whatever they index is behind for this one.
var cutSeq = `case when r.version >= ` + strconv.Itoa(version) + ` and r.cut_users = ` + participantsOf + `
    then r.cut_seq else 0 end`

// lastCut is cutSeq whoever takes part, which is cheaper.
var lastCut = `coalesce(case when r.version >= ` + strconv.Itoa(version) + ` then r.cut_seq end, 0)`

// logsBehind returns which of the given conversations are behind.
func logsBehind(ctx context.Context, db postgres.DB, ids []int64) ([]behind, error) {
	return postgres.Rows[behind](ctx, db, "conversations to index", `
select c.id as conversation, `+participantsOf+` as users, `+cutSeq+` as seq, `+indexedSeq+` as known,
    c.head_seq as head
from conversations c
left join search_rooms r on r.room_id = c.id
where c.id = any($1) and c.head_seq > `+lastCut+` order by c.id`, ids)
}

// someBehind returns up to limit conversations that are behind, in order, with ids above one.
func someBehind(ctx context.Context, db postgres.DB, above int64, limit int) ([]int64, error) {
	return postgres.Column[int64](ctx, db, "conversations to index", `
select c.id from conversations c
left join search_rooms r on r.room_id = c.id
where c.id > $1 and c.head_seq > `+lastCut+` order by c.id limit $2`, above, limit)
}

// entry is an event that may require writing a document.
type entry struct {
	Conversation, Seq int64
	Kind              conversation.Kind
	Target            int64
}

// entriesAfter reads the next events of several logs, one log after the other, limit in all. It reads no further than
// each log's Head: an event that came since may have changed who takes part, and Users would be out of date.
func entriesAfter(ctx context.Context, db postgres.DB, todo []behind, limit int64) ([]entry, error) {
	ids, after, head := make([]int64, len(todo)), make([]int64, len(todo)), make([]int64, len(todo))
	for i, l := range todo {
		ids[i], after[i], head[i] = l.Conversation, l.Seq, l.Head
	}
	return postgres.Rows[entry](ctx, db, "events to index", `
select m.room_id as conversation, m.seq, m.kind, coalesce(m.target, 0) as target
from unnest($1::bigint[], $2::bigint[], $3::bigint[]) w(id, after, head)
cross join lateral (
    select * from messages m where m.room_id = w.id and m.seq > w.after and m.seq <= w.head order by m.seq limit $4
) m
order by m.room_id, m.seq limit $4`, ids, after, head, limit)
}

// document is a message's entry in the index.
type document struct {
	place
	at        time.Time
	words     string // a tsvector in PostgreSQL's notation
	retracted bool   // the index must not contain it
}

// saveDocuments writes documents, replacing existing ones, and deletes those of retracted messages.
func saveDocuments(ctx context.Context, tx *postgres.Tx, docs []document) error {
	var ids, seqs, gone, goneSeqs []int64
	var at []time.Time
	var words []string
	for _, d := range docs {
		if d.retracted {
			gone, goneSeqs = append(gone, d.Conversation), append(goneSeqs, d.Seq)
			continue
		}
		ids, seqs = append(ids, d.Conversation), append(seqs, d.Seq)
		at, words = append(at, d.at), append(words, d.words)
	}
	b := &pgx.Batch{}
	b.Queue(`
insert into search_documents (room_id, seq, at, words)
select id, seq, at, words::tsvector
from unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::text[]) d(id, seq, at, words)
on conflict (room_id, seq) do update set words = excluded.words`, ids, seqs, at, words)
	b.Queue(`
delete from search_documents d using unnest($1::bigint[], $2::bigint[]) g(id, seq)
where d.room_id = g.id and d.seq = g.seq`, gone, goneSeqs)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("save what search finds: %w", err)
	}
	return nil
}

// userWeek is a user in a week.
type userWeek struct {
	user int64
	week int32
}

// saveProgress records how far conversations are indexed, and in which weeks their participants have documents.
func saveProgress(ctx context.Context, tx *postgres.Tx, done []behind, weeks map[userWeek]int32) error {
	var ids, seqs, known []int64
	var takePart []string // arrays as text: unnest would join arrays of arrays into one
	for _, l := range done {
		ids, seqs, takePart = append(ids, l.Conversation), append(seqs, l.Seq), append(takePart, arrayOf(l.Users))
		known = append(known, max(l.Seq, l.Known))
	}
	var users []int64
	var numbers, documents []int32
	for w, n := range weeks {
		users, numbers, documents = append(users, w.user), append(numbers, w.week), append(documents, n)
	}
	b := &pgx.Batch{}
	b.Queue(`
insert into search_rooms (room_id, users, seq, version, cut_users, cut_seq)
select id, users::bigint[], known, $5, users::bigint[], seq
from unnest($1::bigint[], $2::text[], $3::bigint[], $4::bigint[]) d(id, users, seq, known)
on conflict (room_id) do update set users = excluded.users, seq = excluded.seq, doctor_id = null,
    version = excluded.version, cut_users = excluded.cut_users, cut_seq = excluded.cut_seq`,
		ids, takePart, seqs, known, version)
	b.Queue(`
insert into search_weeks as w (user_id, week, documents) select * from unnest($1::bigint[], $2::int[], $3::int[])
on conflict (user_id, week) do update set documents = w.documents + excluded.documents`, users, numbers, documents)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("note what is indexed: %w", err)
	}
	return nil
}

// arrayOf writes an array in PostgreSQL's notation (manual, 8.15.2).
func arrayOf(ids []int64) string {
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(id, 10))
	}
	return "{" + b.String() + "}"
}
