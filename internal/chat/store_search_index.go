package chat

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"housecall/internal/postgres"
)

// takeSearchSweep makes this transaction the only one that indexes, until it ends; false while another does, or while all
// rest.
func takeSearchSweep(ctx context.Context, tx *postgres.Tx) (mine bool, err error) {
	// Whoever is stopped in the middle must not keep all others out.
	if _, err := tx.Exec(ctx, `set local idle_in_transaction_session_timeout = '10s'`); err != nil {
		return false, fmt.Errorf("begin to index: %w", err)
	}
	err = tx.QueryRow(ctx, `select rest_until <= clock_timestamp() from search_sweeps for update skip locked`).Scan(&mine)
	if err != nil && !errors.Is(err, postgres.ErrNoRows) {
		return false, fmt.Errorf("begin to index: %w", err)
	}
	return mine, nil
}

// restSearchSweep keeps all indexers away for a while after this one.
func restSearchSweep(ctx context.Context, db postgres.DB, rest time.Duration) error {
	_, err := postgres.Exec(ctx, db, "rest from indexing",
		`update search_sweeps set rest_until = clock_timestamp() + make_interval(secs => $1)`, rest.Seconds())
	return err
}

// behind is a room whose documents do not say what its log says.
type behind struct {
	Room, Patient, Doctor int64
	Seq, Head             int64 // up to which they do, and the log goes
}

// roomsBehind gives those of the rooms that are behind.
func roomsBehind(ctx context.Context, db postgres.DB, rooms []int64) ([]behind, error) {
	return postgres.Rows[behind](ctx, db, "rooms to index", `
select a.id as room, a.patient_id as patient, a.doctor_id as doctor, `+indexedSeq+` as seq, c.head_seq as head
from appointments a
join conversations c on c.id = a.id
left join search_rooms r on r.room_id = a.id
where a.id = any($1) and c.head_seq > `+indexedSeq+` order by a.id`, rooms)
}

// indexedSeq is up to which event of a room all is indexed for those who take part now.
const indexedSeq = `case when r.doctor_id = a.doctor_id then r.seq else 0 end`

// someBehind gives up to limit rooms above one that are behind, in order.
func someBehind(ctx context.Context, db postgres.DB, above int64, limit int) ([]int64, error) {
	return postgres.Column[int64](ctx, db, "rooms to index", `
select a.id from appointments a
join conversations c on c.id = a.id
left join search_rooms r on r.room_id = a.id
where a.id > $1 and c.head_seq > `+indexedSeq+` order by a.id limit $2`, above, limit)
}

// entry is an event that a document may have to be written for.
type entry struct {
	Room, Seq int64
	Kind      Kind
	Target    int64
}

// entriesAfter reads on in several logs, at most limit events, one log after the other.
func entriesAfter(ctx context.Context, db postgres.DB, rooms []behind, limit int64) ([]entry, error) {
	ids, after := make([]int64, len(rooms)), make([]int64, len(rooms))
	for i, r := range rooms {
		ids[i], after[i] = r.Room, r.Seq
	}
	return postgres.Rows[entry](ctx, db, "events to index", `
select m.room_id as room, m.seq, m.kind, coalesce(m.target, 0) as target
from unnest($1::bigint[], $2::bigint[]) w(room, after)
cross join lateral (
    select * from messages m where m.room_id = w.room and m.seq > w.after order by m.seq limit $3
) m
order by m.room_id, m.seq limit $3`, ids, after, limit)
}

// One by one by their keys: for many of them PostgreSQL would read all messages there are (measured: 300 ms of 600,000). The
// offset keeps it from turning this into a join.
const selectStanding = `select e.* from unnest($1::bigint[], $2::bigint[]) w(room, seq) cross join lateral (` + eventColumns + `
where m.room_id = w.room and m.seq = w.seq and m.kind in ('text', 'attachment') offset 0) e`

// messagesAt reads messages as they stand now; what is no message is left out.
func messagesAt(ctx context.Context, db postgres.DB, places []place) ([]Event, error) {
	rooms, seqs := make([]int64, len(places)), make([]int64, len(places))
	for i, p := range places {
		rooms[i], seqs[i] = p.room, p.seq
	}
	return queryEvents(ctx, db, selectStanding, rooms, seqs)
}

// document is what search finds of a message.
type document struct {
	place
	at        time.Time
	words     string // a tsvector in PostgreSQL's notation
	retracted bool   // there must be none
}

// saveDocuments writes documents over what there was.
func saveDocuments(ctx context.Context, tx *postgres.Tx, docs []document) error {
	var rooms, seqs, goneRooms, goneSeqs []int64
	var at []time.Time
	var words []string
	for _, d := range docs {
		if d.retracted {
			goneRooms, goneSeqs = append(goneRooms, d.room), append(goneSeqs, d.seq)
			continue
		}
		rooms, seqs, at, words = append(rooms, d.room), append(seqs, d.seq), append(at, d.at), append(words, d.words)
	}
	b := &pgx.Batch{}
	b.Queue(`
insert into search_documents (room_id, seq, at, words)
select room, seq, at, words::tsvector from unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::text[]) d(room, seq, at, words)
on conflict (room_id, seq) do update set words = excluded.words`, rooms, seqs, at, words)
	b.Queue(`
delete from search_documents d using unnest($1::bigint[], $2::bigint[]) g(room, seq) where d.room_id = g.room and d.seq = g.seq`,
		goneRooms, goneSeqs)
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

// saveProgress notes how far the rooms are indexed, and in which weeks their users have got documents.
func saveProgress(ctx context.Context, tx *postgres.Tx, rooms []behind, weeks map[userWeek]int32) error {
	var ids, doctors, seqs, users []int64
	for _, r := range rooms {
		ids, doctors, seqs = append(ids, r.Room), append(doctors, r.Doctor), append(seqs, r.Seq)
	}
	var numbers, documents []int32
	for w, n := range weeks {
		users, numbers, documents = append(users, w.user), append(numbers, w.week), append(documents, n)
	}
	b := &pgx.Batch{}
	b.Queue(`
insert into search_rooms (room_id, doctor_id, seq) select * from unnest($1::bigint[], $2::bigint[], $3::bigint[])
on conflict (room_id) do update set doctor_id = excluded.doctor_id, seq = excluded.seq`, ids, doctors, seqs)
	b.Queue(`
insert into search_weeks as w (user_id, week, documents) select * from unnest($1::bigint[], $2::int[], $3::int[])
on conflict (user_id, week) do update set documents = w.documents + excluded.documents`, users, numbers, documents)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("note what is indexed: %w", err)
	}
	return nil
}
