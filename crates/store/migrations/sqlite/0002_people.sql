-- People. No foreign keys, as with the money tables: every statement names the tenant, and each
-- login and refresh would otherwise lock the tenant's row. "Sealed" is text that only the vault
-- opens.
alter table tenants add column config text not null default '{}';

alter table api_keys add column service_account_id blob;
alter table api_keys add column last_used_at integer;
alter table api_keys add column rotated_to blob;

create table users (
    id blob primary key not null,
    tenant_id blob not null,
    email_hash blob,
    -- Sealed with the person's key: e-mail, name.
    profile text,
    -- PHC string.
    password text,
    status text not null check (status in ('pending', 'active', 'deactivated', 'erased')),
    email_verified_at integer,
    failed_logins integer not null default 0 check (failed_logins >= 0),
    locked_until integer,
    -- Who a foreign issuer says this is.
    issuer text,
    subject text,
    version integer not null,
    created_at integer not null,
    updated_at integer not null,
    check ((issuer is null) = (subject is null)),
    check (status <> 'erased' or (email_hash is null and profile is null and password is null
        and issuer is null))
) strict, without rowid;
create index users_tenant on users (tenant_id, id);
create unique index users_email on users (tenant_id, email_hash) where email_hash is not null;
create unique index users_subject on users (tenant_id, issuer, subject) where issuer is not null;

create table person_keys (
    user_id blob primary key not null,
    tenant_id blob not null,
    sealed text not null
) strict, without rowid;

create table sessions (
    id blob primary key not null,
    tenant_id blob not null,
    user_id blob not null,
    created_at integer not null,
    last_used_at integer not null,
    expires_at integer not null,
    revoked_at integer,
    address text,
    user_agent text,
    second_factor_at integer,
    auth_at integer not null
) strict, without rowid;
create index sessions_user on sessions (tenant_id, user_id, id);
create index sessions_expiry on sessions (expires_at);

create table refresh_tokens (
    hash blob primary key not null,
    session_id blob not null,
    tenant_id blob not null,
    issued_at integer not null,
    expires_at integer not null,
    used_at integer
) strict, without rowid;
create index refresh_tokens_expiry on refresh_tokens (expires_at);

create table codes (
    hash blob primary key not null,
    tenant_id blob not null,
    user_id blob not null,
    purpose text not null,
    -- Sealed, or nothing.
    data text,
    expires_at integer not null,
    used_at integer,
    attempts integer not null default 0
) strict, without rowid;
create index codes_user on codes (tenant_id, user_id);
create index codes_expiry on codes (expires_at);

create table totp (
    user_id blob primary key not null,
    tenant_id blob not null,
    -- Sealed.
    seed text not null,
    confirmed_at integer,
    last_step integer
) strict, without rowid;

create table recovery_codes (
    user_id blob not null,
    hash blob not null,
    tenant_id blob not null,
    used_at integer,
    primary key (user_id, hash)
) strict, without rowid;

create table roles (
    tenant_id blob not null,
    id blob not null,
    name text not null,
    scopes text not null,
    version integer not null,
    created_at integer not null,
    primary key (tenant_id, id),
    unique (tenant_id, name)
) strict, without rowid;

-- A system role has a small number for an id.
create table user_roles (
    user_id blob not null,
    role blob not null,
    tenant_id blob not null,
    primary key (user_id, role)
) strict, without rowid;
create index user_roles_role on user_roles (tenant_id, role, user_id);

create table service_accounts (
    id blob primary key not null,
    tenant_id blob not null,
    name text not null,
    version integer not null,
    created_at integer not null
) strict, without rowid;
create index service_accounts_tenant on service_accounts (tenant_id, id);
create index api_keys_service_account on api_keys (tenant_id, service_account_id, id)
    where service_account_id is not null;

create table signing_keys (
    kid text primary key not null,
    algorithm text not null,
    public_jwk text not null,
    sealed text not null,
    active_from integer not null,
    signs_until integer,
    verifies_until integer,
    check ((signs_until is null) = (verifies_until is null)),
    check (verifies_until >= signs_until)
) strict, without rowid;
-- Two instances that rotate at the same time make one key.
create unique index signing_keys_open on signing_keys (algorithm) where signs_until is null;

create table vault_keys (
    name text primary key not null,
    sealed text not null
) strict, without rowid;

create table audit (
    tenant_id blob not null,
    id blob not null,
    at integer not null,
    actor_kind text not null,
    actor_id blob,
    address text,
    request_id text,
    action text not null,
    object_kind text not null,
    object_id text not null,
    fields text not null,
    primary key (tenant_id, id)
) strict, without rowid;
create index audit_actor on audit (tenant_id, actor_id, id) where actor_id is not null;
create index audit_action on audit (tenant_id, action, id);
create index audit_object on audit (tenant_id, object_id, id);

create table mails (
    id blob primary key not null,
    tenant_id blob not null,
    user_id blob,
    template text not null,
    sealed text not null,
    attempts integer not null default 0,
    next_at integer not null,
    sent_at integer,
    failed_at integer,
    created_at integer not null
) strict, without rowid;
create index mails_due on mails (next_at) where sent_at is null and failed_at is null;
create index mails_user on mails (tenant_id, user_id, id) where user_id is not null;
create index mails_tenant on mails (tenant_id, id);

create trigger audit_is_not_changed before update on audit
begin
    select raise(abort, 'the audit is only added to');
end;
create trigger audit_is_not_deleted before delete on audit
begin
    select raise(abort, 'the audit is only added to');
end;
-- `insert or replace` would delete without the trigger above.
create trigger audit_is_not_replaced before insert on audit
when exists (select 1 from audit where tenant_id = new.tenant_id and id = new.id)
begin
    select raise(abort, 'the audit is only added to');
end;
