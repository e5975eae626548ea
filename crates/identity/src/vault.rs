//! The vault: AES-256-GCM under the master keys, each sealed text bound to its tenant and row.
//!
//! Sealed text is `v1.{key id}.{base64url of nonce, ciphertext and tag}`. It opens only where it
//! was sealed for: copied to another row, field or tenant it is as good as forged. Nonces are
//! random: one key is good for 2³² texts (NIST SP 800-38D, 8.3), then it is to be rotated.

use std::fmt;

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD},
};
use caudal_domain::{TenantId, id::Chance};
use zeroize::Zeroizing;

pub const KEY_BYTES: usize = 32;
/// Short enough that no key in base64 (43 characters) is taken for an id and shown.
const KEY_ID_CHARS: usize = 24;
const VERSION: &str = "v1";

/// Where a sealed text belongs.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// 0 for what belongs to the instance.
    pub tenant: TenantId,
    /// The table and the row's id, as `users/usr_…`.
    pub row: &'a str,
    pub field: &'a str,
}

/// Why a sealed text didn't open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultError {
    #[error("not a sealed text")]
    Malformed,
    #[error("sealed under the key {0:?}, which is not among the master keys")]
    UnknownKey(String),
    #[error("the sealed text was altered, or belongs to another place or key")]
    Forged,
}

/// What is wrong with the setting of the master keys. Never holds what could be a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VaultSettingError {
    #[error("there is no master key: give id:key, the key being 32 bytes in base64")]
    Empty,
    #[error("master key {0} is not of the form id:key")]
    NoId(usize),
    #[error("the id of master key {0} must be 1 to 24 letters, digits, - or _")]
    BadId(usize),
    #[error("master key {0} ({1:?}) is not base64")]
    NotBase64(usize, String),
    #[error("master key {0} ({1:?}) has {2} bytes instead of 32")]
    WrongLength(usize, String, usize),
    #[error("master key {0} ({1:?}) has the id of one before it")]
    Twice(usize, String),
}

/// The master keys: the first seals, all open.
pub struct Vault(Vec<MasterKey>);

struct MasterKey {
    id: String,
    key: LessSafeKey,
}

impl Vault {
    /// From the setting `id:base64key,id2:base64key`.
    pub fn from_setting(setting: &str) -> Result<Self, VaultSettingError> {
        let mut keys: Vec<MasterKey> = Vec::new();
        if setting.trim().is_empty() {
            return Err(VaultSettingError::Empty);
        }
        for (n, part) in (1..).zip(setting.split(',')) {
            let key = MasterKey::from_setting(n, part.trim())?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(VaultSettingError::Twice(n, key.id));
            }
            keys.push(key);
        }
        Ok(Self(keys))
    }

    /// One key called `dev`, from 32 random bytes that whoever calls has kept.
    pub fn development(bytes: [u8; KEY_BYTES]) -> Self {
        let bytes = Zeroizing::new(bytes);
        Self(vec![MasterKey { id: "dev".into(), key: cipher(&bytes) }])
    }

    pub fn seal(&self, chance: &dyn Chance, bound_to: &Binding<'_>, plain: &[u8]) -> String {
        // Both ways to make a vault give it a key.
        let MasterKey { id, key } = &self.0[0];
        seal(key, Place { key_id: id, bound_to }, chance, plain)
    }

    pub fn open(
        &self,
        bound_to: &Binding<'_>,
        sealed: &str,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let (key_id, body) = split(sealed)?;
        let master = self.0.iter().find(|master| master.id == key_id);
        let master = master.ok_or_else(|| VaultError::UnknownKey(key_id.to_owned()))?;
        open(&master.key, Place { key_id, bound_to }, body)
    }

    /// Whether the text is sealed under another key than the first: to be sealed again.
    pub fn needs_reseal(&self, sealed: &str) -> bool {
        split(sealed).is_ok_and(|(key_id, _)| key_id != self.0[0].id)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

impl MasterKey {
    fn from_setting(n: usize, part: &str) -> Result<Self, VaultSettingError> {
        let (id, text) = part.split_once(':').ok_or(VaultSettingError::NoId(n))?;
        if !is_key_id(id) {
            return Err(VaultSettingError::BadId(n));
        }
        let bytes = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD]
            .iter()
            .find_map(|alphabet| alphabet.decode(text).ok().map(Zeroizing::new))
            .ok_or_else(|| VaultSettingError::NotBase64(n, id.to_owned()))?;
        let bytes: &[u8; KEY_BYTES] = bytes
            .as_slice()
            .try_into()
            .map_err(|_| VaultSettingError::WrongLength(n, id.to_owned(), bytes.len()))?;
        Ok(Self { id: id.to_owned(), key: cipher(bytes) })
    }
}

/// The data key of one person: their fields are sealed with it, and once its row is gone nobody
/// reads them.
pub struct PersonKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    key: LessSafeKey,
}

/// What stands for the key's id in texts that a person's key sealed.
const PERSON: &str = "person";

impl PersonKey {
    pub fn generate(chance: &dyn Chance) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        chance.fill(&mut *bytes);
        Self { key: cipher(&bytes), bytes }
    }

    /// The key itself, sealed by the vault, for its row in `person_keys`.
    pub fn seal_key(&self, vault: &Vault, chance: &dyn Chance, bound_to: &Binding<'_>) -> String {
        vault.seal(chance, bound_to, &*self.bytes)
    }

    pub fn open_key(
        vault: &Vault,
        bound_to: &Binding<'_>,
        sealed: &str,
    ) -> Result<Self, VaultError> {
        let bytes = key_bytes(&vault.open(bound_to, sealed)?)?;
        Ok(Self { key: cipher(&bytes), bytes })
    }

    pub fn seal(&self, chance: &dyn Chance, bound_to: &Binding<'_>, plain: &[u8]) -> String {
        seal(&self.key, Place { key_id: PERSON, bound_to }, chance, plain)
    }

    pub fn open(
        &self,
        bound_to: &Binding<'_>,
        sealed: &str,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        match split(sealed)? {
            (PERSON, body) => open(&self.key, Place { key_id: PERSON, bound_to }, body),
            (other, _) => Err(VaultError::UnknownKey(other.to_owned())),
        }
    }
}

impl fmt::Debug for PersonKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonKey(…)")
    }
}

/// The key under which e-mail addresses are hashed for look-up.
pub struct LookupKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    key: hmac::Key,
}

impl LookupKey {
    pub fn generate(chance: &dyn Chance) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        chance.fill(&mut *bytes);
        Self::new(bytes)
    }

    pub fn seal_key(&self, vault: &Vault, chance: &dyn Chance, bound_to: &Binding<'_>) -> String {
        vault.seal(chance, bound_to, &*self.bytes)
    }

    pub fn open_key(
        vault: &Vault,
        bound_to: &Binding<'_>,
        sealed: &str,
    ) -> Result<Self, VaultError> {
        Ok(Self::new(key_bytes(&vault.open(bound_to, sealed)?)?))
    }

    fn new(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &*bytes), bytes }
    }
}

impl fmt::Debug for LookupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LookupKey(…)")
    }
}

/// The first half of HMAC-SHA256 of tenant and address: finds an account, tells nothing of it.
pub fn lookup_hash(key: &LookupKey, tenant: TenantId, normalised: &str) -> u128 {
    let mut context = hmac::Context::with_key(&key.key);
    context.update(&tenant.0.to_be_bytes());
    context.update(normalised.as_bytes());
    let tag = context.sign();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&tag.as_ref()[..16]);
    u128::from_be_bytes(bytes)
}

#[derive(Clone, Copy)]
struct Place<'a> {
    key_id: &'a str,
    bound_to: &'a Binding<'a>,
}

impl Place<'_> {
    /// What is authenticated with the text: each part behind its length, so that no two places
    /// read the same.
    fn aad(&self) -> Aad<Vec<u8>> {
        let Binding { tenant, row, field } = self.bound_to;
        let mut bytes = tenant.0.to_be_bytes().to_vec();
        for part in [VERSION, self.key_id, row, field] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        Aad::from(bytes)
    }
}

fn seal(key: &LessSafeKey, place: Place<'_>, chance: &dyn Chance, plain: &[u8]) -> String {
    let mut nonce = [0; NONCE_LEN];
    chance.fill(&mut nonce);
    // Room for the tag: a vector that grows leaves the plain text behind in memory.
    let mut text = Vec::with_capacity(plain.len() + AES_256_GCM.tag_len());
    text.extend_from_slice(plain);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), place.aad(), &mut text)
        .expect("only texts beyond 64 GiB can't be sealed");
    let body = URL_SAFE_NO_PAD.encode([&nonce[..], &text].concat());
    format!("{VERSION}.{}.{body}", place.key_id)
}

fn open(key: &LessSafeKey, place: Place<'_>, body: &str) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| VaultError::Malformed)?;
    let (nonce, text) = bytes.split_first_chunk().ok_or(VaultError::Malformed)?;
    let mut text = Zeroizing::new(text.to_vec());
    let plain = key
        .open_in_place(Nonce::assume_unique_for_key(*nonce), place.aad(), &mut text)
        .map_err(|_| VaultError::Forged)?
        .len();
    text.truncate(plain);
    Ok(text)
}

/// The key's id and the body.
fn split(sealed: &str) -> Result<(&str, &str), VaultError> {
    let mut parts = sealed.splitn(3, '.');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(VERSION), Some(id), Some(body)) if is_key_id(id) => Ok((id, body)),
        _ => Err(VaultError::Malformed),
    }
}

fn is_key_id(id: &str) -> bool {
    (1..=KEY_ID_CHARS).contains(&id.len())
        && id.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
}

fn cipher(bytes: &[u8; KEY_BYTES]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("AES-256 takes 32 bytes"))
}

fn key_bytes(bytes: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, VaultError> {
    bytes.try_into().map(Zeroizing::new).map_err(|_| VaultError::Malformed)
}

#[cfg(test)]
mod tests;
