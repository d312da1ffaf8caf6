package conversation

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

// EpochSQL is an SQL expression for the epoch, which names the current history of the log. It changes with the
// cluster, its timeline (after a restore or a failover, PostgreSQL manual 26.3.5) and the table (after loading a
// dump), because each of these may lack events that a client has seen.
const EpochSQL = `(select left(md5(concat_ws(' ', system_identifier, 'messages'::regclass::oid::text,
    left(pg_walfile_name(pg_current_wal_lsn()), 8))), 12) from pg_control_system())`

const selectHead = `select head_seq, closed_at, closed_by = 'clinic', ` + EpochSQL + ` from conversations where id = $1`

const selectCursors = `select user_id, delivered_seq, read_seq from receipts where room_id = $1`

// Events in their current state. Of all edits of a message, edit is the one that counts: the retraction, or else the
// last correction. A correction shows what its message shows. A regroup event is stored with itself as its target,
// which is not shown.
const eventColumns = `select m.room_id, m.seq, m.kind, m.client_id, coalesce(u.public_id, ''),
    case when edit.kind = 'retraction' then '' else coalesce(edit.body, m.body, '') end, m.at,
    m.kind = 'system' and m.target is not null, case when m.kind = 'system' then 0 else coalesce(m.target, 0) end,
    coalesce(edit.kind = 'retraction', false),
    case when edit.kind = 'correction' and edit.seq <> m.seq then edit.seq else 0 end,
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

const selectRecent = `select * from (` + eventColumns +
	`where m.room_id = $1 order by m.seq desc limit $2) page order by seq`

// appointments reads an appointment as part of the caller's batch.
type appointments interface {
	QueueByID(b *pgx.Batch, id int64, into *appointment.Appointment)
}

// readState reads everything about a conversation but its events, in one round trip.
func readState(ctx context.Context, db postgres.DB, appointments appointments, id int64) (State, error) {
	s := State{Cursors: map[int64]Cursors{}}
	b := &pgx.Batch{}
	b.Queue(selectHead, id).QueryRow(func(row pgx.Row) error {
		var closed *time.Time
		err := row.Scan(&s.HeadSeq, &closed, &s.Closing.ByClinic, &s.Epoch)
		if closed == nil {
			s.Closing = appointment.Closing{}
		} else {
			s.Closing.At = *closed
		}
		return err
	})
	b.Queue(selectCursors, id).Query(func(rows pgx.Rows) error {
		var user int64
		var c Cursors
		_, err := pgx.ForEachRow(rows, []any{&user, &c.Delivered, &c.Read}, func() error {
			s.Cursors[user] = c
			return nil
		})
		return err //nolint:wrapcheck // wrapped below
	})
	appointments.QueueByID(b, id, &s.Appointment)
	if err := db.SendBatch(ctx, b).Close(); err != nil {
		return State{}, fmt.Errorf("read conversation: %w", err)
	}
	return s, nil
}

func collectEvents(rows pgx.Rows) ([]Event, error) {
	return pgx.CollectRows(rows, scanEvent) //nolint:wrapcheck // wrapped by callers
}

func scanEvent(row pgx.CollectableRow) (Event, error) {
	var e Event
	var id *[16]byte
	var f scannedFile
	err := row.Scan(&e.Conversation, &e.Seq, &e.Kind, &id, &e.Sender, &e.Text, &e.At, &e.Regroup, &e.Target, &e.Retracted,
		&e.CorrectedBy, &f.id, &f.name, &f.mediaType, &f.size, &f.sha256, &f.width, &f.height, &f.thumbnail)
	if id != nil {
		e.ClientID = uuid.UUID(*id)
	}
	if !e.Retracted {
		e.Attachment = f.attachment()
	}
	return e, err //nolint:wrapcheck // the same
}

// scannedFile is an attachment read through an outer join.
type scannedFile struct {
	id                      *[16]byte
	name, mediaType, sha256 *string
	size                    *int64
	width, height           *int
	thumbnail               *bool
}

// attachment returns nil if the event has no attachment.
func (f scannedFile) attachment() *Attachment {
	if f.id == nil {
		return nil
	}
	a := &Attachment{
		ID: *f.id, Name: *f.name, MediaType: *f.mediaType, Size: *f.size, SHA256: *f.sha256, Thumbnail: *f.thumbnail,
	}
	if f.width != nil && f.height != nil {
		a.Width, a.Height = *f.width, *f.height
	}
	return a
}

// eventsAfter reads up to limit events after a seq, oldest first.
func eventsAfter(ctx context.Context, db postgres.DB, id, after int64, limit int) ([]Event, error) {
	return queryEvents(ctx, db, selectEventsAfter, id, after, limit)
}

// eventsBefore reads the last limit events before a seq, oldest first; before 0 means the end of the log.
func eventsBefore(ctx context.Context, db postgres.DB, id, before int64, limit int) ([]Event, error) {
	if before == 0 {
		return queryEvents(ctx, db, selectRecent, id, limit)
	}
	return queryEvents(ctx, db, selectEventsBefore, id, before, limit)
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

// headSeq returns the head of a conversation's log; 0 if it has none yet.
func headSeq(ctx context.Context, db postgres.DB, id int64) (int64, error) {
	var head int64
	err := db.QueryRow(ctx, `select head_seq from conversations where id = $1`, id).Scan(&head)
	if err != nil && !errors.Is(err, postgres.ErrNoRows) {
		return 0, fmt.Errorf("read head: %w", err)
	}
	return head, nil
}

// headsOf returns the heads of several conversations' logs, and the epoch.
func headsOf(ctx context.Context, db postgres.DB, ids []int64) (heads map[int64]int64, epoch string, err error) {
	rows, err := db.Query(ctx, `
select id, head_seq, `+EpochSQL+` from conversations where id = any($1)`, ids)
	if err != nil {
		return nil, "", fmt.Errorf("read heads: %w", err)
	}
	heads = make(map[int64]int64, len(ids))
	var id, head int64
	if _, err = pgx.ForEachRow(rows, []any{&id, &head, &epoch}, func() error {
		heads[id] = head
		return nil
	}); err != nil {
		return nil, "", fmt.Errorf("read heads: %w", err)
	}
	return heads, epoch, nil
}

// identity returns a name that tells this database apart from others that share a Redis.
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

// appendSystem numbers a system event and inserts it, in one round trip. Like the committer, it locks the
// conversation's row first, so that seq has no gaps, and reads the clock only then, so that times rise with seq. A
// regroup event is stored with itself as its target.
func appendSystem(ctx context.Context, tx *postgres.Tx, e *Event) error {
	err := tx.QueryRow(ctx, `
with numbered as (
    insert into conversations as c (id, head_seq) values ($1, 1)
    on conflict (id) do update set head_seq = c.head_seq + 1
    returning c.head_seq
)
insert into messages (room_id, seq, at, kind, body, target)
select $1, n.head_seq, clock_timestamp(), $2, $3, case when $4 then n.head_seq end from numbered n
returning seq, at`, e.Conversation, e.Kind, e.Text, e.Regroup).Scan(&e.Seq, &e.At)
	if err != nil {
		return fmt.Errorf("append system event: %w", err)
	}
	return nil
}

// Place identifies an event among those of all conversations.
type Place struct{ Conversation, Seq int64 }

// Looks up each message by its key. Given many keys, PostgreSQL would otherwise scan the whole table (measured: 300
// ms for 600,000 messages); the offset keeps it from turning this into a join.
const selectPlaces = `select e.* from unnest($1::bigint[], $2::bigint[]) w(room_id, seq)
cross join lateral (` + eventColumns + `
where m.room_id = w.room_id and m.seq = w.seq and m.kind in ('text', 'attachment') offset 0) e`

// MessagesAt reads messages in their current state, in no particular order, and leaves out other events. It does not
// check whether anyone may read them: search indexes every conversation, and checks the rights of whoever searches.
func MessagesAt(ctx context.Context, db postgres.DB, places []Place) ([]Event, error) {
	ids, seqs := make([]int64, len(places)), make([]int64, len(places))
	for i, p := range places {
		ids[i], seqs[i] = p.Conversation, p.Seq
	}
	return queryEvents(ctx, db, selectPlaces, ids, seqs)
}
