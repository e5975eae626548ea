//! Payments that rules count take turns: each is judged when those before it are written.
//!
//! In one process they wait for each other ([`crate::turns`]). For several processes each count has
//! a row, whose version is read before it is counted and checked in the commit that writes the
//! payment: who counted too early is refused as [`Refusal::Conflict`], and judges again. Without a
//! rule that looks at velocity nothing is read, written or waited for.

use std::collections::BTreeSet;

use caudal_domain::Timestamp;
use caudal_engine::Command;
use caudal_rules::Mentions;
use caudal_store::{
    Step, UnitOfWork,
    payments::PaymentRow,
    velocity::Whose,
    velocity_turns::{self, VelocityTurn},
};

use crate::{Service, ServiceError, turns::Turn};

/// A turn, kept until the payment is written.
#[derive(Default)]
pub(crate) struct Counting {
    rows: Vec<VelocityTurn>,
    _turn: Turn,
}

impl Counting {
    pub fn is_nothing(&self) -> bool {
        self.rows.is_empty()
    }

    /// Has the rows written with the payment, whatever comes of it.
    pub fn go_with(&self, command: &mut Command) {
        if self.is_nothing() {
            return;
        }
        command.otherwise = command.otherwise.take().map(|it| it.with(self.steps().collect()));
        command.attachments.extend(self.rows.iter().map(velocity_turns::attachment));
    }

    pub fn steps(&self) -> impl Iterator<Item = Step> {
        self.rows.iter().map(velocity_turns::update)
    }
}

/// Whose payments `velocity.payer` counts.
pub(crate) fn payer_of(payment: &PaymentRow) -> Option<Whose<'_>> {
    payment.user.map(Whose::User).or(payment.from.map(Whose::Payer))
}

/// And `velocity.wallet`.
pub(crate) fn wallet_of(payment: &PaymentRow) -> Whose<'_> {
    payment.from.map_or(Whose::Payee(payment.wallet), Whose::Payer)
}

/// And `velocity.method`.
pub(crate) fn method_of(payment: &PaymentRow) -> Option<Whose<'_>> {
    payment.payment_method.as_deref().map(Whose::Method)
}

/// What is counted to judge the payment.
fn counted(payment: &PaymentRow, mentions: &Mentions) -> BTreeSet<u128> {
    let payer = payer_of(payment).filter(|_| mentions.payer_velocity);
    let wallet = Some(wallet_of(payment)).filter(|_| mentions.wallet_velocity);
    let method = method_of(payment).filter(|_| mentions.method_velocity);
    let id = |whose| velocity_turns::id_of(payment.tenant, whose);
    [payer, wallet, method].into_iter().flatten().map(id).collect()
}

impl Service {
    /// Waits for its turn, and reads how far it has come before anything is counted.
    pub(crate) async fn count_in_turn(
        &self,
        payment: &PaymentRow,
        mentions: &Mentions,
    ) -> Result<Counting, ServiceError> {
        let ids = counted(payment, mentions);
        if ids.is_empty() {
            return Ok(Counting::default());
        }
        let turn = self.inner.velocity_turns.of(&ids).await?;
        let (at, mut rows) = (self.now(), Vec::with_capacity(ids.len()));
        for id in ids {
            let version = self.velocity_version(id, at).await? + 1;
            rows.push(VelocityTurn { id, at, version });
        }
        rows.sort_unstable_by_key(|row| (row.id as u8, row.id));
        Ok(Counting { rows, _turn: turn })
    }

    /// The row is made where it is not there. If another makes it first, whoever counts too early
    /// finds out in the end.
    async fn velocity_version(&self, id: u128, at: Timestamp) -> Result<i64, ServiceError> {
        if let Some(version) = velocity_turns::version(self.store(), id).await? {
            return Ok(version);
        }
        let steps = vec![velocity_turns::insert(id, at)];
        self.commit(UnitOfWork { at, steps, ..UnitOfWork::default() }).await?;
        Ok(1)
    }
}
