//! Accounts at gateways as they are asked for and shown; what opens them is never shown.

use caudal_domain::{GatewayAccountId, Timestamp};
use caudal_service::{
    api_keys::Secret,
    gateway_accounts::{
        Credentials, GatewayAccount, GatewayAccountChange, GatewayKind, NewGatewayAccount,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{check_name, users::Private};
use crate::{problem::Problem, query::Shown};

/// What secrets of gateways are long; theirs have about 100 characters.
const SECRET_CHARS: std::ops::RangeInclusive<usize> = 8..=500;
/// The one that is good and the one that is to be.
const WEBHOOK_SECRETS_MOST: usize = 2;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewGatewayAccount, example = json!({
    "kind": "stripe", "name": "Stripe EU",
    "credentials": {"secret_key": "sk_test_…", "webhook_secrets": ["whsec_…"]}
}))]
pub(crate) struct GatewayAccountRequest {
    /// `stripe`, or `simulator` in test tenants. Never changes.
    #[schema(value_type = String)]
    kind: GatewayKind,
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// The simulator needs none.
    credentials: Option<CredentialsShape>,
}

/// Sealed at rest, never shown.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GatewayCredentials)]
pub(crate) struct CredentialsShape {
    /// Of Stripe, a secret or restricted key: `sk_test_…`, `rk_live_…`.
    #[schema(value_type = Option<String>, format = Password)]
    secret_key: Option<Private>,
    /// Of the simulator, any that begins with `sim_`.
    #[schema(value_type = Option<String>, format = Password)]
    api_key: Option<Private>,
    /// What the gateway signs its webhooks with; two while one is replaced.
    #[schema(value_type = Option<Vec<String>>, max_items = 2)]
    webhook_secrets: Option<Vec<Private>>,
}

impl CredentialsShape {
    /// As the gateways read it.
    fn into_json(self) -> Result<Value, Problem> {
        let secrets = self.webhook_secrets.unwrap_or_default();
        if secrets.len() > WEBHOOK_SECRETS_MOST {
            let detail = "two webhook secrets are good at once";
            return Err(Problem::invalid("credentials.webhook_secrets", detail));
        }
        let read = |(at, secret)| read_secret(&format!("webhook_secrets[{at}]"), secret);
        let secrets = secrets.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
        let mut json = json!({"webhook_secrets": secrets});
        for (name, key) in [("secret_key", self.secret_key), ("api_key", self.api_key)] {
            if let Some(key) = key {
                json[name] = read_secret(name, key)?.into();
            }
        }
        Ok(json)
    }
}

/// Printable ASCII without blanks: what can stand in a header.
fn read_secret(name: &str, secret: Private) -> Result<String, Problem> {
    let secret = Secret::from(secret);
    let text = secret.reveal();
    if SECRET_CHARS.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    let detail = "8 to 500 printable ASCII characters without blanks";
    Err(Problem::invalid(format!("credentials.{name}"), detail))
}

/// A request that was understood: what it asks for, and what tells it from another.
pub(crate) struct Understood {
    pub new: NewGatewayAccount,
    pub print: Value,
}

impl GatewayAccountRequest {
    pub fn understand(self) -> Result<Understood, Problem> {
        let Self { kind, name, credentials } = self;
        check_name("name", &name)?;
        let json = credentials.map(CredentialsShape::into_json).transpose()?;
        let print = json!({"kind": kind, "name": name, "credentials": json});
        let credentials = json.as_ref().map(read_credentials);
        Ok(Understood { new: NewGatewayAccount { kind, name, credentials }, print })
    }
}

fn read_credentials(json: &Value) -> Credentials {
    Credentials::new(json.to_string().into_bytes())
}

/// What is not given stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = GatewayAccountChange, example = json!({"active": false}))]
pub(crate) struct GatewayAccountPatch {
    #[schema(min_length = 1, max_length = 200)]
    name: Option<String>,
    /// Switched off, it takes no new payments.
    active: Option<bool>,
    /// All of them, in the place of those before.
    credentials: Option<CredentialsShape>,
}

impl GatewayAccountPatch {
    pub fn into_change(self) -> Result<GatewayAccountChange, Problem> {
        let Self { name, active, credentials } = self;
        if let Some(name) = &name {
            check_name("name", name)?;
        }
        let json = credentials.map(CredentialsShape::into_json).transpose()?;
        let credentials = json.as_ref().map(read_credentials);
        Ok(GatewayAccountChange { name, active, credentials })
    }
}

#[derive(Serialize, ToSchema)]
#[schema(as = GatewayAccount, example = json!({
    "id": "gwa_01h455vb4pex5vsknk084sn02q", "object": "gateway_account", "kind": "stripe",
    "name": "Stripe EU", "active": true, "created_at": "2026-01-31T09:30:00.000000Z",
    "updated_at": "2026-01-31T09:30:00.000000Z"
}))]
pub(crate) struct GatewayAccountShape<'a> {
    #[schema(value_type = String)]
    id: GatewayAccountId,
    object: &'static str,
    #[schema(value_type = String)]
    kind: GatewayKind,
    name: &'a str,
    active: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl<'a> From<&'a GatewayAccount> for GatewayAccountShape<'a> {
    fn from(account: &'a GatewayAccount) -> Self {
        let GatewayAccount { id, kind, active, created_at, updated_at, .. } = *account;
        let name = &account.name;
        Self { id, object: "gateway_account", kind, name, active, created_at, updated_at }
    }
}

impl Shown for GatewayAccountShape<'_> {
    const FIELDS: &'static [&'static str] =
        &["id", "object", "kind", "name", "active", "created_at", "updated_at"];
}

#[cfg(test)]
mod tests {
    use caudal_domain::TenantId;

    use super::*;
    use crate::shapes::tests::assert_fields;

    #[test]
    fn the_names_of_fields_are_those_shown() {
        assert_fields(&GatewayAccountShape::from(&GatewayAccount {
            id: GatewayAccountId(1),
            tenant: TenantId(1),
            kind: GatewayKind::Simulator,
            name: "simulator".into(),
            active: true,
            version: 1,
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        }));
    }

    #[test]
    fn credentials_are_bounded_and_never_repeated() {
        for (json, param) in [
            (r#"{"secret_key": "short"}"#, Some("credentials.secret_key")),
            (r#"{"api_key": "with a blank"}"#, Some("credentials.api_key")),
            (
                r#"{"webhook_secrets": ["whsec_good_one", "é"]}"#,
                Some("credentials.webhook_secrets[1]"),
            ),
            (
                r#"{"webhook_secrets": ["aaaaaaaa", "bbbbbbbb", "cccccccc"]}"#,
                Some("credentials.webhook_secrets"),
            ),
            (r#"{"secret_key": "sk_test_0123"}"#, None),
        ] {
            let shape: CredentialsShape = serde_json::from_str(json).expect("the shape");
            let problem = shape.into_json().err();
            assert_eq!(problem.as_ref().and_then(|it| it.param.as_deref()), param, "{json}");
            assert!(problem.is_none_or(|it| !it.detail.contains("blank ")), "{json}");
        }
    }
}
