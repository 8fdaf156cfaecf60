//! The data folder: made by `initdb`, with a role and a database for us and nobody else let in.

use super::binaries::Binaries;
use super::credentials::{Credentials, NAME};
use super::error::{During, PrivateError, telling_line};
use super::home::Home;
use super::{Durability, random_name};
use secrecy::ExposeSecret;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// The name of a data folder in the making begins so; one found at a start is of a start that was cut short.
const UNFINISHED: &str = "cluster.new-";

/// On a slow disk `initdb` needs a while; more than this it never needs.
const INIT_WITHIN: Duration = Duration::from_mins(3);

/// Passwords over loopback for our role, nothing for anybody else, the superuser included.
const WHO_MAY_LOG_IN: &str = "host all video_call 127.0.0.1/32 scram-sha-256\n";

/// A data folder and who works on it with what.
#[derive(Debug)]
pub(super) struct Cluster<'a> {
    pub(super) home: &'a Home,
    pub(super) binaries: &'a Binaries,
    pub(super) durability: Durability,
}

/// The major version of PostgreSQL that made a data folder; none if there is no data folder.
pub(super) fn major_of(cluster: &Path) -> Result<Option<u32>, PrivateError> {
    let file = cluster.join("PG_VERSION");
    match fs::read_to_string(&file) {
        Ok(text) => text.trim().parse().map(Some).map_err(io::Error::other).during("understand", &file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).during("read", &file),
    }
}

impl Cluster<'_> {
    /// Makes the data folder aside and moves it to its place when all is done, so that being killed at any moment
    /// leaves either a whole one or none.
    pub(super) async fn create(&self, credentials: &Credentials) -> Result<(), PrivateError> {
        let fresh = self.home.dir().join(random_name(UNFINISHED)?);
        let made = self.create_in(&fresh, credentials).await;
        if made.is_err() {
            // The error that matters is the first one.
            let _ = fs::remove_dir_all(&fresh);
        }
        made
    }

    async fn create_in(&self, fresh: &Path, credentials: &Credentials) -> Result<(), PrivateError> {
        let account = &self.home.account;
        account.make_private_folder(fresh).during("make", fresh)?;
        self.initdb(fresh).await?;
        let rules = fresh.join("pg_hba.conf");
        fs::write(&rules, WHO_MAY_LOG_IN).during("write", &rules)?;
        self.set_password_in(fresh, credentials).await?;
        let place = self.home.cluster();
        fs::rename(fresh, &place).during("make", &place)?;
        File::open(self.home.dir()).and_then(|dir| dir.sync_all()).during("sync", self.home.dir())
    }

    /// UTF-8, and `C.UTF-8` where there is such a locale, which sorts alike on every system and in every version.
    async fn initdb(&self, fresh: &Path) -> Result<(), PrivateError> {
        let best: &[&str] = if self.binaries.major >= 17 {
            &["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        } else {
            &["--locale=C.UTF-8"]
        };
        let mut failure = String::new();
        for locale in [best, &["--locale=C"]] {
            let mut initdb = self.home.account.task(self.binaries.initdb());
            initdb.arg("-D").arg(fresh).args([
                "-U",
                "postgres",
                "-A",
                "reject",
                "-E",
                "UTF8",
                "--lc-messages=C",
            ]);
            initdb.args(["-T", "english", "--data-checksums"]).args(locale);
            if self.durability != Durability::Durable {
                initdb.arg("--no-sync");
            }
            let output = within(fresh, initdb.output()).await?;
            if output.status.success() {
                return Ok(());
            }
            failure = telling_line(&String::from_utf8_lossy(&output.stderr));
        }
        Err(PrivateError::Init { dir: fresh.to_owned(), line: failure })
    }

    /// Gives our role this password, making the role if it is not there. Nothing may run on the data folder.
    pub(super) async fn set_password(&self, credentials: &Credentials) -> Result<(), PrivateError> {
        self.set_password_in(&self.home.cluster(), credentials).await
    }

    /// By PostgreSQL without a server: nobody can log in yet, and no password is ever on a command line.
    async fn set_password_in(&self, dir: &Path, credentials: &Credentials) -> Result<(), PrivateError> {
        let mut single = self.home.account.task(self.binaries.postgres());
        single.arg("--single").arg("-D").arg(dir).args([
            "-c",
            "exit_on_error=on",
            "-c",
            "password_encryption=scram-sha-256",
        ]);
        // A failing statement must not put the password into the message.
        single.args(["-c", "log_min_error_statement=panic"]).args(self.durability.settings()).arg("postgres");
        single.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut running = single.spawn().during("run", &self.binaries.postgres())?;
        if let Some(mut stdin) = running.stdin.take() {
            // If it ends early, its exit status says so.
            let _ = stdin.write_all(statements(credentials, self.durability).as_bytes()).await;
        }
        let output = within(dir, running.wait_with_output()).await?;
        if output.status.success() {
            return Ok(());
        }
        Err(PrivateError::Init {
            dir: dir.to_owned(),
            line: telling_line(&String::from_utf8_lossy(&output.stderr)),
        })
    }
}

/// One statement a line, as PostgreSQL without a server reads them. Tests try out roles; elsewhere there is but ours.
fn statements(credentials: &Credentials, durability: Durability) -> String {
    let password = credentials.password.expose_secret();
    let rights = if durability == Durability::Throwaway { "createdb createrole" } else { "createdb" };
    format!(
        "do $$ begin if not exists (select from pg_roles where rolname = '{NAME}') then create role {NAME}; end if; end $$\n\
         alter role {NAME} login {rights} password '{password}'\n"
    )
}

/// Awaits a tool that works on `dir`, but not for ever.
async fn within(
    dir: &Path,
    output: impl Future<Output = io::Result<Output>>,
) -> Result<Output, PrivateError> {
    let late = || PrivateError::Init { dir: dir.to_owned(), line: format!("not done after {INIT_WITHIN:?}") };
    tokio::time::timeout(INIT_WITHIN, output).await.map_err(|_| late())?.during("make", dir)
}

/// Removes what interrupted starts left. What cannot be removed (an `initdb` may still be writing) waits for the next start.
pub(super) fn remove_unfinished(home: &Home) {
    let entries = fs::read_dir(home.dir()).into_iter().flatten().flatten();
    let unfinished = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(UNFINISHED))
    };
    for folder in entries.map(|entry| entry.path()).filter(unfinished) {
        if let Err(error) = fs::remove_dir_all(&folder) {
            tracing::debug!(%error, folder = %folder.display(), "an unfinished data folder stays for now");
        }
    }
}
