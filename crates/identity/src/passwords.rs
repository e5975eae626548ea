//! Passwords: the form they must have, and Argon2id over them.
//!
//! Hashing is slow on purpose, so it runs on the few low-priority threads of [`crate::pool`] behind
//! a short queue. Which passwords are too common is [`crate::common_passwords`]' business.

use std::{fmt, time::Duration};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use caudal_domain::id::Chance;
use subtle::ConstantTimeEq;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use crate::pool::Pool;
pub use crate::pool::{Place, Turn};

/// NIST SP 800-63B: at least 8, and 64 must be possible.
pub const MIN_CHARS: usize = 8;
pub const MAX_CHARS: usize = 128;
/// 128 characters of four bytes.
pub const MAX_BYTES: usize = 512;
/// What is normalised at all: NFC shortens text, but not to less than a quarter.
const MAX_RAW_BYTES: usize = 4 * MAX_BYTES;
/// RFC 9106, 3.1.
pub const SALT_BYTES: usize = 16;
const OUTPUT_BYTES: usize = 32;

/// A password in the form that is hashed: NFC, so that two keyboards write the same one.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// The rule of form that a password breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordRule {
    #[error("must have at least {MIN_CHARS} characters")]
    TooShort,
    #[error("must have at most {MAX_CHARS} characters and {MAX_BYTES} bytes")]
    TooLong,
    #[error("must not hold the character U+0000")]
    Nul,
}

impl Password {
    pub fn parse(text: &str) -> Result<Self, PasswordRule> {
        if text.len() > MAX_RAW_BYTES {
            return Err(PasswordRule::TooLong);
        }
        if text.contains('\0') {
            return Err(PasswordRule::Nul);
        }
        // NFC makes text at most three times as long (UAX 15): with room for that the buffer
        // never moves, and no copy stays behind.
        let mut normal = Zeroizing::new(String::with_capacity(3 * text.len()));
        normal.extend(text.nfc());
        match normal.chars().count() {
            n if n < MIN_CHARS => Err(PasswordRule::TooShort),
            n if n > MAX_CHARS || normal.len() > MAX_BYTES => Err(PasswordRule::TooLong),
            _ => Ok(Self(normal)),
        }
    }

    /// For the checks against lists of known passwords.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Argon2id's parameters and the pool's size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashSettings {
    pub memory_kib: u32,
    pub iterations: u32,
    pub parallelism: u32,
    pub threads: usize,
    /// Passwords that may wait for their turn; one more is turned away at once.
    pub queue: usize,
    /// How long one waits for its turn, and then to be hashed, before it is given up.
    pub wait_ms: u64,
}

/// More memory than this for one hash is a mistake in a setting or in a row.
const MAX_MEMORY_KIB: u32 = 1 << 20;
const MAX_ITERATIONS: u32 = 64;
const MAX_PARALLELISM: u32 = 64;
const MAX_THREADS: usize = 256;

impl HashSettings {
    /// OWASP's first choice for Argon2id (19 MiB, 2 passes, 1 lane), half of the machine's cores.
    pub fn for_cores(cores: usize) -> Self {
        Self {
            memory_kib: 19_456,
            iterations: 2,
            parallelism: 1,
            threads: (cores / 2).clamp(1, MAX_THREADS),
            queue: 64,
            wait_ms: 5_000,
        }
    }

    fn params(&self) -> Result<Params, HashError> {
        let HashSettings { memory_kib: m, iterations: t, parallelism: p, .. } = *self;
        let params = Params::new(m, t, p, Some(OUTPUT_BYTES))
            .map_err(|error| HashError::Settings(error.to_string()))?;
        if !is_bearable(&params) || self.threads == 0 || self.threads > MAX_THREADS {
            return Err(HashError::Settings(format!(
                "at most {MAX_MEMORY_KIB} KiB, {MAX_ITERATIONS} iterations, parallelism \
                 {MAX_PARALLELISM}, and 1 to {MAX_THREADS} threads"
            )));
        }
        Ok(params)
    }
}

fn is_bearable(params: &Params) -> bool {
    params.m_cost() <= MAX_MEMORY_KIB
        && params.t_cost() <= MAX_ITERATIONS
        && params.p_cost() <= MAX_PARALLELISM
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    #[error("too many passwords wait to be hashed")]
    Full,
    #[error("the password waited too long to be hashed")]
    TimedOut,
    #[error("the password pool has been shut down")]
    Stopped,
    #[error("the stored password hash is not one of Argon2id")]
    BadHash,
    #[error("the settings of password hashing: {0}")]
    Settings(String),
    #[error("the password pool could not start a thread: {0}")]
    Thread(String),
}

/// Hashes and verifies passwords on its own threads.
pub struct Hasher {
    pool: Pool<Scratch>,
    params: Params,
    nobody: PasswordHash,
}

/// A thread's working memory, kept from one password to the next: fetching 19 MiB from the system
/// takes a good part of a hash's time.
type Scratch = Vec<Block>;

impl Hasher {
    /// Starts the threads; `chance` makes the hash that stands for unknown accounts.
    pub fn start(settings: &HashSettings, chance: &dyn Chance) -> Result<Self, HashError> {
        let params = settings.params()?;
        let mut random = [0; SALT_BYTES + OUTPUT_BYTES];
        chance.fill(&mut random);
        let (salt, output) = random.split_at(SALT_BYTES);
        let nobody = phc(&params, salt, output).ok_or(HashError::BadHash)?;
        let wait = Duration::from_millis(settings.wait_ms);
        let pool = Pool::start(settings.threads, settings.queue, wait)
            .map_err(|error| HashError::Thread(error.to_string()))?;
        Ok(Self { pool, params, nobody })
    }

    /// A place in the line; taken before anything is looked up, so that whom a full line turns
    /// away has cost nothing.
    pub fn place(&self) -> Result<Place, HashError> {
        self.pool.place()
    }

    /// The PHC string of a new password under a random salt.
    pub async fn hash(
        &self,
        turn: Turn,
        password: &Password,
        salt: [u8; SALT_BYTES],
    ) -> Result<String, HashError> {
        let (password, params) = (password.clone(), self.params.clone());
        let work = move |scratch: &mut Scratch| hashed(scratch, (&params, &salt), &password);
        self.pool.run(turn, work).await?.ok_or(HashError::BadHash)
    }

    /// The same on the calling thread, which it holds up: for the start of a process, where nobody
    /// waits behind it, and where threads of low priority may wait for ever on a busy machine.
    pub fn hash_here(
        &self,
        password: &Password,
        salt: [u8; SALT_BYTES],
    ) -> Result<String, HashError> {
        hashed(&mut Scratch::new(), (&self.params, &salt), password).ok_or(HashError::BadHash)
    }

    /// Whether the password is the one behind the PHC string, with that string's parameters.
    pub async fn verify(
        &self,
        turn: Turn,
        password: &Password,
        phc: &str,
    ) -> Result<bool, HashError> {
        let hash = PasswordHash::new(phc).map_err(|_| HashError::BadHash)?;
        self.compare(turn, password, hash).await
    }

    /// Spends the time of [`verify`](Self::verify), for accounts that don't exist.
    pub async fn verify_nobody(&self, turn: Turn, password: &Password) -> Result<(), HashError> {
        self.compare(turn, password, self.nobody.clone()).await.map(drop)
    }

    /// Whether the hash has other parameters than the present ones: hash again at the next login.
    pub fn needs_rehash(&self, phc: &str) -> bool {
        let params = PasswordHash::new(phc).ok().and_then(|hash| params_of(&hash));
        params.is_none_or(|params| params != self.params)
    }

    /// Takes no more, ends what is under way and waits for the threads. Blocks for one hash at
    /// most. Dropping does the same.
    pub fn shut_down(&self) {
        self.pool.shut_down();
    }

    async fn compare(
        &self,
        turn: Turn,
        password: &Password,
        hash: PasswordHash,
    ) -> Result<bool, HashError> {
        let params = params_of(&hash).ok_or(HashError::BadHash)?;
        let (salt, known) = hash.salt.zip(hash.hash).ok_or(HashError::BadHash)?;
        let password = password.clone();
        let own_blocks = self.params.block_count();
        let work = move |scratch: &mut Scratch| {
            let output = argon2id(scratch, &params, &password, &salt);
            if scratch.len() > own_blocks {
                // An old hash was larger: its memory is not kept.
                scratch.truncate(own_blocks);
                scratch.shrink_to_fit();
            }
            Some(bool::from(output?.ct_eq(known.as_bytes())))
        };
        self.pool.run(turn, work).await?.ok_or(HashError::BadHash)
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("params", &self.params).finish_non_exhaustive()
    }
}

/// The parameters of a stored hash, if it is one that is verified here.
fn params_of(hash: &PasswordHash) -> Option<Params> {
    let known = hash.algorithm.as_str() == Algorithm::Argon2id.as_str()
        && hash.version == Some(Version::V0x13.into());
    let params = Params::try_from(hash).ok().filter(is_bearable)?;
    let sized = params.output_len() == Some(OUTPUT_BYTES);
    (known && sized).then_some(params)
}

fn phc(params: &Params, salt: &[u8], output: &[u8]) -> Option<PasswordHash> {
    Some(PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).ok()?,
        salt: Some(Salt::new(salt).ok()?),
        hash: Some(Output::new(output).ok()?),
    })
}

fn hashed(
    scratch: &mut Scratch,
    (params, salt): (&Params, &[u8; SALT_BYTES]),
    password: &Password,
) -> Option<String> {
    let output = argon2id(scratch, params, password, salt)?;
    phc(params, salt, &*output).map(|hash| hash.to_string())
}

fn argon2id(
    scratch: &mut Scratch,
    params: &Params,
    password: &Password,
    salt: &[u8],
) -> Option<Zeroizing<[u8; OUTPUT_BYTES]>> {
    let blocks = params.block_count();
    if scratch.len() < blocks {
        scratch.resize(blocks, Block::default());
    }
    let mut output = Zeroizing::new([0; OUTPUT_BYTES]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone())
        .hash_password_into_with_memory(
            password.as_str().as_bytes(),
            salt,
            &mut *output,
            &mut scratch[..blocks],
        )
        .ok()?;
    Some(output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Counted;

    fn small() -> HashSettings {
        HashSettings { memory_kib: 64, iterations: 1, threads: 2, ..HashSettings::for_cores(2) }
    }

    fn password(text: &str) -> Password {
        Password::parse(text).unwrap()
    }

    async fn turn(hasher: &Hasher) -> Turn {
        hasher.place().unwrap().turn().await.unwrap()
    }

    #[test]
    fn the_rules_of_form() {
        use PasswordRule::*;
        let table = [
            ("", Err(TooShort)),
            ("1234567", Err(TooShort)),
            ("12345678", Ok(())),
            ("e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}", Err(TooShort)),
            ("pass word with blanks ", Ok(())),
            ("🙂🙂🙂🙂🙂🙂🙂🙂", Ok(())),
            ("1234567\0", Err(Nul)),
            (&"a".repeat(128), Ok(())),
            (&"🙂".repeat(128), Ok(())),
            (&"a".repeat(129), Err(TooLong)),
            (&"a".repeat(10_000_000), Err(TooLong)),
        ];
        for (text, expected) in table {
            let short: String = text.chars().take(20).collect();
            assert_eq!(Password::parse(text).map(drop), expected, "{short:?}");
        }
        assert_eq!(password("cafe\u{301}-noir").as_str(), "caf\u{e9}-noir");
        assert_eq!(format!("{:?}", password("12345678")), "Password(…)");
    }

    #[tokio::test]
    async fn a_hash_verifies_its_password_only() {
        let hasher = Hasher::start(&small(), &Counted::default()).unwrap();
        let phc =
            hasher.hash(turn(&hasher).await, &password("caf\u{e9}-noir"), [7; 16]).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{phc}");
        assert_eq!(
            hasher.verify(turn(&hasher).await, &password("cafe\u{301}-noir"), &phc).await,
            Ok(true)
        );
        assert_eq!(
            hasher.verify(turn(&hasher).await, &password("cafe-noir"), &phc).await,
            Ok(false)
        );
        assert_eq!(hasher.verify_nobody(turn(&hasher).await, &password("cafe-noir")).await, Ok(()));
        let by_library = argon2::PasswordVerifier::verify_password(
            &Argon2::default(),
            "caf\u{e9}-noir".as_bytes(),
            &PasswordHash::new(&phc).unwrap(),
        );
        assert!(by_library.is_ok());
    }

    #[tokio::test]
    async fn other_parameters_verify_and_are_due_for_rehash() {
        let old = Hasher::start(&small(), &Counted::default()).unwrap();
        let larger = HashSettings { memory_kib: 128, ..small() };
        let new = Hasher::start(&larger, &Counted::default()).unwrap();
        for (one, other) in [(&old, &new), (&new, &old)] {
            let phc = one.hash(turn(one).await, &password("12345678"), [7; 16]).await.unwrap();
            assert_eq!(
                other.verify(turn(other).await, &password("12345678"), &phc).await,
                Ok(true)
            );
            assert!(other.needs_rehash(&phc) && !one.needs_rehash(&phc));
        }
    }

    #[tokio::test]
    async fn what_is_no_argon2id_hash_is_an_error_and_spends_nothing() {
        let hasher = Hasher::start(&small(), &Counted::default()).unwrap();
        let good = hasher.hash(turn(&hasher).await, &password("12345678"), [7; 16]).await.unwrap();
        let bad = [
            String::new(),
            "x".into(),
            good.replace("argon2id", "argon2i"),
            good.replace("v=19", "v=16"),
            good.replace("m=64", "m=4194304"),
            good.replace("t=1", "t=1000000"),
            good[..good.len() - 20].into(),
        ];
        for phc in bad {
            let answer = hasher.verify(turn(&hasher).await, &password("12345678"), &phc).await;
            assert_eq!(answer, Err(HashError::BadHash), "{phc}");
            assert!(hasher.needs_rehash(&phc));
        }
    }

    #[test]
    fn settings_beyond_reason_are_refused() {
        for settings in [
            HashSettings { memory_kib: 1, ..small() },
            HashSettings { memory_kib: MAX_MEMORY_KIB + 1, ..small() },
            HashSettings { iterations: 0, ..small() },
            HashSettings { threads: 0, ..small() },
        ] {
            let error = Hasher::start(&settings, &Counted::default()).unwrap_err();
            assert!(matches!(error, HashError::Settings(_)), "{error}");
        }
    }
}
