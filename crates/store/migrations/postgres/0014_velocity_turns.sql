-- Whose turn it is to be counted by a fraud rule. Goes along with every payment that was judged by
-- such a count, as an attachment of the engine's commands.
create table velocity_turns (
    bucket smallint not null,
    -- A hash of the tenant and of whose payments are counted.
    id uuid not null,
    taken_at timestamptz not null,
    version bigint not null,
    primary key (bucket, id)
);
grant select, insert, update, delete on velocity_turns to caudal_engine;
