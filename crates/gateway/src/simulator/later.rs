//! What happens in the books by itself, a little later: disputes, and what was processing is
//! decided.

use caudal_domain::Timestamp;

use super::{
    books::{Asked, Books, Came, Fees, Later, No, Said},
    settlement::{Line, Side},
    shapes::{NewDispute, Payout, Refund, Status, Thing},
};

impl Books {
    /// What was put off is due.
    pub fn due(&mut self, later: &Later, at: Timestamp, fees: Fees) {
        let (Later::Dispute(id) | Later::Settle(id, _)) = later;
        let Some((account, thing)) = self.whose(id) else { return };
        let asked = Asked { account: &account, key: "", at, fees };
        match (later, thing) {
            (Later::Dispute(id), _) => {
                let _ = self.dispute(asked, id, NewDispute::default());
            }
            (Later::Settle(_, well), thing) => self.settle(asked, thing, *well),
        }
    }

    fn settle(&mut self, asked: Asked<'_>, thing: Thing, well: bool) {
        match thing {
            Thing::Charge(mut charge) if well => {
                self.authorized(asked, &mut charge);
                self.put(asked.account, Thing::Charge(charge));
            }
            Thing::Charge(charge) => {
                let _ = self.decline(asked, charge, "bank_refused");
            }
            Thing::Refund(refund) => self.settle_refund(asked, refund, well),
            Thing::Payout(payout) => self.settle_payout(asked, payout, well),
            Thing::Dispute(_) => {}
        }
    }

    fn settle_refund(&mut self, asked: Asked<'_>, mut refund: Refund, well: bool) {
        refund.status = if well { Status::Succeeded } else { Status::Failed };
        if !well {
            refund.decline_code = Some("bank_refused".into());
            if let Ok(mut charge) = self.charge_of(asked.account, &refund.charge) {
                charge.amount_refunded -= refund.amount;
                self.book(
                    asked,
                    &charge,
                    Came {
                        side: Side::RefundFailed,
                        reference: &refund.id,
                        amount: refund.amount,
                        fee: 0,
                    },
                );
                self.put(asked.account, Thing::Charge(charge));
            }
        }
        self.tell(asked, "refund.updated", &Thing::Refund(refund.clone()));
        self.put(asked.account, Thing::Refund(refund));
    }

    /// The payer's bank sends a refund back that it had taken.
    pub fn bounce_refund(&mut self, asked: Asked<'_>, id: &str) -> Said {
        match self.get(asked.account, id)? {
            Thing::Refund(refund) if refund.status == Status::Succeeded => {
                self.settle_refund(asked, refund, false);
                self.get(asked.account, id)
            }
            _ => Err(No::new(400, "wrong_state")),
        }
    }

    /// The bank sends back what it had taken.
    pub fn return_payout(&mut self, asked: Asked<'_>, id: &str) -> Said {
        match self.get(asked.account, id)? {
            Thing::Payout(payout) if payout.status == Status::Succeeded => {
                self.settle_payout(asked, payout, false);
                self.get(asked.account, id)
            }
            _ => Err(No::new(400, "wrong_state")),
        }
    }

    fn settle_payout(&mut self, asked: Asked<'_>, mut payout: Payout, well: bool) {
        payout.status = if well { Status::Succeeded } else { Status::Failed };
        if !well {
            payout.decline_code = Some("bank_returned".into());
            self.lines.push(Line::payout(asked, &payout, payout.amount));
        }
        let kind = if well { "payout.paid" } else { "payout.failed" };
        self.tell(asked, kind, &Thing::Payout(payout.clone()));
        self.put(asked.account, Thing::Payout(payout));
    }
}
