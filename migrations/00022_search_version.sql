-- +goose Up
-- Which version of cutting and folding words has indexed a conversation's log (see version in internal/search), how far,
-- and for whom. seq and users say the same of any version, and so where searches have to read the log itself: they go
-- on while a log is indexed anew. Instances of the release before write only those two.
set local lock_timeout = '3s';
alter table search_rooms
    add column version   smallint not null default 1,
    add column cut_users bigint[] not null default '{}',
    add column cut_seq   bigint not null default 0;

-- +goose Down
alter table search_rooms drop column version, drop column cut_users, drop column cut_seq;
