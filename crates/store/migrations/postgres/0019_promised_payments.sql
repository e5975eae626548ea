-- Whoever ends promises looks for the oldest: a payment's id tells when it was made. Nobody else
-- looked for unfinished ones.
create index payments_promised on payments (id) where status = 'requires_capture';
drop index payments_unfinished;
