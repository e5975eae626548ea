//! Accounts that a process knows from its last commits: not read again, not locked, and never
//! believed against the database.

use std::time::Duration;

use caudal_domain::{AccountId, Refusal, TenantId};
use caudal_ledger::{Movement, Outcome};
use caudal_store::{Lane, Locked, Locks, Store};

use super::{
    batches::look_through,
    fixtures::{Batch, accepted, commit, funded, hold, pay, post, seconds, sorted, tenant, wallet},
    stage::{START, Stage, open},
};

struct Scene {
    tenant: TenantId,
    a: AccountId,
    b: AccountId,
    /// A process of its own where the database serves several; it knows both.
    other: Option<Store>,
}

impl Scene {
    /// Pays 30 of the 100 on the first, so that its process knows what is left.
    async fn set(stage: &Stage) -> Self {
        let tenant = tenant(stage).await;
        let (a, b) = (funded(stage, tenant, 10, 100).await, wallet(stage, tenant, 200).await);
        let other = match stage.url_of_several() {
            Some(url) => Some(open(&url).await.unwrap()),
            None => None,
        };
        let scene = Self { tenant, a, b, other };
        scene.pay(stage, scene.lane(stage).as_mut(), 30).await.unwrap();
        scene
    }

    fn lane(&self, stage: &Stage) -> Box<dyn Lane> {
        self.other.as_ref().unwrap_or(&stage.store).lane()
    }

    async fn pay(
        &self,
        stage: &Stage,
        lane: &mut dyn Lane,
        amount: i64,
    ) -> Result<Outcome, Refusal> {
        let batch = Batch::of(self.tenant, seconds(2), vec![pay(self.a, self.b, amount)]);
        commit(stage, lane, batch).await.unwrap().0.remove(0)
    }

    fn locks(&self) -> Locks {
        Locks { accounts: sorted(&[self.a, self.b]), at: START, ..Locks::default() }
    }

    async fn look(&self, stage: &Stage) -> Vec<(AccountId, i64)> {
        let Locked { accounts, .. } = look_through(self.lane(stage).as_mut(), self.locks()).await;
        accounts.iter().map(|account| (account.id, account.total)).collect()
    }
}

/// Somebody holds the lock all the time.
pub async fn is_not_locked(stage: &Stage) {
    let scene = Scene::set(stage).await;
    let held = format!("begin; select from accounts where id = {}", stage.literal(scene.a.0));
    stage.raw(&format!("{held} for update")).await;
    let looked = tokio::time::timeout(Duration::from_secs(5), scene.look(stage)).await;
    stage.raw("rollback").await;
    assert_eq!(looked.expect("no wait for a lock"), [(scene.a, 70), (scene.b, 30)]);
}

pub async fn another_process_is_heeded(stage: &Stage) {
    let scene = Scene::set(stage).await;
    let Scene { tenant, a, b, .. } = scene;
    post(stage, tenant, pay(a, b, 50), seconds(3)).await;
    let mut lane = scene.lane(stage);
    let short = scene.pay(stage, lane.as_mut(), 30).await;
    assert!(
        matches!(short, Err(Refusal::InsufficientFunds { spendable: 20, needed: 30, .. })),
        "{short:?}"
    );
    // What the process knew would have been refused.
    post(stage, tenant, pay(b, a, 80), seconds(4)).await;
    scene.pay(stage, lane.as_mut(), 100).await.expect("there is enough now");
    assert_eq!(scene.look(stage).await, [(a, 0), (b, 100)]);
}

/// A hold made by one process is captured by another that knew its wallets from before.
pub async fn a_hold_of_another_process_is_captured(stage: &Stage) {
    let scene = Scene::set(stage).await;
    let Scene { tenant, a, b, .. } = scene;
    let until = seconds(3600);
    let held = accepted(stage, Batch::of(tenant, seconds(3), vec![hold(a, b, 50, until)])).await;
    let capture =
        Movement::Capture { transfer: held.id, amount: Some(40), last: true, limits: Vec::new() };
    let batch = Batch::on(&held, seconds(4), capture);
    let (decided, _) = commit(stage, scene.lane(stage).as_mut(), batch).await.unwrap();
    assert!(decided[0].is_ok(), "{decided:?}");
    assert_eq!(scene.look(stage).await, [(a, 30), (b, 70)]);
}

/// A refusal writes nothing, and so has no update that could miss.
pub async fn no_refusal_is_out_of_date(stage: &Stage) {
    let scene = Scene::set(stage).await;
    post(stage, scene.tenant, pay(scene.b, scene.a, 10), seconds(3)).await;
    scene.pay(stage, scene.lane(stage).as_mut(), 80).await.expect("there is enough now");
    assert_eq!(scene.look(stage).await, [(scene.a, 0), (scene.b, 100)]);
}

/// As after a failover that lost commits: the version alone would say that all is as it was.
pub async fn every_column_is_compared(stage: &Stage) {
    for (column, value) in
        [("total", 71), ("held", 1), ("pending", 1), ("floor", -1), ("status", 2), ("version", 9)]
    {
        let scene = Scene::set(stage).await;
        stage.raw(&stage.falsify(scene.a, column, &value.to_string())).await;
        let found = look_through(scene.lane(stage).as_mut(), scene.locks()).await.accounts;
        let a = &found[0];
        let now = match column {
            "total" => a.total,
            "held" => a.held,
            "pending" => a.pending,
            "floor" => a.floor.expect("a floor"),
            "status" => a.status as i64,
            _ => a.version,
        };
        assert_eq!(now, value, "{column}");
    }
}

pub async fn nothing_is_overwritten(stage: &Stage) {
    let scene = Scene::set(stage).await;
    stage.raw(&stage.falsify(scene.a, "total", "75")).await;
    scene.pay(stage, scene.lane(stage).as_mut(), 10).await.expect("enough of it");
    assert_eq!(scene.look(stage).await, [(scene.a, 65), (scene.b, 40)]);
}
