package conversation

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// The best plan for the big statement never depends on its arguments, and planning takes longer than running it, so
// it is planned once. Tables are always read by key, even while their statistics still say that they are empty. Both
// settings end with the transaction, so they do not leak through a connection pooler.
const planOnce = `
select set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true)`

// The conversations are locked first, in id order: without it two batches that share conversations would deadlock.
const lockConversations = `select id from conversations where id = any($1) order by id for no key update`

// The files that a batch sends are locked next, also in id order, so that the sweep of unsent files and other senders
// of the same file come before or after the whole batch.
const lockFiles = `select id from attachments where id = any($1) order by id for update`

// The last statement's snapshot is taken once the locks are held, so it sees every earlier change of status or of who
// may write: no message lands after a cancellation. It judges each draft, numbers those it accepts, moves the
// conversations' heads and inserts. {lookup} is where the careful variants look for duplicates. A refused draft is
// always looked up too: a committed draft is acknowledged again even if the conversation has closed since.
// statement_timestamp() is later than the locks, so times rise with seq. The other placeholders are filled only for
// batches with more than plain texts, so that plain texts do not pay for them. testdata/insert_*.sql has the full
// statements. Participants are read from the appointment, which is joined anyway: using the view participants made a
// commit 5 to 8 % slower (BenchmarkCommitter_participants).
const insertDrafts = `
with draft as (
    select d.*
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::uuid[], $5::text[], $6::text[]{types})
        with ordinality as d(conversation, sender, session, client_id, kind, body{names}, n)
), judged as materialized (
    select d.*, case
        when a.id is null or c.id is null or d.sender not in (a.patient_id, a.doctor_id) or s.id is null
            then 'forbidden'
        when c.closed_at is not null then 'closed'
        when a.status <> 'BOOKED' and not (a.status = 'COMPLETED'
            and coalesce(a.completed_at, a.updated_at) + make_interval(secs => $7) > statement_timestamp())
            then 'closed'
        {subjects}else '' end as refusal
    from draft d
    left join conversations c on c.id = d.conversation
    left join appointments a on a.id = d.conversation
    left join sessions s on s.id = d.session and s.user_id = d.sender and s.ended_at is null
), old as materialized (
    select j.n, (
        select m.seq from messages m
        where m.room_id = j.conversation and m.sender_id = j.sender and m.client_id = j.client_id) as seq
    from judged j where {lookup}
){fresh}, numbered as (
    select j.*, row_number() over (partition by j.conversation order by j.n) as k,
        count(*) over (partition by j.conversation) as total
    from {passing}
), bumped as (
    update conversations c set head_seq = c.head_seq + g.total
    from (select distinct conversation, total from numbered) g where c.id = g.conversation
    returning c.id, c.head_seq - g.total as base
), inserted as (
    insert into messages (room_id, seq, at, kind, sender_id, client_id, body{columns})
    select b.id, b.base + x.k, statement_timestamp(), x.kind, x.sender, x.client_id,
        {values}
    from numbered x join bumped b on b.id = x.conversation
){bound}
select j.n,
    case when o.seq is null then {refusal} else '' end,
    coalesce(o.seq, b.base + x.k, 0),
    coalesce((select m.at from messages m where m.room_id = j.conversation and m.seq = o.seq), statement_timestamp()),
    o.seq is not null{file}
from judged j
left join old o on o.n = j.n
left join numbered x on x.n = j.n
left join bumped b on b.id = j.conversation{files}`

// The target of an edit must be the sender's own message in the same conversation and not retracted; only texts can
// be corrected. A file must be complete, uploaded by the sender to this conversation, and not sent yet. Both are
// looked up by key: a join would get a bad plan.
const judgeSubjects = `when d.kind in ('retraction', 'correction') then coalesce((
            select case
                when t.kind <> 'text' and (t.kind <> 'attachment' or d.kind = 'correction') then 'not_found'
                when exists (
                    select from messages e where e.room_id = t.room_id and e.target = t.seq and e.kind = 'retraction'
                ) then 'not_found'
                when t.sender_id <> d.sender then 'not_yours'
                else '' end
            from messages t where t.room_id = d.conversation and t.seq = d.target), 'not_found')
        when d.kind = 'attachment' and not exists (
            select from attachments f
            where f.id = d.attachment and f.room_id = d.conversation and f.uploader_id = d.sender
                and f.stored_at is not null and f.seq is null) then 'not_found'
        `

// All drafts of one statement are judged by one snapshot, which contains none of them. So once a draft retracts a
// message or sends a file, later drafts of the same batch that refer to it are too late.
const passing = `judged j left join old o on o.n = j.n where j.refusal = '' and o.seq is null`

const judgeLate = `, fresh as materialized (
    select j.*, j.kind <> 'text' and coalesce(bool_or(j.kind in ('retraction', 'attachment')) over (
        partition by j.conversation, j.target, j.attachment order by j.n
        rows between unbounded preceding and 1 preceding), false) as late
    from ` + passing + `
)`

const bindFiles = `, bound as (
    update attachments f set seq = b.base + x.k
    from numbered x join bumped b on b.id = x.conversation where f.id = x.attachment and f.id = any($9)
    returning f.id, f.name, f.media_type, f.size_bytes, encode(f.sha256, 'hex') as sha256,
        f.width, f.height, f.thumbnail
)`

var (
	plainTexts = strings.NewReplacer("{types}", "", "{names}", "", "{subjects}", "", "{fresh}", "", "{passing}", passing,
		"{columns}", "", "{values}", "x.body", "{refusal}", "j.refusal", "{bound}", "", "{file}", "", "{files}", "")
	allKinds = strings.NewReplacer("{types}", ", $8::bigint[], $9::uuid[]", "{names}", ", target, attachment",
		"{subjects}", judgeSubjects, "{fresh}", judgeLate, "{passing}", "fresh j where not j.late",
		"{refusal}", "case when j.refusal = '' and x.n is null then 'not_found' else j.refusal end",
		"{columns}", ", target", "{values}", "nullif(x.body, ''), nullif(x.target, 0)", "{bound}", bindFiles,
		"{file}", ",\n    f.id, f.name, f.media_type, f.size_bytes, f.sha256, f.width, f.height, f.thumbnail",
		"{files}", "\nleft join bound f on f.id = x.attachment")

	insertFast    = strings.Replace(plainTexts.Replace(insertDrafts), "{lookup}", `j.refusal <> ''`, 1)
	insertCareful = strings.Replace(plainTexts.Replace(insertDrafts), "{lookup}", `true`, 1)
	// A repeated edit is refused as too late because of its own first attempt, and only a lookup shows that it is a
	// duplicate. So this variant is always careful.
	insertAll = strings.Replace(allKinds.Replace(insertDrafts), "{lookup}", `true`, 1)
)

// try writes the drafts in one implicit transaction: one round trip, all or nothing.
func (c *committer) try(ctx context.Context, drafts []Draft, careful bool) ([]outcome, error) {
	plain := !slices.ContainsFunc(drafts, func(d Draft) bool { return d.Kind != KindText })
	b := &pgx.Batch{}
	b.Queue(planOnce)
	b.Queue(lockConversations, conversationsOf(drafts))
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
	// The commit happens in Close, so Close is what reports its failure.
	if closing := results.Close(); err == nil && closing != nil {
		err = fmt.Errorf("commit batch: %w", closing)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// columnsOf returns the arguments that all variants of the statement share.
func columnsOf(drafts []Draft, followUp float64) []any {
	n := len(drafts)
	into, senders, sessions := make([]int64, n), make([]int64, n), make([]int64, n)
	ids, kinds, bodies := make([][16]byte, n), make([]string, n), make([]string, n)
	for i, d := range drafts {
		into[i], senders[i], sessions[i] = d.Conversation, d.Sender.ID, d.Sender.Session
		ids[i], kinds[i], bodies[i] = d.ClientID, string(d.Kind), d.Text
	}
	return []any{into, senders, sessions, ids, kinds, bodies, followUp}
}

// subjectsOf returns the target and the file of each draft; 0 and the nil UUID for none.
func subjectsOf(drafts []Draft) (targets []int64, files [][16]byte) {
	targets, files = make([]int64, len(drafts)), make([][16]byte, len(drafts))
	for i, d := range drafts {
		targets[i], files[i] = d.Target, d.Attachment
	}
	return targets, files
}

// readOutcomes reads the statements' results: the first few (locks of them) return nothing, the last one returns a
// row for each draft.
func readOutcomes(results pgx.BatchResults, drafts []Draft, locks int, plain bool) ([]outcome, error) {
	for range locks {
		if _, err := results.Exec(); err != nil {
			return nil, fmt.Errorf("lock conversations: %w", err)
		}
	}
	rows, err := results.Query()
	if err != nil {
		return nil, fmt.Errorf("insert messages: %w", err)
	}
	out := make([]outcome, len(drafts))
	var n int64
	var refusal string
	var r Ack
	var f scannedFile
	into := []any{&n, &refusal, &r.Seq, &r.At, &r.Duplicate}
	if !plain {
		into = append(into, &f.id, &f.name, &f.mediaType, &f.size, &f.sha256, &f.width, &f.height, &f.thumbnail)
	}
	_, err = pgx.ForEachRow(rows, into, func() error {
		o := &out[n-1]
		if o.err = refused(refusal, drafts[n-1].Kind); o.err == nil {
			o.ack, o.file = r, f.attachment()
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("insert messages: %w", err)
	}
	return out, nil
}

// refused turns the statement's verdict on a draft into an error; nil for "".
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
