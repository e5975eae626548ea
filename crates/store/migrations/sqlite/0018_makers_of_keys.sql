-- Who made a key: whoever revokes a key may revoke what it made with it.
alter table api_keys add column made_by_kind text;
alter table api_keys add column made_by blob;
create index api_keys_made_by on api_keys (tenant_id, made_by) where made_by is not null;
