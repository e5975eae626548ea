//! Uploads: files of lines, each of which ends once.

use std::slice::from_ref;

use caudal_domain::{PaymentId, TenantId, UploadId, UserId};
use caudal_store::uploads::{self, LineDone, LineRow, LineStatus, Lines, UploadRow};

use super::{
    fixtures::{done, missed, seconds, tenant},
    races::one_wins,
    stage::Stage,
};

fn upload(stage: &Stage, tenant: TenantId, second: i64) -> UploadRow {
    let at = seconds(second);
    UploadRow {
        id: UploadId(stage.id(at, 3)),
        tenant,
        user: Some(UserId(4)),
        status: "receiving".into(),
        format: "csv".into(),
        lines: 0,
        succeeded: 0,
        failed: 0,
        data: "{}".into(),
        next_at: None,
        version: 1,
        created_at: at,
        updated_at: at,
    }
}

pub async fn round_trip(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let (mut first, second) = (upload(stage, acme, 1), upload(stage, acme, 2));
    let rows = [&first, &second, &upload(stage, other, 3)];
    done(stage, rows.map(uploads::insert).into()).await;
    let find = async |tenant| uploads::find(db, tenant, first.id).await.unwrap();
    assert_eq!(find(acme).await.as_ref(), Some(&first));
    assert_eq!(find(other).await, None);
    let all = UploadId(u128::MAX);
    assert_eq!(uploads::list(db, acme, all, 1).await.unwrap(), from_ref(&second));
    assert_eq!(uploads::list(db, acme, second.id, 9).await.unwrap(), from_ref(&first));
    assert_eq!(uploads::due(db, seconds(99), 9).await.unwrap(), []);
    (first.status, first.lines, first.data) = ("processing".into(), 3, "[]".into());
    (first.next_at, first.updated_at, first.version) = (Some(seconds(5)), seconds(4), 2);
    let foreign = UploadRow { tenant: other, ..first.clone() };
    missed(stage, vec![uploads::update(&foreign)]).await;
    done(stage, vec![uploads::update(&first)]).await;
    assert_eq!(uploads::due(db, seconds(4), 9).await.unwrap(), []);
    assert_eq!(uploads::due(db, seconds(5), 9).await.unwrap(), from_ref(&first));
    let claimed = UploadRow { next_at: Some(seconds(60)), version: 3, ..first };
    one_wins(stage, (0..3).map(|_| vec![uploads::update(&claimed)]).collect(), 0).await;
    assert_eq!(uploads::due(db, seconds(59), 9).await.unwrap(), []);
}

pub async fn lines_in_pages_end_once(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let file = UploadRow { lines: 21, ..upload(stage, acme, 1) };
    // Two statements of eight lines, and five of one.
    let lines: Vec<_> = (1..=21).map(|number| (number, format!("line {number}"))).collect();
    let steps = uploads::insert_lines(acme, file.id, &lines);
    assert_eq!(steps.len(), 7);
    done(stage, [vec![uploads::insert(&file)], steps].concat()).await;
    let all = Lines { tenant: acme, upload: file.id, status: None, after: 0, limit: 99 };
    let listed = async |page: Lines| uploads::lines(db, &page).await.unwrap();
    let everything = listed(all).await;
    let line = |number: i64| LineRow {
        number,
        input: format!("line {number}"),
        status: LineStatus::Pending,
        payment: None,
        detail: None,
    };
    assert_eq!(everything, (1..=21).map(line).collect::<Vec<_>>());
    assert_eq!(listed(Lines { after: 5, limit: 2, ..all }).await, everything[5..7]);
    assert_eq!(listed(Lines { tenant: other, ..all }).await, []);

    let payment = Some(PaymentId(7));
    let results = [
        LineDone { number: 2, payment, failure: None },
        LineDone { number: 3, payment: None, failure: Some("amount: not a number".into()) },
    ];
    missed(stage, uploads::lines_done(other, file.id, &results)).await;
    let units = (0..3).map(|_| uploads::lines_done(acme, file.id, &results)).collect();
    one_wins(stage, units, 0).await;
    let counted = uploads::find(db, acme, file.id).await.unwrap().unwrap();
    assert_eq!((counted.succeeded, counted.failed), (1, 1));
    let with = |status| Lines { status: Some(status), ..all };
    assert_eq!(listed(with(LineStatus::Pending)).await.len(), 19);
    let good = LineRow { status: LineStatus::Succeeded, payment, ..line(2) };
    assert_eq!(listed(with(LineStatus::Succeeded)).await, [good]);
    let detail = Some("amount: not a number".into());
    let bad = LineRow { status: LineStatus::Failed, detail, ..line(3) };
    assert!(!format!("{bad:?}").contains("line 3"));
    assert_eq!(listed(with(LineStatus::Failed)).await, [bad]);
}
