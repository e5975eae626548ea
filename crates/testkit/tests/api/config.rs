//! What anybody may know of the platform, and keep for an hour.

use caudal_testkit::{Call, TestApp, both_databases};

both_databases! {
    config_is_public_and_kept
}

async fn config_is_public_and_kept(app: &TestApp) {
    let anybody = app.client.without_key();
    let read = anybody.get("/config/currencies").await;
    assert_eq!(read.header("cache-control"), Some("public, max-age=3600"));
    let tag = read.header("etag").expect("a tag").to_owned();
    let currencies = read.expect(200)["currencies"].clone();
    let exponent = |code: &str| {
        let all = currencies.as_array().expect("a list");
        all.iter().find(|it| it["code"] == code).map(|it| it["exponent"].clone())
    };
    assert_eq!((exponent("JPY"), exponent("USD")), (Some(0.into()), Some(2.into())));
    let again = Call::new("GET", "/config/currencies").header("if-none-match", &tag);
    assert_eq!(anybody.send(again).await.status, 304);
    let limits = anybody.get("/config/limits").await.expect(200);
    assert_eq!(limits["limits"]["batch_items"], 1000);
    let events = anybody.get("/config/events").await.expect(200);
    let kinds = events["events"].as_array().expect("a list");
    assert!(kinds.iter().any(|kind| kind == "payment.processed"));
    anybody.get("/config/secrets").await.refused(404, "config_not_found");
}
