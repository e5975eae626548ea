//! Roles and who has them; service accounts.

use std::slice::from_ref;

use caudal_domain::{
    Role, RoleId, RoleRef, ServiceAccount, ServiceAccountId, SystemRole, TenantId, UserStatus,
    access::{ApiKey, Scope},
};
use caudal_store::{
    Step, UnitOutcome, api_keys,
    api_keys::Rotation,
    roles::{self, Standing},
    service_accounts, users,
};

use super::{
    fixtures::{done, missed, new_key, outcome, seconds, tenant, user_of},
    stage::{START, Stage},
};

fn role(stage: &Stage, tenant: TenantId, name: &str) -> Role {
    Role {
        id: RoleId(stage.id(START, 3)),
        tenant,
        name: name.into(),
        scopes: vec![Scope::WalletsRead, Scope::AuditRead],
        version: 1,
        created_at: START,
    }
}

pub async fn round_trip(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let mut clerk = role(stage, acme, "clerk");
    let auditor = role(stage, acme, "auditor");
    let elsewhere = role(stage, other, "clerk");
    done(stage, [&clerk, &auditor, &elsewhere].map(roles::insert).into()).await;
    missed(stage, vec![roles::insert(&role(stage, acme, "clerk"))]).await;
    assert_eq!(roles::find(db, acme, clerk.id).await.unwrap(), Some(clerk.clone()));
    assert_eq!(roles::find(db, other, clerk.id).await.unwrap(), None);
    let first = RoleId(u128::MAX);
    let page = roles::list(db, acme, first, 1).await.unwrap();
    assert_eq!(page, from_ref(&auditor));
    assert_eq!(roles::list(db, acme, auditor.id, 9).await.unwrap(), [clerk.clone()]);

    (clerk.name, clerk.scopes, clerk.version) = ("teller".into(), vec![], 2);
    done(stage, vec![roles::update(&clerk)]).await;
    assert_eq!(roles::find(db, acme, clerk.id).await.unwrap(), Some(clerk.clone()));
    missed(stage, vec![roles::update(&clerk)]).await;
    missed(
        stage,
        vec![roles::update(&Role { name: "auditor".into(), version: 3, ..clerk.clone() })],
    )
    .await;
    missed(stage, vec![roles::update(&Role { tenant: other, version: 3, ..clerk })]).await;
}

pub async fn scopes_of_all_roles(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let (ada, foreign) = (user_of(stage, acme).await.id, role(stage, other, "clerk"));
    let clerk = role(stage, acme, "clerk");
    done(stage, vec![roles::insert(&clerk), roles::insert(&foreign)]).await;
    let standing = async || roles::standing(db, acme, ada).await.unwrap().unwrap();
    let (status, roles, scopes, wide) = (UserStatus::Active, vec![], vec![], vec![]);
    let nothing = Standing { status, roles, scopes, wide };
    assert_eq!(standing().await, nothing);
    assert_eq!(roles::standing(db, other, ada).await.unwrap(), None);

    let holder = RoleRef::System(SystemRole::WalletHolder);
    let custom = RoleRef::Custom(clerk.id);
    done(stage, vec![roles::give(acme, ada, custom), roles::give(acme, ada, holder)]).await;
    let mut scopes = [SystemRole::WalletHolder.scopes(), vec![Scope::AuditRead]].concat();
    scopes.sort_unstable();
    let wide = vec![Scope::WalletsRead, Scope::AuditRead];
    let both = Standing { roles: vec![holder, custom], scopes, wide, ..nothing.clone() };
    assert_eq!(standing().await, both);
    missed(stage, vec![roles::give(acme, ada, custom)]).await;
    missed(stage, vec![roles::give(acme, ada, RoleRef::Custom(foreign.id))]).await;
    missed(stage, vec![roles::give(other, ada, RoleRef::System(SystemRole::Owner))]).await;
    missed(stage, roles::delete(other, clerk.id).into()).await;

    done(stage, roles::delete(acme, clerk.id).into()).await;
    let scopes = SystemRole::WalletHolder.scopes();
    assert_eq!(standing().await, Standing { roles: vec![holder], scopes, ..nothing.clone() });
    done(stage, vec![roles::take_all(other, ada)]).await;
    assert_eq!(standing().await.roles, [holder]);
    done(stage, vec![roles::take_all(acme, ada)]).await;
    assert_eq!(standing().await, nothing);
    for system in SystemRole::ALL {
        done(stage, vec![roles::give(acme, ada, RoleRef::System(*system))]).await;
    }
    let all: Vec<_> = SystemRole::ALL.iter().copied().map(RoleRef::System).collect();
    assert_eq!(standing().await.roles, all);
}

/// Steps around which an owner must remain.
fn guarded(tenant: TenantId, between: Step) -> Vec<Step> {
    let (lock, check) = roles::owner_remains(tenant);
    vec![lock, between, check]
}

pub async fn the_last_owner_stays(stage: &Stage) {
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let owner = RoleRef::System(SystemRole::Owner);
    let mut owners = Vec::new();
    for tenant in [acme, acme, other] {
        let user = user_of(stage, tenant).await.id;
        done(stage, vec![roles::give(tenant, user, owner)]).await;
        owners.push(user);
    }
    let (ada, bob) = (owners[0], owners[1]);
    // Each removes the other at the same time.
    let racers = [ada, bob].map(|user| {
        let steps = guarded(acme, roles::take_all(acme, user));
        let store = stage.store.clone();
        tokio::spawn(async move { outcome(&store, steps).await })
    });
    let mut outcomes = Vec::new();
    for racer in racers {
        outcomes.push(racer.await.unwrap());
    }
    assert!(outcomes.contains(&UnitOutcome::Done), "{outcomes:?}");
    assert!(outcomes.contains(&UnitOutcome::Missed(2)), "{outcomes:?}");
    let last = if outcomes[0] == UnitOutcome::Done { bob } else { ada };
    let change = users::Change { tenant: acme, id: last, version: 2, at: START };
    let deactivate = users::set_status(&change, UserStatus::Deactivated);
    let refused = outcome(&stage.store, guarded(acme, deactivate)).await;
    assert_eq!(refused, UnitOutcome::Missed(2), "an owner who cannot log in is none");
}

pub async fn service_accounts_round_trip(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let id = || ServiceAccountId(stage.id(START, 3));
    let new = |name: &str| ServiceAccount {
        id: id(),
        tenant: acme,
        name: name.into(),
        version: 1,
        created_at: START,
    };
    let (mut till, shop) = (new("till"), new("shop"));
    done(stage, vec![service_accounts::insert(&till), service_accounts::insert(&shop)]).await;
    assert_eq!(service_accounts::find(db, acme, till.id).await.unwrap(), Some(till.clone()));
    assert_eq!(service_accounts::find(db, other, till.id).await.unwrap(), None);
    let page = service_accounts::list(db, acme, ServiceAccountId(u128::MAX), 1).await.unwrap();
    assert_eq!(page, from_ref(&shop));
    assert_eq!(service_accounts::list(db, acme, shop.id, 9).await.unwrap(), [till.clone()]);
    (till.name, till.version) = ("till 2".into(), 2);
    done(stage, vec![service_accounts::update(&till)]).await;
    missed(stage, vec![service_accounts::update(&till)]).await;
    let foreign = ServiceAccount { tenant: other, version: 3, ..till.clone() };
    missed(stage, vec![service_accounts::update(&foreign)]).await;
    assert_eq!(service_accounts::find(db, acme, till.id).await.unwrap(), Some(till));
}

pub async fn keys_are_rotated_with_overlap(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let account = ServiceAccountId(stage.id(START, 3));
    let key =
        |expires_at| ApiKey { expires_at, service_account: Some(account), ..new_key(stage, acme) };
    let (endless, short, new) = (key(None), key(Some(seconds(5))), key(None));
    let keys = [&endless, &short, &new];
    done(stage, keys.iter().zip(1..).map(|(key, hash)| api_keys::insert(key, hash)).collect())
        .await;
    let to =
        |old: &ApiKey| Rotation { tenant: acme, old: old.id, new: new.id, ends_at: seconds(60) };
    missed(stage, vec![api_keys::rotate(&Rotation { tenant: other, ..to(&endless) })]).await;
    done(stage, vec![api_keys::rotate(&to(&endless)), api_keys::rotate(&to(&short))]).await;
    missed(stage, vec![api_keys::rotate(&to(&endless))]).await;
    let found = async |key: &ApiKey| api_keys::find(db, acme, key.id).await.unwrap().unwrap();
    let (endless, short) = (found(&endless).await, found(&short).await);
    assert_eq!((endless.rotated_to, endless.expires_at), (Some(new.id), Some(seconds(60))));
    assert_eq!((short.rotated_to, short.expires_at), (Some(new.id), Some(seconds(5))));
    for at in [7, 9, 8] {
        done(stage, vec![api_keys::used(acme, new.id, seconds(at))]).await;
    }
    done(stage, vec![api_keys::used(other, new.id, seconds(20))]).await;
    let new = found(&new).await;
    assert_eq!(new.last_used_at, Some(seconds(9)));
    let of = api_keys::of_service_account(db, acme, account, 9).await.unwrap();
    assert_eq!(of, [new, short, endless]);
    assert_eq!(api_keys::of_service_account(db, other, account, 9).await.unwrap(), []);
}

pub async fn holders_are_active_and_of_the_tenant(stage: &Stage) {
    let db = stage.store.as_ref();
    let (acme, other) = (tenant(stage).await, tenant(stage).await);
    let with = async |tenant, role| {
        let user = user_of(stage, tenant).await.id;
        done(stage, vec![roles::give(tenant, user, RoleRef::System(role))]).await;
        user
    };
    let owner = with(acme, SystemRole::Owner).await;
    let admin = with(acme, SystemRole::Admin).await;
    done(stage, vec![roles::give(acme, owner, RoleRef::System(SystemRole::Admin))]).await;
    with(acme, SystemRole::Support).await;
    with(other, SystemRole::Owner).await;
    let holders = async |limit| {
        let asked = [SystemRole::Owner, SystemRole::Admin];
        roles::holders(db, acme, asked, limit).await.unwrap()
    };
    assert_eq!(holders(9).await, [owner, admin], "each once");
    assert_eq!(holders(1).await, [owner]);
    let gone = users::Change { tenant: acme, id: admin, version: 2, at: seconds(1) };
    done(stage, vec![users::set_status(&gone, UserStatus::Deactivated)]).await;
    assert_eq!(holders(9).await, [owner]);
}
