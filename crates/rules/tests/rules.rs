//! Rules as tables: what holds for a payment, what is refused and where, what comes out together.

use std::collections::BTreeMap;

use caudal_domain::{Currency, FraudAction, FraudRuleId, text::Metadata};
use caudal_rules::{
    Counted, Facts, Finding, Outcome, PaymentFacts, Ranked, Rule, RuleSet, UserFacts, Velocity,
    Verdict, WalletFacts, Windows,
};

fn currency(code: &str) -> Currency {
    Currency::from_code(code).expect("a code")
}

fn metadata() -> Metadata {
    let pairs = [("country", "PT"), ("orders", "12"), ("note", "grüße")];
    Metadata(pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into())
}

fn facts(metadata: &Metadata) -> Facts<'_> {
    let payment = PaymentFacts {
        amount: 250_000,
        currency: currency("EUR"),
        kind: "card",
        description: Some("two lamps"),
        metadata,
    };
    let counted = |count, sum| Counted { count, sum };
    let mut facts = Facts::of(payment);
    facts.wallet = WalletFacts {
        id: "wal_1".into(),
        currency: "EUR".into(),
        status: "active",
        available: 9_000,
        age_h: 30,
    };
    facts.user = UserFacts {
        is_known: true,
        id: "usr_1".into(),
        status: "active",
        is_verified: false,
        age_h: 2,
    };
    facts.velocity = Velocity {
        payer: Windows { hour: counted(3, 700), day: counted(9, 4_200) },
        wallet: Windows { hour: counted(1, 100), day: counted(1, 100) },
        method: Windows::default(),
    };
    facts.amounts = BTreeMap::from([(currency("USD"), 290_000)]);
    facts
}

/// `yes`, `no`, or why it failed.
fn outcome(expression: &str) -> String {
    let metadata = metadata();
    let rule = Rule::compile(expression).unwrap_or_else(|wrong| panic!("{expression}: {wrong}"));
    match rule.evaluate(&facts(&metadata)) {
        Outcome::Holds => "yes".into(),
        Outcome::DoesNot => "no".into(),
        Outcome::Failed(why) => why,
    }
}

#[test]
fn rules_read_all_there_is() {
    let table = [
        ("payment.amount > 200000", "yes"),
        ("payment.amount > 250000", "no"),
        ("payment.currency == 'EUR' && payment.type == \"card\"", "yes"),
        ("payment.currency in ['USD', 'GBP'] || payment.type in ['card']", "yes"),
        ("payment.amount_in('USD') > 280000", "yes"),
        ("payment.amount_in('EUR') == 250000", "yes"),
        ("payment.amount_in('JPY') > 1", "there is no rate to JPY"),
        ("payment.description.contains('lamp')", "yes"),
        ("has(payment.description) && size(payment.description) == 9", "yes"),
        ("payment.description.matches('^two [a-z]+$')", "yes"),
        ("payment.description.matches('^three')", "no"),
        ("payment.metadata.country != 'PT'", "no"),
        ("payment.metadata['note'].startsWith('grü')", "yes"),
        ("int(payment.metadata.orders) >= 12", "yes"),
        ("int(payment.metadata.country) >= 12", "int failed"),
        ("payment.metadata.colour == 'red'", "the metadata has no colour"),
        ("has(payment.metadata.colour) && payment.metadata.colour == 'red'", "no"),
        ("'country' in payment.metadata && size(payment.metadata) == 3", "yes"),
        ("wallet.available < 10000 && wallet.age_h < 48 && wallet.status == 'active'", "yes"),
        ("wallet.currency == payment.currency && wallet.id.startsWith('wal_')", "yes"),
        ("user.is_known && !user.is_verified && user.age_h < 24", "yes"),
        ("velocity.payer.count_1h >= 3 && velocity.payer.sum_24h == 4200", "yes"),
        ("velocity.payer.sum_1h + payment.amount > 250000", "yes"),
        ("velocity.wallet.count_24h > 1 || velocity.method.count_1h > 0", "no"),
        ("payment.amount % 1000 == 0 ? user.is_known : false", "yes"),
        ("-payment.amount < 0 && double(payment.amount) / 2.0 > 1e3", "yes"),
        ("payment.amount / 0 > 1", "a division by zero"),
        ("payment.amount * 9223372036854775807 > 1", "a number that is too large"),
        // As CEL says: what already decides makes up for what fails.
        ("payment.amount / 0 > 1 || true", "yes"),
        ("user.is_verified && payment.amount / 0 > 1", "no"),
    ];
    for (expression, wanted) in table {
        assert_eq!(outcome(expression), wanted, "{expression}");
    }
}

#[test]
fn what_is_absent_reads_as_empty() {
    let metadata = Metadata::default();
    let payment = PaymentFacts {
        amount: 1,
        currency: currency("EUR"),
        kind: "wallet",
        description: None,
        metadata: &metadata,
    };
    let facts = Facts::of(payment);
    for expression in [
        "payment.description == '' && !has(payment.description) && size(payment.metadata) == 0",
        "!user.is_known && user.id == '' && user.age_h == 0 && velocity.method.count_24h == 0",
    ] {
        let rule = Rule::compile(expression).expect("compiles");
        assert_eq!(rule.evaluate(&facts), Outcome::Holds, "{expression}");
    }
}

#[test]
fn what_is_no_rule_is_told_with_its_place() {
    let table: &[(&str, &str)] = &[
        ("", "line 1, column 1:"),
        ("payment.amount >", "line 1, column 17:"),
        ("payment.amount > 5 )", "line 1, column 20:"),
        ("payment.amount", "line 1, column 8: a rule is true or false, this is an int"),
        ("payment.amout > 5", "line 1, column 8: there is no payment.amout; there are payment.amo"),
        ("paymnet.amount > 5", "line 1, column 8: there is no paymnet.amount; there are payment,"),
        ("amount > 5", "line 1, column 1: there is no amount"),
        ("true &&\n payment.amount == 'x'", "line 2, column 17: == can't be used here with an int"),
        (
            "velocity.payer > 5",
            "line 1, column 9: there is no velocity.payer; there are velocity.p",
        ),
        ("payment.currency.length > 5", "line 1, column 17: a string has no member length"),
        ("payment.amount_in(payment.currency) > 5", "line 1, column 18: write payment.amount_in("),
        ("payment.amount_in('XXQ') > 5", "line 1, column 19: \"XXQ\" is no currency's code"),
        ("payment.description.matches('(')", "line 1, column 29: the pattern can't be read:"),
        ("payment.description.matches(payment.type)", "line 1, column 28: matches takes a pattern"),
        ("payment.description.matches('(a{900}){900}')", "line 1, column 29: the pattern is too"),
        ("[1, 2].exists(x, x > payment.amount)", "line 1, column 14: a rule can't loop"),
        ("payment.metadata.all(k, k != '')", "line 1, column 21: a rule can't loop"),
        ("{'a': 1} == {'a': 1}", "line 1, column 1: a rule can't make maps or objects"),
        ("payment.amount in [1, 'a']", "line 1, column 19: a list holds values of one type"),
        ("payment.amount == null", "line 1, column 19: a rule knows strings, numbers and bools"),
        ("has(payment.amount)", "line 1, column 4: amount is always there"),
        ("open('/etc/passwd') == ''", "line 1, column 5: open can't be used here with a string"),
        ("user.is_known < true", "line 1, column 15: < can't be used here with a bool and a bool"),
    ];
    for (expression, wanted) in table {
        let wrong = Rule::compile(expression).expect_err(expression).to_string();
        assert!(wrong.starts_with(wanted), "{expression}\n  {wrong}\n  {wanted}");
    }
}

#[test]
fn what_costs_too_much_is_refused_whatever_it_says() {
    let many = |part: &str, times: usize| part.repeat(times);
    let table = [
        many("true || ", 300) + "true",
        many("(", 900) + "true" + &many(")", 900),
        many("[", 900) + &many("]", 900),
        many("true ? true : ", 100) + "true",
        "payment".to_owned() + &many(".metadata", 200) + " == ''",
        many("1 + ", 150) + "1 == 1",
        "'".to_owned() + &many("é", 1_000) + "' == ''",
        "payment.description.matches('".to_owned() + &many("a", 201) + "')",
        many("{", 900),
        many("f(", 900),
    ];
    // In a small stack, such as a worker's.
    let small = std::thread::Builder::new().stack_size(1 << 21);
    let all = small.spawn(move || {
        for expression in table {
            let wrong = Rule::compile(&expression).expect_err("refused");
            assert!(wrong.message.len() < 1_000, "{wrong}");
        }
        // Two of them are none to the parser.
        for folded in [many("!", 1_900) + "true", many("-", 1_900) + "1 == 1"] {
            Rule::compile(&folded).expect("folded");
        }
        let deepest = "(".repeat(14) + "true" + &")".repeat(14);
        Rule::compile(&deepest).expect("deep, but not too deep");
    });
    all.expect("a thread").join().expect("no overflow");
}

#[test]
fn the_first_allow_or_block_ends_it_and_reviews_are_collected() {
    let (yes, no, bad) = ("true", "false", "payment.amount / 0 > 1");
    let review =
        |rule, has_failed| Verdict::Review(Finding { rule: FraudRuleId(rule), has_failed });
    let block = |rule| Verdict::Block(Finding { rule: FraudRuleId(rule), has_failed: false });
    use FraudAction::{Allow as A, Block as B, Review as R};
    let table: &[(&[(FraudAction, &str)], Verdict)] = &[
        (&[], Verdict::Allow),
        (&[(B, no), (R, no), (A, no)], Verdict::Allow),
        (&[(A, yes), (B, yes)], Verdict::Allow),
        (&[(B, yes), (A, yes)], block(0)),
        (&[(R, yes), (R, yes)], review(0, false)),
        (&[(R, yes), (B, yes)], block(1)),
        (&[(R, yes), (A, yes), (B, yes)], review(0, false)),
        (&[(A, no), (R, no), (R, yes)], review(2, false)),
        // What fails is looked at, whatever its rule would have done.
        (&[(A, bad)], review(0, true)),
        (&[(B, bad), (A, yes)], review(0, true)),
        (&[(R, bad), (B, yes)], block(1)),
        (&[(A, yes), (B, bad)], Verdict::Allow),
    ];
    let metadata = metadata();
    for (rules, wanted) in table {
        let ranked = |(place, (action, expression)): (usize, &(FraudAction, &str))| Ranked {
            id: FraudRuleId(place as u128),
            action: *action,
            rule: Rule::compile(expression),
        };
        let set = RuleSet::new(rules.iter().enumerate().map(ranked).collect());
        let mut failed = 0;
        let verdict = set.judge(&facts(&metadata), |_, _| failed += 1);
        assert_eq!(verdict, *wanted, "{rules:?}");
        let has_failed = matches!(verdict, Verdict::Review(finding) if finding.has_failed);
        assert!(failed > 0 || !has_failed, "{rules:?}");
    }
}

#[test]
fn a_set_knows_what_it_looks_at() {
    let mentions = |expression: &str| Rule::compile(expression).expect("compiles").mentions;
    assert_eq!(mentions("payment.amount > 5"), caudal_rules::Mentions::default());
    let some = mentions("velocity.method.count_1h > 5 && payment.amount_in('USD') > 7");
    assert!(some.method_velocity && !some.payer_velocity && !some.wallet && !some.user);
    assert_eq!(Vec::from_iter(some.currencies), [currency("USD")]);
    let other = mentions("wallet.age_h < 5 || user.is_known || velocity.payer.sum_1h > 2");
    assert!(other.wallet && other.user && other.payer_velocity && !other.wallet_velocity);
}
