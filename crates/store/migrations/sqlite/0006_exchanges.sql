-- An exchange is two transfers, and the rate on record when it was made says what it was worth.
alter table fx_quotes add column market_rate text;
alter table fx_quotes add column credit_transfer_id blob;
create index fx_quotes_user on fx_quotes (tenant_id, user_id, id) where user_id is not null;
