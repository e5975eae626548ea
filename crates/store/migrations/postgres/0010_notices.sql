-- The consumer `notices` makes deliveries, notifications and receipts of what happens from now on:
-- nobody is told of what was long before there was anybody to tell them.
insert into relay_positions (relay, stream, seq) select 'notices', stream, seq from stream_heads;
