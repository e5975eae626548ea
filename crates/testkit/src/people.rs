//! People and keys put straight into the database, for tests of what they may.

use std::sync::atomic::{AtomicU64, Ordering};

use caudal_domain::{
    ApiKeyId, Clock, RoleRef, Session, SessionId, SystemRole, TenantId, UserId, UserStatus,
    access::ApiKey, id::lowest_at,
};
use caudal_identity::opaque;
use caudal_store::{
    Step, UnitOfWork, UnitOutcome, api_keys, roles,
    sessions::{self, RefreshToken},
    users::{self, UserRow},
};
use serde_json::json;

use crate::{Client, TestApp};

static NEXT: AtomicU64 = AtomicU64::new(1);

const LIFETIME_S: i64 = 24 * 3600;

impl TestApp {
    /// The demo tenant.
    pub async fn tenant_id(&self) -> TenantId {
        let tenant = self.client.get("/tenants/me").await.expect(200);
        tenant["id"].as_str().and_then(|id| id.parse().ok()).expect("an id")
    }

    /// A user of the demo tenant who has just logged in.
    pub async fn user(&self, has: &[SystemRole]) -> (UserId, Client) {
        let (tenant, user) = (self.tenant_id().await, UserId(self.fresh_id()));
        let mut steps = vec![users::insert(&self.user_row(tenant, user))];
        let roles = has.iter().map(|role| roles::give(tenant, user, RoleRef::System(*role)));
        steps.extend(roles);
        let token = format!("rt_{:043}", NEXT.fetch_add(1, Ordering::Relaxed));
        steps.extend(self.session(tenant, user, &token));
        self.commit(steps).await;
        let body = json!({"refresh_token": token});
        let tokens = self.client.without_key().post("/auth/refresh", body).await.expect(200);
        let access = tokens["access_token"].as_str().expect("a token");
        (user, self.client.with_key(access))
    }

    /// A key of the demo tenant that may nothing.
    pub async fn key_without_scopes(&self) -> Client {
        let id = ApiKeyId(self.fresh_id());
        let key = ApiKey {
            id,
            tenant: self.tenant_id().await,
            name: "nothing".into(),
            scopes: vec![],
            created_at: self.clock.now(),
            expires_at: None,
            revoked_at: None,
            service_account: None,
            rotated_to: None,
            last_used_at: None,
            made_by: None,
        };
        let secret = format!("sk_test_{id}");
        self.commit(vec![api_keys::insert(&key, opaque::hash(&secret))]).await;
        self.client.with_key(&secret)
    }

    fn fresh_id(&self) -> u128 {
        let number = u128::from(NEXT.fetch_add(1, Ordering::Relaxed));
        lowest_at(self.clock.now()) | 7 << 76 | number << 16
    }

    fn user_row(&self, tenant: TenantId, id: UserId) -> UserRow {
        let now = self.clock.now();
        UserRow {
            id,
            tenant,
            email_hash: None,
            profile: None,
            password: None,
            status: UserStatus::Active,
            email_verified_at: None,
            failed_logins: 0,
            locked_until: None,
            failed_proofs: 0,
            proofs_locked_until: None,
            deactivated_from: None,
            foreign: None,
            version: 1,
            created_at: now,
            updated_at: now,
            person_key: None,
            roles: vec![],
        }
    }

    fn session(&self, tenant: TenantId, user: UserId, token: &str) -> [Step; 2] {
        let now = self.clock.now();
        let expires_at = now.plus_seconds(LIFETIME_S);
        let id = SessionId(self.fresh_id());
        let session = Session {
            id,
            tenant,
            user,
            created_at: now,
            last_used_at: now,
            expires_at,
            revoked_at: None,
            address: None,
            user_agent: None,
            auth_at: now,
            second_factor_at: None,
        };
        let token = RefreshToken {
            hash: opaque::hash(token),
            session: id,
            tenant,
            issued_at: now,
            expires_at,
            used_at: None,
        };
        sessions::start(&session, &token)
    }

    async fn commit(&self, steps: Vec<Step>) {
        let unit = UnitOfWork { at: self.clock.now(), steps, ..UnitOfWork::default() };
        let (outcome, _) = self.instance.store.commit(unit).await.expect("a unit of work");
        assert_eq!(outcome, UnitOutcome::Done);
    }
}
