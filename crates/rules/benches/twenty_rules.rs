//! How long twenty rules take for one payment: 50 µs is the most that is wanted. None of them
//! holds, so that all are asked. `cargo bench -p caudal-rules`.

use std::hint::black_box;

use caudal_domain::{Currency, FraudAction, FraudRuleId, text::Metadata};
use caudal_rules::{Facts, PaymentFacts, Ranked, Rule, RuleSet};
use criterion::{Criterion, criterion_group, criterion_main};

const RULES: [&str; 20] = [
    "payment.amount > 500000",
    "payment.amount_in('USD') > 500000",
    "payment.currency == 'JPY' && payment.amount > 9000000",
    "payment.currency in ['KWD', 'BHD', 'OMR'] && payment.type != 'wallet'",
    "payment.type == 'card' && velocity.method.count_1h > 5",
    "velocity.payer.count_1h > 10 || velocity.payer.sum_24h > 1000000",
    "velocity.wallet.sum_24h + payment.amount > 5000000",
    "velocity.payer.count_24h > 40 && user.age_h < 48",
    "!user.is_verified && payment.amount > 100000",
    "user.is_known && user.status != 'active'",
    "wallet.age_h < 1 && payment.amount > 50000",
    "wallet.available < payment.amount / 100 && wallet.available > 0",
    "has(payment.metadata.country) && payment.metadata.country in ['XX', 'YY', 'ZZ']",
    "has(payment.metadata.ip) && payment.metadata.ip.startsWith('10.')",
    "has(payment.metadata.orders) && int(payment.metadata.orders) > 900",
    "has(payment.description) && payment.description.contains('gift card')",
    "payment.description.matches('(?i)crypto|casino')",
    "payment.amount % 100000 == 0 && velocity.method.count_24h > 3",
    "payment.type == 'bank_transfer' ? payment.amount > 900000 : payment.amount > 700000",
    "velocity.method.sum_1h > 300000 && !(payment.currency in ['USD', 'EUR'])",
];

fn twenty_rules(criterion: &mut Criterion) {
    let ranked = |(place, expression): (usize, &&str)| Ranked {
        id: FraudRuleId(place as u128),
        action: FraudAction::Block,
        rule: Rule::compile(expression),
    };
    let set = RuleSet::new(RULES.iter().enumerate().map(ranked).collect());
    let pairs = [("country", "PT"), ("orders", "12"), ("ip", "192.0.2.7")];
    let metadata = Metadata(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    let code = |code| Currency::from_code(code).expect("a code");
    let payment = PaymentFacts {
        amount: 12_050,
        currency: code("EUR"),
        kind: "card",
        description: Some("two lamps and a table, to be sent on Monday"),
        metadata: &metadata,
    };
    criterion.bench_function("twenty rules", |bencher| {
        bencher.iter(|| {
            let mut facts = Facts::of(payment);
            facts.amounts.insert(code("USD"), 14_000);
            black_box(set.judge(&facts, |rule, why| panic!("{rule}: {why}")))
        });
    });
    criterion.bench_function("compile a rule", |bencher| {
        bencher.iter(|| black_box(Rule::compile(RULES[5]).is_ok()));
    });
}

criterion_group!(benches, twenty_rules);
criterion_main!(benches);
