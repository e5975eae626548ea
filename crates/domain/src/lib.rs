//! Caudal's nouns. Plain values with their rules; no I/O, no async, no clock, no chance.
//!
//! Reading order: [`id`] (an id says when and where its row lives), [`money`], [`time`], then the
//! nouns: [`tenant`], [`account`], [`wallet`], [`transfer`], [`event`], and [`refusal`], the one
//! list of reasons for which Caudal says no. The customer's business: [`payment`],
//! [`payment_type`], [`fee`], [`rate`], [`quote`], [`schedule`], [`business_day`], [`fraud_rule`].
//! People: [`user`], [`session`], [`role`], [`service_account`], [`access`] (what they may),
//! [`code`], [`audit`] (what they did), [`mail`]. What the tenant is told: [`webhook_endpoint`].

pub mod access;
pub mod account;
pub mod audit;
pub mod business_day;
pub mod code;
pub mod event;
pub mod fee;
pub mod fraud_rule;
pub mod id;
pub mod key;
pub mod mail;
pub mod money;
pub mod payment;
pub mod payment_type;
pub mod quote;
pub mod rate;
pub mod refusal;
pub mod role;
pub mod schedule;
pub mod service_account;
pub mod session;
pub mod tenant;
pub mod text;
pub mod time;
pub mod transfer;
pub mod user;
pub mod wallet;
pub mod webhook_endpoint;

pub use account::{Account, AccountKind, AccountStatus, Chart};
pub use audit::{Actor, AuditRecord};
pub use business_day::{BusinessCalendar, BusinessDay, CutOff};
pub use code::CodePurpose;
pub use event::Event;
pub use fraud_rule::{FraudAction, FraudRule};
pub use id::{
    AccountId, ApiKeyId, AuditId, Bucket, DeliveryId, DisputeId, EventId, FraudRuleId,
    GatewayAccountId, IdSource, MailId, NotificationId, PaymentId, PaymentTypeId, PayoutId,
    QuoteId, RefundId, RoleId, SagaId, ScheduleId, ServiceAccountId, SessionId, TenantId,
    TransferId, UploadId, UserId, WebhookEndpointId,
};
pub use key::{Fingerprint, ReceiptKey};
pub use mail::{Mail, MailTemplate};
pub use money::{Amount, Currency, MAX_AMOUNT};
pub use payment_type::PaymentType;
pub use quote::{Quote, UsedQuote};
pub use rate::{Rate, RateOnRecord};
pub use refusal::Refusal;
pub use role::{Role, RoleRef, SystemRole};
pub use schedule::{Every, Recurrence};
pub use service_account::ServiceAccount;
pub use session::Session;
pub use tenant::{
    FraudConfig, LimitsConfig, Mode, NotificationsConfig, OnFailure, Placement, RateLimits, Tenant,
    TenantConfig, TierLimits,
};
pub use time::{Clock, Timestamp};
pub use transfer::{Entry, Leg, Transfer, TransferKind, TransferStatus};
pub use user::{User, UserStatus};
pub use wallet::Wallet;
pub use webhook_endpoint::WebhookEndpoint;
