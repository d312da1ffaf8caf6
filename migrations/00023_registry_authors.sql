-- +goose Up
set local lock_timeout = '3s';
-- Which users made a registry entry and changed it last, for the older API, which shows it to staff; null: the system, or
-- not known, as for entries from before this column. Like the audit trail's actors they have no foreign key: a change
-- must not wait for a lock on the row of the user who makes it.
alter table patients
    add column created_by bigint,
    add column updated_by bigint;

-- +goose Down
alter table patients
    drop column created_by,
    drop column updated_by;
