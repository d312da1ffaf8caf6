-- +goose Up
-- How old somebody said he was, and when: all that is known of patients who came with an age and no date of birth.
-- A date of birth, where there is one, says more; none is ever made up from an age.
alter table patients
    add column age_years       smallint constraint patients_age_check check (age_years between 0 and 130),
    add column age_recorded_on date,
    add constraint patients_age_recorded_check check ((age_years is null) = (age_recorded_on is null));

-- +goose Down
alter table patients
    drop column age_years,
    drop column age_recorded_on;
