-- Every process looks twice a second for changes of people, roles and settings: it must not read the
-- thousands of events of money between them.
create index events_quiet on events (stream, seq)
    where kind not like 'transfer.%' and kind not like 'wallet.%' and kind not like 'payment.%';
