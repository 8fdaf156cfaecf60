//! Finding a PostgreSQL on this machine.

use super::account::Account;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// The oldest that has all we ask for. Debian 11 has it.
const OLDEST: u32 = 13;

/// A binary that does not even tell its version is none.
const VERSION_WITHIN: Duration = Duration::from_secs(10);

/// Where PostgreSQL lives when it is not on the `PATH`: a parent folder, how the name below it begins (the rest is its
/// version), and what follows. In the order in which they are tried; of one line, the newest first.
const USUAL: [(&str, &str, &str); 14] = [
    ("/usr/lib/postgresql", "", "bin"),  // Debian, Ubuntu
    ("/usr", "pgsql-", "bin"),           // RHEL, from PostgreSQL's own repository
    ("/usr/lib", "postgresql", "bin"),   // openSUSE
    ("/usr/lib64", "postgresql", "bin"), // Gentoo
    ("/usr/libexec", "postgresql", ""),  // Alpine
    ("/usr/local", "pgsql", "bin"),      // built from source
    ("/opt/homebrew/opt", "postgresql", "bin"),
    ("/usr/local/opt", "postgresql", "bin"),
    ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
    ("/Library/PostgreSQL", "", "bin"),
    ("/opt/PostgreSQL", "", "bin"),
    ("/opt/local/lib", "postgresql", "bin"), // MacPorts
    ("/run/current-system/sw", "bin", ""),   // NixOS
];

/// A folder with `postgres` and `initdb` that run.
#[derive(Debug, Clone)]
pub(super) struct Binaries {
    dir: PathBuf,
    pub(super) major: u32,
}

impl Binaries {
    /// The server.
    pub(super) fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    /// What makes a data folder.
    pub(super) fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    /// What is in `dir`, if `account` can run it and it is new enough.
    pub(super) async fn in_folder(dir: &Path, account: &Account) -> Option<Self> {
        let dir = home_of(dir)?;
        let major = version_of(&dir.join("postgres"), account).await?;
        (major >= OLDEST).then_some(Self { dir, major })
    }
}

/// The major version that a program of PostgreSQL's says it is of, if `account` can run it.
pub(super) async fn version_of(program: &Path, account: &Account) -> Option<u32> {
    let mut ask = account.task(program);
    ask.arg("-V").stderr(Stdio::null());
    let answer = tokio::time::timeout(VERSION_WITHIN, ask.output()).await.ok()?.ok()?;
    parse_major(&String::from_utf8_lossy(&answer.stdout)).filter(|_| answer.status.success())
}

/// The folders of distributions and installers that exist here.
pub(super) fn usual_folders() -> Vec<PathBuf> {
    USUAL
        .iter()
        .flat_map(|(parent, prefix, rest)| versions(Path::new(parent), prefix, Path::new(rest)))
        .collect()
}

/// `<parent>/<prefix>*/<rest>`, the newest version first.
pub(super) fn versions(parent: &Path, prefix: &str, rest: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = name.to_str()?.strip_prefix(prefix)?;
            Some((leading_number(version), entry.path().join(rest)))
        })
        .collect();
    found.sort_by(|a, b| b.cmp(a));
    found.into_iter().map(|(_, path)| path).collect()
}

/// The first PostgreSQL in `folders` that has the major version `wanted`; none wanted: any.
/// Else the major versions there are.
pub(super) async fn find(
    folders: &[PathBuf],
    wanted: Option<u32>,
    account: &Account,
) -> Result<Binaries, BTreeSet<u32>> {
    let mut seen = BTreeSet::new();
    let mut others = BTreeSet::new();
    for folder in folders.iter().filter_map(|folder| home_of(folder)) {
        if !seen.insert(folder.clone()) {
            continue;
        }
        match Binaries::in_folder(&folder, account).await {
            Some(binaries) if wanted.is_none_or(|wanted| wanted == binaries.major) => return Ok(binaries),
            Some(other) => _ = others.insert(other.major),
            None => {}
        }
    }
    Err(others)
}

/// The folders of a search path, and then what each `pg_config` on it says.
pub(super) async fn on_search_path(path: &OsStr, account: &Account) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::env::split_paths(path).filter(|folder| folder.is_absolute()).collect();
    for tool in folders.clone().iter().map(|folder| folder.join("pg_config")).filter(|tool| tool.is_file()) {
        let mut ask = account.task(tool);
        ask.arg("--bindir").stderr(Stdio::null());
        if let Ok(Ok(answer)) = tokio::time::timeout(VERSION_WITHIN, ask.output()).await {
            folders.push(PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim()));
        }
    }
    folders
}

/// Where `dir/postgres` really lives, so that a link on the `PATH` finds `initdb` beside the server it points to.
fn home_of(dir: &Path) -> Option<PathBuf> {
    let server = dir.join("postgres").canonicalize().ok()?;
    [server.parent()?, dir].into_iter().find(|dir| dir.join("initdb").is_file()).map(Path::to_owned)
}

/// `postgres (PostgreSQL) 15.20 (Debian …)` is 15, `… 19devel` is 19.
fn parse_major(answer: &str) -> Option<u32> {
    let (_, version) = answer.split_once("(PostgreSQL) ")?;
    Some(leading_number(version)).filter(|major| *major > 0)
}

/// The first number in a text; without one, 0.
fn leading_number(text: &str) -> u32 {
    let digits = text.trim_start_matches(|c: char| !c.is_ascii_digit());
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end).and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{parse_major, versions};
    use std::path::Path;

    #[test]
    fn the_major_version_is_read_from_what_postgres_says() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 19devel\n"), Some(19));
        assert_eq!(parse_major("sh: not found"), None);
    }

    #[test]
    fn the_newest_version_comes_first() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["pgsql-9.6", "pgsql-17", "pgsql-15", "other-18"] {
            std::fs::create_dir(parent.path().join(name)).unwrap();
        }
        let names = ["pgsql-17/bin", "pgsql-15/bin", "pgsql-9.6/bin"].map(|name| parent.path().join(name));
        assert_eq!(versions(parent.path(), "pgsql-", Path::new("bin")), names);
    }
}
