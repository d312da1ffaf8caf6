-- +goose Up
-- Who takes part in an appointment and in its conversation: the one answer for every query. role is the one in which
-- somebody takes part, whatever they are otherwise; a doctor who is no longer one is not active, which means that they
-- neither read nor write, hear nothing and find nothing, but the other participants still see them. The role is looked
-- up rather than joined, so that a query that knows the appointment or the user reaches both branches by an index.
create view participants as
select a.id as appointment_id, a.patient_id as user_id, 'PATIENT' as role, true as active
from appointments a
union all
select a.id, a.doctor_id, 'DOCTOR', (select u.role <> 'PATIENT' from users u where u.id = a.doctor_id)
from appointments a;

-- +goose Down
drop view participants;
