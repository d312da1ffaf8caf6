-- +goose Up
-- First answers to requests that carried an Idempotency-Key. Neither key nor answer is kept in clear.
create table idempotency_keys (
    user_id     bigint not null references users (id) on delete cascade,
    digest      bytea not null,       -- of the operation and the key
    fingerprint bytea not null,       -- of the request, to tell another one under the same key
    claim       uuid not null,        -- whose attempt it is: only he who took the key last finishes it
    lease_until timestamptz not null, -- from then on an attempt without an answer counts as crashed
    answer      text,                 -- sealed; null while the attempt is in flight
    created_at  timestamptz not null,
    constraint idempotency_keys_pkey primary key (user_id, digest)
);
create index idempotency_keys_created_idx on idempotency_keys (created_at);

-- +goose Down
drop table idempotency_keys;
