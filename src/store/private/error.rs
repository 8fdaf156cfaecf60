//! What can go wrong on the way to a private PostgreSQL. Every message is one line that says what to do.

use std::io;
use std::path::{Path, PathBuf};

/// Why there is no private PostgreSQL.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrivateError {
    #[error(
        "no PostgreSQL: this machine has none and {download}; install it (Debian, Ubuntu: apt install postgresql; \
         RHEL, Fedora: dnf install postgresql-server; macOS: brew install postgresql@18) or set DATABASE_URL"
    )]
    NoBinaries { download: String },
    #[error(
        "the data in {cluster} were made by PostgreSQL {wanted}, this machine has {found} and {download}; \
         install PostgreSQL {wanted}, or set DATA_DIR to another folder, or set DATABASE_URL"
    )]
    OtherMajor { cluster: PathBuf, wanted: u32, found: String, download: String },
    #[error("{0} is in use by another server; stop that one or set DATA_DIR to another folder")]
    InUse(PathBuf),
    #[error(
        "the process {pid} still runs PostgreSQL in {cluster} and does not stop; end it, then start again"
    )]
    StillRunning { cluster: PathBuf, pid: i32 },
    #[error(
        "{cluster} belongs to {owner}; start as that user or as root, or set DATA_DIR to another folder, or set DATABASE_URL"
    )]
    ForeignOwner { cluster: PathBuf, owner: String },
    #[error(
        "PostgreSQL refuses to run as root and there is neither a user postgres nor nobody; \
         add a user postgres, start as an ordinary user, or set DATABASE_URL"
    )]
    NoUser,
    #[error(
        "{user}, who runs PostgreSQL as root may not, cannot use {dir}; \
         let that user into its parent folders, or set DATA_DIR to a folder that all can reach, or set DATABASE_URL"
    )]
    Unreachable { dir: PathBuf, user: String },
    #[error(
        "{link} points to {target}, which is not there; bring it back, or remove {link} to begin with an empty database"
    )]
    Dangling { link: PathBuf, target: PathBuf },
    #[error("PostgreSQL could not make its data folder in {dir}: {line}; free the way, or set DATABASE_URL")]
    Init { dir: PathBuf, line: String },
    #[error("PostgreSQL did not come up: {line}; see {log}, or set DATABASE_URL")]
    DidNotStart { log: PathBuf, line: String },
    #[error(
        "PostgreSQL runs but refuses us: {reason}; remove {url} to have a new password made, or set DATABASE_URL"
    )]
    Refused { url: PathBuf, reason: String },
    #[error(
        "cannot {what} {path}: {source}; make it possible, set DATA_DIR to another folder, or set DATABASE_URL"
    )]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("the operating system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// Says what was being done to which path when an operation failed.
pub(super) trait During<T> {
    /// `cannot <what> <path>: …`
    fn during(self, what: &'static str, path: &Path) -> Result<T, PrivateError>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, what: &'static str, path: &Path) -> Result<T, PrivateError> {
        self.map_err(|source| PrivateError::Io { what, path: path.to_owned(), source })
    }
}

impl<T> During<T> for Result<T, rustix::io::Errno> {
    fn during(self, what: &'static str, path: &Path) -> Result<T, PrivateError> {
        self.map_err(io::Error::from).during(what, path)
    }
}

/// The line of PostgreSQL's output that says why it gave up: the last failure, else the last line.
pub(super) fn telling_line(output: &str) -> String {
    const FAILURES: [&str; 3] = ["FATAL:", "PANIC:", "error:"];
    let lines = || output.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut failures = lines().filter_map(|line| {
        let at = FAILURES.iter().filter_map(|word| line.find(word)).min()?;
        line.get(at..)
    });
    failures.next_back().or_else(|| lines().next_back()).unwrap_or("it said nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use super::telling_line;

    #[test]
    fn the_last_failure_is_told_without_its_timestamp() {
        let output = "2026-11-22 10:00:00 UTC [7] FATAL:  lock file exists\n2026-11-22 10:00:00 UTC [7] HINT:  look\n\n";
        assert_eq!(telling_line(output), "FATAL:  lock file exists");
    }

    #[test]
    fn without_a_failure_the_last_line_is_told() {
        assert_eq!(telling_line("one\n two \n\n"), "two");
        assert_eq!(telling_line("\n"), "it said nothing");
    }
}
