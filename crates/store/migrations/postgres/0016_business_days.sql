-- The day a payment was made on goes with it, and its events say what they change of it: the daily
-- sums need no book of their own of what each payment was counted as.
alter table payments add column business_day bigint not null default 0;
update payments p set business_day = coalesce(
    (select r.day from reported_payments r where r.bucket = p.bucket and r.payment_id = p.id),
    cast(floor(extract(epoch from p.created_at) / 86400) as bigint));
alter table payments alter column business_day drop default;
drop table reported_payments;
