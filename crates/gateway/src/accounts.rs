//! A tenant's account at a gateway, and how it is opened. Which account takes which payment is
//! the service's to decide.

use std::{fmt, sync::Arc, time::Duration};

use caudal_domain::Mode;
use caudal_outbound::{Client, ClientOptions, GuardOptions, HttpFault, Url, World};
use zeroize::Zeroizing;

use crate::{port::Gateway, simulator::SimulatorGateway, stripe::StripeGateway};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GatewayKind {
    Simulator,
    Stripe,
}

impl GatewayKind {
    pub const ALL: [Self; 2] = [Self::Simulator, Self::Stripe];

    pub fn name(self) -> &'static str {
        match self {
            Self::Simulator => "simulator",
            Self::Stripe => "stripe",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What an account's owner gave us, as JSON; decrypted by the caller, wiped when dropped.
///
/// Stripe: `{"secret_key": "sk_…", "webhook_secrets": ["whsec_…"]}`; the simulator:
/// `{"api_key": "sim_…", "webhook_secrets": ["…"]}`. At most two webhook secrets are good at once.
#[derive(Clone)]
pub struct Credentials(Zeroizing<Vec<u8>>);

impl Credentials {
    pub fn new(json: Vec<u8>) -> Self {
        Self(Zeroizing::new(json))
    }

    /// To be sealed.
    pub fn as_json(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn read<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, OpenError> {
        // What serde says may quote the secret.
        serde_json::from_slice(&self.0).map_err(|_| OpenError::Credentials("not of this kind"))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

#[derive(Clone, Debug)]
pub struct GatewayAccount {
    pub kind: GatewayKind,
    /// The tenant's.
    pub mode: Mode,
    pub credentials: Credentials,
}

/// What accounts are opened in. Where gateways are is the operator's to say, never a tenant's.
#[derive(Clone)]
pub struct Surroundings {
    pub client: Client,
    pub world: World,
    pub guard: GuardOptions,
    /// `https://api.stripe.com/`, or a stand-in.
    pub stripe: Url,
    /// Where the simulator is, if there is one.
    pub simulator: Option<Url>,
}

impl Surroundings {
    /// A client for gateways: connecting may take 2 s of the 3 s that a call has, so that a
    /// gateway that cannot be reached is known as one.
    pub fn client() -> Result<Client, HttpFault> {
        let connect_limit = Duration::from_secs(2);
        Client::new(ClientOptions { connect_limit, ..ClientOptions::default() })
    }

    /// 3 s and two tries as everywhere; 256 places carry 12,800 calls a second of 20 ms.
    pub fn guard() -> GuardOptions {
        GuardOptions { at_once: 256, ..GuardOptions::default() }
    }

    pub fn stripe() -> Url {
        Url::parse("https://api.stripe.com/").expect("a constant URL")
    }
}

/// Why an account cannot be opened. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("the account's credentials are {0}")]
    Credentials(&'static str),
    #[error("the simulator takes test tenants only")]
    SimulatorIsForTests,
    #[error("this instance has no simulator")]
    NoSimulator,
    #[error("a key for tests belongs to a test tenant, a live one to a live tenant")]
    WrongMode,
}

/// Opens an account. Its breaker and places are its own, so keep what is opened.
pub fn open(
    account: &GatewayAccount,
    surroundings: &Surroundings,
) -> Result<Arc<dyn Gateway>, OpenError> {
    Ok(match account.kind {
        GatewayKind::Simulator => Arc::new(SimulatorGateway::open(account, surroundings)?),
        GatewayKind::Stripe => Arc::new(StripeGateway::open(account, surroundings)?),
    })
}
