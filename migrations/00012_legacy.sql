-- +goose Up
-- What users who signed up over the older PMS API told of themselves, until the clinic registers them as patients.
create table patient_signups (
    user_id       bigint primary key references users (id),
    phone         text not null default '',
    gender        text not null default '' check (gender in ('', 'male', 'female', 'other')),
    date_of_birth date,
    address       text not null default '',
    created_at    timestamptz not null default now()
);

-- +goose Down
drop table patient_signups;
