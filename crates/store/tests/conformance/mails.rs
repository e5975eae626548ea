//! The outbox of mails: each claimed by one worker at a time, until it is sent or given up.

use std::slice::from_ref;

use caudal_domain::{Mail, MailId, MailTemplate, TenantId, UserId};
use caudal_store::{
    UnitOutcome,
    mails::{self, MailRow},
};

use super::{
    fixtures::{done, missed, outcome, seconds, tenant, user_of},
    stage::Stage,
};

async fn written(stage: &Stage, tenant: TenantId, user: Option<UserId>, after: i64) -> MailRow {
    let at = seconds(after);
    let template = MailTemplate::VerifyEmail;
    let mail = Mail { id: MailId(stage.id(at, 3)), tenant, user, template, created_at: at };
    done(stage, vec![mails::insert(&mail, "sealed")]).await;
    let (sealed, sent_at, failed_at) = ("sealed".into(), None, None);
    MailRow { mail, sealed, attempts: 0, next_at: at, sent_at, failed_at }
}

pub async fn claimed_by_one(stage: &Stage) {
    let db = stage.store.as_ref();
    let acme = tenant(stage).await;
    let row = written(stage, acme, None, 1).await;
    let later = written(stage, acme, None, 5).await;
    assert_eq!(mails::due(db, seconds(0), 9).await.unwrap(), []);
    assert_eq!(mails::due(db, seconds(1), 9).await.unwrap(), from_ref(&row));
    assert_eq!(mails::due(db, seconds(5), 9).await.unwrap(), [row.clone(), later.clone()]);
    assert_eq!(mails::due(db, seconds(5), 1).await.unwrap(), from_ref(&row));
    let racers = (0..4).map(|_| {
        let (store, step) = (stage.store.clone(), mails::claim(&row, seconds(60)));
        tokio::spawn(async move { outcome(&store, vec![step]).await })
    });
    let mut won = 0;
    for racer in racers.collect::<Vec<_>>() {
        won += usize::from(racer.await.unwrap() == UnitOutcome::Done);
    }
    assert_eq!(won, 1);
    assert_eq!(mails::due(db, seconds(5), 9).await.unwrap(), [later]);
    // Whoever claimed it died.
    let again = MailRow { attempts: 1, next_at: seconds(60), ..row };
    assert_eq!(mails::due(db, seconds(60), 9).await.unwrap()[1], again);
}

pub async fn ends_once(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let (good, bad) = (written(stage, acme, None, 1).await, written(stage, acme, None, 2).await);
    let (sent, lost) = (good.mail.id, bad.mail.id);
    missed(stage, vec![mails::sent(other, sent, seconds(3))]).await;
    done(stage, vec![mails::sent(acme, sent, seconds(3))]).await;
    missed(stage, vec![mails::sent(acme, sent, seconds(4))]).await;
    missed(stage, vec![mails::claim(&good, seconds(60))]).await;
    missed(stage, vec![mails::put_off(other, lost, seconds(9))]).await;
    done(stage, vec![mails::put_off(acme, lost, seconds(9))]).await;
    assert_eq!(mails::due(db, seconds(8), 9).await.unwrap(), []);
    missed(stage, vec![mails::failed(other, lost, seconds(9))]).await;
    done(stage, vec![mails::failed(acme, lost, seconds(9))]).await;
    missed(stage, vec![mails::put_off(acme, lost, seconds(9))]).await;
    assert_eq!(mails::due(db, seconds(99), 9).await.unwrap(), []);
    let good = MailRow { sent_at: Some(seconds(3)), ..good };
    let bad = MailRow { next_at: seconds(9), failed_at: Some(seconds(9)), ..bad };
    assert_eq!(mails::list(db, acme, MailId(u128::MAX), 1).await.unwrap(), from_ref(&bad));
    assert_eq!(mails::list(db, acme, bad.mail.id, 9).await.unwrap(), [good]);
    assert_eq!(mails::list(db, other, MailId(u128::MAX), 9).await.unwrap(), []);
}

pub async fn removed_with_their_user(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let ada = user_of(stage, acme).await.id;
    written(stage, acme, Some(ada), 1).await;
    let general = written(stage, acme, None, 2).await;
    done(stage, vec![mails::remove_of_user(other, ada)]).await;
    assert_eq!(mails::due(db, seconds(9), 9).await.unwrap().len(), 2);
    done(stage, vec![mails::remove_of_user(acme, ada)]).await;
    assert_eq!(mails::due(db, seconds(9), 9).await.unwrap(), [general]);
}
