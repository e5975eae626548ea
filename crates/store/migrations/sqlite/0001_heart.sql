create table tenants (
    id blob primary key not null,
    name text not null,
    mode text not null,
    placement text not null,
    region text,
    timezone text not null,
    version integer not null,
    created_at integer not null
) strict, without rowid;

create table api_keys (
    id blob primary key not null,
    tenant_id blob not null,
    secret_hash blob not null unique,
    name text not null,
    scopes text not null,
    created_at integer not null,
    expires_at integer,
    revoked_at integer
) strict, without rowid;
create index api_keys_tenant on api_keys (tenant_id, id);

create table accounts (
    bucket integer not null,
    id blob not null,
    tenant_id blob not null,
    kind integer not null,
    currency text not null,
    status integer not null,
    floor integer,
    total integer not null,
    held integer not null,
    pending integer not null,
    version integer not null,
    updated_at integer not null,
    primary key (id),
    check (held >= 0 and pending >= 0)
) strict, without rowid;

create table wallets (
    bucket integer not null,
    id blob primary key not null,
    tenant_id blob not null,
    user_id blob,
    currency text not null,
    name text,
    metadata text,
    version integer not null,
    created_at integer not null
) strict, without rowid;
create index wallets_tenant on wallets (tenant_id, id);
create index wallets_user on wallets (user_id, id) where user_id is not null;

create table transfers (
    bucket integer not null,
    id blob primary key not null,
    tenant_id blob not null,
    kind integer not null,
    status integer not null,
    currency text not null,
    from_id blob not null,
    to_id blob not null,
    amount integer not null check (amount > 0),
    amount_captured integer not null,
    amount_reversed integer not null,
    legs text,
    expires_at integer,
    reference text,
    metadata text,
    reverses blob,
    created_at integer not null
) strict;
create index transfers_tenant on transfers (tenant_id, id);
create index transfers_status on transfers (tenant_id, status, id) where status <> 0;
create index transfers_reference on transfers (tenant_id, reference, id) where reference is not null;
create index transfers_expiry on transfers (expires_at) where status = 1;

create table entries (
    bucket integer not null,
    account_id blob not null,
    version integer not null,
    transfer_id blob not null,
    amount integer not null,
    balance_after integer not null,
    held_after integer not null,
    created_at integer not null,
    primary key (account_id, version)
) strict, without rowid;

create table events (
    stream integer not null,
    seq integer not null,
    id blob not null,
    bucket integer not null,
    tenant_id blob not null,
    kind text not null,
    subject text not null,
    data text not null,
    occurred_at integer not null,
    primary key (stream, seq)
) strict, without rowid;

create table stream_heads (
    stream integer primary key not null,
    seq integer not null
) strict;
with recursive s(n) as (select 0 union all select n + 1 from s where n < 15)
insert into stream_heads select n, 0 from s;

create table receipts (
    generation integer not null,
    bucket integer not null,
    key blob not null,
    fingerprint blob not null,
    transfer_id blob,
    answer text,
    primary key (key, generation)
) strict, without rowid;

create table relay_positions (
    relay text not null,
    stream integer not null,
    seq integer not null,
    primary key (relay, stream)
) strict, without rowid;
