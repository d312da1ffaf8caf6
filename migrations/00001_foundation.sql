-- +goose Up
create extension if not exists btree_gist;

create table users (
    id                   bigint generated always as identity primary key,
    public_id            varchar(20) not null constraint users_public_id_key unique,
    email                text not null constraint users_email_key unique check (email = lower(email)),
    name                 text not null,
    role                 text not null check (role in ('PATIENT', 'DOCTOR', 'ADMIN')),
    password_hash        text,                    -- null until an invitation is accepted
    must_change_password boolean not null default false,
    disabled_at          timestamptz,
    created_at           timestamptz not null default now(),
    updated_at           timestamptz not null default now(),
    version              integer not null default 1
);
create index users_role_idx on users (role, id);

-- A session is one sign-in on one device: the family of its refresh tokens.
create table sessions (
    id           bigint generated always as identity primary key,
    public_id    uuid not null default gen_random_uuid() constraint sessions_public_id_key unique,
    user_id      bigint not null references users (id),
    user_agent   text not null default '',
    address      text not null default '',
    created_at   timestamptz not null default now(),
    last_used_at timestamptz not null default now(),
    expires_at   timestamptz not null,
    ended_at     timestamptz,
    end_reason   text check (end_reason in ('logout', 'revoked', 'reuse', 'role', 'disabled', 'password'))
);
-- The address too: whether somebody has signed in from there before decides how far others can lock him out.
create index sessions_user_idx on sessions (user_id, address);
-- Every instance asks once a second which sessions ended lately.
create index sessions_ended_idx on sessions (ended_at) where ended_at is not null;
create index sessions_purge_idx on sessions (least(ended_at, expires_at));

-- Only hashes are kept. A successor is derived from its predecessor with a key, so it need not be stored.
create table refresh_tokens (
    hash       bytea primary key,
    session_id bigint not null references sessions (id) on delete cascade,
    created_at timestamptz not null default now(),
    used_at    timestamptz
);
create index refresh_tokens_session_idx on refresh_tokens (session_id);
create index refresh_tokens_purge_idx on refresh_tokens (used_at) where used_at is not null;

create table invitations (
    hash       bytea primary key,
    user_id    bigint not null references users (id),
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at    timestamptz
);
create index invitations_user_idx on invitations (user_id);
create index invitations_purge_idx on invitations (least(used_at, expires_at));

create table doctors (
    user_id        bigint primary key references users (id),
    specialization text not null default '',
    qualification  text not null default '',
    experience     integer not null default 0 check (experience between 0 and 80), -- years
    phone          text not null default '',
    version        integer not null default 1,
    updated_at     timestamptz not null default now()
);
create index doctors_specialization_idx on doctors (lower(specialization));

-- How a doctor can be booked. No row means the clinic's zone and slot length.
create table schedules (
    doctor_id    bigint primary key references doctors (user_id),
    time_zone    text not null, -- IANA
    slot_minutes integer not null check (slot_minutes between 5 and 480),
    custom_hours boolean not null default false, -- false: the clinic's default hours
    version      integer not null default 1,
    updated_at   timestamptz not null default now()
);

-- Weekly hours as wall time in the doctor's zone. A week without any is a doctor who takes no bookings.
create table schedule_hours (
    doctor_id bigint not null references schedules (doctor_id),
    weekday   smallint not null check (weekday between 1 and 7), -- ISO 8601: 1 is Monday
    starts    smallint not null check (starts between 0 and 1439), -- minutes since midnight
    ends      smallint not null check (ends between 1 and 1440),
    primary key (doctor_id, weekday, starts),
    check (starts < ends)
);

create table patients (
    user_id       bigint primary key references users (id),
    phone         text not null default '',
    gender        text not null default '' check (gender in ('', 'male', 'female', 'other')),
    date_of_birth date,
    address       text not null default '',
    doctor_id     bigint references doctors (user_id), -- assigned doctor
    version       integer not null default 1,
    created_at    timestamptz not null default now(),
    updated_at    timestamptz not null default now()
);
create index patients_doctor_idx on patients (doctor_id) where doctor_id is not null;

-- The audit trail: rows are only ever added. A sealer gives them, a little later, a place in a hash chain.
create table audit_events (
    id          bigint generated always as identity primary key,
    at          timestamptz not null default now(),
    actor_id    bigint,                 -- null: the system
    actor_role  text not null default '',
    action      text not null,          -- such as appointment.confirm
    subject     text not null default '', -- public id of what it was done to
    patient_id  bigint,                 -- whose data, where it is a patient's
    request_id  text not null default '',
    detail      jsonb not null default '{}',
    position    bigint constraint audit_events_position_key unique,
    seal        bytea,
    check ((position is null) = (seal is null))
);
create index audit_events_unsealed_idx on audit_events (id) where position is null;
create index audit_events_subject_idx on audit_events (subject, id);
create index audit_events_actor_idx on audit_events (actor_id, id);
create index audit_events_patient_idx on audit_events (patient_id, id) where patient_id is not null;

-- +goose StatementBegin
create function audit_events_append_only() returns trigger language plpgsql as $$
begin
    if tg_op = 'UPDATE' and old.position is null and new.position is not null
       and (old.id, old.at, old.actor_id, old.actor_role, old.action, old.subject, old.patient_id, old.request_id, old.detail)
           is not distinct from
           (new.id, new.at, new.actor_id, new.actor_role, new.action, new.subject, new.patient_id, new.request_id, new.detail) then
        return new;
    end if;
    raise exception 'audit_events is append-only';
end $$;
-- +goose StatementEnd
create trigger audit_events_append_only before update or delete on audit_events
    for each row execute function audit_events_append_only();
create trigger audit_events_no_truncate before truncate on audit_events
    for each statement execute function audit_events_append_only();

-- +goose Down
drop table audit_events, patients, schedule_hours, schedules, doctors, invitations, refresh_tokens, sessions, users;
drop function audit_events_append_only;
