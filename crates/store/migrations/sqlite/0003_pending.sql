alter table entries add column pending_after integer not null default 0;
alter table transfers add column available_at integer;
create index transfers_available on transfers (available_at) where available_at is not null;
