
with draft as (
    select d.*
    from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::uuid[], $5::text[], $6::text[])
        with ordinality as d(conversation, sender, session, client_id, kind, body, n)
), judged as materialized (
    select d.*, case
        when a.id is null or c.id is null or d.sender not in (a.patient_id, a.doctor_id) or s.id is null
            then 'forbidden'
        when c.closed_at is not null then 'closed'
        when a.status <> 'BOOKED' and not (a.status = 'COMPLETED'
            and coalesce(a.completed_at, a.updated_at) + make_interval(secs => $7) > statement_timestamp())
            then 'closed'
        else '' end as refusal
    from draft d
    left join conversations c on c.id = d.conversation
    left join appointments a on a.id = d.conversation
    left join sessions s on s.id = d.session and s.user_id = d.sender and s.ended_at is null
), old as materialized (
    select j.n, (
        select m.seq from messages m
        where m.room_id = j.conversation and m.sender_id = j.sender and m.client_id = j.client_id) as seq
    from judged j where j.refusal <> ''
), numbered as (
    select j.*, row_number() over (partition by j.conversation order by j.n) as k,
        count(*) over (partition by j.conversation) as total
    from judged j left join old o on o.n = j.n where j.refusal = '' and o.seq is null
), bumped as (
    update conversations c set head_seq = c.head_seq + g.total
    from (select distinct conversation, total from numbered) g where c.id = g.conversation
    returning c.id, c.head_seq - g.total as base
), inserted as (
    insert into messages (room_id, seq, at, kind, sender_id, client_id, body)
    select b.id, b.base + x.k, statement_timestamp(), x.kind, x.sender, x.client_id,
        x.body
    from numbered x join bumped b on b.id = x.conversation
)
select j.n,
    case when o.seq is null then j.refusal else '' end,
    coalesce(o.seq, b.base + x.k, 0),
    coalesce((select m.at from messages m where m.room_id = j.conversation and m.seq = o.seq), statement_timestamp()),
    o.seq is not null
from judged j
left join old o on o.n = j.n
left join numbered x on x.n = j.n
left join bumped b on b.id = j.conversation
