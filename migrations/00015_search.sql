-- +goose Up
-- What search finds: the words of each text, as it stands now, and of each attachment's name. They are written behind the log, never in
-- the transaction of a message. Among the words is for each of the two participants one that stands for him and the week
-- (see scopeWord in search_index.go), so that one index leads to a user's messages of some weeks that have some words.
create table search_documents (
    room_id bigint not null references conversations (id) on delete cascade,
    seq     bigint not null,
    at      timestamptz not null,
    words   tsvector not null,
    primary key (room_id, seq)
);
-- Every search reads the list of what has not been sorted into the index: keep it short (in kilobytes).
create index search_documents_words_idx on search_documents using gin (words) with (gin_pending_list_limit = 512);

-- How far each room's log has been looked at, and for which doctor: after a hand-over it is written anew.
create table search_rooms (
    room_id   bigint primary key references conversations (id) on delete cascade,
    doctor_id bigint not null,
    seq       bigint not null default 0
) with (fillfactor = 50); -- for HOT updates

-- In which weeks a user has documents, and about how many.
create table search_weeks (
    user_id   bigint not null,
    week      integer not null, -- since the epoch
    documents integer not null,
    primary key (user_id, week)
) with (fillfactor = 70);

-- One indexer at a time for all instances, and for a share of the time only.
create table search_sweeps (
    single     boolean primary key default true check (single),
    rest_until timestamptz not null
);
insert into search_sweeps (rest_until) values (now());

-- +goose Down
drop table search_sweeps, search_weeks, search_rooms, search_documents;
