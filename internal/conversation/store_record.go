package conversation

import (
	"context"
	"strings"

	"housecall/internal/postgres"
)

// selectUpTo reads events up to $2 as they stood when $5 was the last; testdata/select_up_to.sql has the full
// statement.
var selectUpTo = strings.Replace(eventColumns,
	`where e.room_id = m.room_id and`, `where e.room_id = m.room_id and e.seq <= $5 and`, 1) + `
where m.room_id = $1 and m.seq <= $2 and m.seq > $3 order by m.seq limit $4`

// eventsUpTo reads a page of a Stretch, oldest first.
func eventsUpTo(ctx context.Context, db postgres.DB, id int64, of Stretch, p Page) ([]Event, error) {
	return queryEvents(ctx, db, selectUpTo, id, of.UpTo, p.After, p.Limit, of.Present)
}

// editsOf returns the edits of the given events, ignoring edits after the seq present.
func editsOf(ctx context.Context, db postgres.DB, id, present int64, targets []int64) ([]Edit, error) {
	return postgres.Rows[Edit](ctx, db, "edits", `
select distinct on (target, kind) target, kind, at from messages
where room_id = $1 and target = any($3) and kind in ('retraction', 'correction') and seq <= $2
order by target, kind, seq desc`, id, present, targets)
}

// selectRetracted returns which of the given messages have been retracted. It relies on messages_edits_idx.
func selectRetracted(ctx context.Context, db postgres.DB, id int64, seqs []int64) ([]int64, error) {
	return postgres.Column[int64](ctx, db, "retractions", `
select target from messages where room_id = $1 and kind = 'retraction' and target = any($2)`, id, seqs)
}

// writersOf returns everyone who has written in a conversation and its participants, in the order of their accounts.
func writersOf(ctx context.Context, db postgres.DB, id int64) ([]Writer, error) {
	return postgres.Rows[Writer](ctx, db, "who has written", `
select u.public_id as user_id, u.name, u.role from users u
where u.id in (
    select user_id from participants where appointment_id = $1
    union select sender_id from messages where room_id = $1)
order by u.role desc, u.id`, id)
}

// originalsOf returns the original texts of messages, whether or not they were corrected or retracted.
func originalsOf(ctx context.Context, db postgres.DB, id int64, seqs []int64) (map[int64]string, error) {
	type original struct {
		Seq  int64
		Text string
	}
	found, err := postgres.Rows[original](ctx, db, "originals", `
select m.seq, coalesce(m.body, f.name, '') as text from messages m
left join attachments f on f.room_id = m.room_id and f.seq = m.seq
where m.room_id = $1 and m.seq = any($2)`, id, seqs)
	if err != nil {
		return nil, err
	}
	out := make(map[int64]string, len(found))
	for _, o := range found {
		out[o.Seq] = o.Text
	}
	return out, nil
}
