package chat

import (
	"context"
	"strings"
	"time"

	"housecall/internal/postgres"
)

// Events up to $2, as they stood when $5 was the last.
var selectUpTo = strings.Replace(eventColumns, `where e.room_id = m.room_id and`, `where e.room_id = m.room_id and e.seq <= $5 and`, 1) +
	`where m.room_id = $1 and m.seq <= $2 and m.seq > $3 order by m.seq limit $4`

// stretch is the part of a log that a transcript has.
type stretch struct {
	upTo    int64 // its last event
	present int64 // the log's last event when it was asked for: later edits do not count, all before it do
}

// eventsUpTo reads a page of a room's log in order.
func eventsUpTo(ctx context.Context, db postgres.DB, room int64, of stretch, after int64, limit int) ([]Event, error) {
	return queryEvents(ctx, db, selectUpTo, room, of.upTo, after, limit, of.present)
}

// edit is what takes an event back, or the last that corrects it.
type edit struct {
	Target int64
	Kind   Kind
	At     time.Time
}

// editsOf gives the edits of some events that are no later than head.
func editsOf(ctx context.Context, db postgres.DB, room, head int64, targets []int64) ([]edit, error) {
	return postgres.Rows[edit](ctx, db, "edits", `
select distinct on (target, kind) target, kind, at from messages
where room_id = $1 and target = any($3) and kind in ('retraction', 'correction') and seq <= $2
order by target, kind, seq desc`, room, head, targets)
}

// writer is somebody who takes part or has written.
type writer struct{ UserID, Name, Role string }

// writersOf gives everybody who has written in a room, and its participants, in the order of their ids.
func writersOf(ctx context.Context, db postgres.DB, room int64) ([]writer, error) {
	return postgres.Rows[writer](ctx, db, "who has written", `
select u.public_id as user_id, u.name, u.role from users u
where u.id in (
    select patient_id from appointments where id = $1
    union select doctor_id from appointments where id = $1
    union select sender_id from messages where room_id = $1)
order by u.role desc, u.id`, room)
}

// original is what a message said at first.
type original struct {
	Seq  int64
	Text string
}

// originalsOf gives what messages said at first, whatever became of them.
func originalsOf(ctx context.Context, db postgres.DB, room int64, seqs []int64) ([]original, error) {
	return postgres.Rows[original](ctx, db, "originals", `
select m.seq, coalesce(m.body, f.name, '') as text from messages m
left join attachments f on f.room_id = m.room_id and f.seq = m.seq
where m.room_id = $1 and m.seq = any($2)`, room, seqs)
}
