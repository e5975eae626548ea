-- What gateways paid to the bank, each by the gateway's own name of it: booked once.
create table settlements (
    bucket integer not null,
    id blob not null,
    tenant_id blob not null,
    gateway_account_id blob not null,
    reference text not null,
    currency text not null,
    amount integer not null,
    fee integer not null,
    -- Null until it is booked.
    transfer_id blob,
    created_at integer not null,
    version integer not null,
    primary key (bucket, id)
) strict, without rowid;
create unique index settlements_reference
    on settlements (tenant_id, gateway_account_id, reference, currency);
