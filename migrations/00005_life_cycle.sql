-- +goose Up
alter table appointments
    add column summary      text not null default '', -- the doctor's, at completion: clinical
    add column follow_up_on date;                     -- the doctor's, at completion

-- What time alone will end.
create index appointments_untimed_idx on appointments (created_at) where status = 'PENDING' and starts_at is null;
create index appointments_pending_idx on appointments (starts_at) where status = 'PENDING';
create index appointments_booked_idx on appointments (ends_at) where status = 'BOOKED';
-- The clinic's lists between two times.
create index appointments_time_idx on appointments (starts_at);

-- Patients who wait for a doctor's time to become free, served in the order of id.
create table waitlist (
    id         bigint generated always as identity primary key,
    public_id  uuid not null default gen_random_uuid() constraint waitlist_public_id_key unique,
    doctor_id  bigint not null references doctors (user_id),
    patient_id bigint not null references patients (user_id),
    from_date  date not null, -- both included, days in the doctor's zone
    to_date    date not null,
    created_at timestamptz not null,
    ended_at   timestamptz,
    end_reason text check (end_reason in ('booked', 'left', 'over')),
    check (from_date <= to_date),
    check ((ended_at is null) = (end_reason is null))
);
create unique index waitlist_open_key on waitlist (doctor_id, patient_id) where ended_at is null;
create index waitlist_queue_idx on waitlist (doctor_id, id) where ended_at is null;
create index waitlist_patient_idx on waitlist (patient_id) where ended_at is null;
create index waitlist_over_idx on waitlist (to_date) where ended_at is null;

-- A claim belongs to an appointment, or it is a hold: a time kept for a patient who has not booked it yet. A hold of a
-- waiting patient is an offer. Expired holds count for nothing; whoever comes upon one removes it.
alter table slot_claims
    alter column appointment_id drop not null,
    add column hold_id     uuid constraint slot_claims_hold_key unique,
    add column expires_at  timestamptz,
    add column waitlist_id bigint references waitlist (id),
    add constraint slot_claims_kind_check check (
        (appointment_id is null) = (hold_id is not null)
        and (hold_id is null) = (expires_at is null)
        and (waitlist_id is null or hold_id is not null));
create index slot_claims_holds_idx on slot_claims (patient_id) where hold_id is not null;
create index slot_claims_expiry_idx on slot_claims (expires_at) where hold_id is not null;
create index slot_claims_offers_idx on slot_claims (waitlist_id) where waitlist_id is not null;

-- +goose Down
delete from slot_claims where hold_id is not null;
alter table slot_claims
    drop constraint slot_claims_kind_check,
    drop column waitlist_id,
    drop column expires_at,
    drop column hold_id,
    alter column appointment_id set not null;
drop table waitlist;
drop index appointments_untimed_idx, appointments_pending_idx, appointments_booked_idx, appointments_time_idx;
alter table appointments drop column summary, drop column follow_up_on;
