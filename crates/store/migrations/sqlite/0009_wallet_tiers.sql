-- Which tier a wallet is of, and what was taken from it this day and this month. Goes along with
-- what is taken, as an attachment of the engine's commands.
create table wallet_tiers (
    bucket integer not null,
    id blob not null,
    tenant_id blob not null,
    tier text,
    -- Days since 1970, months since the year 0, of UTC.
    day integer not null,
    day_used integer not null check (day_used >= 0),
    month integer not null,
    month_used integer not null check (month_used >= 0),
    version integer not null,
    primary key (bucket, id)
) strict, without rowid;
create index wallet_tiers_tier on wallet_tiers (tenant_id, tier) where tier is not null;
