
with unread as materialized (
    select a.id, a.public_id, c.head_seq, coalesce(r.read_seq, 0) as read_seq, n.unread, h.at,
        o.public_id as other_id, other.role as other_role, o.name as other_name
from participants w
join appointments a on a.id = w.appointment_id
join conversations c on c.id = a.id
cross join lateral (
    select p.user_id, p.role from participants p
    where p.appointment_id = a.id and p.user_id <> w.user_id limit 1
) other
join users o on o.id = other.user_id
left join receipts r on r.room_id = a.id and r.user_id = w.user_id
cross join lateral (
    select 0 + count(*) filter (where m.kind in ('text', 'attachment'))
        - count(distinct m.target) filter (where m.kind = 'retraction' and m.target > coalesce(r.read_seq, 0)) as unread
    from messages m where m.room_id = a.id and m.seq > coalesce(r.read_seq, 0) and m.sender_id <> w.user_id
) n
left join messages h on h.room_id = a.id and h.seq = c.head_seq

    where w.user_id = $1 and w.active and n.unread > 0
), total as (
    select coalesce(sum(unread), 0)::bigint as messages, count(*) as conversations from unread
)
select t.messages, t.conversations, p.id, p.public_id, p.head_seq, p.read_seq, p.unread, p.at, p.other_id, p.other_role,
    p.other_name
from total t left join (
    select * from unread where $2::timestamptz is null or (at, id) < ($2, $3::bigint) order by at desc, id desc limit $4
) p on true
order by p.at desc, p.id desc
