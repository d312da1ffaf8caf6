package chat

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"housecall/internal/appointment"
	"housecall/internal/postgres"
)

// snapshot is a room as PostgreSQL has it.
type snapshot struct {
	head     int64
	epoch    string
	closing  appointment.Closing // zero: open
	receipts map[int64]cursors
}

// cursors say how far one participant has got.
type cursors struct{ delivered, read int64 }

// The epoch names this history of the log: another cluster, or another timeline of it (after a restore or a
// failover, PostgreSQL manual 26.3.5), or another table (after a dump was loaded), may lack events that a client has seen.
const epochExpression = `(select left(md5(concat_ws(' ', system_identifier, 'messages'::regclass::oid::text,
    left(pg_walfile_name(pg_current_wal_lsn()), 8))), 12) from pg_control_system())`

const selectHead = `select head_seq, closed_at, closed_by = 'clinic', ` + epochExpression + ` from conversations where id = $1`

const selectReceipts = `select user_id, delivered_seq, read_seq from receipts where room_id = $1`

// Events as they stand now. edit is what counts of all that speaks of a message: a retraction, or else the last correction.
// A correction shows what its message shows. Regroup events target themselves, which concerns nobody else.
const eventColumns = `select m.room_id, m.seq, m.kind, m.client_id, coalesce(u.public_id, ''),
    case when edit.kind = 'retraction' then '' else coalesce(edit.body, m.body, '') end, m.at,
    m.kind = 'system' and m.target is not null, case when m.kind = 'system' then 0 else coalesce(m.target, 0) end,
    coalesce(edit.kind = 'retraction', false), case when edit.kind = 'correction' and edit.seq <> m.seq then edit.seq else 0 end,
    f.id, f.name, f.media_type, f.size_bytes, encode(f.sha256, 'hex'), f.width, f.height, f.thumbnail
from messages m
left join users u on u.id = m.sender_id
left join lateral (
    select e.kind, e.seq, e.body from messages e
    where e.room_id = m.room_id and e.target = case when m.kind = 'correction' then m.target else m.seq end
      and e.kind in ('retraction', 'correction')
    order by e.kind = 'retraction' desc, e.seq desc limit 1
) edit on m.kind in ('text', 'attachment', 'correction')
left join attachments f on m.kind = 'attachment' and f.room_id = m.room_id and f.seq = m.seq `

const selectEventsAfter = eventColumns + `where m.room_id = $1 and m.seq > $2 order by m.seq limit $3`

const selectEventsBefore = `select * from (` + eventColumns +
	`where m.room_id = $1 and m.seq < $2 order by m.seq desc limit $3) page order by seq`

const selectRecent = `select * from (` + eventColumns + `where m.room_id = $1 order by m.seq desc limit $2) page order by seq`

// readSnapshot reads a room for a joining socket, but for its events, in one round trip.
func readSnapshot(ctx context.Context, db postgres.DB, room int64) (snapshot, error) {
	b := &pgx.Batch{}
	b.Queue(selectHead, room)
	b.Queue(selectReceipts, room)
	results := db.SendBatch(ctx, b)
	s, err := scanSnapshot(results)
	if closing := results.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return snapshot{}, fmt.Errorf("read room: %w", err)
	}
	return s, nil
}

func scanSnapshot(results pgx.BatchResults) (snapshot, error) {
	s := snapshot{receipts: map[int64]cursors{}}
	var closed *time.Time
	var byClinic bool
	if err := results.QueryRow().Scan(&s.head, &closed, &byClinic, &s.epoch); err != nil {
		return snapshot{}, err //nolint:wrapcheck // wrapped by readSnapshot
	}
	if closed != nil {
		s.closing = appointment.Closing{At: *closed, ByClinic: byClinic}
	}
	rows, err := results.Query()
	if err != nil {
		return snapshot{}, err //nolint:wrapcheck // the same
	}
	var user int64
	var c cursors
	_, err = pgx.ForEachRow(rows, []any{&user, &c.delivered, &c.read}, func() error {
		s.receipts[user] = c
		return nil
	})
	return s, err //nolint:wrapcheck // the same
}

func collectEvents(rows pgx.Rows) ([]Event, error) {
	return pgx.CollectRows(rows, scanEvent) //nolint:wrapcheck // wrapped by callers
}

func scanEvent(row pgx.CollectableRow) (Event, error) {
	var e Event
	var id *[16]byte
	var f scannedFile
	err := row.Scan(&e.Room, &e.Seq, &e.Kind, &id, &e.Sender, &e.Text, &e.At, &e.Regroup, &e.Target, &e.Retracted, &e.CorrectedBy,
		&f.id, &f.name, &f.mediaType, &f.size, &f.sha256, &f.width, &f.height, &f.thumbnail)
	if id != nil {
		e.ClientID = uuid.UUID(*id)
	}
	if !e.Retracted {
		e.Attachment = f.attachment()
	}
	return e, err //nolint:wrapcheck // the same
}

// scannedFile is an attachment of an outer join.
type scannedFile struct {
	id                      *[16]byte
	name, mediaType, sha256 *string
	size                    *int64
	width, height           *int
	thumbnail               *bool
}

// attachment gives nil where there was none to join.
func (f scannedFile) attachment() *Attachment {
	if f.id == nil {
		return nil
	}
	a := &Attachment{ID: *f.id, Name: *f.name, MediaType: *f.mediaType, Size: *f.size, SHA256: *f.sha256, Thumbnail: *f.thumbnail}
	if f.width != nil && f.height != nil {
		a.Width, a.Height = *f.width, *f.height
	}
	return a
}

// eventsAfter reads a page of a room's log in order.
func eventsAfter(ctx context.Context, db postgres.DB, room, after int64, limit int) ([]Event, error) {
	return queryEvents(ctx, db, selectEventsAfter, room, after, limit)
}

// eventsBefore reads the page that ends below before, oldest first; before 0 means the end of the log.
func eventsBefore(ctx context.Context, db postgres.DB, room, before int64, limit int) ([]Event, error) {
	if before == 0 {
		return queryEvents(ctx, db, selectRecent, room, limit)
	}
	return queryEvents(ctx, db, selectEventsBefore, room, before, limit)
}

func queryEvents(ctx context.Context, db postgres.DB, sql string, args ...any) ([]Event, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	events, err := collectEvents(rows)
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	return events, nil
}

// headSeq gives how far one room's log goes; 0 if it has none yet.
func headSeq(ctx context.Context, db postgres.DB, room int64) (int64, error) {
	var head int64
	err := db.QueryRow(ctx, `select head_seq from conversations where id = $1`, room).Scan(&head)
	if err != nil && !errors.Is(err, postgres.ErrNoRows) {
		return 0, fmt.Errorf("read head: %w", err)
	}
	return head, nil
}

// headsOf gives how far several rooms' logs go, and in which epoch.
func headsOf(ctx context.Context, db postgres.DB, rooms []int64) (heads map[int64]int64, epoch string, err error) {
	rows, err := db.Query(ctx, `select id, head_seq, `+epochExpression+` from conversations where id = any($1)`, rooms)
	if err != nil {
		return nil, "", fmt.Errorf("read heads: %w", err)
	}
	heads = make(map[int64]int64, len(rooms))
	var id, head int64
	if _, err = pgx.ForEachRow(rows, []any{&id, &head, &epoch}, func() error {
		heads[id] = head
		return nil
	}); err != nil {
		return nil, "", fmt.Errorf("read heads: %w", err)
	}
	return heads, epoch, nil
}

// identity names this database among all that could share a Redis: whose messages are on the bus.
func identity(ctx context.Context, db postgres.DB) (string, error) {
	var id string
	err := db.QueryRow(ctx, `
select left(md5(s.system_identifier::text || d.oid::text), 12)
from pg_control_system() s, pg_database d where d.datname = current_database()`).Scan(&id)
	if err != nil {
		return "", fmt.Errorf("read the database's identity: %w", err)
	}
	return id, nil
}

// appendSystem takes the room's lock like the committer does, so that seq stays gapless and times rise with it. An event
// that regroups the room has itself for a target.
func appendSystem(ctx context.Context, tx *postgres.Tx, room int64, text string, regroup bool) (Event, error) {
	e := Event{Room: room, Kind: KindSystem, Text: text, Regroup: regroup}
	if _, err := tx.Exec(ctx, `insert into conversations (id) values ($1) on conflict do nothing`, room); err != nil {
		return Event{}, fmt.Errorf("make conversation: %w", err)
	}
	if err := tx.QueryRow(ctx, `update conversations set head_seq = head_seq + 1 where id = $1 returning head_seq`, room).Scan(&e.Seq); err != nil {
		return Event{}, fmt.Errorf("number system event: %w", err)
	}
	err := tx.QueryRow(ctx, `insert into messages (room_id, seq, at, kind, body, target)
		values ($1, $2, statement_timestamp(), $3, $4, case when $5 then $2::bigint end) returning at`,
		room, e.Seq, e.Kind, text, regroup).Scan(&e.At)
	if err != nil {
		return Event{}, fmt.Errorf("append system event: %w", err)
	}
	return e, nil
}

// takesPart tells in SQL whether a user takes part in appointment a, as appointment.Service.Find does: who is a doctor no longer
// has no say in, and no sight of, what he was the doctor of.
func takesPart(user string) string {
	return `(a.patient_id = ` + user + ` or a.doctor_id = ` + user + ` and (select role <> 'PATIENT' from users where id = ` + user + `))`
}

// roomNames gives the public ids of those appointments a that a condition holds for.
func roomNames(ctx context.Context, db postgres.DB, where string, args ...any) (map[int64]string, error) {
	rows, err := db.Query(ctx, `select a.id, a.public_id from appointments a where `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("name conversations: %w", err)
	}
	names := map[int64]string{}
	var id int64
	var name string
	if _, err := pgx.ForEachRow(rows, []any{&id, &name}, func() error {
		names[id] = name
		return nil
	}); err != nil {
		return nil, fmt.Errorf("name conversations: %w", err)
	}
	return names, nil
}

// moved is how far a participant has got.
type moved struct {
	room, user int64
	userID     string
	cursors
}

// saveReceipts moves cursors forward, never back and never past the head, and gives those that moved.
func saveReceipts(ctx context.Context, db postgres.DB, rooms, users, delivered, read []int64) ([]moved, error) {
	rows, err := db.Query(ctx, `
with wanted as (
    select w.room, w.user_id, least(w.delivered, c.head_seq) as delivered, least(w.read, c.head_seq) as read
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) as w(room, user_id, delivered, read)
    join conversations c on c.id = w.room
    order by w.room, w.user_id
), saved as (
    insert into receipts as r (room_id, user_id, delivered_seq, read_seq)
    select room, user_id, delivered, read from wanted
    on conflict (room_id, user_id) do update
        set delivered_seq = greatest(r.delivered_seq, excluded.delivered_seq), read_seq = greatest(r.read_seq, excluded.read_seq)
        where excluded.delivered_seq > r.delivered_seq or excluded.read_seq > r.read_seq
    returning room_id, user_id, delivered_seq, read_seq
)
select s.room_id, s.user_id, u.public_id, s.delivered_seq, s.read_seq from saved s join users u on u.id = s.user_id`,
		rooms, users, delivered, read)
	if err != nil {
		return nil, fmt.Errorf("save receipts: %w", err)
	}
	out, err := pgx.CollectRows(rows, scanMoved)
	if err != nil {
		return nil, fmt.Errorf("save receipts: %w", err)
	}
	return out, nil
}

func scanMoved(row pgx.CollectableRow) (m moved, err error) {
	err = row.Scan(&m.room, &m.user, &m.userID, &m.delivered, &m.read)
	return m, err //nolint:wrapcheck // wrapped by callers
}

// receiptsIn gives how far the participants of several rooms have got.
func receiptsIn(ctx context.Context, db postgres.DB, rooms []int64) ([]moved, error) {
	rows, err := db.Query(ctx, `
select r.room_id, r.user_id, u.public_id, r.delivered_seq, r.read_seq
from receipts r
join appointments a on a.id = r.room_id and `+takesPart(`r.user_id`)+`
join users u on u.id = r.user_id
where r.room_id = any($1)`, rooms)
	if err != nil {
		return nil, fmt.Errorf("read receipts: %w", err)
	}
	out, err := pgx.CollectRows(rows, scanMoved)
	if err != nil {
		return nil, fmt.Errorf("read receipts: %w", err)
	}
	return out, nil
}
