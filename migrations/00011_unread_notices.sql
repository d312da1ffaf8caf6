-- +goose Up
-- For the sweep that looks for messages nobody has read: rows lie in the order of their times, so ranges of pages do.
create index messages_at_idx on messages using brin (at) with (autosummarize = on);

-- When somebody last had a socket open, true to about a minute. What he does over REST is in sessions.
create table user_presence (
    user_id bigint primary key references users (id) on delete cascade,
    seen_at timestamptz not null
) with (fillfactor = 50); -- for HOT updates

-- Up to which time messages have been looked at. Its lock lets one sweeper in at a time.
create table unread_sweeps (
    single boolean primary key default true check (single),
    upto timestamptz not null
);
insert into unread_sweeps (upto) values (now());

-- The last message of somebody else that was unread when it was looked at; gone once it is read.
create table unread_pending (
    user_id bigint not null references users (id) on delete cascade,
    room_id bigint not null references conversations (id) on delete cascade,
    seq     bigint not null,
    primary key (user_id, room_id)
);

-- When a user was last told: later than he was last seen means, in this absence.
create table unread_notices (
    user_id     bigint primary key references users (id) on delete cascade,
    notified_at timestamptz not null
);

-- +goose Down
drop table unread_notices, unread_pending, unread_sweeps, user_presence;
drop index messages_at_idx;
