//! Idempotency: the key under which an answer is kept, and the fingerprint of what was asked.

use sha2::{Digest, Sha256};

use crate::id::{Bucket, TenantId};

/// 128 bits of SHA-256 over tenant, owner and the caller's key. Its last byte is its bucket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ReceiptKey(pub u128);

impl ReceiptKey {
    /// `owner` is the user or service account that asks, not the API key used, so that a rotated
    /// key still replays.
    pub fn new(tenant: TenantId, owner: u128, key: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(tenant.0.to_be_bytes());
        hash.update(owner.to_be_bytes());
        hash.update(key.as_bytes());
        Self(first_128_bits(hash))
    }

    pub fn bucket(self) -> Bucket {
        Bucket(self.0 as u8)
    }
}

/// 128 bits of SHA-256 over method, path and the canonical body.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Fingerprint(pub u128);

impl Fingerprint {
    /// `parts` are hashed with their lengths, so that no two requests run together.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        Self(first_128_bits(hash))
    }
}

fn first_128_bits(hash: Sha256) -> u128 {
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    u128::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_is_tenant_owner_and_key() {
        let base = ReceiptKey::new(TenantId(1), 2, "k");
        assert_eq!(base, ReceiptKey::new(TenantId(1), 2, "k"));
        assert_ne!(base, ReceiptKey::new(TenantId(9), 2, "k"));
        assert_ne!(base, ReceiptKey::new(TenantId(1), 9, "k"));
        assert_ne!(base, ReceiptKey::new(TenantId(1), 2, "K"));
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(Fingerprint::of(&[b"ab", b"c"]), Fingerprint::of(&[b"a", b"bc"]));
    }
}
