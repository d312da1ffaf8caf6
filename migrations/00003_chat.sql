-- +goose Up
-- One conversation per appointment, under the appointment's id. Its row is the counter of the log and the lock
-- under which the log grows: whoever appends, or changes what may be appended, holds it.
create table conversations (
    id         bigint primary key references appointments (id),
    head_seq   bigint not null default 0,
    closed_at  timestamptz,
    created_at timestamptz not null default now()
) with (fillfactor = 50); -- head_seq is updated with every batch: room for HOT updates

-- The durable log. seq is gapless per room. The sender has no foreign key: the committer has just proved, by the
-- appointment, who he is, and the log is the hottest table of all.
create table messages (
    room_id    bigint not null references conversations (id),
    seq        bigint not null,
    at         timestamptz not null,
    kind       text not null check (kind in ('text', 'attachment', 'system', 'retraction', 'correction')),
    sender_id  bigint,               -- null: system
    client_id  uuid,                 -- null: system
    body       text,
    target     bigint,               -- seq that a retraction or correction speaks of
    primary key (room_id, seq)
);
-- One clientId is one message, on any instance, after any number of retries.
create unique index messages_client_key on messages (room_id, sender_id, client_id);

-- How far each participant has got. Soft numbers about the log, so not in it.
create table receipts (
    room_id       bigint not null references conversations (id),
    user_id       bigint not null references users (id),
    delivered_seq bigint not null default 0,
    read_seq      bigint not null default 0,
    primary key (room_id, user_id),
    check (read_seq <= delivered_seq)
);

-- +goose Down
drop table receipts, messages, conversations;
