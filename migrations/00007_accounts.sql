-- +goose Up
alter table users
    add column email_verified_at timestamptz, -- null until the owner of the account has shown that he reads its mail
    -- The address he wants instead; it counts once verified. Several users may want one: the first to prove it gets it.
    add column pending_email     text check (pending_email = lower(pending_email));

-- What was sent by mail and works once. Only hashes are kept.
create table mail_tokens (
    hash       bytea primary key,
    user_id    bigint not null references users (id),
    purpose    text not null check (purpose in ('verify', 'reset')),
    address    text not null, -- where it was sent: that is what it proves
    session_id bigint,        -- the session that asked, if one did; it may be gone
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at    timestamptz
);
create index mail_tokens_user_idx on mail_tokens (user_id, purpose);
create index mail_tokens_purge_idx on mail_tokens (least(used_at, expires_at));

alter table sessions drop constraint sessions_end_reason_check;
alter table sessions add constraint sessions_end_reason_check
    check (end_reason in ('logout', 'revoked', 'reuse', 'role', 'disabled', 'password', 'email'));

-- +goose Down
update sessions set end_reason = 'revoked' where end_reason = 'email';
alter table sessions drop constraint sessions_end_reason_check;
alter table sessions add constraint sessions_end_reason_check
    check (end_reason in ('logout', 'revoked', 'reuse', 'role', 'disabled', 'password'));
drop table mail_tokens;
alter table users drop column pending_email, drop column email_verified_at;
