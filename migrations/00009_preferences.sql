-- +goose Up
-- What a user wants to be told, and when. No row means the defaults: everything, at any hour.
create table preferences (
    user_id    bigint primary key references users (id),
    time_zone  text,                             -- IANA; null: none chosen
    kinds_off  text[] not null default '{}',     -- what is not sent; so a kind that is new is on for everybody
    quiet_from smallint check (quiet_from between 0 and 1439), -- minutes since midnight, wall time
    quiet_to   smallint check (quiet_to between 0 and 1439),   -- before quiet_from: past midnight
    version    integer not null default 1,
    updated_at timestamptz not null default now(),
    check ((quiet_from is null) = (quiet_to is null)),
    check (quiet_from <> quiet_to)
);

-- +goose Down
drop table preferences;
