-- What gateways paid to the bank, each by the gateway's own name of it: booked once.
create table settlements (
    bucket smallint not null,
    id uuid not null,
    tenant_id uuid not null,
    gateway_account_id uuid not null,
    reference text not null,
    currency text not null,
    amount bigint not null,
    fee bigint not null,
    -- Null until it is booked.
    transfer_id uuid,
    created_at timestamptz not null,
    version bigint not null,
    primary key (bucket, id)
);
create unique index settlements_reference
    on settlements (tenant_id, gateway_account_id, reference, currency);
grant select, insert, update on settlements to caudal_engine;
