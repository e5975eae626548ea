-- Wrong proofs in sessions, apart from those at the door.
alter table users add column failed_proofs integer not null default 0;
alter table users add column proofs_locked_until timestamptz;
-- What a deactivated user was before, to be that again.
alter table users add column deactivated_from text;
