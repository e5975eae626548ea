//! What the engine guarantees, whatever the database does.

mod memory;

use caudal_domain::{Fingerprint, ReceiptKey, Refusal};
use caudal_engine::{EngineError, Given, Job, JobReply, ReceiptOf, Settings};
use caudal_store::StoreError;
use memory::{POISON, TENANT, engine, transfer, wallet, with_key, with_reference};

fn one_lane() -> Settings {
    Settings { lanes: 1, ..Settings::default() }
}

fn is_accepted(reply: &JobReply) -> bool {
    matches!(reply.replies[0].given, Given::Transfer(_))
}

#[tokio::test]
async fn waiting_commands_share_a_commit() {
    let (engine, memory) = engine(2, &one_lane());
    let jobs = (0..100).map(|_| engine.submit(Job::one(TENANT, transfer(0, 1, 1))));
    let replies = futures::future::join_all(jobs).await;
    assert!(replies.iter().all(|reply| is_accepted(reply.as_ref().unwrap())));
    let batches = memory.0.lock().unwrap().batches.clone();
    assert!(batches.len() <= 3, "100 transfers took {} commits", batches.len());
    assert_eq!(memory.total(1), 1100);
}

#[tokio::test]
async fn two_hundred_callers_race_for_the_same_money_and_ten_win() {
    let (engine, memory) = engine(2, &Settings::default());
    let jobs = (0..200).map(|_| engine.submit(Job::one(TENANT, transfer(0, 1, 100))));
    let replies = futures::future::join_all(jobs).await;
    let won = replies.iter().filter(|reply| is_accepted(reply.as_ref().unwrap())).count();
    // Two lanes of this in-memory database are serial, as row locks make a real one.
    assert_eq!((won, memory.total(0), memory.total(1)), (10, 0, 2000));
}

#[tokio::test]
async fn one_poisoned_row_never_fails_its_neighbours() {
    let (engine, memory) = engine(2, &one_lane());
    let command = |n| match n {
        137 => with_reference(transfer(0, 1, 1), POISON),
        _ => transfer(0, 1, 1),
    };
    let jobs = (0..500).map(|n| engine.submit(Job::one(TENANT, command(n))));
    let replies = futures::future::join_all(jobs).await;
    for (n, reply) in replies.into_iter().enumerate() {
        match (n, reply.unwrap().replies.remove(0).given) {
            (137, given) => assert!(matches!(given, Given::Refused(Refusal::Rejected))),
            (_, given) => assert!(matches!(given, Given::Transfer(_)), "{n}: {given:?}"),
        }
    }
    assert_eq!(memory.total(1), 1499);
}

#[tokio::test]
async fn a_panic_costs_a_batch_and_no_lane() {
    let (engine, memory) = engine(2, &one_lane());
    memory.0.lock().unwrap().panics = 3;
    for _ in 0..3 {
        let lost = engine.submit(Job::one(TENANT, transfer(0, 1, 1))).await;
        assert!(matches!(lost, Err(EngineError::Unavailable(_))), "{lost:?}");
    }
    let reply = engine.submit(Job::one(TENANT, transfer(0, 1, 1))).await;
    assert!(is_accepted(&reply.unwrap()), "the same accounts, by the same lane");
    assert_eq!(memory.total(1), 1001);
}

#[tokio::test]
async fn a_poisoned_item_of_a_group_fails_alone_unless_all_or_none() {
    let (engine, memory) = engine(2, &one_lane());
    let commands = || {
        let mut commands = vec![transfer(0, 1, 1); 5];
        commands[2] = with_reference(transfer(0, 1, 1), POISON);
        Job { commands, ..Job::one(TENANT, transfer(0, 1, 1)) }
    };
    let reply = engine.submit(commands()).await.unwrap();
    let refused: Vec<_> = (0..5)
        .filter(|n| matches!(reply.replies[*n].given, Given::Refused(Refusal::Rejected)))
        .collect();
    assert_eq!((refused, memory.total(1)), (vec![2], 1004));
    let reply = engine.submit(Job { atomic: true, ..commands() }).await.unwrap();
    assert!(matches!(reply.refused_at, Some((_, Refusal::Rejected))));
    assert_eq!(memory.total(1), 1004);
}

#[tokio::test]
async fn a_poisoned_item_fails_alone_also_where_the_group_has_a_key() {
    let (engine, memory) = engine(2, &one_lane());
    let group = |fingerprint| {
        let mut commands: Vec<_> =
            (0..5).map(|n| with_key(transfer(0, 1, 1), 10 + n, fingerprint)).collect();
        commands[2] = with_reference(commands[2].clone(), POISON);
        let receipt =
            Some(ReceiptOf { key: ReceiptKey(99), fingerprint: Fingerprint(fingerprint) });
        Job { commands, receipt, ..Job::one(TENANT, transfer(0, 1, 1)) }
    };
    let refused = |reply: &JobReply| -> Vec<_> {
        let is_refused = |n: &usize| matches!(reply.replies[*n].given, Given::Refused(_));
        (0..reply.replies.len()).filter(is_refused).collect()
    };
    let first = engine.submit(group(1)).await.unwrap();
    assert_eq!((refused(&first), first.replayed, memory.total(1)), (vec![2], false, 1004));
    // Its own key before any item: were they cut off, another body must not come under it.
    assert_eq!(memory.0.lock().unwrap().batches[0], 0);
    let again = engine.submit(group(1)).await.unwrap();
    assert_eq!((refused(&again), again.replayed, memory.total(1)), (vec![2], true, 1004));
    let other = engine.submit(group(2)).await.unwrap();
    assert_eq!(other.refused_at, Some((0, Refusal::IdempotencyMismatch)));
}

#[tokio::test]
async fn an_all_or_none_group_leaves_nothing_when_one_is_refused() {
    let (engine, memory) = engine(3, &one_lane());
    let commands = vec![transfer(0, 1, 600), transfer(1, 2, 1600), transfer(0, 2, 600)];
    let job = Job { commands, atomic: true, ..Job::one(TENANT, transfer(0, 1, 1)) };
    let reply = engine.submit(job).await.unwrap();
    let (index, refusal) = reply.refused_at.unwrap();
    assert_eq!((index, refusal.code()), (2, "insufficient_funds"));
    assert_eq!((memory.total(0), memory.total(1), memory.transfers()), (1000, 1000, 0));
    assert_eq!(memory.0.lock().unwrap().events, 0);
}

#[tokio::test]
async fn a_dry_run_decides_and_writes_nothing() {
    let (engine, memory) = engine(2, &one_lane());
    for (amount, accepted) in [(1000, true), (1001, false)] {
        let job = Job { dry_run: true, ..Job::one(TENANT, transfer(0, 1, amount)) };
        assert_eq!(is_accepted(&engine.submit(job).await.unwrap()), accepted);
    }
    assert_eq!((memory.total(0), memory.transfers()), (1000, 0));
}

#[tokio::test]
async fn a_key_is_answered_once_and_repeated() {
    let (engine, memory) = engine(2, &one_lane());
    let keyed = |fingerprint| Job::one(TENANT, with_key(transfer(0, 1, 10), 99, fingerprint));
    let twice = [engine.submit(keyed(1)), engine.submit(keyed(1))];
    let replies = futures::future::join_all(twice).await;
    let replayed = replies.iter().filter(|r| r.as_ref().unwrap().replies[0].replayed).count();
    assert_eq!((replayed, memory.total(1)), (1, 1010));
    let other = engine.submit(keyed(2)).await.unwrap();
    let mismatch = Given::Refused(Refusal::IdempotencyMismatch);
    assert_eq!(format!("{:?}", other.replies[0].given), format!("{mismatch:?}"));
}

#[tokio::test]
async fn duplicates_inside_one_group_get_the_first_answer() {
    let (engine, memory) = engine(2, &one_lane());
    let item = with_key(transfer(0, 1, 10), 5, 1);
    let poor = with_key(transfer(0, 1, 5000), 6, 1);
    let commands = vec![item.clone(), item, poor.clone(), poor];
    let job = Job { commands, ..Job::one(TENANT, transfer(0, 1, 1)) };
    let reply = engine.submit(job).await.unwrap();
    let replayed: Vec<bool> = reply.replies.iter().map(|reply| reply.replayed).collect();
    assert_eq!((replayed, memory.total(1)), (vec![false, true, false, true], 1010));
}

#[tokio::test]
async fn a_batch_in_the_way_of_another_is_run_again() {
    let (engine, memory) = engine(2, &one_lane());
    let busy = || StoreError::Contention("deadlock".into());
    memory.0.lock().unwrap().faults = vec![busy(), busy(), busy()];
    let reply = engine.submit(Job::one(TENANT, transfer(0, 1, 10))).await.unwrap();
    assert!(is_accepted(&reply));
    assert_eq!((memory.total(1), memory.transfers()), (1010, 1));
}

#[tokio::test]
async fn a_lost_database_is_told_and_then_forgotten() {
    let (engine, memory) = engine(2, &one_lane());
    memory.0.lock().unwrap().faults = vec![StoreError::Unavailable("gone".into())];
    let job = || Job::one(TENANT, with_key(transfer(0, 1, 10), 1, 1));
    let error = engine.submit(job()).await.unwrap_err();
    assert!(matches!(error, EngineError::Unavailable(_)), "{error:?}");
    assert_eq!(memory.total(1), 1000);
    let reply = engine.submit(job()).await.unwrap();
    assert!(is_accepted(&reply) && !reply.replies[0].replayed);
    assert_eq!(memory.total(1), 1010);
}

#[tokio::test]
async fn shutdown_commits_what_is_waiting_and_takes_no_more() {
    let (engine, memory) = engine(2, &one_lane());
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let engine = engine.clone();
            tokio::spawn(async move { engine.submit(Job::one(TENANT, transfer(0, 1, 1))).await })
        })
        .collect();
    tokio::task::yield_now().await;
    engine.shutdown().await;
    let mut done = 0;
    for reply in waiting {
        done += i64::from(reply.await.unwrap().is_ok());
    }
    assert_eq!(memory.total(1), 1000 + done);
    assert!(done > 0, "nothing was waiting");
    assert!(engine.submit(Job::one(TENANT, transfer(0, 1, 1))).await.is_err());
}

#[tokio::test]
async fn what_another_process_holds_does_not_hold_up_the_rest() {
    let (engine, memory) = engine(4, &one_lane());
    memory.0.lock().unwrap().held.insert(wallet(0));
    let jobs = [transfer(0, 1, 1), transfer(2, 3, 1)].map(|c| engine.submit(Job::one(TENANT, c)));
    let replies = futures::future::join_all(jobs).await;
    assert!(replies.iter().all(|reply| is_accepted(reply.as_ref().unwrap())));
    // The free one first; the other when nothing else was left to do, by waiting.
    assert_eq!(memory.0.lock().unwrap().batches, [1, 1]);
    assert_eq!((memory.total(1), memory.total(3)), (1001, 1001));
}

#[tokio::test]
async fn a_hot_account_is_waited_for_before_the_next_batch_is_formed() {
    let (engine, memory) = engine(40, &one_lane());
    let pay_from_all = || {
        let jobs = (1..40).map(|n| engine.submit(Job::one(TENANT, transfer(n, 0, 1))));
        futures::future::join_all(jobs)
    };
    for _ in 0..2 {
        memory.0.lock().unwrap().held.insert(wallet(0));
        assert!(pay_from_all().await.iter().all(|reply| is_accepted(reply.as_ref().unwrap())));
    }
    assert_eq!(memory.0.lock().unwrap().waited_ahead, [wallet(0)]);
    assert_eq!(memory.total(0), 1078);
}

#[tokio::test]
async fn a_hot_account_does_not_hold_up_for_ever_who_needs_another_one() {
    let settings = Settings { batch_commands: 40, ..one_lane() };
    let (engine, memory) = engine(40, &settings);
    let hold = |n| memory.0.lock().unwrap().held.insert(wallet(n));
    let batches = || memory.0.lock().unwrap().batches.len();
    hold(0);
    let paying = (4..40).map(|n| engine.submit(Job::one(TENANT, transfer(n, 0, 1))));
    futures::future::join_all(paying).await;
    hold(1);
    let before = batches();
    let held_up = engine.submit(Job::one(TENANT, transfer(1, 0, 1)));
    let there_and_back =
        |n: u32| if n.is_multiple_of(2) { transfer(2, 3, 1) } else { transfer(3, 2, 1) };
    let others = (0..3000).map(|n| engine.submit(Job::one(TENANT, there_and_back(n))));
    let others = futures::future::join_all(others);
    let (reply, when) = futures::join!(async { (held_up.await, batches()) }, others).0;
    assert!(is_accepted(&reply.unwrap()));
    assert!(when - before < 30, "it was held up for {} batches", when - before);
}

#[tokio::test]
async fn free_items_of_a_batch_do_not_wait_for_the_others() {
    let (engine, memory) = engine(4, &one_lane());
    memory.0.lock().unwrap().held.insert(wallet(0));
    let commands = vec![transfer(0, 1, 1), transfer(2, 3, 1), transfer(2, 1, 5000)];
    let reply =
        engine.submit(Job { commands, ..Job::one(TENANT, transfer(0, 1, 1)) }).await.unwrap();
    let given: Vec<_> = reply.replies.iter().map(|reply| &reply.given).collect();
    assert!(matches!(
        given[..],
        [Given::Transfer(_), Given::Transfer(_), Given::Refused(Refusal::InsufficientFunds { .. })]
    ));
    assert_eq!(memory.0.lock().unwrap().batches.len(), 2);
}

#[tokio::test]
async fn steps_are_written_with_accepted_commands_only() {
    let (engine, memory) = engine(3, &one_lane());
    let with_step = |mut command: caudal_engine::Command| {
        command.steps = vec![caudal_store::Step::new("insert", vec![])];
        command
    };
    let keyed = || with_key(with_step(transfer(0, 1, 600)), 9, 9);
    engine.submit(Job::one(TENANT, keyed())).await.unwrap();
    assert_eq!(memory.steps(), 1);
    // Said again, refused, undone with its group, or only tried: nothing is written.
    engine.submit(Job::one(TENANT, keyed())).await.unwrap();
    engine.submit(Job::one(TENANT, with_step(transfer(0, 1, 600)))).await.unwrap();
    let commands = vec![with_step(transfer(1, 2, 1)), with_step(transfer(0, 2, 600))];
    let group = Job { commands, atomic: true, ..Job::one(TENANT, transfer(0, 1, 1)) };
    engine.submit(group).await.unwrap();
    let tried = Job { dry_run: true, ..Job::one(TENANT, with_step(transfer(1, 2, 1))) };
    engine.submit(tried).await.unwrap();
    assert_eq!(memory.steps(), 1);
}

#[tokio::test]
async fn what_was_passed_over_is_not_overtaken() {
    let (engine, memory) = engine(4, &one_lane());
    memory.0.lock().unwrap().held.insert(wallet(0));
    // The second pays with what the first brings, the third with what the second brings.
    let commands = vec![transfer(0, 1, 500), transfer(1, 2, 1500), transfer(2, 3, 2500)];
    let reply =
        engine.submit(Job { commands, ..Job::one(TENANT, transfer(0, 1, 1)) }).await.unwrap();
    let accepted = reply.replies.iter().all(|reply| matches!(reply.given, Given::Transfer(_)));
    assert!(accepted, "{:?}", reply.replies);
    assert_eq!(memory.total(3), 3500);
}

#[tokio::test]
async fn a_step_learns_the_id_of_the_transfer_that_its_command_makes() {
    let (engine, memory) = engine(3, &one_lane());
    let with_step = |mut command: caudal_engine::Command| {
        command.steps = vec![caudal_store::Step::new("update", vec![7i64.into()]).with_transfer()];
        command
    };
    let commands = vec![with_step(transfer(0, 1, 1)), with_step(transfer(1, 2, 1))];
    let group = Job { commands, atomic: true, ..Job::one(TENANT, transfer(0, 1, 1)) };
    let reply = engine.submit(group).await.unwrap();
    let made = reply.replies.iter().map(|reply| match &reply.given {
        Given::Transfer(transfer) => vec![7i64.into(), transfer.id.0.into()],
        other => panic!("{other:?}"),
    });
    let steps = memory.0.lock().unwrap().steps.clone();
    let params: Vec<_> = steps.into_iter().map(|step| step.params).collect();
    assert_eq!(params, made.collect::<Vec<Vec<caudal_store::Value>>>());
}

#[tokio::test]
async fn a_stale_group_may_be_decided_again_under_its_key() {
    let (engine, memory) = engine(2, &one_lane());
    // This database has no such row, at any version.
    let row = caudal_store::AttachedRow { table: "rows", bucket: wallet(0).bucket(), id: 5 };
    let write = caudal_store::Step::new("update", vec![]);
    let stale = caudal_store::Attachment { row, expected_version: 1, write };
    let receipt = with_key(transfer(0, 1, 1), 9, 9).receipt;
    let group = |attachments| {
        let command = caudal_engine::Command { attachments, ..transfer(0, 1, 1) };
        Job { atomic: true, receipt, ..Job::one(TENANT, command) }
    };
    let reply = engine.submit(group(vec![stale.clone()])).await.unwrap();
    assert!(matches!(reply.refused_at, Some((0, Refusal::Conflict))));
    let reply = engine.submit(group(vec![])).await.unwrap();
    assert!(!reply.replayed && is_accepted(&reply));
    // Once it was done, nothing is stale any more.
    let reply = engine.submit(group(vec![stale])).await.unwrap();
    assert!(reply.replayed && reply.refused_at.is_none());
    assert_eq!(memory.total(1), 1001);
}
