-- Fraud rules count the payments by one token of a gateway; those of users and wallets have indices.
create index payments_method on payments (payment_method, id) where payment_method is not null;
