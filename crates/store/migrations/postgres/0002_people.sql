-- People. No foreign keys, as with the money tables: every statement names the tenant, and each
-- login and refresh would otherwise lock the tenant's row. "Sealed" is text that only the vault
-- opens.
alter table tenants add column config json not null default '{}';

alter table api_keys add column service_account_id uuid;
alter table api_keys add column last_used_at timestamptz;
alter table api_keys add column rotated_to uuid;

create table users (
    id uuid primary key,
    tenant_id uuid not null,
    email_hash uuid,
    -- Sealed with the person's key: e-mail, name.
    profile text,
    -- PHC string.
    password text,
    status text not null check (status in ('pending', 'active', 'deactivated', 'erased')),
    email_verified_at timestamptz,
    failed_logins integer not null default 0 check (failed_logins >= 0),
    locked_until timestamptz,
    -- Who a foreign issuer says this is.
    issuer text,
    subject text,
    version bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    check ((issuer is null) = (subject is null)),
    check (status <> 'erased' or (email_hash is null and profile is null and password is null
        and issuer is null))
);
create index users_tenant on users (tenant_id, id);
create unique index users_email on users (tenant_id, email_hash) where email_hash is not null;
create unique index users_subject on users (tenant_id, issuer, subject) where issuer is not null;

create table person_keys (
    user_id uuid primary key,
    tenant_id uuid not null,
    sealed text not null
);

create table sessions (
    id uuid primary key,
    tenant_id uuid not null,
    user_id uuid not null,
    created_at timestamptz not null,
    last_used_at timestamptz not null,
    expires_at timestamptz not null,
    revoked_at timestamptz,
    address text,
    user_agent text,
    second_factor_at timestamptz,
    auth_at timestamptz not null
) with (fillfactor = 70);
create index sessions_user on sessions (tenant_id, user_id, id);
create index sessions_expiry on sessions (expires_at);

create table refresh_tokens (
    hash uuid primary key,
    session_id uuid not null,
    tenant_id uuid not null,
    issued_at timestamptz not null,
    expires_at timestamptz not null,
    used_at timestamptz
) with (fillfactor = 70);
create index refresh_tokens_expiry on refresh_tokens (expires_at);

create table codes (
    hash uuid primary key,
    tenant_id uuid not null,
    user_id uuid not null,
    purpose text not null,
    -- Sealed, or nothing.
    data text,
    expires_at timestamptz not null,
    used_at timestamptz,
    attempts integer not null default 0
);
create index codes_user on codes (tenant_id, user_id);
create index codes_expiry on codes (expires_at);

create table totp (
    user_id uuid primary key,
    tenant_id uuid not null,
    -- Sealed.
    seed text not null,
    confirmed_at timestamptz,
    last_step bigint
);

create table recovery_codes (
    user_id uuid not null,
    hash uuid not null,
    tenant_id uuid not null,
    used_at timestamptz,
    primary key (user_id, hash)
);

create table roles (
    tenant_id uuid not null,
    id uuid not null,
    name text not null,
    scopes text not null,
    version bigint not null,
    created_at timestamptz not null,
    primary key (tenant_id, id),
    unique (tenant_id, name)
);

-- A system role has a small number for an id.
create table user_roles (
    user_id uuid not null,
    role uuid not null,
    tenant_id uuid not null,
    primary key (user_id, role)
);
create index user_roles_role on user_roles (tenant_id, role, user_id);

create table service_accounts (
    id uuid primary key,
    tenant_id uuid not null,
    name text not null,
    version bigint not null,
    created_at timestamptz not null
);
create index service_accounts_tenant on service_accounts (tenant_id, id);
create index api_keys_service_account on api_keys (tenant_id, service_account_id, id)
    where service_account_id is not null;

create table signing_keys (
    kid text primary key,
    algorithm text not null,
    public_jwk text not null,
    sealed text not null,
    active_from timestamptz not null,
    signs_until timestamptz,
    verifies_until timestamptz,
    check ((signs_until is null) = (verifies_until is null)),
    check (verifies_until >= signs_until)
);
-- Two instances that rotate at the same time make one key.
create unique index signing_keys_open on signing_keys (algorithm) where signs_until is null;

create table vault_keys (
    name text primary key,
    sealed text not null
);

create table audit (
    tenant_id uuid not null,
    id uuid not null,
    at timestamptz not null,
    actor_kind text not null,
    actor_id uuid,
    address text,
    request_id text,
    action text not null,
    object_kind text not null,
    object_id text not null,
    fields text not null,
    primary key (tenant_id, id)
);
create index audit_actor on audit (tenant_id, actor_id, id) where actor_id is not null;
create index audit_action on audit (tenant_id, action, id);
create index audit_object on audit (tenant_id, object_id, id);

create table mails (
    id uuid primary key,
    tenant_id uuid not null,
    user_id uuid,
    template text not null,
    sealed text not null,
    attempts integer not null default 0,
    next_at timestamptz not null,
    sent_at timestamptz,
    failed_at timestamptz,
    created_at timestamptz not null
);
create index mails_due on mails (next_at) where sent_at is null and failed_at is null;
create index mails_user on mails (tenant_id, user_id, id) where user_id is not null;
create index mails_tenant on mails (tenant_id, id);

-- Rows are deleted where their end is the point: keys of the erased, what has expired, what
-- somebody took away. Users, service accounts and signing keys stay; the audit is only added to.
grant select, insert on users, person_keys, sessions, refresh_tokens, codes, totp, recovery_codes,
    roles, user_roles, service_accounts, signing_keys, vault_keys, audit, mails to caudal_engine;
grant update on users, person_keys, sessions, refresh_tokens, codes, totp, recovery_codes, roles,
    service_accounts, signing_keys, vault_keys, mails to caudal_engine;
grant delete on person_keys, sessions, refresh_tokens, codes, totp, recovery_codes, roles,
    user_roles, mails to caudal_engine;
