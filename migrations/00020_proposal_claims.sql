-- +goose Up
set local lock_timeout = '3s';
-- In the order of everybody else, or there are deadlocks: bookings begin with a doctor's row, and then go on in either
-- order; what does not begin so, such as deadlines, changes the appointment first and its claims after that.
lock table doctors in exclusive mode;
lock table appointments in share row exclusive mode;
lock table slot_claims in access exclusive mode;
-- A proposed time is claimed beside the appointment's own. The two may overlap each other (half an hour later, or within
-- a buffer), but nothing else: claims of one appointment have one owner, and each hold is an owner of its own. The table
-- has only what lies ahead, so the constraints are made anew in a moment.
alter table slot_claims
    add column proposal_of bigint constraint slot_claims_proposal_key unique references appointments (id),
    drop constraint slot_claims_kind_check,
    add constraint slot_claims_kind_check check (
        num_nonnulls(appointment_id, proposal_of, hold_id) = 1
        and (hold_id is null) = (expires_at is null)
        and (waitlist_id is null or hold_id is not null)),
    drop constraint slot_claims_doctor_excl,
    add constraint slot_claims_doctor_excl exclude using gist (
        doctor_id with =, blocked with &&, (coalesce(appointment_id, proposal_of, -id)) with <>),
    drop constraint slot_claims_patient_excl,
    add constraint slot_claims_patient_excl exclude using gist (
        patient_id with =, visible with &&, (coalesce(appointment_id, proposal_of, -id)) with <>);

-- Instances of the release before do not know proposals: whatever they make of the appointment ends its proposal.
-- +goose StatementBegin
create function end_proposal() returns trigger language plpgsql as $$
begin
    delete from slot_claims where proposal_of = new.id;
    new.proposed_starts_at := null;
    new.proposed_ends_at := null;
    new.answer_by := null;
    return new;
end $$;
-- +goose StatementEnd
create trigger appointments_end_proposal before update on appointments for each row
when (old.answer_by is not null and new.answer_by = old.answer_by
    and new.proposed_starts_at = old.proposed_starts_at
    and (new.status <> old.status or new.doctor_id <> old.doctor_id or new.starts_at is distinct from old.starts_at))
execute function end_proposal();

-- +goose Down
drop trigger appointments_end_proposal on appointments;
drop function end_proposal();
delete from slot_claims where proposal_of is not null;
alter table slot_claims
    drop constraint slot_claims_doctor_excl,
    drop constraint slot_claims_patient_excl,
    drop constraint slot_claims_kind_check,
    drop column proposal_of,
    add constraint slot_claims_kind_check check (
        (appointment_id is null) = (hold_id is not null)
        and (hold_id is null) = (expires_at is null)
        and (waitlist_id is null or hold_id is not null)),
    add constraint slot_claims_doctor_excl exclude using gist (doctor_id with =, blocked with &&),
    add constraint slot_claims_patient_excl exclude using gist (patient_id with =, visible with &&);
update appointments set proposed_starts_at = null, proposed_ends_at = null, answer_by = null
where answer_by is not null;
