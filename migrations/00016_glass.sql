-- +goose Up
-- Who closed a conversation, where closed_at is set: its doctor, or the clinic, as he was no longer available.
alter table conversations add column closed_by text not null default 'doctor' check (closed_by in ('doctor', 'clinic'));
update conversations set closed_by = 'clinic' where closed_at is not null; -- nobody else could

-- Each time an administrator opened a conversation to read it. It ends at its expiry, when somebody ends it, and with the
-- session in which it was done. Sessions are deleted long after that, so there is no foreign key to them.
create table break_glass (
    id         bigint generated always as identity primary key,
    public_id  uuid not null default gen_random_uuid() constraint break_glass_public_id_key unique,
    admin_id   bigint not null references users (id),
    room_id    bigint not null references appointments (id),
    session_id bigint not null,
    reason     text not null check (length(reason) between 10 and 500),
    created_at timestamptz not null,
    expires_at timestamptz not null,
    ended_at   timestamptz,
    ended_by   bigint references users (id),
    check (expires_at > created_at),
    check ((ended_at is null) = (ended_by is null))
);
create index break_glass_right_idx on break_glass (room_id, admin_id, expires_at);

-- +goose Down
drop table break_glass;
alter table conversations drop column closed_by;
