-- Service accounts can be deleted.
grant delete on service_accounts to caudal_engine;
