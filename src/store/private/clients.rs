//! Finding PostgreSQL's client programs on this machine.

use super::account::Account;
use super::binaries::{on_search_path, usual_folders, version_of, versions};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The client program `name` that suits a server of this major version best; `data_dir` may have downloaded ones.
pub(crate) async fn find_client(
    name: &str,
    server_major: u32,
    search_path: &OsStr,
    data_dir: &Path,
) -> Option<PathBuf> {
    let us = Account::ourselves();
    let mut folders = on_search_path(search_path, &us).await;
    folders.extend(usual_folders());
    for home in ["postgres", "postgres/elsewhere"] {
        folders.extend(versions(&data_dir.join(home).join("binaries"), "", Path::new("bin")));
    }
    best(&folders, name, server_major, &us).await
}

async fn best(folders: &[PathBuf], name: &str, server_major: u32, us: &Account) -> Option<PathBuf> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for program in folders.iter().map(|folder| folder.join(name)).filter(|program| program.is_file()) {
        if seen.insert(program.clone())
            && let Some(major) = version_of(&program, us).await
        {
            found.push((major, program));
        }
    }
    found.into_iter().min_by_key(|(major, _)| fitness(*major, server_major)).map(|(_, program)| program)
}

/// The server's own version, else a newer one, the nearest first; else the newest of the older ones, which says itself that
/// it will not do.
fn fitness(major: u32, server_major: u32) -> (bool, u32) {
    (major < server_major, major.abs_diff(server_major))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    /// A folder for each version, with a program that says it is of that version.
    fn machine(versions: &[u32]) -> (tempfile::TempDir, Vec<PathBuf>) {
        let folder = tempfile::tempdir().unwrap();
        let folders = versions.iter().map(|version| {
            let bin = folder.path().join(version.to_string());
            fs::create_dir(&bin).unwrap();
            fs::write(bin.join("pg_dump"), format!("#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}.1'\n"))
                .unwrap();
            fs::set_permissions(bin.join("pg_dump"), Permissions::from_mode(0o755)).unwrap();
            bin
        });
        let folders = folders.collect();
        (folder, folders)
    }

    #[tokio::test]
    async fn the_program_of_the_servers_version_is_taken_else_the_nearest_newer_else_the_newest() {
        let us = Account::ourselves();
        for (versions, server, chosen) in
            [(&[12, 15, 18, 16][..], 15, 15), (&[12, 18, 16], 15, 16), (&[11, 13, 12], 15, 13)]
        {
            let (folder, folders) = machine(versions);
            let found = best(&folders, "pg_dump", server, &us).await.unwrap();
            assert_eq!(found, folder.path().join(chosen.to_string()).join("pg_dump"));
        }
        let (_folder, folders) = machine(&[15]);
        assert_eq!(best(&folders, "pg_restore", 15, &us).await, None);
    }
}
