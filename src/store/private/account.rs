//! Who runs PostgreSQL: we ourselves or, where we are root, an ordinary user, since PostgreSQL refuses root.

use super::error::{During, PrivateError};
use super::random_name;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

/// What PostgreSQL's children need: a shell's tools. Ours may hold folders that the account cannot read.
const CHILD_PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/run/current-system/sw/bin";

/// Tried in this order when we are root.
const ORDINARY_USERS: [&str; 3] = ["postgres", "_postgres", "nobody"];

/// The user PostgreSQL runs as and owns its files as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Account {
    name: String,
    /// Whom to become; none: we stay who we are.
    ids: Option<(u32, u32)>,
}

impl Account {
    /// Whoever we are.
    pub(super) fn ourselves() -> Self {
        Self { name: "this user".to_owned(), ids: None }
    }

    /// For a data folder that is yet to be made.
    pub(super) fn for_new_cluster() -> Result<Self, PrivateError> {
        if !we_are_root() {
            return Ok(Self::ourselves());
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        ORDINARY_USERS
            .iter()
            .find_map(|name| find_user(&passwd, |user| user.name == *name))
            .ok_or(PrivateError::NoUser)
    }

    /// For a data folder that is there: its owner. One that came to be root's (say, by copying it) is given away.
    pub(super) fn for_cluster(cluster: &Path) -> Result<Self, PrivateError> {
        let folder = fs::metadata(cluster).during("look at", cluster)?;
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let owner = || {
            find_user(&passwd, |user| user.uid == folder.uid())
                .map_or_else(|| format!("the user with id {}", folder.uid()), |user| user.name)
        };
        let account = Self::for_new_cluster()?;
        if account.ids.is_none() {
            if folder.uid() == rustix::process::geteuid().as_raw() {
                return Ok(account);
            }
            return Err(PrivateError::ForeignOwner { cluster: cluster.to_owned(), owner: owner() });
        }
        if folder.uid() == 0 {
            account.give_tree(cluster).during("give away", cluster)?;
            return Ok(account);
        }
        Ok(Self { name: owner(), ids: Some((folder.uid(), folder.gid())) })
    }

    /// The name, for messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is somebody else than we are.
    pub(super) fn is_another(&self) -> bool {
        self.ids.is_some()
    }

    /// A command run by the account, in a process group of its own, so that Ctrl-C in a terminal reaches us alone,
    /// and with nothing of our environment: that holds secrets, and `PG…` variables that would lead it astray.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> std::process::Command {
        let mut command = std::process::Command::new(program);
        command.env_clear().env("PATH", CHILD_PATH).env("LC_ALL", "C").env("TZ", "UTC");
        // Our own folder may be out of the account's reach, and PostgreSQL insists on knowing where it is.
        command.current_dir("/").process_group(0).stdin(Stdio::null());
        if let Some((uid, gid)) = self.ids {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// The same for a short task: ended when its future is dropped.
    pub(super) fn task(&self, program: impl AsRef<OsStr>) -> tokio::process::Command {
        let mut command = tokio::process::Command::from(self.command(program));
        command.kill_on_drop(true);
        command
    }

    /// Makes the account the owner of one file or folder.
    pub(super) fn give(&self, path: &Path) -> io::Result<()> {
        self.ids.map_or(Ok(()), |(uid, gid)| lchown(path, Some(uid), Some(gid)))
    }

    /// Makes the account the owner of a folder and all it holds.
    pub(super) fn give_tree(&self, path: &Path) -> io::Result<()> {
        self.give(path)?;
        if self.is_another() && fs::symlink_metadata(path)?.is_dir() {
            for entry in fs::read_dir(path)? {
                self.give_tree(&entry?.path())?;
            }
        }
        Ok(())
    }

    /// Makes a folder that only the account can look into.
    pub(super) fn make_private_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        self.give(path)
    }

    /// Whether the account can reach `dir` and own a folder in it. Found out by doing it: mode bits do not tell of
    /// access lists, nor of file systems that know no owners.
    pub(super) async fn can_use(&self, dir: &Path) -> Result<bool, PrivateError> {
        let Some((uid, _)) = self.ids else { return Ok(true) };
        let probe = dir.join(random_name("probe-")?);
        if self.make_private_folder(&probe).is_err() {
            // It may be there, and not ours to give away.
            let _ = fs::remove_dir(&probe);
            return Ok(false);
        }
        let script = "cd \"$1\" && : > file && rm file";
        let status =
            self.task("/bin/sh").args(["-c", script, "sh"]).arg(&probe).stderr(Stdio::null()).status().await;
        let owned = fs::metadata(&probe).is_ok_and(|folder| folder.uid() == uid);
        fs::remove_dir_all(&probe).during("remove", &probe)?;
        Ok(owned && status.during("run", Path::new("/bin/sh"))?.success())
    }
}

/// Whether PostgreSQL would refuse to run as us.
pub(super) fn we_are_root() -> bool {
    rustix::process::geteuid().is_root()
}

struct User<'a> {
    name: &'a str,
    uid: u32,
}

/// The first entry of a passwd file that is wanted. Root is never wanted.
fn find_user(passwd: &str, wanted: impl Fn(&User<'_>) -> bool) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        (uid != 0 && wanted(&User { name, uid }))
            .then(|| Account { name: name.to_owned(), ids: Some((uid, gid)) })
    })
}

#[cfg(test)]
mod tests {
    use super::{Account, find_user};

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# a comment\nnobody:*:-2:-2::/:/bin/false\n\
                          postgres:x:101:104:PostgreSQL:/var/lib/postgresql:/bin/bash\n";

    #[test]
    fn a_user_is_found_with_its_ids() {
        let found = find_user(PASSWD, |user| user.name == "postgres");
        assert_eq!(found, Some(Account { name: "postgres".to_owned(), ids: Some((101, 104)) }));
    }

    #[test]
    fn root_and_unreadable_lines_are_never_found() {
        assert_eq!(find_user(PASSWD, |user| user.uid == 0 || user.name == "nobody"), None);
    }
}
