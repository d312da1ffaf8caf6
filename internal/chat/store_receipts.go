package chat

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"housecall/internal/conversation"
	"housecall/internal/postgres"
)

// writeReceipts moves cursors forward, but never past the head, and returns those that have moved.
func writeReceipts(ctx context.Context, db postgres.DB, reports map[receiptKey]report) ([]moved, error) {
	var ids, users, delivered, read []int64
	for k, r := range reports {
		ids, users = append(ids, k.conversation), append(users, k.user)
		delivered, read = append(delivered, r.Delivered), append(read, r.Read)
	}
	return queryReceipts(ctx, db, "save receipts", `
with wanted as (
    select w.id, w.user_id, least(w.delivered, c.head_seq) as delivered, least(w.read, c.head_seq) as read
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) as w(id, user_id, delivered, read)
    join conversations c on c.id = w.id
    order by w.id, w.user_id
), saved as (
    insert into receipts as r (room_id, user_id, delivered_seq, read_seq)
    select id, user_id, delivered, read from wanted
    on conflict (room_id, user_id) do update
        set delivered_seq = greatest(r.delivered_seq, excluded.delivered_seq),
            read_seq = greatest(r.read_seq, excluded.read_seq)
        where excluded.delivered_seq > r.delivered_seq or excluded.read_seq > r.read_seq
    returning room_id, user_id, delivered_seq, read_seq
)
select s.room_id, s.user_id, u.public_id, s.delivered_seq, s.read_seq from saved s join users u on u.id = s.user_id`,
		ids, users, delivered, read)
}

// receiptsIn returns the receipts of the participants of several conversations.
func receiptsIn(ctx context.Context, db postgres.DB, ids []int64) ([]moved, error) {
	return queryReceipts(ctx, db, "read receipts", `
select r.room_id, r.user_id, u.public_id, r.delivered_seq, r.read_seq
from receipts r
join participants p on p.appointment_id = r.room_id and p.user_id = r.user_id and p.active
join users u on u.id = r.user_id
where r.room_id = any($1)`, ids)
}

func queryReceipts(ctx context.Context, db postgres.DB, what, sql string, args ...any) ([]moved, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (m moved, err error) {
		err = row.Scan(&m.id, &m.user, &m.userID, &m.Delivered, &m.Read)
		return m, err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return out, nil
}

// cursorsOf returns a participant's cursors.
func cursorsOf(ctx context.Context, db postgres.DB, id, user int64) (c conversation.Cursors, err error) {
	err = db.QueryRow(ctx, `
select coalesce(max(delivered_seq), 0), coalesce(max(read_seq), 0) from receipts where room_id = $1 and user_id = $2`,
		id, user).Scan(&c.Delivered, &c.Read)
	if err != nil {
		return conversation.Cursors{}, fmt.Errorf("read receipt: %w", err)
	}
	return c, nil
}

// namesOf returns the public ids of conversations' appointments.
func namesOf(ctx context.Context, db postgres.DB, ids []int64) (map[int64]string, error) {
	type named struct {
		ID       int64
		PublicID string
	}
	found, err := postgres.Rows[named](ctx, db, "names of conversations",
		`select id, public_id from appointments where id = any($1)`, ids)
	if err != nil {
		return nil, err
	}
	names := make(map[int64]string, len(found))
	for _, f := range found {
		names[f.ID] = f.PublicID
	}
	return names, nil
}
