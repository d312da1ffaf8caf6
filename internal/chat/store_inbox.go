package chat

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"housecall/internal/postgres"
)

// standing is a conversation as one of its two participants stands in it: what a list of conversations shows.
type standing struct {
	RoomID         int64
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
	At             *time.Time // of the event HeadSeq; nil: there is none
	OtherID        string
	OtherRole      string
	OtherName      string
}

// What is counted are others' texts and attachments after the cursor, less those that were taken back: a retraction comes
// after its target, so both lie in the one range of the primary key that is read. The first %s may join what is known already of
// a seat, the second says how much was unread then, the third from where on to count. Whoever takes part now is asked, so a doctor who has
// handed an appointment over has no standing in it.
const standings = `
from appointments a
join conversations c on c.id = a.id
cross join lateral (values (a.patient_id, a.doctor_id, 'DOCTOR'), (a.doctor_id, a.patient_id, 'PATIENT')) as w(user_id, other_id, other_role)
join users o on o.id = w.other_id
left join receipts r on r.room_id = a.id and r.user_id = w.user_id
%s
cross join lateral (
    select %s + count(*) filter (where m.kind in ('text', 'attachment'))
         - count(distinct m.target) filter (where m.kind = 'retraction' and m.target > coalesce(r.read_seq, 0)) as unread
    from messages m where m.room_id = a.id and m.seq > %s and m.sender_id <> w.user_id
) n
left join messages h on h.room_id = a.id and h.seq = c.head_seq
`

const standingColumns = `select a.id as room_id, w.user_id, a.public_id, a.status, a.starts_at, a.ends_at, a.completed_at, a.updated_at, a.version,
    c.closed_at, coalesce(c.closed_by = 'clinic', false) as closed_by_clinic, c.head_seq, coalesce(r.read_seq, 0) as read_seq, n.unread, h.at, o.public_id as other_id, w.other_role, o.name as other_name`

var (
	allStandings    = fmt.Sprintf(standings, ``, `0`, `coalesce(r.read_seq, 0)`)
	selectStandings = standingColumns + allStandings
	// Of what is known only the events since are counted, unless the cursor has moved: so what a look costs does not grow with what
	// nobody reads.
	selectChanged = standingColumns + fmt.Sprintf(standings, `left join unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
    as k(room_id, user_id, head_seq, read_seq, unread) on k.room_id = a.id and k.user_id = w.user_id
    and k.read_seq = coalesce(r.read_seq, 0) and k.head_seq <= c.head_seq`, `coalesce(k.unread, 0)`, `coalesce(k.head_seq, r.read_seq, 0)`)
)

// Nobody can know how much is unread, so the planner expects much and would compile what it then runs for a few rows: that took
// ten times as long as the query. The setting ends with the implicit transaction of a batch.
const uncompiled = `select set_config('jit', 'off', true)`

// readUncompiled runs one query and hands its rows to scan.
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

// standingsOf gives all of a user's conversations, what has changed last first.
func standingsOf(ctx context.Context, db postgres.DB, user int64) ([]standing, error) {
	return queryStandings(ctx, db, selectStandings+
		`where `+takesPart(`$1`)+` and w.user_id = $1 order by h.at desc nulls last, a.id desc`, user)
}

// seats is what is known of how users stand in rooms.
type seats struct{ rooms, users, heads, reads, unread []int64 }

// standingsIn gives how users stand in rooms, for those pairs of which the user takes part in the room. known may hold one
// earlier standing of each pair.
func standingsIn(ctx context.Context, db postgres.DB, rooms, users []int64, known seats) ([]standing, error) {
	return queryStandings(ctx, db, selectChanged+`where a.id = any($1) and w.user_id = any($2) and `+takesPart(`w.user_id`), rooms, users,
		known.rooms, known.users, known.heads, known.reads, known.unread)
}

// unreadKey is where a page of the list of unread conversations ends.
type unreadKey struct {
	at   time.Time
	room int64
}

// unreadCounts are over all of a user's conversations.
type unreadCounts struct{ messages, conversations int64 }

// selectUnread counts all and shows a page; the counts come once, and without a page too.
var selectUnread = `
with unread as materialized (
    select a.id as room_id, a.public_id, c.head_seq, coalesce(r.read_seq, 0) as read_seq, n.unread, h.at,
        o.public_id as other_id, w.other_role, o.name as other_name` + allStandings + `
    where ` + takesPart(`$1`) + ` and w.user_id = $1 and n.unread > 0
), total as (
    select coalesce(sum(unread), 0)::bigint as messages, count(*) as conversations from unread
)
select t.messages, t.conversations, p.room_id, p.public_id, p.head_seq, p.read_seq, p.unread, p.at, p.other_id, p.other_role, p.other_name
from total t left join (
    select * from unread where $2::timestamptz is null or (at, room_id) < ($2, $3::bigint) order by at desc, room_id desc limit $4
) p on true
order by p.at desc, p.room_id desc`

// unreadOf gives a page of a user's conversations in which something is unread, what has changed last first, and how much is
// unread in all of them.
func unreadOf(ctx context.Context, db postgres.DB, user int64, before *unreadKey, limit int) (page []standing, all unreadCounts, err error) {
	var at *time.Time
	var room int64
	if before != nil {
		at, room = &before.at, before.room
	}
	err = readUncompiled(ctx, db, func(rows pgx.Rows) error {
		page, all, err = scanUnread(rows, user)
		return err
	}, selectUnread, user, at, room, limit)
	return page, all, err
}

func scanUnread(rows pgx.Rows, user int64) (page []standing, all unreadCounts, err error) {
	var s struct {
		room, head, read, unread    *int64
		publicID, other, role, name *string
		at                          *time.Time
	}
	_, err = pgx.ForEachRow(rows, []any{
		&all.messages, &all.conversations, &s.room, &s.publicID, &s.head, &s.read, &s.unread, &s.at, &s.other, &s.role, &s.name,
	}, func() error {
		if s.room != nil {
			page = append(page, standing{
				RoomID: *s.room, UserID: user, PublicID: *s.publicID, HeadSeq: *s.head, ReadSeq: *s.read, Unread: *s.unread, At: s.at,
				OtherID: *s.other, OtherRole: *s.role, OtherName: *s.name,
			})
		}
		return nil
	})
	return page, all, err //nolint:wrapcheck // wrapped by readUncompiled
}

// stirred is a conversation that may have changed for a user of this instance, or, with user 0, one that went to others.
type stirred struct {
	RoomID  int64
	UserID  int64
	HeadSeq int64
}

// stirredSince finds the conversations of users that have grown since a time, by the log alone, and those of rooms (paired with
// readers) in which the reader has got past the seq in reads. A nil time is now; of both the log is read from as much earlier as
// slack says, for what was committed later than its time says.
func stirredSince(ctx context.Context, db postgres.DB, since *time.Time, slack time.Duration, users []int64, t readers) (swept, error) {
	b := &pgx.Batch{}
	b.Queue(uncompiled)
	b.Queue(`select now(), ` + epochExpression)
	b.Queue(`
with grown as (
    select room_id, max(seq) as head_seq, bool_or(kind = 'system' and target is not null) as regrouped
    from messages where at > coalesce($1::timestamptz, now()) - make_interval(secs => $2) group by room_id
)
select g.room_id, w.user_id, g.head_seq from grown g join appointments a on a.id = g.room_id
cross join lateral (values (a.patient_id), (a.doctor_id)) as w(user_id) where w.user_id = any($3) and `+takesPart(`w.user_id`)+`
union all select room_id, 0, head_seq from grown where regrouped
union all
select k.room_id, k.user_id, 0 from unnest($4::bigint[], $5::bigint[], $6::bigint[]) as k(room_id, user_id, read_seq)
join receipts r on r.room_id = k.room_id and r.user_id = k.user_id and r.read_seq > k.read_seq`,
		since, slack.Seconds(), users, t.rooms, t.users, t.reads)
	results := db.SendBatch(ctx, b)
	out, err := scanStirred(results)
	if closing := results.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return swept{}, fmt.Errorf("find changed conversations: %w", err)
	}
	return out, nil
}

// swept is what a sweep found, with PostgreSQL's time of the answer and the history that it is of.
type swept struct {
	stirred []stirred
	asOf    time.Time
	epoch   string
}

// readers are users with rooms in which something is unread after their read cursor, as far as an instance knows.
type readers struct{ rooms, users, reads []int64 }

func scanStirred(results pgx.BatchResults) (out swept, err error) {
	if _, err := results.Exec(); err != nil { // uncompiled
		return swept{}, err //nolint:wrapcheck // wrapped by stirredSince
	}
	if err := results.QueryRow().Scan(&out.asOf, &out.epoch); err != nil {
		return swept{}, err //nolint:wrapcheck // wrapped by stirredSince
	}
	rows, err := results.Query()
	if err != nil {
		return swept{}, err //nolint:wrapcheck // the same
	}
	out.stirred, err = pgx.CollectRows(rows, pgx.RowToStructByName[stirred])
	return out, err //nolint:wrapcheck // the same
}

// cursorsOf gives how far a participant has got, as it stands.
func cursorsOf(ctx context.Context, db postgres.DB, room, user int64) (c cursors, err error) {
	err = db.QueryRow(ctx, `
select coalesce(max(delivered_seq), 0), coalesce(max(read_seq), 0) from receipts where room_id = $1 and user_id = $2`, room, user).
		Scan(&c.delivered, &c.read)
	if err != nil {
		return cursors{}, fmt.Errorf("read receipt: %w", err)
	}
	return c, nil
}
