package chat

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"housecall/internal/postgres"
)

// waits is the condition that m is a message that has not been retracted.
const waits = `m.kind in ('text', 'attachment') and not exists (
        select from messages e where e.room_id = m.room_id and e.target = m.seq and e.kind = 'retraction')`

// collectUnread stores the messages since the last sweep that a participant has not read, and deletes those that have
// been read since. It reads up to cutoff, but at most window at a time; more says that there is more to read. While
// another sweeper is at work, it does nothing and more is false. Messages are committed within seconds of their time
// and cutoff is minutes ago, so the sweep misses none.
func collectUnread(
	ctx context.Context, tx *postgres.Tx, cutoff time.Time, window time.Duration,
) (more bool, err error) {
	var from time.Time
	err = tx.QueryRow(ctx, `select upto from unread_sweeps for update skip locked`).Scan(&from)
	switch {
	case errors.Is(err, postgres.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("begin unread sweep: %w", err)
	}
	to := from.Add(window)
	if more = to.Before(cutoff); !more {
		to = cutoff
	}
	b := &pgx.Batch{}
	if to.After(from) {
		b.Queue(`
insert into unread_pending as p (user_id, room_id, seq)
select w.user_id, m.room_id, max(m.seq)
from messages m
join participants w on w.appointment_id = m.room_id and w.active
left join receipts r on r.room_id = m.room_id and r.user_id = w.user_id
where m.at > $1 and m.at <= $2 and `+waits+` and m.sender_id <> w.user_id and m.seq > coalesce(r.read_seq, 0)
group by w.user_id, m.room_id
on conflict (user_id, room_id) do update set seq = greatest(p.seq, excluded.seq)`, from, to)
		b.Queue(`update unread_sweeps set upto = $1`, to)
	}
	b.Queue(`
delete from unread_pending p using receipts r
where r.room_id = p.room_id and r.user_id = p.user_id and r.read_seq >= p.seq`)
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return false, fmt.Errorf("collect unread messages: %w", err)
	}
	return more, nil
}

// absent is a user who is away while something is unread.
type absent struct {
	UserID        int64
	Seen          time.Time // when they were last seen
	Conversations int
}

// unreadStill selects what the sweep has found and is still unread by users who still take part. Since the sweep, an
// appointment may have been handed over or messages retracted.
const unreadStill = `(select p.user_id, p.room_id from unread_pending p
    join participants w on w.appointment_id = p.room_id and w.user_id = p.user_id and w.active
    left join receipts r on r.room_id = p.room_id and r.user_id = p.user_id
    where exists (select from messages m
        where m.room_id = p.room_id and m.seq > coalesce(r.read_seq, 0) and m.seq <= p.seq
        and m.sender_id <> p.user_id and ` + waits + `)) p`

// countUnread returns in how many of a user's conversations something found by the sweep is still unread.
func countUnread(ctx context.Context, db postgres.DB, user int64) (n int, err error) {
	if err := db.QueryRow(ctx, `select count(*) from `+unreadStill+` where p.user_id = $1`, user).Scan(&n); err != nil {
		return 0, fmt.Errorf("count unread conversations: %w", err)
	}
	return n, nil
}

// absentUsers returns the users who have not been seen since cutoff, have something unread, and have not been
// notified in this absence. If only is given, it considers only that user. It also reads package account's table of
// sessions, because using REST counts as being seen.
func absentUsers(ctx context.Context, db postgres.DB, cutoff time.Time, only *int64) ([]absent, error) {
	rows, err := db.Query(ctx, `
select p.user_id, s.seen, count(*)::int as conversations
from `+unreadStill+`
join users u on u.id = p.user_id and u.disabled_at is null
left join user_presence o on o.user_id = p.user_id
left join unread_notices n on n.user_id = p.user_id
cross join lateral (
    select greatest(u.created_at, o.seen_at, (select max(last_used_at) from sessions where user_id = u.id)) as seen
) s
where ($2::bigint is null or p.user_id = $2)
  and s.seen <= $1 and (n.notified_at is null or n.notified_at < s.seen)
group by p.user_id, s.seen order by p.user_id`, cutoff, only)
	if err != nil {
		return nil, fmt.Errorf("find absent users: %w", err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByName[absent])
	if err != nil {
		return nil, fmt.Errorf("find absent users: %w", err)
	}
	return out, nil
}

// markNotified returns true to exactly one of the callers that try to notify a user in the absence that began at
// seen.
func markNotified(ctx context.Context, tx *postgres.Tx, user int64, at, seen time.Time) (first bool, err error) {
	tag, err := tx.Exec(ctx, `
insert into unread_notices as n (user_id, notified_at) values ($1, $2)
on conflict (user_id) do update set notified_at = excluded.notified_at where n.notified_at < $3`, user, at, seen)
	if err != nil {
		return false, fmt.Errorf("mark user %d as notified: %w", user, err)
	}
	return tag.RowsAffected() == 1, nil
}

// saveSeen records that users have been seen. Their ids must be in ascending order.
func saveSeen(ctx context.Context, db postgres.DB, users []int64, at time.Time) error {
	if len(users) == 0 {
		return nil
	}
	_, err := db.Exec(ctx, `
insert into user_presence as p (user_id, seen_at) select unnest($1::bigint[]), $2
on conflict (user_id) do update set seen_at = greatest(p.seen_at, excluded.seen_at)`, users, at)
	if err != nil {
		return fmt.Errorf("mark users as seen: %w", err)
	}
	return nil
}
