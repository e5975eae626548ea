-- The day a payment was made on goes with it, and its events say what they change of it: the daily
-- sums need no book of their own of what each payment was counted as.
alter table payments add column business_day integer not null default 0;
update payments set business_day = coalesce(
    (select r.day from reported_payments r
     where r.bucket = payments.bucket and r.payment_id = payments.id),
    created_at / 86400000000);
drop table reported_payments;
