//! The schema comes up once and stays.

use super::stage::{START, Stage};

pub async fn migrating_again_does_nothing(stage: &Stage) {
    assert_eq!(stage.store.pending_migrations().await.unwrap(), Vec::<String>::new());
    assert_eq!(stage.store.migrate(START).await.unwrap(), Vec::<String>::new());
    // A step that is not on record is pending again.
    stage.raw("delete from schema_migrations").await;
    let pending = stage.store.pending_migrations().await.unwrap();
    assert!(pending.contains(&"0001_heart".to_owned()), "{pending:?}");
}

pub async fn partitions_are_made_once(stage: &Stage) {
    assert_eq!(stage.store.create_partitions(START).await.unwrap(), Vec::<String>::new());
    // A month later there are new ones to make, or none where there are no partitions.
    let later = START.plus_seconds(31 * 86_400);
    let first = stage.store.create_partitions(later).await.unwrap();
    assert!(first.is_empty() || first.iter().any(|name| name.starts_with("transfers")));
    assert_eq!(stage.store.create_partitions(later).await.unwrap(), Vec::<String>::new());
}

pub async fn connections_are_counted(stage: &Stage) {
    let (in_use, most) = stage.store.connections();
    assert_eq!(in_use, 0);
    assert!(most > 0);
}
