-- Accounts as they are read: here the row that is locked holds what is on it.
alter table accounts
    alter column total set default 0,
    alter column held set default 0,
    alter column pending set default 0,
    alter column version set default 0;
create view account_states as
    select bucket, id, tenant_id, kind, currency, status, floor, total, held, pending, version,
        updated_at from accounts;
grant select on account_states to caudal_engine;
