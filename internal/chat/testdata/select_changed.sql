select a.id, w.user_id, a.public_id, a.status, a.starts_at, a.ends_at, a.completed_at,
    a.updated_at, a.version, c.closed_at, coalesce(c.closed_by = 'clinic', false) as closed_by_clinic, c.head_seq,
    coalesce(r.read_seq, 0) as read_seq, n.unread, h.at, o.public_id as other_id, other.role as other_role,
    o.name as other_name
from participants w
join appointments a on a.id = w.appointment_id
join conversations c on c.id = a.id
cross join lateral (
    select p.user_id, p.role from participants p
    where p.appointment_id = a.id and p.user_id <> w.user_id limit 1
) other
join users o on o.id = other.user_id
left join receipts r on r.room_id = a.id and r.user_id = w.user_id
left join unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
    as k(id, user_id, head_seq, read_seq, unread) on k.id = a.id and k.user_id = w.user_id
    and k.read_seq = coalesce(r.read_seq, 0) and k.head_seq <= c.head_seq
cross join lateral (
    select coalesce(k.unread, 0) + count(*) filter (where m.kind in ('text', 'attachment'))
        - count(distinct m.target) filter (where m.kind = 'retraction' and m.target > coalesce(r.read_seq, 0)) as unread
    from messages m where m.room_id = a.id and m.seq > coalesce(k.head_seq, r.read_seq, 0) and m.sender_id <> w.user_id
) n
left join messages h on h.room_id = a.id and h.seq = c.head_seq
where w.appointment_id = any($1) and w.user_id = any($2) and w.active
