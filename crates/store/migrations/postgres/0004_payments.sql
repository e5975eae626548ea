-- Payments. No foreign keys, as with the other money tables. A payment's bucket is that of the
-- wallet it credits; refunds, disputes, sagas and attempts live in the bucket of their payment.
-- What has `bucket`, `id` and `version` may be an attachment of the engine's commands.
create table payments (
    bucket smallint not null,
    id uuid not null,
    tenant_id uuid not null,
    status text not null,
    type text not null,
    amount bigint not null check (amount > 0),
    currency text not null,
    amount_authorized bigint not null check (amount_authorized between 0 and amount),
    amount_captured bigint not null check (amount_captured between 0 and amount),
    amount_refunded bigint not null check (amount_refunded >= 0),
    amount_disputed bigint not null check (amount_disputed >= 0),
    fee bigint not null check (fee between 0 and amount),
    wallet_id uuid not null,
    from_id uuid,
    user_id uuid,
    payment_method text,
    manual_capture smallint not null check (manual_capture in (0, 1)),
    gateway_account_id uuid,
    gateway_reference text,
    transfer_id uuid,
    failure text,
    reference text,
    description text,
    metadata json,
    data json not null,
    available_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    version bigint not null,
    primary key (bucket, id),
    check (amount_refunded <= amount_captured)
) partition by range (id);
create index payments_tenant on payments (tenant_id, id);
-- Most payments have succeeded, so these cost a wallet's payment nothing.
create index payments_status on payments (tenant_id, status, id)
    include (amount, currency) where status <> 'succeeded';
create index payments_unfinished on payments (status, updated_at)
    where status not in ('succeeded', 'failed', 'canceled', 'blocked');
create index payments_type on payments (tenant_id, type, id);
create index payments_wallet on payments (wallet_id, id);
create index payments_from on payments (from_id, id) where from_id is not null;
create index payments_user on payments (user_id, id) where user_id is not null;
create index payments_reference on payments (tenant_id, reference, id)
    where reference is not null;
create index payments_gateway on payments (gateway_account_id, gateway_reference)
    where gateway_reference is not null;

create table refunds (
    bucket smallint not null,
    id uuid not null,
    tenant_id uuid not null,
    payment_id uuid not null,
    status text not null,
    amount bigint not null check (amount > 0),
    currency text not null,
    reason text,
    gateway_account_id uuid,
    gateway_reference text,
    transfer_id uuid,
    failure text,
    data json not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    version bigint not null,
    primary key (bucket, id)
);
create index refunds_tenant on refunds (tenant_id, id);
create index refunds_status on refunds (tenant_id, status, id)
    include (amount, currency) where status <> 'succeeded';
create index refunds_payment on refunds (bucket, payment_id, id);
create index refunds_gateway on refunds (gateway_account_id, gateway_reference)
    where gateway_reference is not null;

create table disputes (
    bucket smallint not null,
    id uuid not null,
    tenant_id uuid not null,
    payment_id uuid not null,
    status text not null,
    amount bigint not null check (amount > 0),
    currency text not null,
    reason text,
    gateway_account_id uuid not null,
    gateway_reference text not null,
    transfer_id uuid,
    evidence text,
    evidence_due_at timestamptz,
    data json not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    version bigint not null,
    primary key (bucket, id)
);
create index disputes_tenant on disputes (tenant_id, id);
create index disputes_status on disputes (tenant_id, status, id) include (amount, currency);
create index disputes_payment on disputes (bucket, payment_id, id);
-- Told of one dispute twice at the same time, we have one.
create unique index disputes_gateway on disputes (gateway_account_id, gateway_reference);

create table payouts (
    bucket smallint not null,
    id uuid not null,
    tenant_id uuid not null,
    wallet_id uuid not null,
    user_id uuid,
    status text not null,
    amount bigint not null check (amount > 0),
    currency text not null,
    destination text not null,
    gateway_account_id uuid,
    gateway_reference text,
    transfer_id uuid,
    failure text,
    description text,
    metadata json,
    data json not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    version bigint not null,
    primary key (bucket, id)
);
create index payouts_tenant on payouts (tenant_id, id);
create index payouts_status on payouts (tenant_id, status, id) include (amount, currency);
create index payouts_wallet on payouts (wallet_id, id);
create index payouts_user on payouts (user_id, id) where user_id is not null;
create index payouts_gateway on payouts (gateway_account_id, gateway_reference)
    where gateway_reference is not null;

create table sagas (
    bucket smallint not null,
    id uuid not null,
    tenant_id uuid not null,
    kind text not null,
    -- The payment, refund, payout … it is about.
    subject uuid not null,
    step text not null,
    data json not null,
    attempts bigint not null,
    -- A lease moves it to its end.
    next_at timestamptz not null,
    lease_until timestamptz,
    holder uuid,
    -- Counts leases: the fencing token.
    token bigint not null,
    outcome text,
    finished_at timestamptz,
    created_at timestamptz not null,
    version bigint not null,
    primary key (bucket, id)
) with (fillfactor = 70);
create index sagas_due on sagas (next_at) where finished_at is null;
create index sagas_holder on sagas (holder) where finished_at is null and holder is not null;
create index sagas_subject on sagas (tenant_id, subject, id);
create index sagas_finished on sagas (finished_at) where finished_at is not null;

create table payment_attempts (
    bucket smallint not null,
    payment_id uuid not null,
    number bigint not null,
    tenant_id uuid not null,
    gateway_account_id uuid not null,
    operation text not null,
    -- Our idempotency key at the gateway.
    key text not null,
    started_at timestamptz not null,
    ended_at timestamptz,
    outcome text,
    reference text,
    decline_code text,
    detail text,
    primary key (bucket, payment_id, number)
) with (fillfactor = 70);

create table payment_types (
    tenant_id uuid not null,
    id uuid not null,
    name text not null,
    active smallint not null check (active in (0, 1)),
    config json not null,
    version bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id),
    unique (tenant_id, name)
);
create index payment_types_active on payment_types (tenant_id, id) where active = 1;

create table gateway_accounts (
    tenant_id uuid not null,
    id uuid not null unique,
    kind text not null,
    name text not null,
    active smallint not null check (active in (0, 1)),
    config json not null,
    -- Sealed: credentials and webhook secrets.
    sealed text not null,
    version bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id),
    unique (tenant_id, name)
);

create table fraud_rules (
    tenant_id uuid not null,
    id uuid not null,
    position bigint not null,
    name text not null,
    expression text not null,
    action text not null,
    active smallint not null check (active in (0, 1)),
    version bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
);
create index fraud_rules_order on fraud_rules (tenant_id, position, id);

-- Stored before the gateway is answered, each once.
create table incoming_webhooks (
    gateway_account_id uuid not null,
    event_key text not null,
    tenant_id uuid not null,
    kind text not null,
    data text not null,
    attempts bigint not null default 0,
    received_at timestamptz not null,
    next_at timestamptz not null,
    done_at timestamptz,
    failed_at timestamptz,
    primary key (gateway_account_id, event_key)
);
create index incoming_webhooks_due on incoming_webhooks (next_at)
    where done_at is null and failed_at is null;
create index incoming_webhooks_received on incoming_webhooks (received_at);

create table webhook_endpoints (
    tenant_id uuid not null,
    id uuid not null,
    url text not null,
    events text not null,
    -- Sealed: the secret, and the one before it while both count.
    sealed text not null,
    failures bigint not null default 0,
    failing_since timestamptz,
    disabled_at timestamptz,
    disabled_why text,
    version bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
);
create index webhook_endpoints_enabled on webhook_endpoints (tenant_id, id)
    where disabled_at is null;

create table webhook_deliveries (
    id uuid primary key,
    tenant_id uuid not null,
    endpoint_id uuid not null,
    event_id uuid not null,
    kind text not null,
    body text not null,
    attempts bigint not null default 0,
    next_at timestamptz not null,
    delivered_at timestamptz,
    failed_at timestamptz,
    created_at timestamptz not null
) with (fillfactor = 70);
-- One for each event and endpoint, though many workers run.
create unique index webhook_deliveries_event on webhook_deliveries (endpoint_id, event_id);
create index webhook_deliveries_due on webhook_deliveries (next_at)
    where delivered_at is null and failed_at is null;
create index webhook_deliveries_endpoint on webhook_deliveries (tenant_id, endpoint_id, id);
create index webhook_deliveries_created on webhook_deliveries (created_at);

create table webhook_attempts (
    delivery_id uuid not null,
    number bigint not null,
    tenant_id uuid not null,
    at timestamptz not null,
    duration_ms bigint not null,
    status smallint,
    detail text,
    primary key (delivery_id, number)
);
create index webhook_attempts_at on webhook_attempts (at);

create table notifications (
    tenant_id uuid not null,
    id uuid not null,
    user_id uuid not null,
    event_id uuid not null,
    kind text not null,
    subject text not null,
    data json not null,
    created_at timestamptz not null,
    read_at timestamptz,
    primary key (tenant_id, id)
);
create unique index notifications_event on notifications (tenant_id, user_id, event_id);
create index notifications_user on notifications (tenant_id, user_id, id);
create index notifications_unread on notifications (tenant_id, user_id, id)
    where read_at is null;

create table schedules (
    tenant_id uuid not null,
    id uuid not null,
    user_id uuid,
    status text not null,
    payment json not null,
    rule json not null,
    runs bigint not null,
    -- Nothing is due without it.
    next_at timestamptz,
    last_payment_id uuid,
    version bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id)
);
create index schedules_due on schedules (next_at) where next_at is not null;
create index schedules_user on schedules (tenant_id, user_id, id) where user_id is not null;

create table uploads (
    tenant_id uuid not null,
    id uuid not null,
    user_id uuid,
    status text not null,
    format text not null,
    lines bigint not null,
    succeeded bigint not null default 0,
    failed bigint not null default 0,
    data json not null,
    -- Due while there is work; a claim puts it off.
    next_at timestamptz,
    version bigint not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (tenant_id, id),
    check (succeeded + failed <= lines)
);
create index uploads_due on uploads (next_at) where next_at is not null;

create table upload_lines (
    tenant_id uuid not null,
    upload_id uuid not null,
    number bigint not null,
    input text not null,
    status text not null,
    payment_id uuid,
    detail text,
    primary key (tenant_id, upload_id, number)
) with (fillfactor = 70);
create index upload_lines_pending on upload_lines (tenant_id, upload_id, number)
    where status = 'pending';

-- The platform's, not a tenant's. A rate is a decimal as text: nothing rounds it.
create table fx_rates (
    base text not null,
    quote text not null,
    at timestamptz not null,
    rate text not null,
    source text not null,
    primary key (base, quote, at)
);

create table fx_quotes (
    bucket smallint not null,
    id uuid not null,
    tenant_id uuid not null,
    user_id uuid,
    base text not null,
    quote text not null,
    rate text not null,
    amount_base bigint not null check (amount_base > 0),
    amount_quote bigint not null check (amount_quote > 0),
    expires_at timestamptz not null,
    used_at timestamptz,
    transfer_id uuid,
    created_at timestamptz not null,
    version bigint not null,
    primary key (bucket, id)
);
create index fx_quotes_tenant on fx_quotes (tenant_id, id);
create index fx_quotes_unused on fx_quotes (expires_at) where used_at is null;

create table inbox (
    consumer text not null,
    event_id uuid not null,
    at timestamptz not null,
    primary key (consumer, event_id)
);
create index inbox_at on inbox (at);

-- Business days of the tenant, as days since 1970.
create table daily_reports (
    tenant_id uuid not null,
    day integer not null,
    currency text not null,
    type text not null,
    status text not null,
    count bigint not null,
    amount bigint not null,
    captured bigint not null,
    refunded bigint not null,
    disputed bigint not null,
    fees bigint not null,
    primary key (tenant_id, day, currency, type, status)
) partition by hash (tenant_id);
do $$ begin
    for n in 0..3 loop
        execute format('create table daily_reports_%s partition of daily_reports for values with '
            '(modulus 4, remainder %s) with (fillfactor = 50)', n, n);
    end loop;
end $$;

-- What concerns money, and what it was sent through, is never deleted. Rows go where their end is
-- the point: finished work, what a tenant takes away, aggregates made anew.
grant select, insert on payments, refunds, disputes, payouts, sagas, payment_attempts,
    payment_types, gateway_accounts, fraud_rules, incoming_webhooks, webhook_endpoints,
    webhook_deliveries, webhook_attempts, notifications, schedules, uploads, upload_lines,
    fx_rates, fx_quotes, inbox, daily_reports to caudal_engine;
grant update on payments, refunds, disputes, payouts, sagas, payment_attempts, payment_types,
    gateway_accounts, fraud_rules, incoming_webhooks, webhook_endpoints, webhook_deliveries,
    notifications, schedules, uploads, upload_lines, fx_quotes, daily_reports to caudal_engine;
grant delete on sagas, payment_types, fraud_rules, incoming_webhooks, webhook_endpoints,
    webhook_deliveries, webhook_attempts, notifications, fx_quotes, inbox, daily_reports
    to caudal_engine;
