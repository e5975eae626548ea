-- What of each payment is in the daily sums: when it changes, this is taken off again. The day stays
-- the one it was first counted on.
create table reported_payments (
    bucket integer not null,
    payment_id blob not null,
    tenant_id blob not null,
    day integer not null,
    currency text not null,
    type text not null,
    status text not null,
    amount integer not null,
    captured integer not null,
    refunded integer not null,
    disputed integer not null,
    fees integer not null,
    primary key (bucket, payment_id)
) strict, without rowid;
