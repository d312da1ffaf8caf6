package chat

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"housecall/internal/postgres"
)

// look is what to find documents by.
type look struct {
	index  string // a tsquery that the index answers
	filter string // another that is compared with each document that the index gives; "" for none
	room   int64  // 0: any
	after  Position
	limit  int
}

// documentsOf finds documents, newest first. The coalesces keep the planner from using an index for what is to be compared.
func documentsOf(ctx context.Context, db postgres.DB, l look) ([]Position, error) {
	return postgres.Rows[Position](ctx, db, "search results", `
select room_id as room, seq, at from search_documents
where words @@ $1::text::tsquery and coalesce(words @@ nullif($2::text, '')::tsquery, true)
  and coalesce(room_id = nullif($3::bigint, 0), true) and (at, room_id, seq) < ($4, $5, $6)
order by at desc, room_id desc, seq desc limit $7`, l.index, l.filter, l.room, l.after.At, l.after.Room, l.after.Seq, l.limit)
}

// documentsIn finds documents of one room by looking at all that it has.
func documentsIn(ctx context.Context, db postgres.DB, l look) ([]Position, error) {
	return postgres.Rows[Position](ctx, db, "search results in a room", `
select room_id as room, seq, at from search_documents
where room_id = $1 and coalesce(words @@ $2::text::tsquery, false) and (at, room_id, seq) < ($3, $4, $5)
order by at desc, room_id desc, seq desc limit $6`, l.room, l.filter, l.after.At, l.after.Room, l.after.Seq, l.limit)
}

// weekOfUser is a week in which a user has documents, and about how many.
type weekOfUser struct {
	Week      int32
	Documents int64
}

// weeksOf gives the weeks of a user up to one, newest first.
func weeksOf(ctx context.Context, db postgres.DB, user int64, upTo int32) ([]weekOfUser, error) {
	return postgres.Rows[weekOfUser](ctx, db, "weeks with messages",
		`select week, documents from search_weeks where user_id = $1 and week <= $2 order by week desc`, user, upTo)
}

const (
	tailRooms = 500  // with events that are not indexed, of a user, that a search looks into, the newest
	tailEach  = 200  // messages of one of them, the latest
	tailOne   = 2000 // messages of a room that is searched alone
)

// unindexed gives messages that documents are lacking of, or do not tell the present text of: the latest. There are more
// only while the indexer is far behind.
func unindexed(ctx context.Context, db postgres.DB, in scope) ([]place, error) {
	who, id, each := takesPart(`$1`), in.user, tailEach
	if in.room != 0 {
		who, id, each = `a.id = $1`, in.room, tailOne
	}
	rows, err := db.Query(ctx, `
with rooms as materialized (
    select a.id, `+indexedSeq+` as seq
    from appointments a
    join conversations c on c.id = a.id
    left join search_rooms r on r.room_id = a.id
    where `+who+` and c.head_seq > `+indexedSeq+` order by a.id desc limit $2
)
select distinct r.id, m.seq from rooms r cross join lateral (
    select case when m.kind = 'correction' then m.target else m.seq end as seq from messages m
    where m.room_id = r.id and m.seq > r.seq and m.kind in ('text', 'attachment', 'correction') order by m.seq desc limit $3
) m`, id, tailRooms, each)
	if err != nil {
		return nil, fmt.Errorf("read what is not indexed: %w", err)
	}
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p place, err error) {
		err = row.Scan(&p.room, &p.seq)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("read what is not indexed: %w", err)
	}
	return out, nil
}

// readableRooms gives the public names of those rooms that the user takes part in; of a room that is searched alone the
// caller has proved that he may.
func readableRooms(ctx context.Context, db postgres.DB, rooms []int64, in scope) (map[int64]string, error) {
	return roomNames(ctx, db, `a.id = any($2) and (a.id = $3 or $3 = 0 and `+takesPart(`$1`)+`)`, in.user, rooms, in.room)
}
