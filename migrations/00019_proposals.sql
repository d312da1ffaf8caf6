-- +goose Up
set local lock_timeout = '3s';
-- A time that one side has proposed and the other has not answered yet. The patient of a BOOKED appointment asks for
-- another time, the doctor answers an EXPIRED request with one. Until then the appointment stands as it is.
alter table appointments
    add column proposed_starts_at timestamptz,
    add column proposed_ends_at   timestamptz,
    add column answer_by          timestamptz, -- when the proposal lapses
    add column asked_as           text,        -- what a request without a time of its own named instead, to find it by
    -- There is nothing to validate in rows that are older than the columns.
    add constraint appointments_proposal_check check (
        num_nulls(proposed_starts_at, proposed_ends_at, answer_by) in (0, 3)
        and proposed_starts_at < proposed_ends_at
        and proposed_ends_at < '9999-01-01T00:00:00Z') not valid;

-- The proposed time, as of after the change.
alter table appointment_history
    add column proposed_starts_at timestamptz,
    add column proposed_ends_at   timestamptz;

-- +goose Down
alter table appointment_history drop column proposed_starts_at, drop column proposed_ends_at;
alter table appointments
    drop column proposed_starts_at, drop column proposed_ends_at, drop column answer_by, drop column asked_as;
