-- +goose NO TRANSACTION
-- Each statement commits by itself, and none holds a lock for long. All can be repeated.
-- +goose Up
create extension if not exists pg_trgm;
-- Whoever wants the tables exclusively waits no longer than this, because everybody else queues up behind it.
set lock_timeout = '3s';
-- What people are searched by: the name as text.Fold makes it, and the name that it was made from. Instances of the
-- release before write only the name, so what is folded counts only while the two names are equal; a timer catches up.
alter table users
    add column if not exists folded text,
    add column if not exists folded_from text;
-- The same of specialization and qualification, on two lines.
alter table doctors
    add column if not exists folded text,
    add column if not exists folded_from text,
    add column if not exists phone_e164 text not null default '', -- '' if it cannot be told
    add column if not exists phone_from text not null default '';
alter table patients
    add column if not exists phone_e164 text not null default '',
    add column if not exists phone_from text not null default '';
reset lock_timeout;
drop index concurrently if exists users_search_idx;
create index concurrently users_search_idx on users
    using gin (folded gin_trgm_ops, email gin_trgm_ops, public_id gin_trgm_ops);
-- For names that are not folded yet. Without it the planner, which takes nearly all names for unfolded, would read them all.
drop index concurrently if exists users_unfolded_name_idx;
create index concurrently users_unfolded_name_idx on users
    using gin (name gin_trgm_ops) where folded_from is distinct from name;
-- For the timer.
drop index concurrently if exists users_unfolded_idx;
create index concurrently users_unfolded_idx on users (id) where folded_from is distinct from name;
drop index concurrently if exists patients_unread_phone_idx;
create index concurrently patients_unread_phone_idx on patients (user_id) where phone_from <> phone;

-- +goose Down
drop index concurrently if exists patients_unread_phone_idx;
drop index concurrently if exists users_unfolded_idx;
drop index concurrently if exists users_unfolded_name_idx;
drop index concurrently if exists users_search_idx;
alter table patients drop column if exists phone_e164, drop column if exists phone_from;
alter table doctors drop column if exists phone_e164, drop column if exists phone_from,
    drop column if exists folded, drop column if exists folded_from;
alter table users drop column if exists folded, drop column if exists folded_from;
drop extension if exists pg_trgm;
