-- +goose Up
create table appointments (
    id           bigint generated always as identity primary key,
    public_id    varchar(20) not null constraint appointments_public_id_key unique,
    patient_id   bigint not null references patients (user_id),
    doctor_id    bigint not null references doctors (user_id),
    status       text not null check (status in ('PENDING', 'BOOKED', 'REJECTED', 'CANCELLED', 'EXPIRED', 'COMPLETED', 'NO_SHOW')),
    starts_at    timestamptz,             -- both null: a request without a time
    ends_at      timestamptz,
    reason       text not null default '',
    note         text not null default '', -- the doctor's, at confirmation
    end_reason   text not null default '', -- of a rejection or cancellation
    completed_at timestamptz,
    version      integer not null default 1,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now(),
    check ((starts_at is null) = (ends_at is null)),
    check (starts_at < ends_at),
    -- Years of five digits have no form in RFC 3339: one such row would break every list that it is in.
    constraint appointments_year_check check (ends_at < '9999-01-01T00:00:00Z'),
    check (status <> 'BOOKED' or starts_at is not null)
);
create index appointments_patient_idx on appointments (patient_id, id desc);
create index appointments_doctor_idx on appointments (doctor_id, id desc);
create index appointments_doctor_patient_idx on appointments (doctor_id, patient_id); -- whose patient somebody is
create index appointments_doctor_time_idx on appointments (doctor_id, starts_at);
create index appointments_id_status_idx on appointments (status, id desc);

-- Who holds which time: one row per appointment that is PENDING or BOOKED and has a time (holds come here too).
-- The two exclusion constraints are what makes double booking impossible; code only words their refusal.
create table slot_claims (
    id             bigint generated always as identity primary key,
    appointment_id bigint not null constraint slot_claims_appointment_key unique references appointments (id),
    doctor_id      bigint not null,
    patient_id     bigint not null,
    blocked        tstzrange not null, -- with the doctor's buffers
    visible        tstzrange not null,
    constraint slot_claims_doctor_excl exclude using gist (doctor_id with =, blocked with &&),
    constraint slot_claims_patient_excl exclude using gist (patient_id with =, visible with &&)
);

create table appointment_history (
    id             bigint generated always as identity primary key,
    appointment_id bigint not null references appointments (id),
    version        integer not null,
    at             timestamptz not null,
    actor_id       bigint,                -- null: the system
    actor_role     text not null default '' check (actor_role in ('', 'PATIENT', 'DOCTOR', 'ADMIN')), -- as which he acted
    action         text not null,         -- book, confirm, reject, cancel …
    from_status    text,
    to_status      text not null,
    starts_at      timestamptz,           -- as of after the change
    ends_at        timestamptz,
    reason         text not null default '',
    constraint appointment_history_version_key unique (appointment_id, version)
);

-- +goose Down
drop table appointment_history, slot_claims, appointments;
