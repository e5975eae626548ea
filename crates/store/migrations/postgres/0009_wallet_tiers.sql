-- Which tier a wallet is of, and what was taken from it this day and this month. Goes along with
-- what is taken, as an attachment of the engine's commands.
create table wallet_tiers (
    bucket smallint not null,
    id uuid not null,
    tenant_id uuid not null,
    tier text,
    -- Days since 1970, months since the year 0, of UTC.
    day bigint not null,
    day_used bigint not null check (day_used >= 0),
    month bigint not null,
    month_used bigint not null check (month_used >= 0),
    version bigint not null,
    primary key (bucket, id)
);
create index wallet_tiers_tier on wallet_tiers (tenant_id, tier) where tier is not null;
grant select, insert, update on wallet_tiers to caudal_engine;
