//! Rotations of signing keys as they are asked for and shown.

use caudal_domain::Timestamp;
use caudal_service::signing_keys::{RotatedKey, Rotation};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRotation, example = json!({"distrust": false}))]
pub(crate) struct RotationRequest {
    /// For an emergency: what the old keys signed is not believed any more.
    #[serde(default)]
    distrust: bool,
}

impl RotationRequest {
    pub fn rotation(&self) -> Rotation {
        if self.distrust { Rotation::Distrust } else { Rotation::AtOnce }
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = SigningKey, example = json!({
    "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "object": "signing_key",
    "algorithm": "EdDSA", "active_from": "2026-01-31T09:30:00.000000Z"
}))]
pub(crate) struct RotatedKeyShape<'a> {
    kid: &'a str,
    object: &'static str,
    algorithm: &'a str,
    #[schema(value_type = String, format = DateTime)]
    active_from: Timestamp,
}

impl<'a> From<&'a RotatedKey> for RotatedKeyShape<'a> {
    fn from(key: &'a RotatedKey) -> Self {
        let RotatedKey { kid, algorithm, active_from } = key;
        Self { kid, object: "signing_key", algorithm, active_from: *active_from }
    }
}
