-- What of each payment is in the daily sums: when it changes, this is taken off again. The day stays
-- the one it was first counted on.
create table reported_payments (
    bucket smallint not null,
    payment_id uuid not null,
    tenant_id uuid not null,
    day bigint not null,
    currency text not null,
    type text not null,
    status text not null,
    amount bigint not null,
    captured bigint not null,
    refunded bigint not null,
    disputed bigint not null,
    fees bigint not null,
    primary key (bucket, payment_id)
);
grant select, insert, update on reported_payments to caudal_engine;
