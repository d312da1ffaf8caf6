package search

import (
	"context"

	"housecall/internal/postgres"
)

// look says which documents to find.
type look struct {
	index  string // a tsquery that the index answers
	filter string // a tsquery that each document found by the index is compared with; "" for none
	id     int64  // of one conversation; 0 for any
	after  Position
	limit  int
}

// documentsOf finds documents by the index, newest first. The coalesces keep the planner from using an index for the
// other conditions.
func documentsOf(ctx context.Context, db postgres.DB, l look) ([]Position, error) {
	return postgres.Rows[Position](ctx, db, "search results", `
select room_id as conversation, seq, at from search_documents
where words @@ $1::text::tsquery and coalesce(words @@ nullif($2::text, '')::tsquery, true)
  and coalesce(room_id = nullif($3::bigint, 0), true) and (at, room_id, seq) < ($4, $5, $6)
order by at desc, room_id desc, seq desc limit $7`,
		l.index, l.filter, l.id, l.after.At, l.after.Conversation, l.after.Seq, l.limit)
}

// documentsIn finds documents of one conversation, newest first, by reading all of them.
func documentsIn(ctx context.Context, db postgres.DB, l look) ([]Position, error) {
	return postgres.Rows[Position](ctx, db, "search results in a conversation", `
select room_id as conversation, seq, at from search_documents
where room_id = $1 and coalesce(words @@ $2::text::tsquery, false) and (at, room_id, seq) < ($3, $4, $5)
order by at desc, room_id desc, seq desc limit $6`,
		l.id, l.filter, l.after.At, l.after.Conversation, l.after.Seq, l.limit)
}

// weekOfUser is a week in which a user has documents, and roughly how many.
type weekOfUser struct {
	Week      int32
	Documents int64
}

// weeksOf returns a user's weeks up to and including one, newest first.
func weeksOf(ctx context.Context, db postgres.DB, user int64, upTo int32) ([]weekOfUser, error) {
	return postgres.Rows[weekOfUser](ctx, db, "weeks with messages",
		`select week, documents from search_weeks where user_id = $1 and week <= $2 order by week desc`, user, upTo)
}

const (
	tailLogs = 500  // a search reads unindexed messages in this many of a user's conversations: the newest
	tailEach = 200  // it reads this many messages in each of them: the latest
	tailOne  = 2000 // it reads this many in a single searched conversation
)

// unindexed returns the latest messages whose documents are missing or out of date. It misses some only while the
// indexer is far behind.
func unindexed(ctx context.Context, db postgres.DB, in scope) ([]place, error) {
	each := tailEach
	if in.id != 0 {
		each = tailOne
	}
	return postgres.Rows[place](ctx, db, "messages that are not indexed", `
with behind as materialized (
    select p.appointment_id as id, `+indexedSeq+` as seq
    from participants p
    join conversations c on c.id = p.appointment_id
    left join search_rooms r on r.room_id = c.id
    where p.user_id = $1 and (c.id = $2 or $2 = 0 and p.active) and c.head_seq > coalesce(r.seq, 0)
    order by c.id desc limit $3
)
select distinct b.id as conversation, m.seq from behind b cross join lateral (
    select case when m.kind = 'correction' then m.target else m.seq end as seq from messages m
    where m.room_id = b.id and m.seq > b.seq and m.kind in ('text', 'attachment', 'correction')
    order by m.seq desc limit $4
) m`, in.user, in.id, tailLogs, each)
}

// readableNames returns the public ids of those conversations in which the user takes part now. A single searched
// conversation always counts, because its reader has a Reading.
func readableNames(ctx context.Context, db postgres.DB, ids []int64, in scope) (map[int64]string, error) {
	type named struct {
		ID   int64
		Name string
	}
	found, err := postgres.Rows[named](ctx, db, "names of conversations", `
select a.id, a.public_id as name from participants p join appointments a on a.id = p.appointment_id
where p.user_id = $1 and p.appointment_id = any($2) and (p.appointment_id = $3 or $3 = 0 and p.active)`,
		in.user, ids, in.id)
	if err != nil {
		return nil, err
	}
	names := make(map[int64]string, len(found))
	for _, f := range found {
		names[f.ID] = f.Name
	}
	return names, nil
}
