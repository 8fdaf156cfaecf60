//! A PostgreSQL of the server's own, for when no `DATABASE_URL` is set: the same PostgreSQL as in production, with
//! nothing to configure.
//!
//! ```text
//! <DATA_DIR>/postgres/
//!   lock        held by the server that uses the folder
//!   url         how to log in, for its owner's eyes: psql "$(cat data/postgres/url)"
//!   log         what PostgreSQL said since the last start; log.old: before that
//!   cluster/    PostgreSQL's data folder
//!   binaries/   downloaded PostgreSQL, if any
//!   elsewhere → where cluster and binaries are instead, if PostgreSQL's user cannot get here
//! ```
//!
//! A start is a staircase: the home is opened and locked, a PostgreSQL left by a killed server is stopped, binaries are
//! found or fetched, the data folder is made if it is not there, the server is started under a watchdog that stops it
//! when this process ends in whatever way, and the database is made if it is not there.
//!
//! Files are read and written with `std::fs`, although in async functions: nothing is served yet that could be held up.

mod account;
mod binaries;
mod clients;
mod cluster;
mod credentials;
mod database;
mod download;
mod error;
mod home;
mod postmaster;
#[cfg(test)]
mod tests;

pub(crate) use clients::find_client;
pub(crate) use error::PrivateError;

use binaries::Binaries;
use cluster::Cluster;
use credentials::{Credentials, port_is_free};
use error::During;
use home::Home;
use postmaster::{Plan, Postmaster, stop_leftover};
use secrecy::SecretString;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The major version to fetch where any will do.
const DOWNLOADED_MAJOR: u32 = 18;

/// How often a start is tried again when the port was snatched away, or processes of a killed predecessor have not ended yet.
const ATTEMPTS: u32 = 40;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(250);

/// Where to find PostgreSQL and how to run it.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The `PATH`, searched first.
    pub(crate) search_path: OsString,
    /// Folders of binaries to look into after it.
    pub(crate) folders: Vec<PathBuf>,
    /// The releases to fetch from where there are no binaries.
    pub(crate) releases: String,
    /// Where data live that PostgreSQL's user could not reach below the data folder.
    pub(crate) fallback: PathBuf,
    /// How well the data are kept.
    pub(crate) durability: Durability,
}

/// How well the data are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// What is committed stays, whatever happens.
    Durable,
    /// For tests: a power cut may lose everything.
    #[cfg(test)]
    Fast,
    /// For tests: fast, and the data are removed when PostgreSQL stops.
    Throwaway,
}

impl Options {
    /// What the server uses, given its `PATH`.
    pub(crate) fn new(search_path: impl Into<OsString>) -> Self {
        Self {
            search_path: search_path.into(),
            folders: binaries::usual_folders(),
            releases: download::RELEASES.to_owned(),
            fallback: PathBuf::from("/var/lib/video-call-server"),
            durability: Durability::Durable,
        }
    }
}

const UNSAFE_AND_FAST: &[&str] =
    &["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"];

impl Durability {
    fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Durable => &[],
            #[cfg(test)]
            Self::Fast => UNSAFE_AND_FAST,
            Self::Throwaway => UNSAFE_AND_FAST,
        }
    }
}

/// A running PostgreSQL that is ours alone. However this process ends, PostgreSQL is stopped.
#[derive(Debug)]
pub(crate) struct PrivatePostgres {
    postmaster: Postmaster,
    credentials: Credentials,
    binaries: Binaries,
    durability: Durability,
    /// Its locks go last: when the next server gets them, PostgreSQL has been told to stop.
    home: Home,
}

impl PrivatePostgres {
    /// Starts the PostgreSQL of `data_dir`, making whatever is missing, and waits until it answers.
    pub(crate) async fn start(data_dir: &Path, options: Options) -> Result<Self, PrivateError> {
        let home = Home::open(data_dir, &options.fallback).await?;
        stop_leftover(&home.cluster()).await?;
        cluster::remove_unfinished(&home);
        let binaries = find_or_fetch(&home, &options).await?;
        let durability = options.durability;
        let cluster = Cluster { home: &home, binaries: &binaries, durability };
        let mut credentials = log_in_to(&cluster).await?;
        let mut postmaster = launch(&cluster, &mut credentials).await?;
        if let Err(error) = database::ensure(&credentials, &home.url()).await {
            postmaster.stop().await?;
            return Err(error);
        }
        Ok(Self { postmaster, credentials, binaries, durability, home })
    }

    /// The URL of the application's database.
    pub(crate) fn url(&self) -> SecretString {
        self.credentials.url()
    }

    /// Waits until PostgreSQL has ended by itself, which it should not: somebody, or the system for want of memory,
    /// killed it. [`Self::revive`] mends that.
    pub(crate) async fn ended(&self) {
        if let Err(error) = self.postmaster.ended().await {
            tracing::warn!(%error, "lost sight of the private PostgreSQL");
        }
    }

    /// Starts a PostgreSQL that has ended again. Pools on its URL recover by themselves, as the port stays the same
    /// unless somebody took it meanwhile.
    pub(crate) async fn revive(&mut self) -> Result<(), PrivateError> {
        self.postmaster.stop().await?;
        let cluster = Cluster { home: &self.home, binaries: &self.binaries, durability: self.durability };
        self.postmaster = launch(&cluster, &mut self.credentials).await?;
        Ok(())
    }

    /// Stops PostgreSQL, fast but in order, and waits for its end.
    pub(crate) async fn stop(mut self) -> Result<(), PrivateError> {
        self.postmaster.stop().await
    }
}

/// Binaries that fit the data there are; those of the machine before downloaded ones.
async fn find_or_fetch(home: &Home, options: &Options) -> Result<Binaries, PrivateError> {
    let wanted = cluster::major_of(&home.cluster())?;
    let mut folders = binaries::on_search_path(&options.search_path, &home.account).await;
    folders.extend_from_slice(&options.folders);
    folders.extend(home.downloaded());
    let others = match binaries::find(&folders, wanted, &home.account).await {
        Ok(binaries) => return Ok(binaries),
        Err(others) => others,
    };
    let major = wanted.unwrap_or(DOWNLOADED_MAJOR);
    let download = match fetch(home, options, major).await? {
        Ok(binaries) => return Ok(binaries),
        Err(reason) => reason,
    };
    let Some(wanted) = wanted else { return Err(PrivateError::NoBinaries { download }) };
    let found = others.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let found = if found.is_empty() { "none".to_owned() } else { format!("only {found}") };
    Err(PrivateError::OtherMajor { cluster: home.cluster(), wanted, found, download })
}

/// Downloaded binaries, or why there are none.
async fn fetch(home: &Home, options: &Options, major: u32) -> Result<Result<Binaries, String>, PrivateError> {
    home.remove_unfinished_downloads();
    let folder = home.binaries().join(major.to_string());
    if let Err(reason) = download::fetch(&options.releases, major, &folder).await {
        return Ok(Err(reason));
    }
    home.account.give_tree(&home.binaries()).during("give away", &folder)?;
    let binaries = Binaries::in_folder(&folder.join("bin"), &home.account).await;
    Ok(binaries.ok_or_else(|| format!("the one downloaded to {} does not run here", folder.display())))
}

/// Makes sure that there is a data folder and that we know its password, wherever an earlier start was cut short.
async fn log_in_to(cluster: &Cluster<'_>) -> Result<Credentials, PrivateError> {
    let file = cluster.home.url();
    let known = Credentials::load(&file);
    let exists = cluster::major_of(&cluster.home.cluster())?.is_some();
    match known {
        Some(credentials) if exists => Ok(credentials),
        Some(credentials) => {
            cluster.create(&credentials).await?;
            Ok(credentials)
        }
        None => {
            let credentials = Credentials::generate()?;
            if exists {
                tracing::info!("the private PostgreSQL's password is not known any more: making a new one");
                cluster.set_password(&credentials).await?;
            } else {
                cluster.create(&credentials).await?;
            }
            credentials.save(&file)?;
            Ok(credentials)
        }
    }
}

/// Starts PostgreSQL on its old port or, if that is taken, on another.
async fn launch(cluster: &Cluster<'_>, credentials: &mut Credentials) -> Result<Postmaster, PrivateError> {
    let home = cluster.home;
    let mut attempt = 1;
    loop {
        if credentials.take_free_port().during("find a free port for", &home.cluster())? {
            credentials.save(&home.url())?;
        }
        let plan = Plan {
            account: &home.account,
            program: cluster.binaries.postgres(),
            cluster: home.cluster(),
            settings: settings(credentials.port, cluster.durability),
            throw_away: cluster.durability == Durability::Throwaway,
            log: home.log(),
        };
        match Postmaster::start(plan, home.new_log()?).await {
            Ok(postmaster) => return Ok(postmaster),
            Err(PrivateError::DidNotStart { line, .. })
                if attempt < ATTEMPTS
                    && (line.contains("still in use") || !port_is_free(credentials.port)) =>
            {
                tracing::debug!(line, attempt, "PostgreSQL did not come up: trying again");
                tokio::time::sleep(BETWEEN_ATTEMPTS).await;
            }
            Err(error) => return Err(error),
        }
        attempt += 1;
    }
}

/// What must be so; the rest is `postgresql.conf`'s, where an operator may tune it.
fn settings(port: u16, durability: Durability) -> Vec<OsString> {
    let mut settings = vec!["-c".into(), format!("port={port}").into()];
    let fixed = [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "logging_collector=off",
        "log_destination=stderr",
        "password_encryption=scram-sha-256",
    ];
    settings.extend(fixed.into_iter().flat_map(|setting| ["-c".into(), setting.into()]));
    settings.extend(durability.settings().iter().map(OsString::from));
    settings
}

/// `prefix` and 64 random bits: a name that no other start, killed or running, has taken.
fn random_name(prefix: &str) -> Result<String, PrivateError> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)?;
    let mut name = prefix.to_owned();
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    Ok(name)
}
