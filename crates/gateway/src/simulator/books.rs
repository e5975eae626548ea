//! The simulator's books: every charge, refund, dispute and payout, and what they came to. Plain
//! state: no I/O, no clock, no chance.
//!
//! Its rules are those of a real gateway: one key, one thing; captures within the authorization,
//! refunds and open disputes within the capture.

use std::collections::HashMap;

use caudal_domain::{Amount, Currency, Fingerprint, Timestamp};
use serde::Serialize;

use super::{
    settlement::{Line, Side},
    shapes::{
        Charge, Dispute, DisputeStatus, Endpoint, Event, NewCharge, NewDispute, NewPayout,
        NewRefund, Payout, Refund, Status, Thing,
    },
    tokens::{self, Bank, Fate},
};

/// Things kept, all together; a simulator that is full refuses more.
const THINGS_MAX: usize = 2_000_000;

/// Days a dispute may be answered.
const EVIDENCE_DAYS: i64 = 7;

/// Why the simulator says no: a status, a code, what was made of it all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct No {
    pub status: u16,
    pub code: &'static str,
    pub reference: Option<String>,
}

impl No {
    pub fn new(status: u16, code: &'static str) -> Self {
        Self { status, code, reference: None }
    }
}

pub type Said = Result<Thing, No>;

/// Who asks, under which key, when.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub account: &'a str,
    pub key: &'a str,
    pub at: Timestamp,
    pub fees: Fees,
}

/// What the gateway takes, in basis points and minor units.
#[derive(Clone, Copy)]
pub struct Fees {
    pub basis_points: i64,
    pub fixed: i64,
    pub dispute: i64,
}

/// What happens by itself a little later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Later {
    Dispute(String),
    Settle(String, bool),
}

#[derive(Default)]
pub struct Books {
    /// Makes ids of one run differ from those of another.
    run: String,
    made: u64,
    things: HashMap<String, (String, Thing)>,
    keys: HashMap<(String, String), Kept>,
    pub(super) lines: Vec<Line>,
    pub(super) endpoints: HashMap<String, Endpoint>,
    events: Vec<(String, Event)>,
    later: Vec<Later>,
}

struct Kept {
    fingerprint: Fingerprint,
    said: Said,
}

/// Money that came to a charge, or went from it.
pub(super) struct Came<'a> {
    pub side: Side,
    pub reference: &'a str,
    pub amount: i64,
    pub fee: i64,
}

/// Sums of an account in a currency.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub charges: u64,
    pub captured: i64,
    pub refunded: i64,
    pub disputed: i64,
    pub paid_out: i64,
    pub fees: i64,
}

impl Books {
    pub fn new(run: String) -> Self {
        Self { run, ..Self::default() }
    }

    /// Does `act` once under a key; later ones get what the first got.
    pub fn once(
        &mut self,
        asked: Asked<'_>,
        fingerprint: Fingerprint,
        act: impl FnOnce(&mut Self) -> Said,
    ) -> Said {
        let key = (asked.account.to_owned(), asked.key.to_owned());
        if let Some(kept) = self.keys.get(&key) {
            return match kept.fingerprint == fingerprint {
                true => kept.said.clone(),
                false => Err(No::new(400, "invalid_request")),
            };
        }
        if self.things.len() >= THINGS_MAX {
            return Err(No::new(429, "full"));
        }
        let said = act(self);
        // A request that was not understood is not remembered, as at Stripe.
        if !matches!(&said, Err(no) if no.status != 402) {
            self.keys.insert(key, Kept { fingerprint, said: said.clone() });
        }
        said
    }

    pub fn knows_key(&self, account: &str, key: &str) -> bool {
        self.keys.contains_key(&(account.to_owned(), key.to_owned()))
    }

    /// What a key made, as it is now.
    pub fn by_key(&self, account: &str, key: &str) -> Said {
        let missing = || No::new(404, "resource_missing");
        let kept = self.keys.get(&(account.to_owned(), key.to_owned())).ok_or_else(missing)?;
        let id = match &kept.said {
            Ok(thing) => thing.id(),
            Err(no) => no.reference.as_deref().ok_or_else(missing)?,
        };
        self.get(account, id)
    }

    pub fn get(&self, account: &str, id: &str) -> Said {
        match self.things.get(id) {
            Some((owner, thing)) if owner == account => Ok(thing.clone()),
            _ => Err(No::new(404, "resource_missing")),
        }
    }

    pub fn charge(&mut self, asked: Asked<'_>, new: &NewCharge, page: &str) -> Said {
        let (fate, _) =
            tokens::method(&new.payment_method).ok_or(No::new(400, "resource_missing"))?;
        let fate = tokens::declines(asked.account).map_or(fate, Fate::Decline);
        let id = self.next_id("ch");
        let mut charge = Charge {
            next_action_url: None,
            id: id.clone(),
            key: asked.key.to_owned(),
            status: Status::Processing,
            amount: new.amount.minor(),
            currency: new.currency,
            amount_captured: 0,
            amount_refunded: 0,
            amount_disputed: 0,
            fee: 0,
            payment_method: new.payment_method.clone(),
            manual: new.manual,
            decline_code: None,
            return_url: new.return_url.clone(),
            created_at: asked.at,
        };
        match fate {
            Fate::Decline(code) => return self.decline(asked, charge, code),
            Fate::ThreeDSecure if new.return_url.is_none() => {
                return self.decline(asked, charge, "authentication_required");
            }
            Fate::ThreeDSecure => {
                charge.status = Status::RequiresAction;
                charge.next_action_url = Some(format!("{page}3ds/{id}"));
            }
            Fate::Later(well) => self.later.push(Later::Settle(id, well)),
            Fate::Succeed | Fate::Dispute | Fate::RefundLater(_) => {
                self.authorized(asked, &mut charge);
            }
        }
        Ok(self.put(asked.account, Thing::Charge(charge)))
    }

    pub(super) fn decline(
        &mut self,
        asked: Asked<'_>,
        mut charge: Charge,
        code: &'static str,
    ) -> Said {
        charge.status = Status::Failed;
        charge.decline_code = Some(code.into());
        let reference = Some(charge.id.clone());
        self.tell(asked, "charge.failed", &Thing::Charge(charge.clone()));
        self.put(asked.account, Thing::Charge(charge));
        Err(No { status: 402, code, reference })
    }

    /// The payer's bank agreed.
    pub(super) fn authorized(&mut self, asked: Asked<'_>, charge: &mut Charge) {
        charge.next_action_url = None;
        if charge.manual {
            charge.status = Status::RequiresCapture;
            self.tell(asked, "charge.capturable", &Thing::Charge(charge.clone()));
            return;
        }
        self.take(asked, charge, charge.amount);
    }

    fn take(&mut self, asked: Asked<'_>, charge: &mut Charge, amount: i64) {
        let Fees { basis_points, fixed, .. } = asked.fees;
        let share = i128::from(amount) * i128::from(basis_points) / 10_000;
        charge.fee = i64::try_from(share).unwrap_or(0).saturating_add(fixed).min(amount);
        charge.status = Status::Succeeded;
        charge.amount_captured = amount;
        self.book(
            asked,
            &charge.clone(),
            Came { side: Side::Charge, reference: &charge.id, amount, fee: charge.fee },
        );
        self.tell(asked, "charge.succeeded", &Thing::Charge(charge.clone()));
        if tokens::method(&charge.payment_method).is_some_and(|(fate, _)| fate == Fate::Dispute) {
            self.later.push(Later::Dispute(charge.id.clone()));
        }
    }

    pub fn capture(&mut self, asked: Asked<'_>, id: &str, amount: i64) -> Said {
        let mut charge = self.charge_of(asked.account, id)?;
        if charge.status != Status::RequiresCapture {
            return Err(No::new(400, "wrong_state"));
        }
        if amount > charge.amount {
            return Err(No::new(400, "amount_too_large"));
        }
        self.take(asked, &mut charge, amount);
        Ok(self.put(asked.account, Thing::Charge(charge)))
    }

    pub fn cancel(&mut self, asked: Asked<'_>, id: &str) -> Said {
        let mut charge = self.charge_of(asked.account, id)?;
        if !matches!(charge.status, Status::RequiresCapture | Status::RequiresAction) {
            return Err(No::new(400, "wrong_state"));
        }
        charge.status = Status::Canceled;
        charge.next_action_url = None;
        self.tell(asked, "charge.canceled", &Thing::Charge(charge.clone()));
        Ok(self.put(asked.account, Thing::Charge(charge)))
    }

    /// The payer came back from 3-D Secure.
    pub fn authenticate(&mut self, asked: Asked<'_>, id: &str, well: bool) -> Said {
        let mut charge = self.charge_of(asked.account, id)?;
        if charge.status != Status::RequiresAction {
            return Err(No::new(400, "wrong_state"));
        }
        if !well {
            let _ = self.decline(asked, charge, "authentication_failed");
            return self.get(asked.account, id);
        }
        self.authorized(asked, &mut charge);
        Ok(self.put(asked.account, Thing::Charge(charge)))
    }

    pub fn refund(&mut self, asked: Asked<'_>, new: &NewRefund) -> Said {
        let mut charge = self.charge_of(asked.account, &new.charge)?;
        if charge.status != Status::Succeeded {
            return Err(No::new(400, "wrong_state"));
        }
        let amount = new.amount.minor();
        let left = charge.amount_captured - charge.amount_refunded - charge.amount_disputed;
        if amount > left {
            return Err(No::new(400, "amount_too_large"));
        }
        let fate = tokens::method(&charge.payment_method).map(|(fate, _)| fate);
        let id = self.next_id("re");
        let mut refund = Refund {
            id: id.clone(),
            key: asked.key.to_owned(),
            charge: charge.id.clone(),
            status: Status::Succeeded,
            amount,
            currency: charge.currency,
            decline_code: None,
            created_at: asked.at,
        };
        if let Some(Fate::RefundLater(well)) = fate {
            refund.status = Status::Processing;
            self.later.push(Later::Settle(id, well));
        }
        charge.amount_refunded += amount;
        self.book(
            asked,
            &charge,
            Came { side: Side::Refund, reference: &refund.id, amount: -amount, fee: 0 },
        );
        self.put(asked.account, Thing::Charge(charge));
        self.tell(asked, "refund.updated", &Thing::Refund(refund.clone()));
        Ok(self.put(asked.account, Thing::Refund(refund)))
    }

    pub fn payout(&mut self, asked: Asked<'_>, new: &NewPayout) -> Said {
        let bank = tokens::bank(&new.destination).ok_or(No::new(400, "resource_missing"))?;
        let id = self.next_id("po");
        let mut payout = Payout {
            id: id.clone(),
            key: asked.key.to_owned(),
            status: Status::Processing,
            amount: new.amount.minor(),
            currency: new.currency,
            destination: new.destination.clone(),
            decline_code: None,
            created_at: asked.at,
        };
        if bank == Bank::Refused {
            payout.status = Status::Failed;
            payout.decline_code = Some("bank_refused".into());
            self.put(asked.account, Thing::Payout(payout));
            return Err(No { status: 402, code: "bank_refused", reference: Some(id) });
        }
        self.lines.push(Line::payout(asked, &payout, -payout.amount));
        self.later.push(Later::Settle(id, bank == Bank::Paid));
        Ok(self.put(asked.account, Thing::Payout(payout)))
    }

    pub fn dispute(&mut self, asked: Asked<'_>, id: &str, new: NewDispute) -> Said {
        let mut charge = self.charge_of(asked.account, id)?;
        let left = charge.amount_captured - charge.amount_refunded - charge.amount_disputed;
        let amount = new.amount.map_or(left, Amount::minor);
        if charge.status != Status::Succeeded || amount <= 0 {
            return Err(No::new(400, "wrong_state"));
        }
        charge.amount_disputed += amount;
        self.put(asked.account, Thing::Charge(charge.clone()));
        charge.currency = new.currency.unwrap_or(charge.currency);
        let dispute = Dispute {
            id: self.next_id("dp"),
            charge: charge.id.clone(),
            status: DisputeStatus::Open,
            amount,
            currency: charge.currency,
            reason: "fraudulent".into(),
            evidence: None,
            evidence_due_at: asked.at.plus_seconds(EVIDENCE_DAYS * 86_400),
            created_at: asked.at,
        };
        self.book(
            asked,
            &charge,
            Came { side: Side::Dispute, reference: &dispute.id, amount: -amount, fee: 0 },
        );
        if asked.fees.dispute > 0 {
            let (reference, fee) = (self.next_id("fe"), asked.fees.dispute);
            let came = Came { side: Side::Fee, reference: &reference, amount: 0, fee };
            self.book(asked, &charge, came);
        }
        self.tell(asked, "dispute.opened", &Thing::Dispute(dispute.clone()));
        Ok(self.put(asked.account, Thing::Dispute(dispute)))
    }

    /// Stripe's own words in the text decide at once.
    pub fn evidence(&mut self, asked: Asked<'_>, id: &str, text: &str) -> Said {
        let mut dispute = self.dispute_of(asked.account, id)?;
        if dispute.status != DisputeStatus::Open {
            return Err(No::new(400, "wrong_state"));
        }
        dispute.evidence = Some(text.to_owned());
        dispute.status = DisputeStatus::UnderReview;
        let said = self.put(asked.account, Thing::Dispute(dispute));
        match text {
            "winning_evidence" => self.close(asked, id, true),
            "losing_evidence" => self.close(asked, id, false),
            _ => Ok(said),
        }
    }

    /// As at Stripe, only while evidence might be given instead.
    pub fn concede(&mut self, asked: Asked<'_>, id: &str) -> Said {
        match self.dispute_of(asked.account, id)?.status {
            DisputeStatus::Open => self.close(asked, id, false),
            _ => Err(No::new(400, "wrong_state")),
        }
    }

    /// A bank may give the money back after all.
    pub fn close(&mut self, asked: Asked<'_>, id: &str, won: bool) -> Said {
        let mut dispute = self.dispute_of(asked.account, id)?;
        let is_lost = dispute.status == DisputeStatus::Lost;
        if dispute.status == DisputeStatus::Won || is_lost && !won {
            return Err(No::new(400, "wrong_state"));
        }
        dispute.status = if won { DisputeStatus::Won } else { DisputeStatus::Lost };
        if won {
            let mut charge = self.charge_of(asked.account, &dispute.charge)?;
            charge.amount_disputed -= dispute.amount;
            self.book(
                asked,
                &charge,
                Came {
                    side: Side::DisputeWon,
                    reference: &dispute.id,
                    amount: dispute.amount,
                    fee: 0,
                },
            );
            self.put(asked.account, Thing::Charge(charge));
        }
        self.tell(asked, "dispute.closed", &Thing::Dispute(dispute.clone()));
        Ok(self.put(asked.account, Thing::Dispute(dispute)))
    }

    /// Events since last asked, with the accounts they belong to.
    pub fn take_events(&mut self) -> Vec<(String, Event)> {
        std::mem::take(&mut self.events)
    }

    pub fn take_later(&mut self) -> Vec<Later> {
        std::mem::take(&mut self.later)
    }

    /// Sums of an account by currency.
    pub fn totals(&self, account: &str) -> HashMap<String, Totals> {
        let mut totals: HashMap<String, Totals> = HashMap::new();
        for line in self.lines.iter().filter(|line| line.account == account) {
            line.add_to(totals.entry(line.currency.to_string()).or_default());
        }
        totals
    }

    /// Every charge of an account.
    pub fn charges(&self, account: &str) -> Vec<Charge> {
        let own = self.things.values().filter(|(owner, _)| owner == account);
        own.filter_map(|(_, thing)| match thing {
            Thing::Charge(charge) => Some(charge.clone()),
            _ => None,
        })
        .collect()
    }

    /// A thing and its account.
    pub(super) fn whose(&self, id: &str) -> Option<(String, Thing)> {
        self.things.get(id).cloned()
    }

    /// Whose page this is.
    pub fn owner(&self, id: &str) -> Option<String> {
        self.things.get(id).map(|(owner, _)| owner.clone())
    }

    pub(super) fn charge_of(&self, account: &str, id: &str) -> Result<Charge, No> {
        match self.get(account, id)? {
            Thing::Charge(charge) => Ok(charge),
            _ => Err(No::new(404, "resource_missing")),
        }
    }

    fn dispute_of(&self, account: &str, id: &str) -> Result<Dispute, No> {
        match self.get(account, id)? {
            Thing::Dispute(dispute) => Ok(dispute),
            _ => Err(No::new(404, "resource_missing")),
        }
    }

    pub(super) fn put(&mut self, account: &str, thing: Thing) -> Thing {
        self.things.insert(thing.id().to_owned(), (account.to_owned(), thing.clone()));
        thing
    }

    pub(super) fn book(&mut self, asked: Asked<'_>, charge: &Charge, came: Came<'_>) {
        self.lines.push(Line {
            account: asked.account.to_owned(),
            side: came.side,
            reference: came.reference.to_owned(),
            charge: charge.id.clone(),
            key: charge.key.clone(),
            amount: came.amount,
            fee: came.fee,
            currency: charge.currency,
            at: asked.at,
        });
    }

    /// Nobody is told who has not said where.
    pub(super) fn tell(&mut self, asked: Asked<'_>, kind: &str, thing: &Thing) {
        if !self.endpoints.contains_key(asked.account) {
            return;
        }
        let id = self.next_id("ev");
        let event = Event { id, kind: kind.into(), created_at: asked.at, data: thing.clone() };
        self.events.push((asked.account.to_owned(), event));
    }

    fn next_id(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("sim_{kind}_{}{:08}", self.run, self.made)
    }
}

impl Line {
    pub(super) fn payout(asked: Asked<'_>, payout: &Payout, amount: i64) -> Self {
        let side = if amount < 0 { Side::Payout } else { Side::PayoutReturned };
        let currency: Currency = payout.currency;
        Self {
            account: asked.account.to_owned(),
            side,
            reference: payout.id.clone(),
            charge: String::new(),
            key: payout.key.clone(),
            amount,
            fee: 0,
            currency,
            at: asked.at,
        }
    }
}
