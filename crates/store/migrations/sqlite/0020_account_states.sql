-- What is on an account is what its last entry says. A row of its own that changed with every entry
-- would be one more page for the WAL with each.
-- Where the two differ the books are not whole: nothing is changed then.
create table differences (
    accounts integer not null,
    constraint "accounts differ from their last entries; reconcile by the version before this one"
        check (accounts = 0)
) strict;
insert into differences
    select count(*) from accounts a left join entries e on e.account_id = a.id
        and e.version = (select max(version) from entries where account_id = a.id)
    where (a.total, a.held, a.pending, a.version) is not (coalesce(e.balance_after, 0),
        coalesce(e.held_after, 0), coalesce(e.pending_after, 0), coalesce(e.version, 0));
drop table differences;
create table accounts_without_balances (
    bucket integer not null,
    id blob not null,
    tenant_id blob not null,
    kind integer not null,
    currency text not null,
    status integer not null,
    floor integer,
    updated_at integer not null,
    primary key (id)
) strict, without rowid;
insert into accounts_without_balances
    select bucket, id, tenant_id, kind, currency, status, floor, updated_at from accounts;
drop table accounts;
alter table accounts_without_balances rename to accounts;
create view account_states as
    select a.bucket, a.id, a.tenant_id, a.kind, a.currency, a.status, a.floor,
        coalesce(e.balance_after, 0) as total, coalesce(e.held_after, 0) as held,
        coalesce(e.pending_after, 0) as pending, coalesce(e.version, 0) as version,
        max(a.updated_at, coalesce(e.created_at, 0)) as updated_at
    from accounts a left join entries e on e.account_id = a.id
        and e.version = (select max(version) from entries where account_id = a.id);
