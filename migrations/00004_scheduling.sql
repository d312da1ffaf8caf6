-- +goose Up
alter table schedules
    add column buffer_before   smallint not null default 0 check (buffer_before between 0 and 240), -- minutes
    add column buffer_after    smallint not null default 0 check (buffer_after between 0 and 240),
    add column notice_minutes  integer check (notice_minutes between 0 and 43200), -- null: the clinic's
    add column horizon_minutes integer check (horizon_minutes >= 60),              -- null: the clinic's, which is also the most
    add column per_day         smallint not null default 0 check (per_day between 0 and 200), -- 0: no limit
    add column auto_confirm    boolean not null default false;

-- Hours may run past midnight: ends beyond 1440 is a time of the next day.
alter table schedule_hours
    drop constraint schedule_hours_ends_check,
    drop constraint schedule_hours_check,
    add constraint schedule_hours_check check (starts < ends and ends - starts <= 1440),
    -- A week overlaps itself nowhere. It goes round: what begins on Sunday may reach into Monday.
    add constraint schedule_hours_excl exclude using gist (
        doctor_id with =,
        int4multirange(
            int4range((weekday - 1) * 1440 + starts, least((weekday - 1) * 1440 + ends, 10080)),
            int4range(0, greatest((weekday - 1) * 1440 + ends - 10080, 0))
        ) with &&
    );

-- What takes the place of the weekly hours that begin on some dates. Dates are days of the doctor's calendar.
create table schedule_exceptions (
    id         bigint generated always as identity primary key,
    public_id  uuid not null default gen_random_uuid() constraint schedule_exceptions_public_id_key unique,
    doctor_id  bigint not null references schedules (doctor_id),
    first_date date not null,
    last_date  date not null, -- included
    off        boolean not null, -- true: no hours at all; else those of schedule_exception_hours
    note       text not null default '' check (char_length(note) <= 200),
    created_at timestamptz not null default now(),
    check (first_date <= last_date and last_date - first_date < 366),
    -- Dates of other years have no form in RFC 3339.
    check (first_date >= '0001-01-01' and last_date < '9999-01-01'),
    -- A date has one set of other hours.
    constraint schedule_exceptions_hours_excl exclude using gist (
        doctor_id with =, daterange(first_date, last_date, '[]') with &&
    ) where (not off)
);
create index schedule_exceptions_doctor_idx on schedule_exceptions (doctor_id, first_date, public_id);

create table schedule_exception_hours (
    exception_id bigint not null references schedule_exceptions (id) on delete cascade,
    starts       smallint not null check (starts between 0 and 1439), -- minutes since midnight
    ends         smallint not null,                                   -- beyond 1440: a time of the next day
    primary key (exception_id, starts),
    check (starts < ends and ends - starts <= 1440),
    exclude using gist (exception_id with =, int4range(starts, ends) with &&)
);

-- +goose Down
drop table schedule_exception_hours, schedule_exceptions;
update schedule_hours set ends = 1440 where ends > 1440;
alter table schedule_hours
    drop constraint schedule_hours_excl,
    drop constraint schedule_hours_check,
    add constraint schedule_hours_ends_check check (ends between 1 and 1440),
    add constraint schedule_hours_check check (starts < ends);
alter table schedules
    drop column buffer_before, drop column buffer_after, drop column notice_minutes, drop column horizon_minutes,
    drop column per_day, drop column auto_confirm;
