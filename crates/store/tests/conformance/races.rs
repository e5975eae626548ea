//! Units of work that run at the same time.

use caudal_store::{Step, UnitOutcome};

use super::{fixtures::outcome, stage::Stage};

/// Runs each list of steps as a unit of its own, all at once; their outcomes in the same order.
pub async fn race(stage: &Stage, units: Vec<Vec<Step>>) -> Vec<UnitOutcome> {
    let racers: Vec<_> = units
        .into_iter()
        .map(|steps| {
            let store = stage.store.clone();
            tokio::spawn(async move { outcome(&store, steps).await })
        })
        .collect();
    let mut outcomes = Vec::new();
    for racer in racers {
        outcomes.push(racer.await.unwrap());
    }
    outcomes
}

/// Asserts that of these units exactly one was done and every other missed at this step.
pub async fn one_wins(stage: &Stage, units: Vec<Vec<Step>>, misses_at: usize) -> usize {
    let outcomes = race(stage, units).await;
    let won: Vec<_> = (0..).zip(&outcomes).filter(|(_, out)| **out == UnitOutcome::Done).collect();
    assert_eq!(won.len(), 1, "{outcomes:?}");
    let others = outcomes.iter().filter(|out| **out == UnitOutcome::Missed(misses_at)).count();
    assert_eq!(others, outcomes.len() - 1, "{outcomes:?}");
    won[0].0
}
