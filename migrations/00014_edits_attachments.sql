-- +goose Up
-- What takes a message back or corrects it, found by the message. Plain messages are not in it, so they pay nothing.
create index messages_edits_idx on messages (room_id, target) where kind in ('retraction', 'correction');

-- Files of conversations: uploaded first, then bound to the message that sends them. The bytes are in a store of their own
-- (a folder, or S3), under the id.
create table attachments (
    id          uuid primary key,
    room_id     bigint not null references conversations (id),
    uploader_id bigint not null references users (id),
    name        text not null check (length(name) between 1 and 255),
    media_type  text not null,
    size_bytes  bigint not null default 0 check (size_bytes >= 0),
    sha256      bytea check (length(sha256) = 32),
    width       integer check (width > 0),   -- pixels, of images
    height      integer check (height > 0),
    thumbnail   boolean not null default false,
    created_at  timestamptz not null default now(),
    stored_at   timestamptz,                 -- null: the bytes are not all there
    seq         bigint,                      -- of the message; null: not sent
    check (seq is null or stored_at is not null),
    check (stored_at is null or sha256 is not null)
);
create unique index attachments_message_key on attachments (room_id, seq) where seq is not null;
create index attachments_quota_idx on attachments (room_id, created_at);
create index attachments_orphans_idx on attachments (created_at) where seq is null;

-- +goose Down
drop table attachments;
drop index messages_edits_idx;
