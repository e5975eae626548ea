-- Notices and reports read on as money moves: they must not read the thousands of transfers' events
-- between those that concern them.
create index events_beside_transfers on events (stream, seq) where kind not like 'transfer.%';
