create table tenants (
    id uuid primary key,
    name text not null,
    mode text not null check (mode in ('test', 'live')),
    placement text not null check (placement in ('user', 'tenant')),
    region text,
    timezone text not null,
    version bigint not null,
    created_at timestamptz not null
);

create table api_keys (
    id uuid primary key,
    tenant_id uuid not null references tenants (id),
    secret_hash uuid not null unique,
    name text not null,
    scopes text not null,
    created_at timestamptz not null,
    expires_at timestamptz,
    revoked_at timestamptz
);
create index api_keys_tenant on api_keys (tenant_id, id);

-- The hot half of a wallet, and every system account. Narrow, and nothing indexed ever changes, so
-- that updates stay on their page (HOT).
create table accounts (
    bucket smallint not null,
    id uuid not null,
    tenant_id uuid not null,
    kind smallint not null,
    currency text not null,
    status smallint not null,
    floor bigint,
    total bigint not null,
    held bigint not null,
    pending bigint not null,
    version bigint not null,
    updated_at timestamptz not null,
    primary key (bucket, id),
    check (held >= 0 and pending >= 0)
) partition by hash (bucket);
do $$ begin
    for n in 0..3 loop
        execute format('create table accounts_%s partition of accounts for values with '
            '(modulus 4, remainder %s) with (fillfactor = 50, '
            'autovacuum_vacuum_scale_factor = 0.05)', n, n);
    end loop;
end $$;

create table wallets (
    bucket smallint not null,
    id uuid not null,
    tenant_id uuid not null,
    user_id uuid,
    currency text not null,
    name text,
    metadata json,
    version bigint not null,
    created_at timestamptz not null,
    primary key (bucket, id)
);
create index wallets_tenant on wallets (tenant_id, id);
create index wallets_user on wallets (user_id, id) where user_id is not null;

create table transfers (
    bucket smallint not null,
    id uuid not null,
    tenant_id uuid not null,
    kind smallint not null,
    status smallint not null,
    currency text not null,
    from_id uuid not null,
    to_id uuid not null,
    amount bigint not null check (amount > 0),
    amount_captured bigint not null,
    amount_reversed bigint not null,
    legs json,
    expires_at timestamptz,
    reference text,
    metadata json,
    reverses uuid,
    created_at timestamptz not null,
    primary key (bucket, id)
) partition by range (id);
create index transfers_tenant on transfers (tenant_id, id);
-- Few transfers are anything but posted, so these cost a posting nothing.
create index transfers_status on transfers (tenant_id, status, id)
    include (amount, currency) where status <> 0;
create index transfers_reference on transfers (tenant_id, reference, id)
    where reference is not null;
create index transfers_expiry on transfers (expires_at) where status = 1;

create table entries (
    bucket smallint not null,
    account_id uuid not null,
    version bigint not null,
    transfer_id uuid not null,
    amount bigint not null,
    balance_after bigint not null,
    held_after bigint not null,
    created_at timestamptz not null,
    primary key (bucket, account_id, version)
) partition by hash (bucket);
do $$ begin
    for n in 0..7 loop
        execute format('create table entries_%s partition of entries for values with '
            '(modulus 8, remainder %s)', n, n);
    end loop;
end $$;

create table events (
    stream smallint not null,
    seq bigint not null,
    id uuid not null,
    bucket smallint not null,
    tenant_id uuid not null,
    kind text not null,
    subject text not null,
    data json not null,
    occurred_at timestamptz not null,
    primary key (stream, seq, id)
) partition by range (id);

create table stream_heads (
    stream smallint primary key,
    seq bigint not null
) with (fillfactor = 10);
insert into stream_heads select n, 0 from generate_series(0, 15) n;

create table receipts (
    generation smallint not null,
    bucket smallint not null,
    key uuid not null,
    fingerprint uuid not null,
    transfer_id uuid,
    answer json,
    primary key (generation, bucket, key)
) partition by list (generation);
create table receipts_0 partition of receipts for values in (0);
create table receipts_1 partition of receipts for values in (1);
create table receipts_2 partition of receipts for values in (2);

create table relay_positions (
    relay text not null,
    stream smallint not null,
    seq bigint not null,
    primary key (relay, stream)
);

-- Least privilege: what serves requests may add to the books, never change or remove an entry or
-- an event. Migrations and partitions run as the database's owner.
do $$ begin
    if not exists (select from pg_roles where rolname = 'caudal_engine') then
        begin
            create role caudal_engine nologin;
        exception when duplicate_object or unique_violation then null;
        end;
    end if;
end $$;
grant caudal_engine to current_user;
grant usage on schema public to caudal_engine;
grant select on all tables in schema public to caudal_engine;
grant insert on entries, events, receipts, transfers, accounts, wallets, tenants, api_keys,
    relay_positions to caudal_engine;
grant update on accounts, transfers, wallets, tenants, api_keys, stream_heads, relay_positions
    to caudal_engine;
