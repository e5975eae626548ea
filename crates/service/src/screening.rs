//! Fraud rules at work: every payment is screened before anything is held or sent.
//!
//! A tenant's active rules are compiled once and remembered for [`KNOWN_FOR`], and forgotten at
//! once by the events that change them (see `tokens.rs`). Without a rule nothing is read. What
//! rules look at (wallet, payer, velocity, rates) is read only if one of them mentions it.

use std::{sync::Arc, time::Duration};

use caudal_domain::{
    AccountId, Currency, Event, FraudRule, FraudRuleId, OnFailure, PaymentId, TenantId, Timestamp,
    event::kinds, id::lowest_at,
};
use caudal_rules::{
    Counted, Facts, Finding, Mentions, PaymentFacts, Ranked, Rule, RuleSet, UserFacts, Velocity,
    Verdict, WalletFacts, Windows,
};
use caudal_store::{
    fraud_rules,
    payments::PaymentRow,
    rates, users,
    velocity::{self, Counts, Range, Whose},
    wallets,
};
use moka::future::Cache;
use serde::Serialize;

use crate::{
    Service, ServiceError,
    unit::Subject,
    velocity_turns::{Counting, method_of, payer_of, wallet_of},
};

/// How long rules are believed when no event tells otherwise.
const KNOWN_FOR: Duration = Duration::from_secs(10 * 60);
/// Tenants whose rules are remembered at once.
const REMEMBERED: u64 = 10_000;
/// More than a tenant may have active ([`crate::fraud_rules::ACTIVE_MOST`]), so that none that
/// came by a race is passed over.
const READ_MOST: i64 = 1_000;
const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 24 * HOUR_S;

/// A payment to be judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screening<'a> {
    /// As it would be stored.
    pub payment: &'a PaymentRow,
    pub at: Timestamp,
    /// Payments of ids below this one count as those before it.
    pub before: u128,
}

impl<'a> Screening<'a> {
    /// Of a payment that is being made.
    pub fn new(payment: &'a PaymentRow, at: Timestamp) -> Self {
        Self { payment, at, before: u128::MAX }
    }

    /// Of one that was made, as it was then.
    pub fn past(payment: &'a PaymentRow) -> Self {
        Self { payment, at: payment.created_at, before: payment.id.0 }
    }

    /// The wallet that rules look at: the one debited, else the one credited.
    fn wallet(&self) -> AccountId {
        self.payment.from.unwrap_or(self.payment.wallet)
    }
}

/// What becomes of a payment, and the turn that is kept until it is written.
pub(crate) struct Judged {
    pub verdict: Verdict,
    pub counting: Counting,
}

/// Compiled rules by tenant; a tenant without rules is remembered too.
pub(crate) struct KnownRules(Cache<TenantId, Arc<RuleSet>>);

impl KnownRules {
    pub fn new() -> Self {
        Self(Cache::builder().max_capacity(REMEMBERED).time_to_live(KNOWN_FOR).build())
    }

    /// One of the tenant's has changed.
    pub async fn forget(&self, tenant: TenantId) {
        self.0.invalidate(&tenant).await;
    }
}

/// Neither the wallet nor the user by the names that show an event to a wallet holder: whoever is
/// suspected is not told.
#[derive(Serialize)]
struct SuspicionData {
    payment_id: PaymentId,
    rule_id: FraudRuleId,
    /// What becomes of the payment.
    outcome: &'static str,
    /// The rule held, or it could not be evaluated.
    reason: &'static str,
    amount: i64,
    currency: Currency,
}

impl Service {
    /// What the tenant's rules say of the payment, and the turn in which they count. What can't be
    /// judged goes to review, or is blocked if the tenant says so.
    pub(crate) async fn screen(&self, screening: &Screening<'_>) -> Result<Judged, ServiceError> {
        let rules = self.rule_set(screening.payment.tenant).await?;
        if rules.is_empty() {
            return Ok(Judged { verdict: Verdict::Allow, counting: Counting::default() });
        }
        let counting = self.count_in_turn(screening.payment, rules.mentions()).await?;
        let verdict = self.judge(screening, &rules).await?;
        Ok(Judged { verdict, counting })
    }

    async fn judge(
        &self,
        screening: &Screening<'_>,
        rules: &RuleSet,
    ) -> Result<Verdict, ServiceError> {
        let tenant = screening.payment.tenant;
        let facts = self.facts(screening, rules.mentions()).await?;
        let verdict = rules.judge(&facts, |rule, why| {
            tracing::warn!(%tenant, %rule, why, "a fraud rule failed: its payment does not go on");
        });
        match verdict {
            Verdict::Review(finding) if finding.has_failed => {
                let config = self.tenant_config(tenant).await?;
                Ok(match config.fraud.unwrap_or_default().on_failure {
                    OnFailure::Review => verdict,
                    OnFailure::Block => Verdict::Block(finding),
                })
            }
            verdict => Ok(verdict),
        }
    }

    /// What is told in the commit of a payment that is not let through.
    pub(crate) fn suspicion(
        &self,
        screening: &Screening<'_>,
        verdict: Verdict,
    ) -> Result<Option<Event>, ServiceError> {
        let (finding, outcome) = match verdict {
            Verdict::Allow => return Ok(None),
            Verdict::Review(finding) => (finding, "review"),
            Verdict::Block(finding) => (finding, "block"),
        };
        let Finding { rule, has_failed } = finding;
        let PaymentRow { id, tenant, amount, currency, .. } = *screening.payment;
        let data = SuspicionData {
            payment_id: id,
            rule_id: rule,
            outcome,
            reason: if has_failed { "rule_failed" } else { "rule" },
            amount,
            currency,
        };
        let kind = kinds::ACTIVITY_SUSPICIOUS;
        self.event(&Subject { kind, tenant, id: id.0, text: &id, at: screening.at }, &data)
            .map(Some)
    }

    async fn rule_set(&self, tenant: TenantId) -> Result<Arc<RuleSet>, ServiceError> {
        let known = &self.inner.rules.0;
        if let Some(found) = known.get(&tenant).await {
            return Ok(found);
        }
        let before = self.changes();
        // Many at once ask the database once.
        let found = known.try_get_with(tenant, self.read_rules(tenant)).await;
        let found = found.map_err(|error| ServiceError::clone(&error))?;
        if self.changes() != before {
            // What was read may be what has just changed.
            known.invalidate(&tenant).await;
        }
        Ok(found)
    }

    async fn read_rules(&self, tenant: TenantId) -> Result<Arc<RuleSet>, ServiceError> {
        let rows = fraud_rules::active(self.store(), tenant, READ_MOST).await?;
        let compile = |row: FraudRule| Ranked {
            id: row.id,
            action: row.action,
            rule: Rule::compile(&row.expression),
        };
        Ok(Arc::new(RuleSet::new(rows.into_iter().map(compile).collect())))
    }

    /// What is known of the payment, as far as it is looked at.
    pub(crate) async fn facts<'a>(
        &self,
        screening: &Screening<'a>,
        mentions: &Mentions,
    ) -> Result<Facts<'a>, ServiceError> {
        let payment = screening.payment;
        let mut facts = Facts::of(PaymentFacts {
            amount: payment.amount,
            currency: payment.currency,
            kind: &payment.kind,
            description: payment.description.as_deref(),
            metadata: &payment.metadata,
        });
        if mentions.wallet {
            facts.wallet = self.wallet_facts(screening).await?;
        }
        if mentions.user {
            facts.user = self.user_facts(screening).await?;
        }
        facts.velocity = self.velocity(screening, mentions).await?;
        for currency in &mentions.currencies {
            if let Some(amount) = self.amount_in(screening, *currency).await? {
                facts.amounts.insert(*currency, amount);
            }
        }
        Ok(facts)
    }

    async fn wallet_facts(&self, screening: &Screening<'_>) -> Result<WalletFacts, ServiceError> {
        let tenant = screening.payment.tenant;
        let found = wallets::find(self.store(), tenant, screening.wallet()).await?;
        Ok(found.map_or_else(WalletFacts::default, |wallet| WalletFacts {
            id: wallet.account.id.to_string(),
            currency: wallet.account.currency.code().into(),
            status: wallet.account.status.name(),
            available: wallet.account.available(),
            age_h: hours(wallet.created_at, screening.at),
        }))
    }

    async fn user_facts(&self, screening: &Screening<'_>) -> Result<UserFacts, ServiceError> {
        let PaymentRow { tenant, user: Some(user), .. } = *screening.payment else {
            return Ok(UserFacts::default());
        };
        let found = users::find(self.store(), tenant, user).await?;
        Ok(found.map_or_else(UserFacts::default, |user| UserFacts {
            is_known: true,
            id: user.id.to_string(),
            status: user.status.name(),
            is_verified: user.email_verified_at.is_some(),
            age_h: hours(user.created_at, screening.at),
        }))
    }

    async fn velocity(
        &self,
        screening: &Screening<'_>,
        mentions: &Mentions,
    ) -> Result<Velocity, ServiceError> {
        let payment = screening.payment;
        let mut found = Velocity::default();
        if mentions.payer_velocity {
            found.payer = self.count_payments(screening, payer_of(payment)).await?;
        }
        if mentions.wallet_velocity {
            found.wallet = self.count_payments(screening, Some(wallet_of(payment))).await?;
        }
        if mentions.method_velocity {
            found.method = self.count_payments(screening, method_of(payment)).await?;
        }
        Ok(found)
    }

    async fn count_payments(
        &self,
        screening: &Screening<'_>,
        whose: Option<Whose<'_>>,
    ) -> Result<Windows, ServiceError> {
        let Some(whose) = whose else { return Ok(Windows::default()) };
        let range = Range {
            tenant: screening.payment.tenant,
            from: lowest_at(screening.at.plus_seconds(-DAY_S)),
            recent: lowest_at(screening.at.plus_seconds(-HOUR_S)),
            before: screening.before,
            currency: screening.payment.currency,
        };
        let Counts { count, sum, recent_count, recent_sum } =
            velocity::count(self.store(), whose, &range).await?;
        Ok(Windows {
            hour: Counted { count: recent_count, sum: recent_sum },
            day: Counted { count, sum },
        })
    }

    /// What the amount was worth then, rounded half to even.
    async fn amount_in(
        &self,
        screening: &Screening<'_>,
        currency: Currency,
    ) -> Result<Option<i64>, ServiceError> {
        let PaymentRow { amount, currency: own, .. } = *screening.payment;
        let found = rates::find(self.store(), (own, currency), screening.at).await?;
        Ok(found.and_then(|found| found.rate.nearest(amount, own, currency)))
    }
}

/// Whole hours from one to the other.
fn hours(from: Timestamp, to: Timestamp) -> i64 {
    (to.micros() - from.micros()).max(0) / 1_000_000 / HOUR_S
}
