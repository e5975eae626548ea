//! A payment that nobody made, for an author who tries a rule.

use caudal_domain::{
    AccountId, Amount, BusinessDay, Currency, PaymentId, Timestamp, UserId,
    payment::{PaymentAmounts, PaymentStatus},
    text::Metadata,
};
use caudal_store::{payments::PaymentRow, users};

use crate::{Caller, Service, ServiceError};

/// As much of a payment as rules look at; who is named must be there.
#[derive(Clone, Debug)]
pub struct MadeUp {
    pub kind: String,
    pub amount: Amount,
    pub currency: Currency,
    pub from: Option<AccountId>,
    pub to: Option<AccountId>,
    /// The payer; the paying wallet's user, if not given.
    pub user: Option<UserId>,
    pub payment_method: Option<String>,
    pub description: Option<String>,
    pub metadata: Metadata,
}

impl Service {
    /// The payment as it would be if it were made at `at`. Without wallets it has none.
    pub(super) async fn made_up(
        &self,
        caller: &Caller,
        (made_up, at): (MadeUp, Timestamp),
    ) -> Result<PaymentRow, ServiceError> {
        let MadeUp { kind, amount, currency, from, to, .. } = made_up;
        for wallet in from.into_iter().chain(to) {
            self.wallet(caller, wallet).await?;
        }
        let user = match (made_up.user, from) {
            (Some(user), _) => {
                let found = users::find(self.store(), caller.tenant, user).await?;
                Some(found.ok_or(ServiceError::NotFound("user"))?.id)
            }
            (None, Some(from)) => self.inner.owners.read(self.store(), caller.tenant, from).await?,
            (None, None) => None,
        };
        Ok(PaymentRow {
            id: PaymentId(0),
            tenant: caller.tenant,
            status: PaymentStatus::Processing,
            kind,
            amount: amount.minor(),
            currency,
            amounts: PaymentAmounts::default(),
            fee: 0,
            wallet: to.unwrap_or(AccountId(0)),
            from,
            user,
            payment_method: made_up.payment_method,
            manual_capture: false,
            gateway_account: None,
            gateway_reference: None,
            transfer: None,
            failure: None,
            reference: None,
            description: made_up.description,
            metadata: made_up.metadata,
            data: String::new(),
            available_at: None,
            created_at: at,
            updated_at: at,
            version: 1,
            business_day: BusinessDay(at.days()),
        })
    }
}
