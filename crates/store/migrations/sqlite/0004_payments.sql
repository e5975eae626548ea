-- Payments. No foreign keys, as with the other money tables. A payment's bucket is that of the
-- wallet it credits; refunds, disputes, sagas and attempts live in the bucket of their payment.
-- What has `bucket`, `id` and `version` may be an attachment of the engine's commands.
create table payments (
    bucket integer not null,
    id blob not null,
    tenant_id blob not null,
    status text not null,
    type text not null,
    amount integer not null check (amount > 0),
    currency text not null,
    amount_authorized integer not null check (amount_authorized between 0 and amount),
    amount_captured integer not null check (amount_captured between 0 and amount),
    amount_refunded integer not null check (amount_refunded >= 0),
    amount_disputed integer not null check (amount_disputed >= 0),
    fee integer not null check (fee between 0 and amount),
    wallet_id blob not null,
    from_id blob,
    user_id blob,
    payment_method text,
    manual_capture integer not null check (manual_capture in (0, 1)),
    gateway_account_id blob,
    gateway_reference text,
    transfer_id blob,
    failure text,
    reference text,
    description text,
    metadata text,
    data text not null,
    available_at integer,
    created_at integer not null,
    updated_at integer not null,
    version integer not null,
    primary key (bucket, id),
    check (amount_refunded <= amount_captured)
) strict;
create index payments_tenant on payments (tenant_id, id);
-- Most payments have succeeded, so these cost a wallet's payment nothing.
create index payments_status on payments (tenant_id, status, id)
    where status <> 'succeeded';
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
    bucket integer not null,
    id blob not null,
    tenant_id blob not null,
    payment_id blob not null,
    status text not null,
    amount integer not null check (amount > 0),
    currency text not null,
    reason text,
    gateway_account_id blob,
    gateway_reference text,
    transfer_id blob,
    failure text,
    data text not null,
    created_at integer not null,
    updated_at integer not null,
    version integer not null,
    primary key (bucket, id)
) strict, without rowid;
create index refunds_tenant on refunds (tenant_id, id);
create index refunds_status on refunds (tenant_id, status, id)
    where status <> 'succeeded';
create index refunds_payment on refunds (bucket, payment_id, id);
create index refunds_gateway on refunds (gateway_account_id, gateway_reference)
    where gateway_reference is not null;

create table disputes (
    bucket integer not null,
    id blob not null,
    tenant_id blob not null,
    payment_id blob not null,
    status text not null,
    amount integer not null check (amount > 0),
    currency text not null,
    reason text,
    gateway_account_id blob not null,
    gateway_reference text not null,
    transfer_id blob,
    evidence text,
    evidence_due_at integer,
    data text not null,
    created_at integer not null,
    updated_at integer not null,
    version integer not null,
    primary key (bucket, id)
) strict, without rowid;
create index disputes_tenant on disputes (tenant_id, id);
create index disputes_status on disputes (tenant_id, status, id);
create index disputes_payment on disputes (bucket, payment_id, id);
-- Told of one dispute twice at the same time, we have one.
create unique index disputes_gateway on disputes (gateway_account_id, gateway_reference);

create table payouts (
    bucket integer not null,
    id blob not null,
    tenant_id blob not null,
    wallet_id blob not null,
    user_id blob,
    status text not null,
    amount integer not null check (amount > 0),
    currency text not null,
    destination text not null,
    gateway_account_id blob,
    gateway_reference text,
    transfer_id blob,
    failure text,
    description text,
    metadata text,
    data text not null,
    created_at integer not null,
    updated_at integer not null,
    version integer not null,
    primary key (bucket, id)
) strict, without rowid;
create index payouts_tenant on payouts (tenant_id, id);
create index payouts_status on payouts (tenant_id, status, id);
create index payouts_wallet on payouts (wallet_id, id);
create index payouts_user on payouts (user_id, id) where user_id is not null;
create index payouts_gateway on payouts (gateway_account_id, gateway_reference)
    where gateway_reference is not null;

create table sagas (
    bucket integer not null,
    id blob not null,
    tenant_id blob not null,
    kind text not null,
    -- The payment, refund, payout … it is about.
    subject blob not null,
    step text not null,
    data text not null,
    attempts integer not null,
    -- A lease moves it to its end.
    next_at integer not null,
    lease_until integer,
    holder blob,
    -- Counts leases: the fencing token.
    token integer not null,
    outcome text,
    finished_at integer,
    created_at integer not null,
    version integer not null,
    primary key (bucket, id)
) strict, without rowid;
create index sagas_due on sagas (next_at) where finished_at is null;
create index sagas_holder on sagas (holder) where finished_at is null and holder is not null;
create index sagas_subject on sagas (tenant_id, subject, id);
create index sagas_finished on sagas (finished_at) where finished_at is not null;

create table payment_attempts (
    bucket integer not null,
    payment_id blob not null,
    number integer not null,
    tenant_id blob not null,
    gateway_account_id blob not null,
    operation text not null,
    -- Our idempotency key at the gateway.
    key text not null,
    started_at integer not null,
    ended_at integer,
    outcome text,
    reference text,
    decline_code text,
    detail text,
    primary key (bucket, payment_id, number)
) strict, without rowid;

create table payment_types (
    tenant_id blob not null,
    id blob not null,
    name text not null,
    active integer not null check (active in (0, 1)),
    config text not null,
    version integer not null,
    created_at integer not null,
    updated_at integer not null,
    primary key (tenant_id, id),
    unique (tenant_id, name)
) strict, without rowid;
create index payment_types_active on payment_types (tenant_id, id) where active = 1;

create table gateway_accounts (
    tenant_id blob not null,
    id blob not null unique,
    kind text not null,
    name text not null,
    active integer not null check (active in (0, 1)),
    config text not null,
    -- Sealed: credentials and webhook secrets.
    sealed text not null,
    version integer not null,
    created_at integer not null,
    updated_at integer not null,
    primary key (tenant_id, id),
    unique (tenant_id, name)
) strict, without rowid;

create table fraud_rules (
    tenant_id blob not null,
    id blob not null,
    position integer not null,
    name text not null,
    expression text not null,
    action text not null,
    active integer not null check (active in (0, 1)),
    version integer not null,
    created_at integer not null,
    updated_at integer not null,
    primary key (tenant_id, id)
) strict, without rowid;
create index fraud_rules_order on fraud_rules (tenant_id, position, id);

-- Stored before the gateway is answered, each once.
create table incoming_webhooks (
    gateway_account_id blob not null,
    event_key text not null,
    tenant_id blob not null,
    kind text not null,
    data text not null,
    attempts integer not null default 0,
    received_at integer not null,
    next_at integer not null,
    done_at integer,
    failed_at integer,
    primary key (gateway_account_id, event_key)
) strict;
create index incoming_webhooks_due on incoming_webhooks (next_at)
    where done_at is null and failed_at is null;
create index incoming_webhooks_received on incoming_webhooks (received_at);

create table webhook_endpoints (
    tenant_id blob not null,
    id blob not null,
    url text not null,
    events text not null,
    -- Sealed: the secret, and the one before it while both count.
    sealed text not null,
    failures integer not null default 0,
    failing_since integer,
    disabled_at integer,
    disabled_why text,
    version integer not null,
    created_at integer not null,
    updated_at integer not null,
    primary key (tenant_id, id)
) strict, without rowid;
create index webhook_endpoints_enabled on webhook_endpoints (tenant_id, id)
    where disabled_at is null;

create table webhook_deliveries (
    id blob primary key not null,
    tenant_id blob not null,
    endpoint_id blob not null,
    event_id blob not null,
    kind text not null,
    body text not null,
    attempts integer not null default 0,
    next_at integer not null,
    delivered_at integer,
    failed_at integer,
    created_at integer not null
) strict;
-- One for each event and endpoint, though many workers run.
create unique index webhook_deliveries_event on webhook_deliveries (endpoint_id, event_id);
create index webhook_deliveries_due on webhook_deliveries (next_at)
    where delivered_at is null and failed_at is null;
create index webhook_deliveries_endpoint on webhook_deliveries (tenant_id, endpoint_id, id);
create index webhook_deliveries_created on webhook_deliveries (created_at);

create table webhook_attempts (
    delivery_id blob not null,
    number integer not null,
    tenant_id blob not null,
    at integer not null,
    duration_ms integer not null,
    status integer,
    detail text,
    primary key (delivery_id, number)
) strict, without rowid;
create index webhook_attempts_at on webhook_attempts (at);

create table notifications (
    tenant_id blob not null,
    id blob not null,
    user_id blob not null,
    event_id blob not null,
    kind text not null,
    subject text not null,
    data text not null,
    created_at integer not null,
    read_at integer,
    primary key (tenant_id, id)
) strict, without rowid;
create unique index notifications_event on notifications (tenant_id, user_id, event_id);
create index notifications_user on notifications (tenant_id, user_id, id);
create index notifications_unread on notifications (tenant_id, user_id, id)
    where read_at is null;

create table schedules (
    tenant_id blob not null,
    id blob not null,
    user_id blob,
    status text not null,
    payment text not null,
    rule text not null,
    runs integer not null,
    -- Nothing is due without it.
    next_at integer,
    last_payment_id blob,
    version integer not null,
    created_at integer not null,
    updated_at integer not null,
    primary key (tenant_id, id)
) strict, without rowid;
create index schedules_due on schedules (next_at) where next_at is not null;
create index schedules_user on schedules (tenant_id, user_id, id) where user_id is not null;

create table uploads (
    tenant_id blob not null,
    id blob not null,
    user_id blob,
    status text not null,
    format text not null,
    lines integer not null,
    succeeded integer not null default 0,
    failed integer not null default 0,
    data text not null,
    -- Due while there is work; a claim puts it off.
    next_at integer,
    version integer not null,
    created_at integer not null,
    updated_at integer not null,
    primary key (tenant_id, id),
    check (succeeded + failed <= lines)
) strict;
create index uploads_due on uploads (next_at) where next_at is not null;

create table upload_lines (
    tenant_id blob not null,
    upload_id blob not null,
    number integer not null,
    input text not null,
    status text not null,
    payment_id blob,
    detail text,
    primary key (tenant_id, upload_id, number)
) strict;
create index upload_lines_pending on upload_lines (tenant_id, upload_id, number)
    where status = 'pending';

-- The platform's, not a tenant's. A rate is a decimal as text: nothing rounds it.
create table fx_rates (
    base text not null,
    quote text not null,
    at integer not null,
    rate text not null,
    source text not null,
    primary key (base, quote, at)
) strict, without rowid;

create table fx_quotes (
    bucket integer not null,
    id blob not null,
    tenant_id blob not null,
    user_id blob,
    base text not null,
    quote text not null,
    rate text not null,
    amount_base integer not null check (amount_base > 0),
    amount_quote integer not null check (amount_quote > 0),
    expires_at integer not null,
    used_at integer,
    transfer_id blob,
    created_at integer not null,
    version integer not null,
    primary key (bucket, id)
) strict, without rowid;
create index fx_quotes_tenant on fx_quotes (tenant_id, id);
create index fx_quotes_unused on fx_quotes (expires_at) where used_at is null;

create table inbox (
    consumer text not null,
    event_id blob not null,
    at integer not null,
    primary key (consumer, event_id)
) strict, without rowid;
create index inbox_at on inbox (at);

-- Business days of the tenant, as days since 1970.
create table daily_reports (
    tenant_id blob not null,
    day integer not null,
    currency text not null,
    type text not null,
    status text not null,
    count integer not null,
    amount integer not null,
    captured integer not null,
    refunded integer not null,
    disputed integer not null,
    fees integer not null,
    primary key (tenant_id, day, currency, type, status)
) strict, without rowid;
