//! The whole database in a file, by PostgreSQL's own `pg_dump`.

use super::pool::{self, StartError};
use super::private::find_client;
use percent_encoding::percent_decode_str;
use rustix::fs::OFlags;
use secrecy::SecretString;
use sqlx::ConnectOptions;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use tokio::process::Command;

/// Why there is no backup, in one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error("the version of PostgreSQL cannot be read: {0}")]
    Version(#[source] sqlx::Error),
    #[error(
        "this machine has no {0}; install PostgreSQL's client programs (Debian, Ubuntu: apt install postgresql-client)"
    )]
    NoClient(&'static str),
    #[error("{0} is there already; --force overwrites it")]
    Exists(PathBuf),
    #[error("{0} is a folder")]
    Folder(PathBuf),
    #[error("another backup is writing {0}")]
    Busy(PathBuf),
    #[error("cannot write {0}: {1}")]
    Write(PathBuf, #[source] io::Error),
    #[error("cannot run {0}: {1}")]
    Run(PathBuf, #[source] io::Error),
    #[error("{0}")]
    Refused(String),
}

/// Where programs are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine<'a> {
    pub(crate) search_path: &'a OsStr,
    pub(crate) data_dir: &'a Path,
}

/// Writes the database to `file`, in `pg_dump`'s custom format; answers with the file's size. The file is there when it is whole
/// and `pg_restore` can read it, or not at all.
pub(crate) async fn dump(
    url: &SecretString,
    file: &Path,
    overwrite: bool,
    machine: Machine<'_>,
) -> Result<u64, BackupError> {
    expect_free(file, overwrite)?;
    let major = server_major(url).await?;
    let client = async |name| {
        let found = find_client(name, major, machine.search_path, machine.data_dir).await;
        found.ok_or(BackupError::NoClient(name))
    };
    let (pg_dump, pg_restore) = (client("pg_dump").await?, client("pg_restore").await?);
    let partial = Partial::beside(file)?;
    let (path, out) = (&partial.path, &partial.out);
    let write_error = |error| BackupError::Write(path.clone(), error);

    let environment = environment(url, machine.search_path)?;
    let mut dump = Command::new(&pg_dump);
    dump.args(["--format=custom", "--no-password"]).env_clear().envs(environment);
    dump.stdout(out.try_clone().map_err(write_error)?);
    run(dump, &pg_dump).await?;
    out.sync_all().map_err(write_error)?;

    let mut list = Command::new(&pg_restore);
    list.arg("--list").arg(path).env_clear().env("PATH", machine.search_path).stdout(Stdio::null());
    run(list, &pg_restore).await?;
    let size = out.metadata().map_err(write_error)?.len();
    expect_free(file, overwrite)?;
    partial.become_(file)?;
    Ok(size)
}

fn expect_free(file: &Path, overwrite: bool) -> Result<(), BackupError> {
    match fs::symlink_metadata(file) {
        Ok(there) if there.is_dir() => Err(BackupError::Folder(file.to_owned())),
        Ok(_) if !overwrite => Err(BackupError::Exists(file.to_owned())),
        Ok(_) | Err(_) => Ok(()),
    }
}

async fn server_major(url: &SecretString) -> Result<u32, BackupError> {
    let mut connection = pool::connect_alone(url, &[]).await?;
    let version = sqlx::query_scalar!(r#"select current_setting('server_version_num')::int as "version!""#);
    let version = version.fetch_one(&mut connection).await.map_err(BackupError::Version)?;
    connection.close().await.map_err(StartError::Connect)?;
    Ok(u32::try_from(version / 10_000).unwrap_or_default())
}

/// Opened with a symbolic link's name, a file is refused.
fn open_own(path: &Path) -> io::Result<File> {
    let no_link = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).custom_flags(no_link).open(path)
}

/// A file that is removed, unless it becomes the backup.
struct Partial {
    path: PathBuf,
    /// Locked by who writes it, which ends with the last process that has it open: also if that was killed.
    out: File,
}

impl Partial {
    /// Takes over what a backup left that was killed. Only its owner may read it: it has every password hash.
    fn beside(file: &Path) -> Result<Self, BackupError> {
        let mut name = file.file_name().ok_or_else(|| BackupError::Folder(file.to_owned()))?.to_owned();
        name.push(".partial");
        let path = file.with_file_name(name);
        let write_error = |error| BackupError::Write(path.clone(), error);
        let out = open_own(&path).map_err(write_error)?;
        match out.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(BackupError::Busy(path)),
            Err(TryLockError::Error(error)) => return Err(write_error(error)),
            Ok(()) => {}
        }
        let ours = out.metadata().map_err(write_error)?;
        // Else its writer has just finished, between the opening and the lock, and this is the backup.
        let is_there = fs::symlink_metadata(&path)
            .is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino()));
        if !is_there {
            return Err(BackupError::Busy(path));
        }
        out.set_permissions(fs::Permissions::from_mode(0o600)).map_err(write_error)?;
        out.set_len(0).map_err(write_error)?;
        Ok(Self { path, out })
    }

    fn become_(self, file: &Path) -> Result<(), BackupError> {
        let write_error = |error| BackupError::Write(file.to_owned(), error);
        fs::rename(&self.path, file).map_err(write_error)?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        // Best effort: not every file system lets its folders be synced.
        let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        // Gone already, if it became the backup. Still locked: nobody else can have taken it over.
        let _ = fs::remove_file(&self.path);
    }
}

/// Runs a program to its end; what it complains of becomes one line.
async fn run(mut command: Command, program: &Path) -> Result<(), BackupError> {
    command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().map_err(|error| BackupError::Run(program.to_owned(), error))?;
    let ended = child.wait_with_output().await;
    let Output { status, stderr, .. } = ended.map_err(|error| BackupError::Run(program.to_owned(), error))?;
    if status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&stderr);
    let said = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
    let said = if said.is_empty() { format!("{} ended with {status}", program.display()) } else { said };
    Err(BackupError::Refused(said))
}

/// How PostgreSQL's programs find the database: by their environment, which other users cannot read, as they can a command line.
fn environment(
    url: &SecretString,
    search_path: &OsStr,
) -> Result<Vec<(&'static str, OsString)>, BackupError> {
    let options = pool::address(url)?;
    let host = match options.get_socket() {
        Some(folder) => folder.clone().into_os_string(),
        None => options.get_host().trim_matches(['[', ']']).into(),
    };
    let mut environment = vec![
        ("PATH", search_path.to_owned()),
        // Its words become ours.
        ("LC_ALL", "C".into()),
        ("PGHOST", host),
        ("PGPORT", options.get_port().to_string().into()),
        ("PGUSER", options.get_username().into()),
        ("PGSSLMODE", ssl_mode(options.get_ssl_mode()).into()),
        ("PGCONNECT_TIMEOUT", "10".into()),
        ("PGAPPNAME", "video-call-server backup".into()),
    ];
    // Without a name, PostgreSQL's programs take the user's, as the server does.
    environment.extend(options.get_database().map(|name| ("PGDATABASE", name.into())));
    environment.extend(secrets(options));
    Ok(environment)
}

/// What [`PgConnectOptions`] tells only in a URL, in which a name with odd characters would be in the way.
fn secrets(options: PgConnectOptions) -> Vec<(&'static str, OsString)> {
    let url = options.username("name").host("localhost").to_url_lossy();
    let password = url
        .password()
        .map(|raw| ("PGPASSWORD", percent_decode_str(raw).decode_utf8_lossy().into_owned().into()));
    let files = url.query_pairs().filter_map(|(key, value)| {
        let variable = match &*key {
            "sslrootcert" => "PGSSLROOTCERT",
            "sslcert" => "PGSSLCERT",
            "sslkey" => "PGSSLKEY",
            _ => return None,
        };
        // As the library shows where it has a certificate from.
        let file = value.strip_prefix("file: ").unwrap_or(&value);
        Some((variable, file.to_owned().into()))
    });
    password.into_iter().chain(files).collect()
}

fn ssl_mode(mode: PgSslMode) -> &'static str {
    match mode {
        PgSslMode::Disable => "disable",
        PgSslMode::Allow => "allow",
        PgSslMode::Prefer => "prefer",
        PgSslMode::Require => "require",
        PgSslMode::VerifyCa => "verify-ca",
        PgSslMode::VerifyFull => "verify-full",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(url: &str) -> Vec<(&'static str, String)> {
        let environment = environment(&url.into(), OsStr::new("/bin")).unwrap();
        environment.into_iter().map(|(name, value)| (name, value.into_string().unwrap())).collect()
    }

    #[test]
    fn the_address_reaches_postgres_programs_whatever_characters_are_in_it() {
        let url = "postgres://an%40n%2F:p%40ss%3A%2F%25%20w%C3%B6rd@[::1]:5433/my%20db?sslmode=verify-full&sslrootcert=%2Ftmp%2Froot.pem";
        let variables = variables(url);
        for expected in [
            ("PGHOST", "::1"),
            ("PGPORT", "5433"),
            ("PGUSER", "an@n/"),
            ("PGPASSWORD", "p@ss:/% wörd"),
            ("PGDATABASE", "my db"),
            ("PGSSLMODE", "verify-full"),
            ("PGSSLROOTCERT", "/tmp/root.pem"),
        ] {
            assert!(
                variables.iter().any(|(name, value)| (*name, value.as_str()) == expected),
                "{expected:?}: {variables:?}"
            );
        }
    }

    #[test]
    fn a_socket_is_a_host_too() {
        let variables = variables("postgres://ann@%2Fvar%2Frun%2Fpostgresql/db");
        assert!(variables.contains(&("PGHOST", "/var/run/postgresql".into())), "{variables:?}");
    }

    #[tokio::test]
    async fn what_a_program_complains_of_is_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("pg_dump");
        let script = "#!/bin/sh\necho 'pg_dump: error: aborting because of server version mismatch' >&2\necho 'pg_dump: detail: server version: 15.20; pg_dump version: 12.1' >&2\nexit 1\n";
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let refused = run(Command::new(&program), &program).await.unwrap_err().to_string();
        assert_eq!(
            refused,
            "pg_dump: error: aborting because of server version mismatch; pg_dump: detail: server version: 15.20; pg_dump version: 12.1"
        );
        let silent = run(Command::new("/bin/false"), Path::new("/bin/false")).await.unwrap_err().to_string();
        assert_eq!(silent, "/bin/false ended with exit status: 1");
    }

    #[test]
    fn what_is_not_finished_leaves_nothing_and_what_is_there_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("backup");
        let partial = Partial::beside(&file).unwrap();
        assert_eq!(fs::metadata(&partial.path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(partial);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fs::write(&file, "precious").unwrap();
        assert!(expect_free(&file, false).is_err() && expect_free(&file, true).is_ok());
        assert!(expect_free(folder.path(), true).is_err());
    }

    #[test]
    fn what_a_killed_backup_left_is_taken_over_and_what_one_still_writes_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (file, left) = (folder.path().join("backup"), folder.path().join("backup.partial"));
        fs::write(&left, "half a backup").unwrap();
        fs::set_permissions(&left, fs::Permissions::from_mode(0o644)).unwrap();
        let partial = Partial::beside(&file).unwrap();
        let taken = fs::metadata(&left).unwrap();
        assert_eq!((taken.len(), taken.permissions().mode() & 0o777), (0, 0o600));
        let busy = Partial::beside(&file).err().unwrap().to_string();
        assert_eq!(busy, format!("another backup is writing {}", left.display()));
        assert!(left.exists());
        partial.become_(&file).unwrap();
        assert!(file.exists() && !left.exists());
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, folder.path().join("backup.partial")).unwrap();
        assert!(matches!(Partial::beside(&folder.path().join("backup")), Err(BackupError::Write(..))));
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    }
}
