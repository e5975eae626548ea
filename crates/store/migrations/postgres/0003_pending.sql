-- Money that came by card and is not there to spend yet. Plain transfers have none: no index of
-- theirs, and a default that costs old rows nothing.
alter table entries add column pending_after bigint not null default 0;
alter table transfers add column available_at timestamptz;
create index transfers_available on transfers (available_at) where available_at is not null;
