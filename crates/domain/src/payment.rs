//! Payments, refunds, disputes and payouts: their states, and what leads from one to the next.
//!
//! Each has **one table** of (from, event, to). What is not in it is refused, whoever asks. Events
//! are facts: a gateway, a person or a clock has said so. `docs/payments.md` prints the tables; a
//! test walks every state and event, and holds them against that page.

use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// States and events of one kind of thing, with the names that are stored and shown.
macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($(#[$each:meta])* $variant:ident = $name:literal,)* }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub enum $type {
            $($(#[$each])* #[serde(rename = $name)] $variant,)*
        }

        impl $type {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

/// The table of a machine and the ways into it. `None` is before the thing was there.
macro_rules! machine {
    ($state:ident, $event:ident, $refusal:ident:
     begin { $($first:ident => $start:ident,)* }
     then { $($($from:ident)|+ + $on:ident => $to:ident,)* }) => {
        impl $state {
            /// Every way there is.
            pub const TABLE: &'static [(Option<Self>, $event, Self)] = &[
                $((None, $event::$first, Self::$start),)*
                $($((Some(Self::$from), $event::$on, Self::$to),)+)*
            ];

            /// The state that `event` leads to from here.
            pub fn next(self, event: $event) -> Result<Self, Refusal> {
                let way = |(from, on, _): &&(Option<Self>, $event, Self)| {
                    *from == Some(self) && *on == event
                };
                let found = Self::TABLE.iter().find(way).map(|(.., to)| *to);
                found.ok_or(Refusal::$refusal { status: self })
            }

            /// The state in which it begins; `None` when nothing begins so.
            pub fn first(event: $event) -> Option<Self> {
                let way = |(from, on, _): &&(Option<Self>, $event, Self)| {
                    from.is_none() && *on == event
                };
                Self::TABLE.iter().find(way).map(|(.., to)| *to)
            }

            /// Nothing leads on from here.
            pub fn is_final(self) -> bool {
                !Self::TABLE.iter().any(|(from, ..)| *from == Some(self))
            }
        }
    };
}

words! {
    /// Where a payment stands.
    PaymentStatus {
        /// Authorised: the money is promised and not taken.
        RequiresCapture = "requires_capture",
        /// Its payer must do something first: a redirect.
        RequiresAction = "requires_action",
        Processing = "processing",
        /// Never sent: waits for its gateway.
        Queued = "queued",
        /// Sent, and nobody knows what came of it.
        Unknown = "unknown",
        /// A person decides.
        InReview = "in_review",
        Succeeded = "succeeded",
        Failed = "failed",
        Canceled = "canceled",
        Blocked = "blocked",
    }
}

words! {
    /// What happens to a payment.
    PaymentEvent {
        /// Asked for, and nothing speaks against it.
        Accepted = "accepted",
        /// A rule wants a person to look.
        SentToReview = "sent_to_review",
        /// A rule forbids it, or a person did.
        Refused = "refused",
        /// The gateway can't be reached, and nothing was sent to it.
        PutInQueue = "put_in_queue",
        TakenUp = "taken_up",
        Approved = "approved",
        ActionAsked = "action_asked",
        ActionDone = "action_done",
        /// The gateway has (or still has) the payer's promise.
        Authorized = "authorized",
        CaptureAsked = "capture_asked",
        /// The money was taken.
        Captured = "captured",
        /// The gateway said no, for good.
        Declined = "declined",
        /// No answer, or one that says nothing.
        LostFromSight = "lost_from_sight",
        /// Called off before any money was taken; a promise was let go.
        CalledOff = "called_off",
        /// Its time ran out.
        TimedOut = "timed_out",
    }
}

machine! { PaymentStatus, PaymentEvent, PaymentState:
    begin {
        Accepted => Processing,
        SentToReview => InReview,
        Refused => Blocked,
    }
    then {
        Queued + TakenUp => Processing,
        Processing + PutInQueue => Queued,
        InReview + Approved => Processing,
        InReview + Refused => Blocked,
        Processing | Unknown + ActionAsked => RequiresAction,
        RequiresAction + ActionDone => Processing,
        Processing | Unknown + Authorized => RequiresCapture,
        RequiresCapture + CaptureAsked => Processing,
        Processing | Unknown + Captured => Succeeded,
        Processing | Unknown | RequiresAction + Declined => Failed,
        Processing + LostFromSight => Unknown,
        Processing | Unknown | RequiresCapture | RequiresAction | Queued | InReview
            + CalledOff => Canceled,
        Queued | RequiresAction + TimedOut => Failed,
        RequiresCapture + TimedOut => Canceled,
    }
}

words! {
    RefundStatus {
        /// The money has left the payee and has not reached the payer for certain.
        Pending = "pending",
        Succeeded = "succeeded",
        /// The payee has it back.
        Failed = "failed",
    }
}

words! {
    RefundEvent {
        Asked = "asked",
        Confirmed = "confirmed",
        Declined = "declined",
        /// The payer's bank has sent it back later.
        Bounced = "bounced",
    }
}

machine! { RefundStatus, RefundEvent, RefundState:
    begin {
        Asked => Pending,
    }
    then {
        Pending + Confirmed => Succeeded,
        Pending + Declined => Failed,
        Succeeded + Bounced => Failed,
    }
}

words! {
    DisputeStatus {
        /// The payee may send evidence.
        NeedsResponse = "needs_response",
        UnderReview = "under_review",
        Won = "won",
        Lost = "lost",
    }
}

words! {
    DisputeEvent {
        Opened = "opened",
        EvidenceSent = "evidence_sent",
        /// The payee does not object.
        Conceded = "conceded",
        Won = "won",
        Lost = "lost",
    }
}

machine! { DisputeStatus, DisputeEvent, DisputeState:
    begin {
        Opened => NeedsResponse,
    }
    then {
        NeedsResponse + EvidenceSent => UnderReview,
        NeedsResponse + Conceded => Lost,
        NeedsResponse | UnderReview | Lost + Won => Won,
        NeedsResponse | UnderReview + Lost => Lost,
    }
}

words! {
    PayoutStatus {
        /// The money is held.
        Pending = "pending",
        /// Sent, and nobody knows what came of it; the hold stays.
        Unknown = "unknown",
        /// The bank has it; it may still come back.
        InTransit = "in_transit",
        Paid = "paid",
        /// The wallet has it back.
        Returned = "returned",
        Failed = "failed",
        Canceled = "canceled",
    }
}

words! {
    PayoutEvent {
        Asked = "asked",
        Sent = "sent",
        LostFromSight = "lost_from_sight",
        Settled = "settled",
        Returned = "returned",
        Declined = "declined",
        CalledOff = "called_off",
    }
}

machine! { PayoutStatus, PayoutEvent, PayoutState:
    begin {
        Asked => Pending,
    }
    then {
        Pending | Unknown + Sent => InTransit,
        Pending + LostFromSight => Unknown,
        Pending | Unknown + Declined => Failed,
        Pending + CalledOff => Canceled,
        InTransit + Settled => Paid,
        InTransit | Paid + Returned => Returned,
    }
}

/// What a payment has come to, in minor units of its currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentAmounts {
    pub authorized: i64,
    pub captured: i64,
    /// Refunds that are pending or succeeded.
    pub refunded: i64,
    /// What disputes that are open or lost took from the payee.
    pub disputed: i64,
}

impl PaymentAmounts {
    /// What may still be captured.
    pub fn capturable(self) -> i64 {
        left(self.authorized, self.captured, 0)
    }

    /// What may still be given back.
    pub fn refundable(self) -> i64 {
        left(self.captured, self.refunded, self.disputed)
    }

    pub fn capture(self, amount: i64) -> Result<Self, Refusal> {
        let left = self.capturable();
        match (1..=left).contains(&amount) {
            true => Ok(Self { captured: self.captured + amount, ..self }),
            false => Err(Refusal::AmountExceedsAuthorized { left }),
        }
    }

    pub fn refund(self, amount: i64) -> Result<Self, Refusal> {
        let left = self.refundable();
        match (1..=left).contains(&amount) {
            true => Ok(Self { refunded: self.refunded + amount, ..self }),
            false => Err(Refusal::AmountExceedsRefundable { left }),
        }
    }

    /// A bank has taken `amount`: the payee gives what is left of it, and nobody can refuse. What
    /// the bank took beyond is not the payee's.
    pub fn dispute(self, amount: i64) -> Self {
        Self { disputed: self.disputed + amount.clamp(0, self.refundable()), ..self }
    }

    /// A refund came to nothing.
    pub fn refund_failed(self, amount: i64) -> Self {
        Self { refunded: (self.refunded - amount).max(0), ..self }
    }

    pub fn dispute_won(self, amount: i64) -> Self {
        Self { disputed: (self.disputed - amount).max(0), ..self }
    }
}

fn left(whole: i64, one: i64, other: i64) -> i64 {
    let left = i128::from(whole) - i128::from(one) - i128::from(other);
    i64::try_from(left.max(0)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../docs/payments.md");

    /// The rows of the page's table under this heading, as `(from, event, to)`.
    fn printed(heading: &str) -> Vec<[String; 3]> {
        let start = PAGE.find(heading).unwrap_or_else(|| panic!("no {heading:?} on the page"));
        let lines = PAGE[start..].lines().skip_while(|line| !line.starts_with('|'));
        let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
        let row = |row: &str| {
            let mut cells = row.split('|').skip(1).map(|cell| cell.trim().replace('`', ""));
            let mut cell = || cells.next().unwrap_or_else(|| panic!("not a row: {row}"));
            [cell(), cell(), cell()]
        };
        rows.map(row).collect()
    }

    /// Every state with every event is as the page says, and the page says nothing more.
    macro_rules! is_as_printed {
        ($heading:literal, $state:ident, $event:ident) => {
            let rows = printed($heading);
            let to = |from: &str, event: &str| {
                let way = |row: &&[String; 3]| row[0] == from && row[1] == event;
                let found: Vec<_> = rows.iter().filter(way).map(|row| row[2].clone()).collect();
                assert!(found.len() <= 1, "{from} + {event} is printed twice");
                found.into_iter().next()
            };
            let mut ways = 0;
            for event in $event::ALL {
                let begun = $state::first(*event).map(|state| state.name().to_owned());
                assert_eq!(begun, to("–", event.name()), "{}", event.name());
                ways += usize::from(begun.is_some());
                for state in $state::ALL {
                    let reached = state.next(*event);
                    if let Err(refusal) = &reached {
                        assert_eq!(refusal, &Refusal::from(*state));
                    }
                    let reached = reached.ok().map(|state| state.name().to_owned());
                    let printed = to(state.name(), event.name());
                    assert_eq!(reached, printed, "{} + {}", state.name(), event.name());
                    ways += usize::from(reached.is_some());
                }
            }
            assert_eq!((ways, $state::TABLE.len()), (rows.len(), rows.len()));
            for state in $state::ALL {
                assert_eq!($state::from_name(state.name()), Some(*state));
                let reached = $state::TABLE.iter().any(|(.., to)| to == state);
                assert!(reached, "nothing leads to {}", state.name());
            }
            for event in $event::ALL {
                assert_eq!($event::from_name(event.name()), Some(*event));
            }
        };
    }

    impl From<PaymentStatus> for Refusal {
        fn from(status: PaymentStatus) -> Self {
            Self::PaymentState { status }
        }
    }
    impl From<RefundStatus> for Refusal {
        fn from(status: RefundStatus) -> Self {
            Self::RefundState { status }
        }
    }
    impl From<DisputeStatus> for Refusal {
        fn from(status: DisputeStatus) -> Self {
            Self::DisputeState { status }
        }
    }
    impl From<PayoutStatus> for Refusal {
        fn from(status: PayoutStatus) -> Self {
            Self::PayoutState { status }
        }
    }

    #[test]
    fn a_payment_goes_the_ways_printed_and_no_other() {
        is_as_printed!("### A payment", PaymentStatus, PaymentEvent);
    }

    #[test]
    fn a_refund_goes_the_ways_printed_and_no_other() {
        is_as_printed!("### A refund", RefundStatus, RefundEvent);
    }

    #[test]
    fn a_dispute_goes_the_ways_printed_and_no_other() {
        is_as_printed!("### A dispute", DisputeStatus, DisputeEvent);
    }

    #[test]
    fn a_payout_goes_the_ways_printed_and_no_other() {
        is_as_printed!("### A payout", PayoutStatus, PayoutEvent);
    }

    #[test]
    fn money_taken_is_final_but_for_what_gives_it_back() {
        use PaymentStatus::{Blocked, Canceled, Failed, Succeeded};
        let last: Vec<_> = PaymentStatus::ALL.iter().filter(|s| s.is_final()).copied().collect();
        assert_eq!(last, [Succeeded, Failed, Canceled, Blocked]);
    }

    #[test]
    fn an_unknown_payment_never_ends_by_the_clock_and_is_never_sent_again() {
        for event in [PaymentEvent::TimedOut, PaymentEvent::PutInQueue, PaymentEvent::TakenUp] {
            let refused = Refusal::PaymentState { status: PaymentStatus::Unknown };
            assert_eq!(PaymentStatus::Unknown.next(event), Err(refused));
        }
    }

    #[test]
    fn captures_stay_within_what_was_authorized() {
        let asked = PaymentAmounts { authorized: 100, ..PaymentAmounts::default() };
        let part = asked.capture(60).expect("a part");
        assert_eq!(part.capture(41), Err(Refusal::AmountExceedsAuthorized { left: 40 }));
        assert_eq!(part.capture(0), Err(Refusal::AmountExceedsAuthorized { left: 40 }));
        assert_eq!(part.capture(40).expect("the rest").capturable(), 0);
        assert!(asked.capture(i64::MAX).is_err());
    }

    #[test]
    fn refunds_and_open_disputes_stay_within_what_was_captured() {
        let paid = PaymentAmounts { authorized: 100, captured: 90, ..PaymentAmounts::default() };
        let refunded = paid.refund(50).expect("a part");
        let disputed = refunded.dispute(30);
        assert_eq!((disputed.refunded, disputed.disputed), (50, 30));
        let exceeds = Refusal::AmountExceedsRefundable { left: 10 };
        assert_eq!(disputed.refund(11), Err(exceeds));
        let more = disputed.dispute(11);
        assert_eq!((more.disputed, more.refundable()), (40, 0));
        assert_eq!(more.dispute(i64::MAX), more);
        assert_eq!(disputed.dispute_won(30).refundable(), 40);
        assert_eq!(disputed.refund_failed(50).refundable(), 60);
    }

    /// Each takes what the one before left, as rows under a lock do.
    #[test]
    fn a_hundred_refunds_never_exceed_the_capture() {
        let mut paid = PaymentAmounts { authorized: 95, captured: 95, ..Default::default() };
        let accepted = (0..100).filter(|_| match paid.refund(10) {
            Ok(next) => {
                paid = next;
                true
            }
            Err(_) => false,
        });
        assert_eq!(accepted.count(), 9);
        assert_eq!((paid.refunded, paid.refundable()), (90, 5));
    }
}
