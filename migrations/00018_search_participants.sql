-- +goose NO TRANSACTION
-- Each statement commits by itself, so that searches never wait for the update of the whole table. All can be repeated.
-- +goose Up
-- For whom a conversation's log is indexed: everybody who took part then, in order. doctor_id said the same of two;
-- instances of the release before still write and read it.
alter table search_rooms add column if not exists users bigint[] not null default '{}';
alter table search_rooms alter column doctor_id drop not null;
-- The turn keeps indexers away, which would lock rows in another order. A log that is indexed for a doctor who has
-- handed it over since is indexed again.
with turn as materialized (select 1 from search_sweeps for update)
update search_rooms r
set users = array(select u from unnest(array[a.patient_id, r.doctor_id]) u order by u),
    seq = case when r.doctor_id = a.doctor_id then r.seq else 0 end
from appointments a, turn
where a.id = r.room_id and r.users = '{}' and r.doctor_id is not null;

-- +goose Down
delete from search_rooms where doctor_id is null; -- they are indexed again
alter table search_rooms alter column doctor_id set not null;
alter table search_rooms drop column if exists users;
