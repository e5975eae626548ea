-- Sums outgrow an integer where their payments are large: their higher bits are summed apart, and the sum
-- is high * 2^32 + low.
alter table daily_reports add column amount_high integer not null default 0;
alter table daily_reports add column captured_high integer not null default 0;
alter table daily_reports add column refunded_high integer not null default 0;
alter table daily_reports add column disputed_high integer not null default 0;
alter table daily_reports add column fees_high integer not null default 0;
update daily_reports set
    amount_high = amount >> 32, amount = amount & 4294967295,
    captured_high = captured >> 32, captured = captured & 4294967295,
    refunded_high = refunded >> 32, refunded = refunded & 4294967295,
    disputed_high = disputed >> 32, disputed = disputed & 4294967295,
    fees_high = fees >> 32, fees = fees & 4294967295;
