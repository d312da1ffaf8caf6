package chat

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"housecall/internal/conversation"
	"housecall/internal/postgres"
)

// standing is what a list of conversations shows one participant about a conversation.
type standing struct {
	ID             int64 // of the conversation
	UserID         int64
	PublicID       string
	Status         string
	StartsAt       *time.Time
	EndsAt         *time.Time
	CompletedAt    *time.Time
	UpdatedAt      time.Time
	Version        int
	ClosedAt       *time.Time
	ClosedByClinic bool
	HeadSeq        int64
	ReadSeq        int64
	Unread         int64
	At             *time.Time // time of the event with seq HeadSeq; nil if there is none
	OtherID        string
	OtherRole      string
	OtherName      string
}

// Counts others' texts and attachments after the read cursor, less those that were retracted. A retraction comes
// after its target, so one range of the primary key has both. {known} may join what is already known about a seat,
// {before} is how much was unread then, {from} is where to count from. testdata has the full statements.
const standings = `
from participants w
join appointments a on a.id = w.appointment_id
join conversations c on c.id = a.id
cross join lateral (
    select p.user_id, p.role from participants p
    where p.appointment_id = a.id and p.user_id <> w.user_id limit 1
) other
join users o on o.id = other.user_id
left join receipts r on r.room_id = a.id and r.user_id = w.user_id{known}
cross join lateral (
    select {before} + count(*) filter (where m.kind in ('text', 'attachment'))
        - count(distinct m.target) filter (where m.kind = 'retraction' and m.target > coalesce(r.read_seq, 0)) as unread
    from messages m where m.room_id = a.id and m.seq > {from} and m.sender_id <> w.user_id
) n
left join messages h on h.room_id = a.id and h.seq = c.head_seq
`

const standingColumns = `select a.id, w.user_id, a.public_id, a.status, a.starts_at, a.ends_at, a.completed_at,
    a.updated_at, a.version, c.closed_at, coalesce(c.closed_by = 'clinic', false) as closed_by_clinic, c.head_seq,
    coalesce(r.read_seq, 0) as read_seq, n.unread, h.at, o.public_id as other_id, other.role as other_role,
    o.name as other_name`

var (
	allStandings = strings.NewReplacer("{known}", "", "{before}", "0", "{from}", "coalesce(r.read_seq, 0)").
			Replace(standings)
	// Only active participants have a standing: a doctor who has handed an appointment over does not.
	selectStandings = standingColumns + allStandings +
		`where w.user_id = $1 and w.active order by h.at desc nulls last, a.id desc`
	// For a known seat, only newer events are counted unless the cursor has moved, so that a large number of unread
	// messages does not make every look expensive.
	selectChanged = standingColumns + strings.NewReplacer("{known}", `
left join unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
    as k(id, user_id, head_seq, read_seq, unread) on k.id = a.id and k.user_id = w.user_id
    and k.read_seq = coalesce(r.read_seq, 0) and k.head_seq <= c.head_seq`,
		"{before}", "coalesce(k.unread, 0)", "{from}", "coalesce(k.head_seq, r.read_seq, 0)").Replace(standings) +
		`where w.appointment_id = any($1) and w.user_id = any($2) and w.active`
)

// The planner cannot know how much is unread. It expects a lot and would JIT-compile a query that reads a few rows,
// which took ten times as long as the query. The setting ends with the batch's implicit transaction.
const uncompiled = `select set_config('jit', 'off', true)`

// readUncompiled runs one query without JIT compilation and passes its rows to scan.
func readUncompiled(ctx context.Context, db postgres.DB, scan func(pgx.Rows) error, sql string, args ...any) error {
	b := &pgx.Batch{}
	b.Queue(uncompiled)
	b.Queue(sql, args...).Query(scan)
	if err := db.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("read standings: %w", postgres.Classify(err))
	}
	return nil
}

func queryStandings(ctx context.Context, db postgres.DB, sql string, args ...any) (out []standing, err error) {
	err = readUncompiled(ctx, db, func(rows pgx.Rows) error {
		out, err = pgx.CollectRows(rows, pgx.RowToStructByName[standing])
		return err //nolint:wrapcheck // wrapped by readUncompiled
	}, sql, args...)
	return out, err
}

// standingsOf returns a user's standing in all of their conversations, the most recently changed first.
func standingsOf(ctx context.Context, db postgres.DB, user int64) ([]standing, error) {
	return queryStandings(ctx, db, selectStandings, user)
}

// seats is what an instance already knows about users' standings in conversations, column by column.
type seats struct{ ids, users, heads, reads, unread []int64 }

// standingsIn returns the given users' standings in those of the given conversations in which they take part. known
// may have one earlier standing for each pair.
func standingsIn(ctx context.Context, db postgres.DB, ids, users []int64, known seats) ([]standing, error) {
	return queryStandings(ctx, db, selectChanged, ids, users, known.ids, known.users, known.heads, known.reads,
		known.unread)
}

// Counts tells appointment.Service how much is unread in conversations. It is not part of Service because
// appointments need it before there can be a Service.
type Counts struct{}

// Unread returns the number of messages that a user has not read, for each of the given conversations in which they
// take part.
func (Counts) Unread(
	ctx context.Context, db postgres.DB, userID int64, appointmentIDs []int64,
) (map[int64]int64, error) {
	all, err := standingsIn(ctx, db, appointmentIDs, []int64{userID}, seats{})
	if err != nil {
		return nil, err
	}
	unread := make(map[int64]int64, len(all))
	for _, st := range all {
		unread[st.ID] = st.Unread
	}
	return unread, nil
}

// unreadKey marks where a page of the list of unread conversations ends.
type unreadKey struct {
	at time.Time
	id int64 // of the conversation
}

// unreadCounts are totals over all of a user's conversations.
type unreadCounts struct{ messages, conversations int64 }

// selectUnread reads the totals and one page; the totals come even if the page is empty.
var selectUnread = `
with unread as materialized (
    select a.id, a.public_id, c.head_seq, coalesce(r.read_seq, 0) as read_seq, n.unread, h.at,
        o.public_id as other_id, other.role as other_role, o.name as other_name` + allStandings + `
    where w.user_id = $1 and w.active and n.unread > 0
), total as (
    select coalesce(sum(unread), 0)::bigint as messages, count(*) as conversations from unread
)
select t.messages, t.conversations, p.id, p.public_id, p.head_seq, p.read_seq, p.unread, p.at, p.other_id, p.other_role,
    p.other_name
from total t left join (
    select * from unread where $2::timestamptz is null or (at, id) < ($2, $3::bigint) order by at desc, id desc limit $4
) p on true
order by p.at desc, p.id desc`

// unreadOf returns a page of a user's conversations with unread messages, the most recently changed first, and the
// totals over all of them.
func unreadOf(
	ctx context.Context, db postgres.DB, user int64, before *unreadKey, limit int,
) (page []standing, all unreadCounts, err error) {
	var at *time.Time
	var id int64
	if before != nil {
		at, id = &before.at, before.id
	}
	err = readUncompiled(ctx, db, func(rows pgx.Rows) error {
		page, all, err = scanUnread(rows, user)
		return err
	}, selectUnread, user, at, id, limit)
	return page, all, err
}

func scanUnread(rows pgx.Rows, user int64) (page []standing, all unreadCounts, err error) {
	var s struct {
		id, head, read, unread      *int64
		publicID, other, role, name *string
		at                          *time.Time
	}
	_, err = pgx.ForEachRow(rows, []any{
		&all.messages, &all.conversations, &s.id, &s.publicID, &s.head, &s.read, &s.unread, &s.at, &s.other, &s.role, &s.name,
	}, func() error {
		if s.id != nil {
			page = append(page, standing{
				ID: *s.id, UserID: user, PublicID: *s.publicID, HeadSeq: *s.head, ReadSeq: *s.read, Unread: *s.unread, At: s.at,
				OtherID: *s.other, OtherRole: *s.role, OtherName: *s.name,
			})
		}
		return nil
	})
	return page, all, err //nolint:wrapcheck // wrapped by readUncompiled
}

// lead is a conversation that may have changed for a user, or, with user 0, one whose participants have changed.
type lead struct {
	ID      int64 // of the conversation
	UserID  int64
	HeadSeq int64
}

// readers are users with something unread in conversations, and the read cursors that an instance knows for them.
type readers struct{ ids, users, reads []int64 }

// found is what a sweep for inboxes found, with PostgreSQL's time and the epoch at that time.
type found struct {
	leads []lead
	asOf  time.Time
	epoch string
}

// span says from when to read the log: since (nil: now) minus slack. slack covers events that were committed later
// than the time they carry.
type span struct {
	since *time.Time
	slack time.Duration
}

// grownSince finds the users' conversations whose logs have grown in a span, and those whose readers have got further
// than known.
func grownSince(
	ctx context.Context, db postgres.DB, in span, users []int64, known readers,
) (f found, err error) {
	b := &pgx.Batch{}
	b.Queue(uncompiled)
	b.Queue(`select now(), ` + conversation.EpochSQL).
		QueryRow(func(row pgx.Row) error { return row.Scan(&f.asOf, &f.epoch) })
	b.Queue(`
with grown as (
    select room_id, max(seq) as head_seq, bool_or(kind = 'system' and target is not null) as regrouped
    from messages where at > coalesce($1::timestamptz, now()) - make_interval(secs => $2) group by room_id
)
select g.room_id as id, p.user_id, g.head_seq from grown g join participants p on p.appointment_id = g.room_id
where p.user_id = any($3) and p.active
union all select room_id, 0, head_seq from grown where regrouped
union all
select k.id, k.user_id, 0 from unnest($4::bigint[], $5::bigint[], $6::bigint[]) as k(id, user_id, read_seq)
join receipts r on r.room_id = k.id and r.user_id = k.user_id and r.read_seq > k.read_seq`,
		in.since, in.slack.Seconds(), users, known.ids, known.users, known.reads).Query(func(rows pgx.Rows) (err error) {
		f.leads, err = pgx.CollectRows(rows, pgx.RowToStructByName[lead])
		return err //nolint:wrapcheck // wrapped below
	})
	if err := db.SendBatch(ctx, b).Close(); err != nil {
		return found{}, fmt.Errorf("find changed conversations: %w", err)
	}
	return f, nil
}
