-- +goose Up
-- A secret address under which a calendar program reads somebody's appointments. One a user; only a hash is kept.
create table calendar_feeds (
    user_id      bigint primary key references users (id),
    secret_hash  bytea not null constraint calendar_feeds_secret_key unique,
    created_at   timestamptz not null,
    last_read_at timestamptz,            -- true to about a minute
    content_hash bytea,                  -- of what was read last
    changed_at   timestamptz,            -- since when it reads so; no two contents of a feed share a second
    check ((content_hash is null) = (changed_at is null))
);

-- +goose Down
drop table calendar_feeds;
