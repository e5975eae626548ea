//! What rules look at: names, their types and their values, in one place.

use std::{collections::BTreeMap, sync::OnceLock};

use caudal_domain::{Currency, text::Metadata};
use cel::{
    common::{
        types::{CelBool, CelInt, CelMap, CelMapKey, CelString},
        value::{CowVal, Val},
    },
    context::VariableResolver,
};

use crate::check::Type;

/// Every name a rule may read. What is absent reads as empty, zero or false.
pub(crate) const NAMES: &[(&str, Type)] = &[
    ("payment.amount", Type::Int),
    ("payment.currency", Type::Text),
    ("payment.type", Type::Text),
    ("payment.description", Type::Text),
    ("payment.metadata", Type::Map),
    ("wallet.id", Type::Text),
    ("wallet.currency", Type::Text),
    ("wallet.status", Type::Text),
    ("wallet.available", Type::Int),
    ("wallet.age_h", Type::Int),
    ("user.is_known", Type::Bool),
    ("user.id", Type::Text),
    ("user.status", Type::Text),
    ("user.is_verified", Type::Bool),
    ("user.age_h", Type::Int),
    ("velocity.payer.count_1h", Type::Int),
    ("velocity.payer.sum_1h", Type::Int),
    ("velocity.payer.count_24h", Type::Int),
    ("velocity.payer.sum_24h", Type::Int),
    ("velocity.wallet.count_1h", Type::Int),
    ("velocity.wallet.sum_1h", Type::Int),
    ("velocity.wallet.count_24h", Type::Int),
    ("velocity.wallet.sum_24h", Type::Int),
    ("velocity.method.count_1h", Type::Int),
    ("velocity.method.sum_1h", Type::Int),
    ("velocity.method.count_24h", Type::Int),
    ("velocity.method.sum_24h", Type::Int),
];

/// What may be absent, so that `has(…)` asks for it: a member of the payment.
pub(crate) const OPTIONAL: &str = "description";

/// All that is known when a payment is screened.
#[derive(Debug)]
pub struct Facts<'a> {
    pub payment: PaymentFacts<'a>,
    pub wallet: WalletFacts,
    pub user: UserFacts,
    pub velocity: Velocity,
    /// What the amount is worth in other currencies, in their minor units; a rule that asks for
    /// one that is not there fails.
    pub amounts: BTreeMap<Currency, i64>,
    maps: Maps,
}

#[derive(Clone, Copy, Debug)]
pub struct PaymentFacts<'a> {
    /// Minor units of `currency`.
    pub amount: i64,
    pub currency: Currency,
    /// The name of its type.
    pub kind: &'a str,
    pub description: Option<&'a str>,
    pub metadata: &'a Metadata,
}

/// The wallet debited, or the one credited where the money comes from outside.
#[derive(Clone, Debug, Default)]
pub struct WalletFacts {
    pub id: String,
    pub currency: String,
    pub status: &'static str,
    /// Minor units.
    pub available: i64,
    pub age_h: i64,
}

/// Who pays; all empty where that is no user of the tenant.
#[derive(Clone, Debug, Default)]
pub struct UserFacts {
    pub is_known: bool,
    pub id: String,
    pub status: &'static str,
    /// Has proven the address of their mail.
    pub is_verified: bool,
    pub age_h: i64,
}

/// Payments before this one, whatever came of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Velocity {
    pub payer: Windows,
    pub wallet: Windows,
    pub method: Windows,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Windows {
    pub hour: Counted,
    pub day: Counted,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Of any currency.
    pub count: i64,
    /// Minor units of the payment's currency, of those in it.
    pub sum: i64,
}

/// Made when the first rule asks.
#[derive(Debug, Default)]
struct Maps {
    metadata: OnceLock<CelMap<'static>>,
    optional: OnceLock<CelMap<'static>>,
}

impl<'a> Facts<'a> {
    /// Those of a payment, of which nothing else is known.
    pub fn of(payment: PaymentFacts<'a>) -> Self {
        Self {
            payment,
            wallet: WalletFacts::default(),
            user: UserFacts::default(),
            velocity: Velocity::default(),
            amounts: BTreeMap::new(),
            maps: Maps::default(),
        }
    }

    fn metadata(&self) -> &CelMap<'static> {
        let pairs = || self.payment.metadata.0.iter().map(|(k, v)| (k.as_str(), v.as_str()));
        self.maps.metadata.get_or_init(|| map(pairs()))
    }

    /// What of [`OPTIONAL`] is there.
    fn optional(&self) -> &CelMap<'static> {
        let described = || self.payment.description.map(|text| (OPTIONAL, text));
        self.maps.optional.get_or_init(|| map(described().into_iter()))
    }
}

fn map<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> CelMap<'static> {
    let own = |text: &str| CelString::from(text.to_owned());
    let entry = |(key, value): (&str, &str)| -> (CelMapKey<'static>, Box<dyn Val>) {
        (key.to_owned().into(), Box::new(own(value)))
    };
    CelMap::from(pairs.map(entry).collect::<std::collections::HashMap<_, _>>())
}

impl VariableResolver for Facts<'_> {
    /// `cel` asks for the longest name first: `payment.amount` before `payment`.
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        match name.split_once('.') {
            None => (name == "payment").then(|| CowVal::Borrowed(self.optional())),
            Some(("payment", name)) => self.of_payment(name),
            Some(("wallet", name)) => self.of_wallet(name),
            Some(("user", name)) => self.of_user(name),
            Some(("velocity", name)) => self.velocity.of(name).map(int),
            Some(_) => None,
        }
    }
}

impl Facts<'_> {
    fn of_payment<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let payment = &self.payment;
        Some(match name {
            "amount" => int(payment.amount),
            "currency" => text(payment.currency.code()),
            "type" => text(payment.kind),
            "description" => text(payment.description.unwrap_or_default()),
            "metadata" => CowVal::Borrowed(self.metadata()),
            _ => return None,
        })
    }

    fn of_wallet<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let wallet = &self.wallet;
        Some(match name {
            "id" => text(&wallet.id),
            "currency" => text(&wallet.currency),
            "status" => text(wallet.status),
            "available" => int(wallet.available),
            "age_h" => int(wallet.age_h),
            _ => return None,
        })
    }

    fn of_user<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let user = &self.user;
        Some(match name {
            "is_known" => CowVal::owned(CelBool::from(user.is_known)),
            "id" => text(&user.id),
            "status" => text(user.status),
            "is_verified" => CowVal::owned(CelBool::from(user.is_verified)),
            "age_h" => int(user.age_h),
            _ => return None,
        })
    }
}

impl Velocity {
    /// `payer.count_1h` and the like.
    fn of(&self, name: &str) -> Option<i64> {
        let (whose, what) = name.split_once('.')?;
        let windows = match whose {
            "payer" => self.payer,
            "wallet" => self.wallet,
            "method" => self.method,
            _ => return None,
        };
        Some(match what {
            "count_1h" => windows.hour.count,
            "sum_1h" => windows.hour.sum,
            "count_24h" => windows.day.count,
            "sum_24h" => windows.day.sum,
            _ => return None,
        })
    }
}

fn int<'b>(value: i64) -> CowVal<'b, 'b> {
    CowVal::owned(CelInt::from(value))
}

fn text(value: &str) -> CowVal<'_, '_> {
    CowVal::owned(CelString::from(value))
}
