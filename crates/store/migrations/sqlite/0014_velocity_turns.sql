-- Whose turn it is to be counted by a fraud rule. Goes along with every payment that was judged by
-- such a count, as an attachment of the engine's commands.
create table velocity_turns (
    bucket integer not null,
    -- A hash of the tenant and of whose payments are counted.
    id blob not null,
    taken_at integer not null,
    version integer not null,
    primary key (bucket, id)
) strict, without rowid;
