//! Makes of the settings what the use cases of people need: vault, password pool, mails, limits.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use caudal_domain::Clock;
use caudal_identity::{HashSettings, Hasher, SigningAlgorithm, Vault, foreign::ForeignAlgorithm};
use caudal_outbound::{
    BreachedPasswords, Client, ClientOptions, Issuer, Issuers, Mailer, Url, World,
    breached_passwords::BreachedPasswordsOptions, issuers::IssuersOptions, mail::SmtpOptions,
};
use caudal_service::{People, issuers::TrustedIssuer, people::PeopleSettings};

use crate::{
    Settings,
    settings::{Env, Switch},
    system::SystemChance,
};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Encrypts in development where no master keys are set: known to everybody, so that a database
/// can be opened again, and refused in production.
const DEVELOPMENT_KEY: [u8; 32] = *b"caudal development: not a secret";

pub(crate) fn people(settings: &Settings, clock: Arc<dyn Clock>) -> anyhow::Result<People> {
    let world = World { clock, chance: Arc::new(SystemChance) };
    let client = Client::new(ClientOptions::default()).context("the HTTP client")?;
    Ok(People {
        vault: vault(settings)?,
        hasher: hasher(settings)?,
        mailer: mailer(settings, world.clone())?,
        breached_passwords: breached_passwords(settings, &client, world.clone())?,
        issuers: issuers(settings, &client, &world)?,
        limiter: caudal_cache::limits::Limiter::default(),
        settings: people_settings(settings)?,
    })
}

fn vault(settings: &Settings) -> anyhow::Result<Vault> {
    match &settings.master_keys {
        Some(keys) => Vault::from_setting(keys).context("CAUDAL_MASTER_KEYS"),
        None => Ok(Vault::development(DEVELOPMENT_KEY)),
    }
}

fn hasher(settings: &Settings) -> anyhow::Result<Hasher> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let usual = HashSettings::for_cores(cores);
    let hash = HashSettings {
        memory_kib: settings.password_memory_kib,
        iterations: settings.password_iterations,
        threads: settings.password_threads.unwrap_or(usual.threads),
        queue: settings.password_queue,
        ..usual
    };
    Hasher::start(&hash, &SystemChance).context("password_…")
}

fn mailer(settings: &Settings, world: World) -> anyhow::Result<Mailer> {
    match &settings.smtp_url {
        Some(url) => {
            Mailer::smtp(&SmtpOptions::new(url, &settings.mail_from), world).context("smtp_url")
        }
        None => Ok(Mailer::log(world)),
    }
}

fn breached_passwords(
    settings: &Settings,
    client: &Client,
    world: World,
) -> anyhow::Result<Option<BreachedPasswords>> {
    let Some(url) = &settings.breached_passwords_url else { return Ok(None) };
    let base: Url = url.parse().context("breached_passwords_url")?;
    let options = BreachedPasswordsOptions::at(base);
    Ok(Some(BreachedPasswords::new(client.clone(), options, world)))
}

fn issuers(settings: &Settings, client: &Client, world: &World) -> anyhow::Result<Issuers> {
    let trusted = settings.issuers.iter().map(|known| {
        let jwks_uri = known.jwks_uri.as_deref().map(str::parse).transpose();
        Ok(Issuer { name: known.issuer.clone(), jwks_uri: jwks_uri.context("issuers: jwks_uri")? })
    });
    let trusted = trusted.collect::<anyhow::Result<_>>()?;
    Ok(Issuers::new(trusted, client, IssuersOptions::default(), world))
}

/// What an issuer's people are here.
fn trusted(known: &crate::settings::TrustedIssuer) -> anyhow::Result<TrustedIssuer> {
    let issuer = &known.issuer;
    let algorithms = match known.algorithms.as_slice() {
        [] => ForeignAlgorithm::ALL.to_vec(),
        names => names
            .iter()
            .map(|name| {
                ForeignAlgorithm::from_name(name)
                    .ok_or_else(|| anyhow!("issuers: {issuer}: {name:?} is no algorithm of tokens"))
            })
            .collect::<anyhow::Result<_>>()?,
    };
    let role = |(theirs, ours): (&String, &String)| {
        let ours = ours.parse().with_context(|| format!("issuers: {issuer}: role {ours:?}"))?;
        Ok((theirs.clone(), ours))
    };
    Ok(TrustedIssuer {
        issuer: issuer.clone(),
        audience: known.audience.clone(),
        tenant: known.tenant.parse().with_context(|| format!("issuers: {issuer}: tenant"))?,
        algorithms,
        roles_claim: known.roles_claim.clone(),
        roles: known.roles.iter().map(role).collect::<anyhow::Result<_>>()?,
    })
}

fn people_settings(settings: &Settings) -> anyhow::Result<PeopleSettings> {
    let usual = PeopleSettings::default();
    let algorithm = SigningAlgorithm::from_name(&settings.token_algorithm);
    let here = || format!("http://{}", settings.http_addr);
    Ok(PeopleSettings {
        public_url: settings.public_url.clone().unwrap_or_else(here),
        issuers: settings.issuers.iter().map(trusted).collect::<anyhow::Result<_>>()?,
        signing_algorithm: algorithm.ok_or_else(|| anyhow!("token_algorithm is EdDSA or ES256"))?,
        signing_key_lifetime: DAY * settings.signing_key_lifetime_days,
        step_up_amount_minor: settings.step_up_amount_minor,
        breach_check_fails_open: settings.breached_passwords_fail_open,
        rate_limits: settings.rate_limits == Switch::On,
        shows_mails: settings.env == Env::Development && settings.smtp_url.is_none(),
        ..usual
    })
}
