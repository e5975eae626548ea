//! Trusted foreign issuers (OIDC): their tokens verified by their keys, their people made users of
//! one tenant on first sight, their roles mapped to ours.
//!
//! With a roles claim the issuer decides: a person's roles here are those its newest token maps to.
//! Without one a new user is a wallet holder, and roles are given here.

use std::collections::BTreeMap;

use caudal_domain::{
    Actor, RoleRef, SystemRole, TenantId, Timestamp, UserId, UserStatus, event::kinds,
};
use caudal_identity::{
    ForeignClaims, ForeignExpected, ForeignKeys, TokenError, foreign::ForeignAlgorithm,
};
use caudal_outbound::issuers::{Jwks, NoKeys};
use caudal_store::{
    UnitOfWork, UnitOutcome, roles,
    users::{self, Foreign, UserRow},
};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    Service, ServiceError,
    audit::{By, Did},
    personal::{Person, Profile},
    tokens::{LEEWAY_S, Verified, from_seconds, not_believed},
    unit::Subject,
};

/// OpenID Connect Core, 2: a subject has 255 characters at most.
const SUBJECT_BYTES: usize = 255;
/// Of names and addresses that we keep.
const PROFILE_BYTES: usize = 320;
/// RFC 8176: an authentication of more than one factor.
const AMR_MULTIPLE_FACTORS: &str = "mfa";

/// An issuer from the settings, and what its people are here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// As its tokens say it in `iss`.
    pub issuer: String,
    pub audience: String,
    pub tenant: TenantId,
    pub algorithms: Vec<ForeignAlgorithm>,
    /// The claim with their roles there, dots between levels; `None`: roles are given here.
    pub roles_claim: Option<String>,
    /// Their role → ours.
    pub roles: BTreeMap<String, RoleRef>,
}

impl TrustedIssuer {
    /// The roles of a token, ours, in order; `None` where the issuer does not decide.
    fn roles_of(&self, claims: &Map<String, Value>) -> Option<Vec<RoleRef>> {
        let path = self.roles_claim.as_ref()?;
        let mut names = claimed(claims, path);
        names.retain(|name| self.roles.contains_key(*name));
        let mut found: Vec<RoleRef> = names.iter().map(|name| self.roles[*name]).collect();
        found.sort_unstable();
        found.dedup();
        Some(found)
    }
}

/// The names under a path of claims: a list, or words.
fn claimed<'a>(claims: &'a Map<String, Value>, path: &str) -> Vec<&'a str> {
    // A claim may have dots in its own name, as the URLs of Auth0 do.
    let mut found = claims.get(path);
    if found.is_none() {
        let mut levels = path.split('.');
        found = levels.next().and_then(|first| claims.get(first));
        for level in levels {
            found = found.and_then(|value| value.get(level));
        }
    }
    match found {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(words)) => words.split_whitespace().collect(),
        _ => Vec::new(),
    }
}

#[derive(Serialize)]
struct UserData {
    user_id: UserId,
}

impl Service {
    pub(crate) fn trusted_issuer(&self, issuer: &str) -> Option<&TrustedIssuer> {
        self.people().settings.issuers.iter().find(|trusted| trusted.issuer == issuer)
    }

    pub(crate) async fn verify_foreign(
        &self,
        trusted: &TrustedIssuer,
        token: &str,
    ) -> Result<Verified, ServiceError> {
        let claims = self.foreign_claims(trusted, token).await?;
        let wanted = trusted.roles_of(&claims.all);
        let user = self.foreign_user(trusted, &claims, wanted.as_deref()).await?;
        let number = |name| claims.all.get(name).and_then(Value::as_i64);
        let auth_at = number("auth_time").or(number("iat")).map(from_seconds);
        let now = self.now();
        let auth_at = auth_at.unwrap_or_default().min(now);
        let amr = claimed(&claims.all, "amr");
        Ok(Verified {
            tenant: trusted.tenant,
            user,
            session: None,
            auth_at,
            second_factor_at: amr.contains(&AMR_MULTIPLE_FACTORS).then_some(auth_at),
            expires_at: from_seconds(claims.exp).plus_seconds(LEEWAY_S),
        })
    }

    async fn foreign_claims(
        &self,
        trusted: &TrustedIssuer,
        token: &str,
    ) -> Result<ForeignClaims, ServiceError> {
        let issuers = &self.people().issuers;
        let document = issuers.jwks(&trusted.issuer).await.map_err(no_keys)?;
        let mut keys = read_keys(&document)?;
        if !keys.knows_key_of(token) {
            keys = read_keys(&*issuers.newer(&trusted.issuer, &document).await.map_err(no_keys)?)?;
        }
        let expected = ForeignExpected {
            issuer: &trusted.issuer,
            audience: &trusted.audience,
            now: self.now(),
            leeway_s: LEEWAY_S,
            algorithms: &trusted.algorithms,
        };
        let claims = keys.verify_foreign(token, &expected).map_err(not_believed)?;
        if claims.sub.len() > SUBJECT_BYTES || claims.sub.contains('\0') {
            return Err(not_believed(TokenError::BadClaims));
        }
        Ok(claims)
    }

    /// The user that the issuer means, with the roles it gives.
    async fn foreign_user(
        &self,
        trusted: &TrustedIssuer,
        claims: &ForeignClaims,
        wanted: Option<&[RoleRef]>,
    ) -> Result<UserId, ServiceError> {
        let foreign = Foreign { issuer: trusted.issuer.clone(), subject: claims.sub.clone() };
        let tenant = trusted.tenant;
        let mut found = users::find_by_foreign(self.store(), tenant, &foreign).await?;
        if found.is_none() {
            let first = [RoleRef::System(SystemRole::WalletHolder)];
            let roles = wanted.unwrap_or(&first);
            if let Some(id) =
                self.make_foreign_user((tenant, foreign.clone()), claims, roles).await?
            {
                return Ok(id);
            }
            // Another request made it meanwhile.
            found = users::find_by_foreign(self.store(), tenant, &foreign).await?;
        }
        let Some(row) = found else {
            tracing::error!(issuer = trusted.issuer, "no user can be made: are its roles here?");
            return Err(ServiceError::Unavailable("the issuer's roles are not set up".into()));
        };
        if let Some(wanted) = wanted
            && row.status == UserStatus::Active
        {
            self.follow_roles(&row, wanted).await?;
        }
        Ok(row.id)
    }

    /// `None`: there is one, or one of the roles does not exist.
    async fn make_foreign_user(
        &self,
        (tenant, foreign): (TenantId, Foreign),
        claims: &ForeignClaims,
        roles: &[RoleRef],
    ) -> Result<Option<UserId>, ServiceError> {
        let at = self.now();
        let id = UserId(self.scattered_id(at));
        let person = Person { tenant, user: id };
        let (key, keep_key) = self.new_person_key(person);
        let profile = self.seal_profile(&key, person, &profile_of(claims))?;
        let row = foreign_row(person, profile, foreign, at);
        let by = By { tenant, actor: Actor::System, origin: None };
        let did = Did {
            action: kinds::USER_CREATED,
            object_kind: "user",
            object_id: id.to_string(),
            fields: &["issuer", "roles"],
        };
        let mut steps = vec![roles::in_turn(tenant), users::insert(&row), keep_key];
        steps.extend(roles.iter().map(|role| roles::give(tenant, id, *role)));
        steps.push(self.audit(by, did, at));
        let subject = Subject { kind: kinds::USER_CREATED, tenant, id: id.0, text: &id, at };
        let events = vec![self.event(&subject, &UserData { user_id: id })?];
        let unit = UnitOfWork { at, steps, events, receipt: None };
        let done = matches!(self.commit(unit).await?, (UnitOutcome::Done, _));
        Ok(done.then_some(id))
    }
}

/// Without an address to log in with: the issuer vouches, not a password of ours.
fn foreign_row(person: Person, profile: String, foreign: Foreign, at: Timestamp) -> UserRow {
    UserRow {
        id: person.user,
        tenant: person.tenant,
        email_hash: None,
        profile: Some(profile),
        password: None,
        status: UserStatus::Active,
        email_verified_at: None,
        failed_logins: 0,
        locked_until: None,
        failed_proofs: 0,
        proofs_locked_until: None,
        deactivated_from: None,
        foreign: Some(foreign),
        version: 1,
        created_at: at,
        updated_at: at,
        person_key: None,
        roles: Vec::new(),
    }
}

fn profile_of(claims: &ForeignClaims) -> Profile {
    let kept = |text: &Option<String>| {
        text.clone().filter(|text| text.len() <= PROFILE_BYTES && !text.contains('\0'))
    };
    let email = kept(&claims.email).filter(|_| claims.email_verified == Some(true));
    Profile { email, name: kept(&claims.name) }
}

fn read_keys(document: &Jwks) -> Result<ForeignKeys, ServiceError> {
    ForeignKeys::from_jwks(&document.json).map_err(|error| {
        tracing::warn!(%error, "an issuer's keys can't be used");
        ServiceError::Unavailable("the issuer's keys can't be used".into())
    })
}

fn no_keys(error: NoKeys) -> ServiceError {
    match error {
        NoKeys::Untrusted => ServiceError::Unauthorized,
        NoKeys::Unavailable(_) => {
            ServiceError::Unavailable("the issuer's keys can't be had now".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn issuer(roles_claim: Option<&str>) -> TrustedIssuer {
        let roles = [("cashier", SystemRole::Operator), ("boss", SystemRole::Owner)];
        TrustedIssuer {
            issuer: "https://id.example".into(),
            audience: "caudal".into(),
            tenant: TenantId(1),
            algorithms: ForeignAlgorithm::ALL.to_vec(),
            roles_claim: roles_claim.map(str::to_owned),
            roles: roles.map(|(name, role)| (name.into(), RoleRef::System(role))).into(),
        }
    }

    #[test]
    fn roles_are_found_at_any_depth_and_only_mapped_ones_count() {
        let operator = RoleRef::System(SystemRole::Operator);
        let table = [
            (json!({"roles": ["cashier", "offline_access"]}), "roles", vec![operator]),
            (json!({"roles": ["cashier", "cashier"]}), "roles", vec![operator]),
            (json!({"realm_access": {"roles": ["cashier"]}}), "realm_access.roles", vec![operator]),
            (
                json!({"https://a.example/roles": ["cashier"]}),
                "https://a.example/roles",
                vec![operator],
            ),
            (json!({"groups": "cashier other"}), "groups", vec![operator]),
            (json!({"groups": 5}), "groups", vec![]),
            (json!({}), "realm_access.roles", vec![]),
        ];
        for (claims, path, wanted) in table {
            let claims = claims.as_object().expect("an object").clone();
            assert_eq!(issuer(Some(path)).roles_of(&claims), Some(wanted), "{path}");
        }
        assert_eq!(issuer(None).roles_of(&Map::new()), None);
    }
}
