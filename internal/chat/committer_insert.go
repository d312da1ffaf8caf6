package chat

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// The plan of the big statement never depends on its arguments, and planning it takes longer than running it: one
// plan for all. Every table is reached by a key, also when its statistics still say that it is empty. Both settings
// end with the transaction, so a pool in front of PostgreSQL does not notice them.
const planOnce = `select set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true)`

// The rooms are locked first, in id order: without it two batches that share rooms would deadlock.
const lockRooms = `select id from conversations where id = any($1) order by id for no key update`

// The files that a batch sends are locked next, in id order too: whoever sweeps up what was never sent, or sends the same
// file elsewhere, comes before or after the whole batch.
const lockFiles = `select id from attachments where id = any($1) order by id for update`

// The last statement's snapshot is taken after the locks are held, so it sees every change of status and of
// who may write that was committed before: no message lands after a cancellation. It judges each draft, numbers
// those that may pass, moves the rooms' heads and inserts. {lookup} is where the careful variants look for duplicates.
// A refused draft is always looked up too: what is committed stays acknowledged, even when the conversation has
// closed since. statement_timestamp() is after the locks, so times rise with seq. What the other braces hold is only
// there for batches with more than plain texts, which pay nothing for it.
const insertDrafts = `
with draft as (
    select d.* from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::uuid[], $5::text[], $6::text[]{types})
        with ordinality as d(room, sender, session, client_id, kind, body{names}, n)
), judged as materialized (
    select d.*, case
        when a.id is null or c.id is null or d.sender not in (a.patient_id, a.doctor_id) or s.id is null then 'forbidden'
        when c.closed_at is not null then 'closed'
        when a.status <> 'BOOKED' and not (a.status = 'COMPLETED'
            and coalesce(a.completed_at, a.updated_at) + make_interval(secs => $7) > statement_timestamp()) then 'closed'
        {subjects}else '' end as refusal
    from draft d
    left join conversations c on c.id = d.room
    left join appointments a on a.id = d.room
    left join sessions s on s.id = d.session and s.user_id = d.sender and s.ended_at is null
), old as materialized (
    select j.n, (select m.seq from messages m where m.room_id = j.room and m.sender_id = j.sender and m.client_id = j.client_id) as seq
    from judged j where {lookup}
), numbered as (
    select j.*, row_number() over (partition by j.room order by j.n) as k, count(*) over (partition by j.room) as total
    from judged j left join old o on o.n = j.n where j.refusal = '' and o.seq is null
), bumped as (
    update conversations c set head_seq = c.head_seq + g.total
    from (select distinct room, total from numbered) g where c.id = g.room
    returning c.id, c.head_seq - g.total as base
), inserted as (
    insert into messages (room_id, seq, at, kind, sender_id, client_id, body{columns})
    select b.id, b.base + x.k, statement_timestamp(), x.kind, x.sender, x.client_id, {values}
    from numbered x join bumped b on b.id = x.room
){bound}
select j.n, case when o.seq is null then j.refusal else '' end, coalesce(o.seq, b.base + x.k, 0),
    coalesce((select m.at from messages m where m.room_id = j.room and m.seq = o.seq), statement_timestamp()), o.seq is not null{file}
from judged j
left join old o on o.n = j.n
left join numbered x on x.n = j.n
left join bumped b on b.id = j.room{files}`

// What an edit speaks of has to be a message of its room that still stands and is the sender's own; only texts can be
// corrected. A file has to be whole, the sender's own, of this room, and not sent yet. Both are looked up by key: a join
// would plan badly.
const judgeSubjects = `when d.kind in ('retraction', 'correction') then coalesce((
            select case
                when t.kind <> 'text' and (t.kind <> 'attachment' or d.kind = 'correction') then 'not_found'
                when exists (select from messages e where e.room_id = t.room_id and e.target = t.seq and e.kind = 'retraction') then 'not_found'
                when t.sender_id <> d.sender then 'not_yours'
                else '' end
            from messages t where t.room_id = d.room and t.seq = d.target), 'not_found')
        when d.kind = 'attachment' and not exists (
            select from attachments f where f.id = d.attachment and f.room_id = d.room and f.uploader_id = d.sender
                and f.stored_at is not null and f.seq is null) then 'not_found'
        `

const bindFiles = `, bound as (
    update attachments f set seq = b.base + x.k
    from numbered x join bumped b on b.id = x.room where f.id = x.attachment and f.id = any($9)
    returning f.id, f.name, f.media_type, f.size_bytes, encode(f.sha256, 'hex') as sha256, f.width, f.height, f.thumbnail
)`

var (
	plainTexts = strings.NewReplacer("{types}", "", "{names}", "", "{subjects}", "", "{columns}", "", "{values}", "x.body",
		"{bound}", "", "{file}", "", "{files}", "")
	allKinds = strings.NewReplacer("{types}", ", $8::bigint[], $9::uuid[]", "{names}", ", target, attachment", "{subjects}", judgeSubjects,
		"{columns}", ", target", "{values}", "nullif(x.body, ''), nullif(x.target, 0)", "{bound}", bindFiles,
		"{file}", ",\n    f.id, f.name, f.media_type, f.size_bytes, f.sha256, f.width, f.height, f.thumbnail",
		"{files}", "\nleft join bound f on f.id = x.attachment")

	insertFast    = strings.Replace(plainTexts.Replace(insertDrafts), "{lookup}", `j.refusal <> ''`, 1)
	insertCareful = strings.Replace(plainTexts.Replace(insertDrafts), "{lookup}", `true`, 1)
	// What repeats an edit is refused, as it finds its own first: only a lookup tells. So this one is always careful.
	insertAll = strings.Replace(allKinds.Replace(insertDrafts), "{lookup}", `true`, 1)
)

// try writes the drafts in one implicit transaction: one round trip, all or nothing.
func (c *committer) try(ctx context.Context, drafts []Draft, careful bool) ([]outcome, error) {
	plain := !slices.ContainsFunc(drafts, func(d Draft) bool { return d.Kind != KindText })
	b := &pgx.Batch{}
	b.Queue(planOnce)
	b.Queue(lockRooms, roomsOf(drafts))
	args := columnsOf(drafts, c.followUp.Seconds())
	switch {
	case !plain:
		targets, files := subjectsOf(drafts)
		b.Queue(lockFiles, files)
		b.Queue(insertAll, append(args, targets, files)...)
	case careful:
		b.Queue(insertCareful, args...)
	default:
		b.Queue(insertFast, args...)
	}
	results := c.pool.SendBatch(ctx, b)
	out, err := readOutcomes(results, drafts, b.Len()-1, plain)
	// The commit happens, and fails, in Close.
	if closing := results.Close(); err == nil && closing != nil {
		err = fmt.Errorf("commit batch: %w", closing)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// columnsOf gives the arguments that all variants of the statement have.
func columnsOf(drafts []Draft, followUp float64) []any {
	n := len(drafts)
	rooms, senders, sessions := make([]int64, n), make([]int64, n), make([]int64, n)
	ids, kinds, bodies := make([][16]byte, n), make([]string, n), make([]string, n)
	for i, d := range drafts {
		rooms[i], senders[i], sessions[i] = d.Room, d.Sender.ID, d.Sender.Session
		ids[i], kinds[i], bodies[i] = d.ClientID, string(d.Kind), d.Text
	}
	return []any{rooms, senders, sessions, ids, kinds, bodies, followUp}
}

// subjectsOf gives what drafts speak of; 0 and the nil UUID are nothing.
func subjectsOf(drafts []Draft) (targets []int64, files [][16]byte) {
	targets, files = make([]int64, len(drafts)), make([][16]byte, len(drafts))
	for i, d := range drafts {
		targets[i], files[i] = d.Target, d.Attachment
	}
	return targets, files
}

// readOutcomes reads what the statements gave: locks of them nothing, the last one a row for each draft.
func readOutcomes(results pgx.BatchResults, drafts []Draft, locks int, plain bool) ([]outcome, error) {
	for range locks {
		if _, err := results.Exec(); err != nil {
			return nil, fmt.Errorf("lock rooms: %w", err)
		}
	}
	rows, err := results.Query()
	if err != nil {
		return nil, fmt.Errorf("insert messages: %w", err)
	}
	out := make([]outcome, len(drafts))
	var n int64
	var refusal string
	var r Receipt
	var f scannedFile
	into := []any{&n, &refusal, &r.Seq, &r.At, &r.Duplicate}
	if !plain {
		into = append(into, &f.id, &f.name, &f.mediaType, &f.size, &f.sha256, &f.width, &f.height, &f.thumbnail)
	}
	_, err = pgx.ForEachRow(rows, into, func() error {
		o := &out[n-1]
		if o.err = refused(refusal, drafts[n-1].Kind); o.err == nil {
			o.receipt, o.file = r, f.attachment()
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("insert messages: %w", err)
	}
	return out, nil
}

// refused is the error for what the statement says of a draft; nil for nothing.
func refused(refusal string, kind Kind) error {
	switch {
	case refusal == "":
		return nil
	case refusal == "closed":
		return ErrClosed
	case refusal == "not_yours":
		return ErrNotOwn
	case refusal == "not_found" && kind == KindAttachment:
		return ErrNoFile
	case refusal == "not_found":
		return ErrNoTarget
	default:
		return ErrForbidden
	}
}
