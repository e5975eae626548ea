//! What payments are made with: types, gateway accounts, fraud rules; and the attempts made.

use std::slice::from_ref;

use caudal_domain::{
    FraudAction, FraudRule, FraudRuleId, GatewayAccountId, PaymentTypeId, TenantId,
};
use caudal_store::{
    fraud_rules,
    gateway_accounts::{self, GatewayAccountRow},
    payment_attempts::{self, AttemptRow, Ended},
    payment_types::{self, PaymentTypeRow},
};

use super::{
    fixtures::{done, missed, seconds, tenant},
    payments::new_payment,
    races::one_wins,
    stage::{START, Stage},
};

pub async fn attempts_end_once(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let payment = new_payment(stage, acme, 1).id;
    let attempt = |number| AttemptRow {
        payment,
        number,
        tenant: acme,
        gateway_account: GatewayAccountId(4),
        operation: "charge".into(),
        key: format!("{payment}"),
        started_at: seconds(number),
        ended: None,
    };
    let (mut first, second) = (attempt(1), attempt(2));
    // Two workers that both think they are the first to call.
    let units = (0..3).map(|_| vec![payment_attempts::start(&first)]).collect();
    one_wins(stage, units, 0).await;
    done(stage, vec![payment_attempts::start(&second)]).await;
    let ended = Ended {
        at: seconds(3),
        outcome: "declined".into(),
        reference: Some("pi_1".into()),
        decline_code: Some("expired_card".into()),
        detail: Some("402".into()),
    };
    missed(stage, vec![payment_attempts::end(other, (payment, 1), &ended)]).await;
    done(stage, vec![payment_attempts::end(acme, (payment, 1), &ended)]).await;
    missed(stage, vec![payment_attempts::end(acme, (payment, 1), &ended)]).await;
    first.ended = Some(ended);
    let of = async |tenant, limit| {
        payment_attempts::of_payment(db, tenant, payment, limit).await.unwrap()
    };
    assert_eq!(of(acme, 9).await, [first.clone(), second]);
    assert_eq!(of(acme, 1).await, [first]);
    assert_eq!(of(other, 9).await, []);
}

pub async fn types_round_trip(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let new = |tenant: TenantId, name: &str| PaymentTypeRow {
        id: PaymentTypeId(stage.id(START, 3)),
        tenant,
        name: name.into(),
        active: true,
        config: "{\"fee_minor\":5}".into(),
        version: 1,
        created_at: START,
        updated_at: START,
    };
    let (mut card, bank) = (new(acme, "card"), new(acme, "bank_transfer"));
    let rows = [&card, &bank, &new(other, "card")];
    done(stage, rows.map(payment_types::insert).into()).await;
    missed(stage, vec![payment_types::insert(&new(acme, "card"))]).await;
    let find = async |tenant| payment_types::find(db, tenant, card.id).await.unwrap();
    assert_eq!(find(acme).await.as_ref(), Some(&card));
    assert_eq!(find(other).await, None);
    let named = async |name: &str| payment_types::find_by_name(db, acme, name).await.unwrap();
    assert_eq!(named("bank_transfer").await.as_ref(), Some(&bank));
    assert_eq!(named("cash").await, None);
    let all = PaymentTypeId(u128::MAX);
    assert_eq!(payment_types::list(db, acme, all, 1).await.unwrap(), from_ref(&bank));
    assert_eq!(payment_types::list(db, acme, bank.id, 9).await.unwrap(), from_ref(&card));
    let active = async || {
        let mut all = payment_types::active(db, 10_000).await.unwrap();
        all.retain(|kind| kind.tenant == acme);
        all
    };
    assert_eq!(active().await, [card.clone(), bank.clone()]);

    (card.active, card.config) = (false, "{}".into());
    (card.updated_at, card.version) = (seconds(2), 2);
    let foreign = PaymentTypeRow { tenant: other, ..card.clone() };
    missed(stage, vec![payment_types::update(&foreign)]).await;
    done(stage, vec![payment_types::update(&card)]).await;
    missed(stage, vec![payment_types::update(&card)]).await;
    assert_eq!(payment_types::find(db, acme, card.id).await.unwrap().as_ref(), Some(&card));
    assert_eq!(active().await, [bank]);
    missed(stage, vec![payment_types::delete(other, card.id)]).await;
    done(stage, vec![payment_types::delete(acme, card.id)]).await;
    assert_eq!(payment_types::find(db, acme, card.id).await.unwrap(), None);
}

pub async fn accounts_round_trip(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let new = |tenant: TenantId, name: &str| GatewayAccountRow {
        id: GatewayAccountId(stage.id(START, 3)),
        tenant,
        kind: "simulator".into(),
        name: name.into(),
        active: true,
        config: "{}".into(),
        sealed: "sealed1:secret".into(),
        version: 1,
        created_at: START,
        updated_at: START,
    };
    let (mut main, spare) = (new(acme, "main"), new(acme, "spare"));
    let rows = [&main, &spare, &new(other, "main")];
    done(stage, rows.map(gateway_accounts::insert).into()).await;
    missed(stage, vec![gateway_accounts::insert(&new(acme, "main"))]).await;
    assert_eq!(gateway_accounts::find(db, acme, main.id).await.unwrap(), Some(main.clone()));
    assert_eq!(gateway_accounts::find(db, other, main.id).await.unwrap(), None);
    let anyone = gateway_accounts::find_of_anyone(db, main.id).await.unwrap();
    assert_eq!(anyone, Some(main.clone()));
    let all = GatewayAccountId(u128::MAX);
    assert_eq!(gateway_accounts::list(db, acme, all, 1).await.unwrap(), from_ref(&spare));
    assert_eq!(gateway_accounts::list(db, acme, spare.id, 9).await.unwrap(), from_ref(&main));
    assert!(!format!("{main:?}").contains("secret"));

    (main.name, main.active, main.config) = ("first".into(), false, "[]".into());
    (main.sealed, main.updated_at, main.version) = ("sealed1:other".into(), seconds(2), 2);
    let foreign = GatewayAccountRow { tenant: other, ..main.clone() };
    missed(stage, vec![gateway_accounts::update(&foreign)]).await;
    let taken = GatewayAccountRow { name: "spare".into(), ..main.clone() };
    missed(stage, vec![gateway_accounts::update(&taken)]).await;
    done(stage, vec![gateway_accounts::update(&main)]).await;
    missed(stage, vec![gateway_accounts::update(&main)]).await;
    done(stage, vec![gateway_accounts::reseal(&main, "sealed2:other")]).await;
    missed(stage, vec![gateway_accounts::reseal(&main, "sealed3:other")]).await;
    main.sealed = "sealed2:other".into();
    assert_eq!(gateway_accounts::find(db, acme, main.id).await.unwrap(), Some(main.clone()));
    let before = GatewayAccountId(main.id.0 - 1);
    assert_eq!(gateway_accounts::after(db, before, 1).await.unwrap(), [main]);
}

pub async fn rules_in_their_order(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let new = |tenant: TenantId, position| FraudRule {
        id: FraudRuleId(stage.id(START, 3)),
        tenant,
        position,
        name: "large".into(),
        expression: "payment.amount > 500000".into(),
        action: FraudAction::Review,
        active: true,
        version: 1,
        created_at: START,
        updated_at: START,
    };
    let (last, first, second) = (new(acme, 20), new(acme, 10), new(acme, 10));
    let rows = [&last, &first, &second, &new(other, 1)];
    done(stage, rows.map(fraud_rules::insert).into()).await;
    assert_eq!(fraud_rules::find(db, acme, first.id).await.unwrap(), Some(first.clone()));
    assert_eq!(fraud_rules::find(db, other, first.id).await.unwrap(), None);
    let listed = async |after: (i64, FraudRuleId), limit| {
        fraud_rules::list(db, acme, after, limit).await.unwrap()
    };
    let start = (i64::MIN, FraudRuleId(0));
    let everything = [first.clone(), second.clone(), last.clone()];
    assert_eq!(listed(start, 9).await, everything);
    assert_eq!(listed(start, 1).await, everything[..1]);
    assert_eq!(listed((10, first.id), 9).await, everything[1..]);
    assert_eq!(listed((10, second.id), 9).await, everything[2..]);

    let mut moved = FraudRule {
        position: 5,
        name: "always".into(),
        expression: "true".into(),
        action: FraudAction::Block,
        updated_at: seconds(2),
        version: 2,
        ..last
    };
    missed(stage, vec![fraud_rules::update(&FraudRule { tenant: other, ..moved.clone() })]).await;
    done(stage, vec![fraud_rules::update(&moved)]).await;
    missed(stage, vec![fraud_rules::update(&moved)]).await;
    assert_eq!(listed(start, 1).await, from_ref(&moved));
    (moved.active, moved.version) = (false, 3);
    done(stage, vec![fraud_rules::update(&moved)]).await;
    let active = fraud_rules::active(db, acme, 9).await.unwrap();
    assert_eq!(active, [first, second]);
    missed(stage, vec![fraud_rules::delete(other, moved.id)]).await;
    done(stage, vec![fraud_rules::delete(acme, moved.id)]).await;
    assert_eq!(fraud_rules::find(db, acme, moved.id).await.unwrap(), None);
}
