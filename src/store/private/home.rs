//! Where the private PostgreSQL lives, and the locks that let only one server have it.

use super::account::Account;
use super::binaries::versions;
use super::error::{During, PrivateError};
use super::random_name;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

const LOCK_ATTEMPTS: u32 = 20;
const BETWEEN_LOCK_ATTEMPTS: Duration = Duration::from_millis(50);

/// The folder below `DATA_DIR` and, mostly the same, the one that has the data.
#[derive(Debug)]
pub(super) struct Home {
    /// `<DATA_DIR>/postgres`: ours.
    store: PathBuf,
    /// Has the cluster: `store`, or what its link `elsewhere` points to.
    dir: PathBuf,
    pub(super) account: Account,
    /// Held as long as we may touch anything here; the system releases them however we end.
    _locks: Vec<File>,
}

impl Home {
    /// Opens `<data_dir>/postgres`, making what is missing, and takes it for us alone.
    ///
    /// As root the data are another user's, who may be unable to get into `data_dir` (a clone under `/root`, say). Then
    /// they live in a folder of their own below `fallback`, and the link `elsewhere` leads there: removing or moving
    /// `data_dir` does what one expects, which a name made from its path would not.
    pub(super) async fn open(data_dir: &Path, fallback: &Path) -> Result<Self, PrivateError> {
        let store = data_dir.join("postgres");
        fs::create_dir_all(data_dir).during("make", data_dir)?;
        make_folder(&store)?;
        let store = store.canonicalize().during("find", &store)?;
        let mut locks = vec![lock(&store).await?];
        let (dir, account) = settle(&store, fallback).await?;
        if dir != store {
            locks.push(lock(&dir).await?);
        }
        Ok(Self { store, dir, account, _locks: locks })
    }

    /// The data folder.
    pub(super) fn cluster(&self) -> PathBuf {
        self.dir.join("cluster")
    }

    /// Where folders stand that are to become the cluster or the binaries. Reachable by the account.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where downloaded binaries are kept, a folder a major version.
    pub(super) fn binaries(&self) -> PathBuf {
        self.dir.join("binaries")
    }

    /// The folders of downloaded binaries. They are named by their major version; what is not is unfinished.
    pub(super) fn downloaded(&self) -> Vec<PathBuf> {
        let folders = versions(&self.binaries(), "", Path::new(""));
        folders.into_iter().filter(|folder| is_number(folder)).map(|folder| folder.join("bin")).collect()
    }

    /// Removes what interrupted downloads left. What stays is only in nobody's way.
    pub(super) fn remove_unfinished_downloads(&self) {
        for folder in versions(&self.binaries(), "", Path::new("")).iter().filter(|folder| !is_number(folder))
        {
            if let Err(error) = fs::remove_dir_all(folder) {
                tracing::debug!(%error, folder = %folder.display(), "an unfinished download stays for now");
            }
        }
    }

    /// The file with the URL.
    pub(super) fn url(&self) -> PathBuf {
        self.store.join("url")
    }

    /// What PostgreSQL says.
    pub(super) fn log(&self) -> PathBuf {
        self.store.join("log")
    }

    /// Begins a new log and keeps the last one, so that two starts' worth is all there ever is.
    pub(super) fn new_log(&self) -> Result<File, PrivateError> {
        let log = self.log();
        let old = log.with_extension("old");
        fs::rename(&log, &old)
            .or_else(|error| super::credentials::if_absent(error, ()))
            .during("rename", &log)?;
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).open(&log).during("write", &log)
    }
}

/// Whether the last part of a path is a number.
fn is_number(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.parse::<u32>().is_ok())
}

/// Decides which folder has the data and whose they are.
async fn settle(store: &Path, fallback: &Path) -> Result<(PathBuf, Account), PrivateError> {
    let link = store.join("elsewhere");
    if let Ok(target) = fs::read_link(&link) {
        if !target.is_dir() {
            return Err(PrivateError::Dangling { link, target });
        }
        let account = account_in(&target)?;
        return Ok((target, account));
    }
    let account = account_in(store)?;
    if account.can_use(store).await? {
        return Ok((store.to_owned(), account));
    }
    let unreachable = || PrivateError::Unreachable { dir: store.to_owned(), user: account.name().to_owned() };
    if store.join("cluster").exists() {
        return Err(unreachable());
    }
    if let Some(parent) = fallback.parent() {
        fs::create_dir_all(parent).during("make", parent)?;
    }
    make_folder(fallback)?;
    let dir = fallback.canonicalize().during("find", fallback)?.join(random_name("")?);
    make_folder(&dir)?;
    if !account.can_use(&dir).await? {
        fs::remove_dir(&dir).during("remove", &dir)?;
        return Err(unreachable());
    }
    symlink(&dir, &link).during("make", &link)?;
    tracing::info!(
        user = account.name(), store = %store.display(), data = %dir.display(),
        "PostgreSQL's user cannot reach the data folder: its data live elsewhere"
    );
    Ok((dir, account))
}

/// Whose the cluster in `dir` is or will be.
fn account_in(dir: &Path) -> Result<Account, PrivateError> {
    let cluster = dir.join("cluster");
    if cluster.exists() { Account::for_cluster(&cluster) } else { Account::for_new_cluster() }
}

/// A folder of ours that the account can pass through but not list.
fn make_folder(path: &Path) -> Result<(), PrivateError> {
    if !path.is_dir() {
        DirBuilder::new().mode(0o711).create(path).during("make", path)?;
        // Whatever the umask took away.
        fs::set_permissions(path, fs::Permissions::from_mode(0o711)).during("set the mode of", path)?;
    }
    Ok(())
}

/// Takes a folder for this process, or says who it seems to belong to.
///
/// The lock of a process that was killed may outlive it by a moment: a child it was just starting holds it until it becomes
/// another program.
async fn lock(dir: &Path) -> Result<File, PrivateError> {
    let path = dir.join("lock");
    let mut options = OpenOptions::new();
    let file =
        options.write(true).create(true).truncate(false).mode(0o600).open(&path).during("open", &path)?;
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(BETWEEN_LOCK_ATTEMPTS).await,
            Err(TryLockError::Error(source)) => return Err(PrivateError::Io { what: "lock", path, source }),
        }
    }
    Err(PrivateError::InUse(dir.to_owned()))
}
