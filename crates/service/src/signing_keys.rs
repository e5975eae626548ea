//! Keys that sign our tokens: made when there is none, replaced on a schedule or by command, and
//! kept for verification until the last token of theirs has expired.
//!
//! A key of the schedule is published before it signs, so that whoever verifies with a cached
//! JWKS document never meets a key it does not know. Which key signs is told by the rows alone, so
//! all processes agree within [`KNOWN_FOR_S`].

use std::sync::{Arc, Mutex, PoisonError};

use caudal_domain::{Actor, Event, EventId, Refusal, TenantId, Timestamp, event::kinds};
use caudal_identity::{Binding, KeySet, PublicKey, SigningAlgorithm, SigningKey};
use caudal_store::{Step, UnitOfWork, UnitOutcome, signing_keys};
use serde::{Deserialize, Serialize};

use crate::{
    Asked, Done, Service, ServiceError,
    audit::{By, Did},
    personal::{SEALED, not_opened},
    tokens::{LEEWAY_S, seconds},
    unit::{Creation, broken},
};

/// How long others may keep the JWKS document.
pub const JWKS_MAX_AGE_S: i64 = 300;
/// How long a process uses the keys it read.
const KNOWN_FOR_S: i64 = 60;
/// Between two reads for key ids that are not known: anybody can make some up.
const REFRESH_EVERY_S: i64 = 5;
/// A key of the schedule is published so long before it signs: a document may have been read from
/// a process that had just not seen it, and then be kept.
const PUBLISHED_AHEAD_S: i64 = 2 * (JWKS_MAX_AGE_S + KNOWN_FOR_S);
/// Of two processes that make the first key, the second reads the first one's at once.
const ATTEMPTS: u32 = 3;

/// A key that took over, or will.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotatedKey {
    pub kid: String,
    pub algorithm: String,
    /// When it begins to sign.
    pub active_from: Timestamp,
}

/// How a new key takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// Signs from now on; the old key still verifies what it signed.
    AtOnce,
    /// For an emergency: nothing that an old key signed is believed any more.
    Distrust,
    /// Published now, signs later: the schedule's way.
    Announced,
}

/// What is remembered of the keys.
#[derive(Default)]
pub(crate) struct Keys {
    ring: Mutex<Option<Arc<Ring>>>,
    /// One read at a time; bounded by the database's time limits.
    reading: tokio::sync::Mutex<()>,
}

/// The keys as one read found them.
pub(crate) struct Ring {
    signers: Vec<Signer>,
    pub verifying: KeySet,
    jwks: Arc<str>,
    read_at: Timestamp,
}

struct Signer {
    key: SigningKey,
    from: Timestamp,
    until: Option<Timestamp>,
}

impl Ring {
    /// The newest of those that sign now. Where none does (a clock that is behind), the first that
    /// will: it is published already.
    pub fn signer(&self, now: Timestamp) -> Result<&SigningKey, ServiceError> {
        let signs =
            |signer: &&Signer| signer.from <= now && signer.until.is_none_or(|until| now < until);
        let newest = self.signers.iter().filter(signs).max_by_key(|signer| signer.from);
        let found = newest.or_else(|| self.signers.iter().min_by_key(|signer| signer.from));
        let found = found.ok_or_else(|| ServiceError::Broken("no key signs".into()))?;
        Ok(&found.key)
    }

    fn is_older_than(&self, seconds: i64, now: Timestamp) -> bool {
        // A clock that went back makes it no younger.
        now < self.read_at || now >= self.read_at.plus_seconds(seconds)
    }
}

impl Keys {
    fn get(&self) -> Option<Arc<Ring>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, ring: Option<Arc<Ring>>) {
        *self.ring.lock().unwrap_or_else(PoisonError::into_inner) = ring;
    }

    /// The next use reads them again.
    pub fn forget(&self) {
        self.set(None);
    }
}

/// Where a private key stands. Used, too, when master keys are rotated.
pub(crate) fn signing_key_row(kid: &str) -> String {
    format!("signing_keys/{kid}")
}

fn bound(row: &str) -> Binding<'_> {
    Binding { tenant: TenantId(0), row, field: SEALED }
}

impl Service {
    /// The JWKS document: every key that verifies now, and the one that will sign next.
    pub async fn jwks(&self) -> Result<Arc<str>, ServiceError> {
        Ok(self.keys().await?.jwks.clone())
    }

    /// The keys, a minute old at most.
    pub(crate) async fn keys(&self) -> Result<Arc<Ring>, ServiceError> {
        self.read_keys(|ring, now| ring.is_older_than(KNOWN_FOR_S, now)).await
    }

    /// Keys newer than `seen`, in which one was missing, unless they were read a moment ago.
    pub(crate) async fn newer_keys(&self, seen: &Arc<Ring>) -> Result<Arc<Ring>, ServiceError> {
        let is_due = |ring: &Arc<Ring>, now| {
            Arc::ptr_eq(ring, seen) && ring.is_older_than(REFRESH_EVERY_S, now)
        };
        self.read_keys(is_due).await
    }

    async fn read_keys(
        &self,
        is_due: impl Fn(&Arc<Ring>, Timestamp) -> bool,
    ) -> Result<Arc<Ring>, ServiceError> {
        let keys = &self.inner.tokens.keys;
        let fresh = || keys.get().filter(|ring| !is_due(ring, self.now()));
        if let Some(ring) = fresh() {
            return Ok(ring);
        }
        let _reading = keys.reading.lock().await;
        if let Some(ring) = fresh() {
            return Ok(ring);
        }
        let ring = Arc::new(self.load_keys().await?);
        keys.set(Some(ring.clone()));
        Ok(ring)
    }

    /// Reads them; makes the first one where there is none.
    async fn load_keys(&self) -> Result<Ring, ServiceError> {
        for _ in 0..ATTEMPTS {
            let now = self.now();
            let rows = signing_keys::verifying(self.store(), now).await?;
            let ring = self.ring_of(&rows, now)?;
            if !ring.signers.is_empty() {
                return Ok(ring);
            }
            // If another process was first, this misses and the next look finds its key.
            let steps = vec![signing_keys::insert(&self.new_signing_key(now))];
            let unit = UnitOfWork { at: now, steps, ..UnitOfWork::default() };
            if let (UnitOutcome::Done, _) = self.commit(unit).await? {
                tracing::info!("made the first key that signs tokens");
            }
        }
        Err(ServiceError::Unavailable("there is no key to sign tokens with".into()))
    }

    fn ring_of(
        &self,
        rows: &[signing_keys::SigningKey],
        now: Timestamp,
    ) -> Result<Ring, ServiceError> {
        let algorithm = self.people().settings.signing_algorithm;
        let mut signers = Vec::new();
        let mut verifying = Vec::with_capacity(rows.len());
        for row in rows {
            let public = PublicKey::from_jwk(&row.public_jwk).map_err(|_| unusable(&row.kid))?;
            verifying.push(public);
            let has_ended = row.signs_until.is_some_and(|until| until <= now);
            if row.algorithm == algorithm.name() && !has_ended {
                let key = self.open_signing_key(row, algorithm)?;
                signers.push(Signer { key, from: row.active_from, until: row.signs_until });
            }
        }
        let verifying = KeySet::new(verifying);
        let jwks = verifying.jwks().into();
        Ok(Ring { signers, verifying, jwks, read_at: now })
    }

    fn open_signing_key(
        &self,
        row: &signing_keys::SigningKey,
        algorithm: SigningAlgorithm,
    ) -> Result<SigningKey, ServiceError> {
        let place = signing_key_row(&row.kid);
        let private = self.vault().open(&bound(&place), &row.sealed).map_err(not_opened)?;
        SigningKey::import(algorithm, &private).map_err(|_| unusable(&row.kid))
    }

    fn new_signing_key(&self, active_from: Timestamp) -> signing_keys::SigningKey {
        let algorithm = self.people().settings.signing_algorithm;
        let key = SigningKey::generate(algorithm, self.chance());
        let place = signing_key_row(key.kid());
        signing_keys::SigningKey {
            kid: key.kid().to_owned(),
            algorithm: algorithm.name().to_owned(),
            public_jwk: key.public().jwk(),
            sealed: self.vault().seal(self.chance(), &bound(&place), &key.private_part()),
            active_from,
            signs_until: None,
            verifies_until: None,
        }
    }

    /// Asked for over HTTP. Of two at once the second is refused.
    pub async fn rotate_signing_key(
        &self,
        asked: Asked<'_>,
        rotation: Rotation,
    ) -> Result<Done<RotatedKey>, ServiceError> {
        let Asked { caller, receipt } = asked;
        let (unit, value) = self.rotation(caller.into(), rotation).await?;
        let creation = Creation { unit, receipt: Some(receipt), value };
        self.create_or(creation, |_| Refusal::Conflict.into()).await
    }

    /// Asked for on the machine.
    pub async fn rotate_signing_key_here(
        &self,
        rotation: Rotation,
    ) -> Result<RotatedKey, ServiceError> {
        let by = By { tenant: TenantId(0), actor: Actor::System, origin: None };
        let (unit, value) = self.rotation(by, rotation).await?;
        let creation = Creation { unit, receipt: None, value };
        Ok(self.create_or(creation, |_| Refusal::Conflict.into()).await?.value)
    }

    /// Publishes the next key when the present one is about to have signed for its lifetime.
    pub async fn rotate_due_signing_key(&self) -> Result<Option<RotatedKey>, ServiceError> {
        let now = self.now();
        let settings = &self.people().settings;
        let algorithm = settings.signing_algorithm.name();
        let rows = signing_keys::verifying(self.store(), now).await?;
        let mut open = rows.iter().filter(|row| row.signs_until.is_none());
        let Some(open) = open.find(|row| row.algorithm == algorithm) else { return Ok(None) };
        let lifetime = seconds(settings.signing_key_lifetime);
        let due = open.active_from.plus_seconds((lifetime - PUBLISHED_AHEAD_S).max(0));
        if now < due || now < open.active_from {
            return Ok(None);
        }
        match self.rotate_signing_key_here(Rotation::Announced).await {
            Ok(rotated) => Ok(Some(rotated)),
            // Another process was first.
            Err(ServiceError::Refused(Refusal::Conflict)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn rotation(
        &self,
        by: By<'_>,
        rotation: Rotation,
    ) -> Result<(UnitOfWork, RotatedKey), ServiceError> {
        // The first key is made by its first use; a rotation replaces one.
        self.keys().await?;
        let at = self.now();
        let ahead = if rotation == Rotation::Announced { PUBLISHED_AHEAD_S } else { 0 };
        let from = at.plus_seconds(ahead);
        let rows = signing_keys::verifying(self.store(), at).await?;
        let mut steps: Vec<Step> = match rotation {
            Rotation::Distrust => {
                rows.iter().map(|row| signing_keys::distrust(&row.kid, at)).collect()
            }
            _ => {
                let verifies_until = from.plus_seconds(self.key_outlives_s());
                let open = rows.iter().filter(|row| row.signs_until.is_none());
                open.map(|row| signing_keys::close(&row.kid, from, verifies_until)).collect()
            }
        };
        let key = self.new_signing_key(from);
        steps.push(signing_keys::insert(&key));
        let did = Did {
            action: kinds::SIGNING_KEY_ROTATED,
            object_kind: "signing_key",
            object_id: key.kid.clone(),
            fields: if rotation == Rotation::Distrust { &["distrusted"] } else { &[] },
        };
        steps.push(self.audit(by, did, at));
        let rotated =
            RotatedKey { kid: key.kid, algorithm: key.algorithm, active_from: key.active_from };
        let events = vec![self.rotation_event(&rotated, rotation, at)?];
        Ok((UnitOfWork { at, steps, events, receipt: None }, rotated))
    }

    /// How long a key verifies after it has signed: a process that has not yet seen the new one
    /// may sign with it for a little longer.
    fn key_outlives_s(&self) -> i64 {
        seconds(self.people().settings.access_token_lifetime) + KNOWN_FOR_S + LEEWAY_S
    }

    /// Of the instance, so of no tenant.
    fn rotation_event(
        &self,
        rotated: &RotatedKey,
        rotation: Rotation,
        at: Timestamp,
    ) -> Result<Event, ServiceError> {
        #[derive(Serialize)]
        struct Data<'a> {
            kid: &'a str,
            active_from: Timestamp,
            distrusts: bool,
        }
        let distrusts = rotation == Rotation::Distrust;
        let data = Data { kid: &rotated.kid, active_from: rotated.active_from, distrusts };
        let tenant = TenantId(0);
        Ok(Event {
            id: EventId(self.next_id(at, tenant.bucket())),
            tenant,
            kind: kinds::SIGNING_KEY_ROTATED,
            subject: rotated.kid.clone(),
            data: serde_json::to_string(&data).map_err(broken)?,
            occurred_at: at,
        })
    }
}

fn unusable(kid: &str) -> ServiceError {
    ServiceError::Broken(format!("the signing key {kid} can't be used"))
}
