
with draft as (
    select d.*
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $8::bigint[], $9::uuid[])
        with ordinality as d(conversation, sender, session, client_id, kind, body, target, attachment, n)
), judged as materialized (
    select d.*, case
        when a.id is null or c.id is null or d.sender not in (a.patient_id, a.doctor_id) or s.id is null
            then 'forbidden'
        when c.closed_at is not null then 'closed'
        when a.status <> 'BOOKED' and not (a.status = 'COMPLETED'
            and coalesce(a.completed_at, a.updated_at) + make_interval(secs => $7) > statement_timestamp())
            then 'closed'
        when d.kind in ('retraction', 'correction') then coalesce((
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
        else '' end as refusal
    from draft d
    left join conversations c on c.id = d.conversation
    left join appointments a on a.id = d.conversation
    left join sessions s on s.id = d.session and s.user_id = d.sender and s.ended_at is null
), old as materialized (
    select j.n, (
        select m.seq from messages m
        where m.room_id = j.conversation and m.sender_id = j.sender and m.client_id = j.client_id) as seq
    from judged j where true
), fresh as materialized (
    select j.*, j.kind <> 'text' and coalesce(bool_or(j.kind in ('retraction', 'attachment')) over (
        partition by j.conversation, j.target, j.attachment order by j.n
        rows between unbounded preceding and 1 preceding), false) as late
    from judged j left join old o on o.n = j.n where j.refusal = '' and o.seq is null
), numbered as (
    select j.*, row_number() over (partition by j.conversation order by j.n) as k,
        count(*) over (partition by j.conversation) as total
    from fresh j where not j.late
), bumped as (
    update conversations c set head_seq = c.head_seq + g.total
    from (select distinct conversation, total from numbered) g where c.id = g.conversation
    returning c.id, c.head_seq - g.total as base
), inserted as (
    insert into messages (room_id, seq, at, kind, sender_id, client_id, body, target)
    select b.id, b.base + x.k, statement_timestamp(), x.kind, x.sender, x.client_id,
        nullif(x.body, ''), nullif(x.target, 0)
    from numbered x join bumped b on b.id = x.conversation
), bound as (
    update attachments f set seq = b.base + x.k
    from numbered x join bumped b on b.id = x.conversation where f.id = x.attachment and f.id = any($9)
    returning f.id, f.name, f.media_type, f.size_bytes, encode(f.sha256, 'hex') as sha256,
        f.width, f.height, f.thumbnail
)
select j.n,
    case when o.seq is null then case when j.refusal = '' and x.n is null then 'not_found' else j.refusal end else '' end,
    coalesce(o.seq, b.base + x.k, 0),
    coalesce((select m.at from messages m where m.room_id = j.conversation and m.seq = o.seq), statement_timestamp()),
    o.seq is not null,
    f.id, f.name, f.media_type, f.size_bytes, f.sha256, f.width, f.height, f.thumbnail
from judged j
left join old o on o.n = j.n
left join numbered x on x.n = j.n
left join bumped b on b.id = j.conversation
left join bound f on f.id = x.attachment
