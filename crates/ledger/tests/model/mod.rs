//! The ledger once more, as naively as can be: plain vectors, wide integers, every reason against
//! a movement collected and the first of `Refusal`'s list given. It shares no code with the ledger.

/// Accounts and transfers by their place.
#[derive(Clone, Debug)]
pub struct Model {
    /// Seconds.
    pub now: i64,
    pub accounts: Vec<Account>,
    pub transfers: Vec<Transfer>,
}

#[derive(Clone, Debug)]
pub struct Account {
    pub tenant: usize,
    pub currency: usize,
    pub wallet: bool,
    pub status: &'static str,
    pub floor: Option<i128>,
    pub total: i128,
    pub held: i128,
    pub pending: i128,
}

#[derive(Clone, Debug)]
pub struct Transfer {
    pub tenant: usize,
    pub status: &'static str,
    pub hold: bool,
    pub reversal: bool,
    pub expires: i64,
    /// When what is pending may be spent.
    pub available: Option<i64>,
    /// The place of the transfer that this one gave back.
    pub gave_back: Option<usize>,
    /// A refund, a chargeback: can be undone.
    pub undoable: bool,
    /// Of the last leg: it gave nothing back of another transfer.
    pub besides: i128,
    pub legs: Vec<Leg>,
}

#[derive(Clone, Debug)]
pub struct Leg {
    pub from: usize,
    pub to: usize,
    pub amount: i128,
    pub captured: i128,
    pub reversed: i128,
    pub pending: i128,
}

/// How a posting is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// Seconds until a hold expires.
    pub hold: Option<i64>,
    /// Seconds until the first leg's money may be spent.
    pub pending: Option<i64>,
    pub forced: bool,
}

/// How something is given back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Back {
    pub amount: Option<i128>,
    /// A refund or a chargeback, of the first leg only.
    pub undoable: bool,
    pub forced: bool,
    /// Undoes a refund or a chargeback, and names what that had given back.
    pub restores: bool,
    /// Who gives so much besides, and all in the place of a closed wallet.
    pub besides: Option<(usize, i128)>,
}

/// Names of refusals in their order of precedence.
pub const ORDER: [&str; 14] = [
    "TransferNotFound",
    "WalletNotFound",
    "CurrencyMismatch",
    "TransferState",
    "HoldExpired",
    "WalletClosed",
    "WalletFrozen",
    "WalletState",
    "WalletNotEmpty",
    "AmountExceedsHeld",
    "AmountExceedsReversible",
    "InsufficientFunds",
    "BalanceLimit",
    "Rejected",
];

const LIMIT: i128 = 9_007_199_254_740_991;

/// Accepted, or the name of the refusal.
pub type Answer = Result<(), &'static str>;

/// The first of the list of whatever speaks against it.
fn first(reasons: &[&'static str]) -> Answer {
    match ORDER.into_iter().find(|name| reasons.contains(name)) {
        Some(name) => Err(name),
        None => Ok(()),
    }
}

/// What the reasons are, where each applies.
fn reasons<const N: usize>(all: [(bool, &'static str); N]) -> Vec<&'static str> {
    all.into_iter().filter(|(applies, _)| *applies).map(|(_, name)| name).collect()
}

impl Leg {
    pub fn new(from: usize, to: usize, amount: i128) -> Self {
        Self { from, to, amount, captured: 0, reversed: 0, pending: 0 }
    }
}

impl Transfer {
    fn moved(&self, leg: &Leg) -> i128 {
        if self.hold { leg.captured } else { leg.amount }
    }

    pub fn captured(&self) -> i128 {
        self.legs.iter().map(|leg| leg.captured).sum()
    }

    pub fn reversed(&self) -> i128 {
        self.legs.iter().map(|leg| leg.reversed).sum()
    }
}

impl Model {
    pub fn post(
        &mut self,
        (tenant, currency): (usize, usize),
        legs: &[Leg],
        terms: Terms,
    ) -> Answer {
        let Terms { hold, pending, forced } = terms;
        if pending.is_some() && hold.is_some() {
            return Err("Rejected");
        }
        let mut legs = legs.to_vec();
        if pending.is_some() {
            legs[0].pending = legs[0].amount;
        }
        let mut against = Vec::new();
        for leg in &legs {
            for account in [&self.accounts[leg.from], &self.accounts[leg.to]] {
                against.extend(reasons([
                    (account.tenant != tenant, "WalletNotFound"),
                    (account.currency != currency, "CurrencyMismatch"),
                    (account.status == "closed", "WalletClosed"),
                ]));
            }
            let frozen = self.accounts[leg.from].status == "frozen" && !forced;
            against.extend(reasons([(frozen, "WalletFrozen")]));
        }
        first(&against)?;
        let mut next = self.clone();
        for leg in &legs {
            next.spend(leg, hold.is_some(), forced && hold.is_none())?;
            next.accounts[leg.to].pending += leg.pending;
            next.within_limit()?;
        }
        let too_much = legs.iter().map(|leg| leg.amount).sum::<i128>() > LIMIT;
        first(&reasons([(too_much, "BalanceLimit")]))?;
        next.transfers.push(Transfer {
            tenant,
            status: if hold.is_some() { "held" } else { "posted" },
            hold: hold.is_some(),
            reversal: false,
            expires: self.now + hold.unwrap_or(0),
            available: pending.map(|seconds| self.now + seconds),
            gave_back: None,
            undoable: false,
            besides: 0,
            legs,
        });
        *self = next;
        Ok(())
    }

    /// One leg of a posting, or of a hold.
    fn spend(&mut self, leg: &Leg, hold: bool, forced: bool) -> Answer {
        let payer = &mut self.accounts[leg.from];
        let lowest = payer.floor.unwrap_or(i128::MIN);
        let too_little = payer.total - payer.held - payer.pending - leg.amount < lowest;
        let too_little = too_little && !forced;
        first(&reasons([(too_little, "InsufficientFunds")]))?;
        if hold {
            payer.held += leg.amount;
        } else {
            payer.total -= leg.amount;
            self.accounts[leg.to].total += leg.amount;
        }
        self.within_limit()
    }

    fn within_limit(&self) -> Answer {
        let beyond = |a: &Account| a.total.abs() > LIMIT || a.held.max(a.pending) > LIMIT;
        first(&reasons([(self.accounts.iter().any(beyond), "BalanceLimit")]))
    }

    fn find(&self, tenant: usize, transfer: Option<usize>) -> Result<usize, &'static str> {
        let own = |place: &usize| self.transfers[*place].tenant == tenant;
        transfer.filter(own).ok_or("TransferNotFound")
    }

    pub fn capture(
        &mut self,
        (tenant, transfer): (usize, Option<usize>),
        amount: Option<i128>,
        last: bool,
    ) -> Answer {
        let place = self.find(tenant, transfer)?;
        let mut transfer = self.transfers[place].clone();
        let open: i128 = transfer.legs.iter().map(|leg| leg.amount - leg.captured).sum();
        let amount = amount.unwrap_or(open);
        let mut against = reasons([
            (transfer.status != "held", "TransferState"),
            (self.now >= transfer.expires, "HoldExpired"),
            (amount > open, "AmountExceedsHeld"),
        ]);
        let mut next = self.clone();
        let mut left = amount;
        for leg in &mut transfer.legs {
            let part = left.min(leg.amount - leg.captured);
            left -= part;
            leg.captured += part;
            next.accounts[leg.from].total -= part;
            next.accounts[leg.from].held -= part;
            next.accounts[leg.to].total += part;
            let closed = part > 0 && self.accounts[leg.to].status == "closed";
            against.extend(reasons([(closed, "WalletClosed")]));
            against.extend(next.within_limit().err());
        }
        first(&against)?;
        next.transfers[place] = transfer;
        if last || amount == open {
            next.release(place);
            next.transfers[place].status = "captured";
        }
        *self = next;
        Ok(())
    }

    fn release(&mut self, place: usize) {
        for leg in &self.transfers[place].legs {
            self.accounts[leg.from].held -= leg.amount - leg.captured;
        }
    }

    /// A void, or an expiry.
    pub fn end(
        &mut self,
        (tenant, transfer): (usize, Option<usize>),
        status: &'static str,
    ) -> Answer {
        let place = self.find(tenant, transfer)?;
        let transfer = &self.transfers[place];
        let early = status == "expired" && self.now < transfer.expires;
        first(&reasons([(transfer.status != "held" || early, "TransferState")]))?;
        let in_part = transfer.captured() > 0;
        self.release(place);
        self.transfers[place].status = if in_part { "captured" } else { status };
        Ok(())
    }

    /// What is pending may be spent.
    pub fn make_available(&mut self, (tenant, transfer): (usize, Option<usize>)) -> Answer {
        let place = self.find(tenant, transfer)?;
        let transfer = &mut self.transfers[place];
        let early = transfer.available.is_none_or(|at| self.now < at);
        first(&reasons([(early, "TransferState")]))?;
        transfer.available = None;
        for leg in &mut transfer.legs {
            self.accounts[leg.to].pending -= leg.pending;
            leg.pending = 0;
        }
        Ok(())
    }

    pub fn give_back(&mut self, (tenant, transfer): (usize, Option<usize>), back: Back) -> Answer {
        let Back { amount, undoable, forced, restores, besides } = back;
        let place = self.find(tenant, transfer)?;
        let mut transfer = self.transfers[place].clone();
        let restored = transfer.gave_back.filter(|_| restores);
        let moved: i128 = transfer.legs.iter().map(|leg| transfer.moved(leg)).sum();
        let reach = if undoable { 1 } else { transfer.legs.len() };
        let part = |leg: &Leg| transfer.moved(leg) - leg.reversed;
        let open: i128 = transfer.legs[..reach].iter().map(part).sum();
        let is_final = transfer.reversal && !(transfer.undoable && restored.is_some());
        let never = is_final || ["held", "voided", "expired"].contains(&transfer.status);
        let mut against = reasons([
            (never || (amount.is_none() && open == 0), "TransferState"),
            (amount == Some(0) && besides.is_none(), "TransferState"),
            (amount.is_some_and(|amount| amount > open), "AmountExceedsReversible"),
        ]);
        let mut back = Vec::new();
        let mut left = amount.unwrap_or(open);
        let mut restoring = left.min(open);
        let beyond = reach - usize::from(transfer.besides > 0 && restores);
        for place in 0..reach {
            let moved = transfer.moved(&transfer.legs[place]);
            let leg = &mut transfer.legs[place];
            let part = left.min(moved - leg.reversed);
            if part > 0 {
                left -= part;
                leg.reversed += part;
                let pending = part.min(leg.pending);
                leg.pending -= pending;
                restoring -= if place >= beyond { part } else { 0 };
                let status = |place: usize| self.accounts[place].status;
                let stand_in = besides.filter(|_| status(leg.to) == "closed");
                let payer = stand_in.map_or(leg.to, |(stand_in, _)| stand_in);
                back.insert(0, Leg { pending, ..Leg::new(payer, leg.from, part) });
                against.extend(reasons([
                    (status(payer) == "closed", "WalletClosed"),
                    (status(leg.from) == "closed", "WalletClosed"),
                    (status(leg.to) == "frozen" && !forced, "WalletFrozen"),
                ]));
            }
        }
        if let Some((payer, amount)) = besides {
            let payee = transfer.legs[0].from;
            back.push(Leg::new(payer, payee, amount));
            let closed = self.accounts[payee].status == "closed";
            against.extend(reasons([(closed, "WalletClosed")]));
        }
        first(&against)?;
        let mut next = self.clone();
        for leg in &mut back {
            next.accounts[leg.from].pending -= leg.pending;
            leg.pending = 0;
            next.spend(leg, false, forced)?;
        }
        if transfer.legs.iter().all(|leg| leg.pending == 0) {
            transfer.available = None;
        }
        if let Some(restored) = restored.filter(|_| restoring > 0) {
            next.restore(restored, restoring);
        }
        transfer.status = match transfer.reversed() {
            whole if whole == moved => "reversed",
            0 if transfer.hold => "captured",
            0 => "posted",
            _ => "partially_reversed",
        };
        next.transfers[place] = transfer;
        next.transfers.push(Transfer {
            tenant,
            status: "posted",
            hold: false,
            reversal: true,
            expires: 0,
            available: None,
            gave_back: Some(place),
            undoable,
            besides: besides.map_or(0, |(_, amount)| amount),
            legs: back,
        });
        *self = next;
        Ok(())
    }

    /// Of a transfer whose first leg had been given back.
    fn restore(&mut self, place: usize, amount: i128) {
        let transfer = &mut self.transfers[place];
        transfer.legs[0].reversed -= amount;
        transfer.status = match (transfer.reversed(), transfer.hold) {
            (0, true) => "captured",
            (0, false) => "posted",
            _ => "partially_reversed",
        };
    }

    fn wallet(&mut self, tenant: usize, place: usize) -> Result<&mut Account, &'static str> {
        let account = &mut self.accounts[place];
        first(&reasons([
            (account.tenant != tenant || !account.wallet, "WalletNotFound"),
            (account.status == "closed", "WalletClosed"),
        ]))?;
        Ok(account)
    }

    pub fn set_status(&mut self, tenant: usize, place: usize, status: &'static str) -> Answer {
        let account = self.wallet(tenant, place)?;
        let closing = status == "closed";
        first(&reasons([
            (closing && (account.held != 0 || account.pending != 0), "WalletState"),
            (closing && account.total != 0, "WalletNotEmpty"),
        ]))?;
        account.status = status;
        Ok(())
    }

    pub fn set_floor(&mut self, tenant: usize, place: usize, floor: i128) -> Answer {
        self.wallet(tenant, place)?.floor = Some(floor);
        Ok(())
    }
}
