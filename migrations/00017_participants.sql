-- +goose Up
-- Who takes part in an appointment and in its conversation: the one answer for every query. role is the one in which
-- somebody takes part, whatever they are otherwise; a doctor who is no longer one is not active, which means that they
-- neither read nor write, hear nothing and find nothing, but the other participants still see them.
create view participants as
select a.id as appointment_id, a.patient_id as user_id, 'PATIENT' as role, true as active
from appointments a
union all
select a.id, a.doctor_id, 'DOCTOR', u.role <> 'PATIENT'
from appointments a
join users u on u.id = a.doctor_id;

-- +goose Down
drop view participants;
