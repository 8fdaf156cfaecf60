//! Passwords: what may be one, and the pool that hashes them with argon2id (OWASP: 19 MiB, two passes, one lane).

#[cfg(test)]
mod tests;

use crate::error::{Error, Result};
use crate::telemetry::metrics::Hashing;
use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use unicode_normalization::UnicodeNormalization;

const MIN_CHARS: usize = 8;
const MAX_CHARS: usize = 128;
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const OUTPUT_BYTES: usize = 32;
/// Against 0 for everything else: one tenth of what both want (Linux weighs 110 against 1024).
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;
/// How long one may wait.
const QUEUE_TIME: Duration = Duration::from_secs(2);
/// How many may wait for each core: a second's work where nothing else wants the core.
const QUEUE_PER_CORE: usize = 32;

/// A password somebody may choose: 8 to 128 characters in NFC, without U+0000.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Password(Candidate);

/// What somebody claims to be the password: it may be shorter than any password can be.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Candidate(SecretString);

/// What is wrong with a password, as a sentence for the person who chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadPassword {
    #[error("must be at least 8 characters long")]
    TooShort,
    #[error("must be at most 128 characters long")]
    TooLong,
    #[error("must not contain the character U+0000")]
    Nul,
}

impl Candidate {
    pub(crate) fn parse(text: &str) -> Result<Self, BadPassword> {
        let normalised: String = text.nfc().collect();
        if normalised.contains('\0') {
            Err(BadPassword::Nul)
        } else if normalised.chars().count() > MAX_CHARS {
            Err(BadPassword::TooLong)
        } else {
            Ok(Self(normalised.into()))
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.expose_secret().is_empty()
    }
}

impl TryFrom<Candidate> for Password {
    type Error = BadPassword;

    fn try_from(candidate: Candidate) -> Result<Self, BadPassword> {
        if candidate.0.expose_secret().chars().count() < MIN_CHARS {
            return Err(BadPassword::TooShort);
        }
        Ok(Self(candidate))
    }
}

impl Password {
    pub(crate) fn parse(text: &str) -> Result<Self, BadPassword> {
        Candidate::parse(text)?.try_into()
    }
}

impl TryFrom<String> for Candidate {
    type Error = BadPassword;

    fn try_from(text: String) -> Result<Self, BadPassword> {
        Self::parse(&text)
    }
}

impl TryFrom<String> for Password {
    type Error = BadPassword;

    fn try_from(text: String) -> Result<Self, BadPassword> {
        Self::parse(&text)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl fmt::Debug for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Candidate")
    }
}

/// What became of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) matches: bool,
    /// The stored hash was made with other parameters than today's and should be made anew.
    pub(crate) outdated: bool,
}

/// Hashes and verifies, one at a time per core, so that a flood of logins leaves the rest of the server its processor.
#[derive(Clone)]
pub(crate) struct Passwords {
    /// Those running and those waiting.
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
    cores: usize,
    workshop: Arc<Workshop>,
    metrics: Hashing,
}

/// How busy it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) running: usize,
    pub(crate) waiting: usize,
    /// How many may wait.
    pub(crate) queue: usize,
}

struct Workshop {
    params: Params,
    /// Verified where there is no hash, so that an unknown name costs what a known one does.
    dummy: PasswordHash,
    /// Memory for reuse, one piece a core at most: clearing fresh pages costs nearly as much as hashing.
    memory: Mutex<Vec<Vec<Block>>>,
}

impl Passwords {
    /// `cores` hashes run at once, 32 times as many wait, and the next is [`Error::Unavailable`] at once.
    pub(crate) fn new(cores: usize, metrics: Hashing) -> Result<Self> {
        let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(OUTPUT_BYTES)).map_err(Error::internal)?;
        let dummy =
            phc(&params, Salt::generate(), Output::new(&[0; OUTPUT_BYTES]).map_err(Error::internal)?)?;
        let memory = Mutex::default();
        Ok(Self {
            admitted: Arc::new(Semaphore::new(cores * (1 + QUEUE_PER_CORE))),
            running: Arc::new(Semaphore::new(cores)),
            cores,
            metrics,
            workshop: Arc::new(Workshop { params, dummy, memory }),
        })
    }

    /// Refuses at once what would be refused for want of a place, before anything is done for it.
    pub(crate) fn expect_room(&self) -> Result<()> {
        if self.admitted.available_permits() > 0 {
            return Ok(());
        }
        self.metrics.no_place.inc();
        Err(Error::unavailable())
    }

    /// How busy it is at this moment.
    pub(crate) fn load(&self) -> Load {
        let queue = self.cores * QUEUE_PER_CORE;
        let running = self.cores.saturating_sub(self.running.available_permits());
        let admitted = (self.cores + queue).saturating_sub(self.admitted.available_permits());
        Load { running, waiting: admitted.saturating_sub(running), queue }
    }

    /// The PHC string to store.
    pub(crate) async fn hash(&self, password: Password) -> Result<SecretString> {
        self.run(move |workshop| workshop.hash(&password.0)).await
    }

    /// Compares with a stored PHC string; `None`, for a name that does not exist, does the same work and never matches.
    pub(crate) async fn verify(&self, candidate: Candidate, stored: Option<SecretString>) -> Result<Verdict> {
        self.run(move |workshop| workshop.verify(&candidate, stored.as_ref())).await
    }

    /// Whoever waits and leaves gives up its place at once; what has begun runs to its end and holds its places till then.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Workshop) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let admitted = self.admitted.clone().try_acquire_owned().map_err(|_| {
            tracing::debug!("too many passwords wait to be hashed");
            self.metrics.no_place.inc();
            Error::unavailable()
        })?;
        // Whoever waits longer has had an answer by then: a request that is late is `unavailable` after 2.5 s.
        let queued = Instant::now();
        let running = tokio::time::timeout(QUEUE_TIME, self.running.clone().acquire_owned()).await;
        self.metrics.wait.observe(queued.elapsed().as_secs_f64());
        let running = running.map_err(|_| {
            self.metrics.too_late.inc();
            Error::unavailable()
        })?;
        let running = running.map_err(Error::internal)?;
        let workshop = self.workshop.clone();
        let (answer, answered) = oneshot::channel();
        // A thread costs a thousandth of the hash it is made for, and takes its priority with it when it ends.
        let hasher = thread::Builder::new().name("hasher".into()).spawn(move || {
            let places = (admitted, running);
            give_way();
            let begun = Instant::now();
            let result = work(&workshop);
            let took = begun.elapsed();
            // Before the answer: whoever has it finds a place for the next, and this thread may not run again for a while.
            drop(places);
            // Whoever has left wants no answer.
            let _ = answer.send((result, took));
        });
        if let Err(error) = hasher {
            tracing::warn!(%error, "no thread for a password");
            return Err(Error::unavailable());
        }
        let (result, took) = answered.await.map_err(Error::internal)?;
        // Not on the hasher's thread: whoever reads a histogram waits for those that write it, and that one gives way to all.
        self.metrics.work.observe(took.as_secs_f64());
        result
    }
}

/// Lets every thread of ordinary priority go first: under a flood of logins the rest of the server keeps nine tenths of a
/// processor that both want, and a processor that nobody else wants is the hasher's whole.
fn give_way() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS) {
        tracing::debug!(%error, "passwords are hashed at ordinary priority");
    }
}

impl Workshop {
    fn hash(&self, password: &Candidate) -> Result<SecretString> {
        let salt = Salt::generate();
        let output = self.compute(password, &salt, Version::V0x13, &self.params)?;
        Ok(phc(&self.params, salt, output)?.to_string().into())
    }

    fn verify(&self, candidate: &Candidate, stored: Option<&SecretString>) -> Result<Verdict> {
        let parsed = stored.map(|text| PasswordHash::new(text.expose_secret())).transpose();
        let parsed = parsed.map_err(Error::internal)?;
        let against = parsed.as_ref().unwrap_or(&self.dummy);
        let (params, version) = (Params::try_from(against), against.version.unwrap_or(0x10));
        let (Some(salt), Some(expected), Ok(params), Ok(version)) =
            (&against.salt, &against.hash, params, Version::try_from(version))
        else {
            return Err(Error::internal("a stored password hash is incomplete"));
        };
        // Outputs are compared in constant time.
        let matches = self.compute(candidate, salt, version, &params)? == *expected && stored.is_some();
        Ok(Verdict { matches, outdated: version != Version::V0x13 || !same_cost(&params, &self.params) })
    }

    fn compute(
        &self,
        password: &Candidate,
        salt: &Salt,
        version: Version,
        params: &Params,
    ) -> Result<Output> {
        let mut memory = self.pool().pop().unwrap_or_default();
        if memory.len() < params.block_count() {
            memory.resize(params.block_count(), Block::default());
        }
        let mut bytes = [0; Output::MAX_LENGTH];
        let length = params.output_len().unwrap_or(OUTPUT_BYTES);
        let output = bytes.get_mut(..length).ok_or_else(|| Error::internal("a hash is too long"))?;
        Argon2::new(Algorithm::Argon2id, version, params.clone())
            .hash_password_into_with_memory(
                password.0.expose_secret().as_bytes(),
                salt,
                output,
                memory.as_mut_slice(),
            )
            .map_err(Error::internal)?;
        if memory.len() == self.params.block_count() {
            self.pool().push(memory);
        }
        Output::new(output).map_err(Error::internal)
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, Vec<Vec<Block>>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn phc(params: &Params, salt: Salt, hash: Output) -> Result<PasswordHash> {
    Ok(PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).map_err(Error::internal)?,
        salt: Some(salt),
        hash: Some(hash),
    })
}

fn same_cost(a: &Params, b: &Params) -> bool {
    let cost = |p: &Params| (p.m_cost(), p.t_cost(), p.p_cost(), p.output_len());
    cost(a) == cost(b)
}
