select e.* from unnest($1::bigint[], $2::bigint[]) w(room_id, seq)
cross join lateral (select m.room_id, m.seq, m.kind, m.client_id, coalesce(u.public_id, ''),
    case when edit.kind = 'retraction' then '' else coalesce(edit.body, m.body, '') end, m.at,
    m.kind = 'system' and m.target is not null, case when m.kind = 'system' then 0 else coalesce(m.target, 0) end,
    coalesce(edit.kind = 'retraction', false),
    case when edit.kind = 'correction' and edit.seq <> m.seq then edit.seq else 0 end,
    f.id, f.name, f.media_type, f.size_bytes, encode(f.sha256, 'hex'), f.width, f.height, f.thumbnail
from messages m
left join users u on u.id = m.sender_id
left join lateral (
    select e.kind, e.seq, e.body from messages e
    where e.room_id = m.room_id and e.target = case when m.kind = 'correction' then m.target else m.seq end
      and e.kind in ('retraction', 'correction')
    order by e.kind = 'retraction' desc, e.seq desc limit 1
) edit on m.kind in ('text', 'attachment', 'correction')
left join attachments f on m.kind = 'attachment' and f.room_id = m.room_id and f.seq = m.seq 
where m.room_id = w.room_id and m.seq = w.seq and m.kind in ('text', 'attachment') offset 0) e
