//! The whole database in a file.

use super::AdminError;
use crate::config::search_path;
use crate::store::backup::{Machine, dump};
use secrecy::SecretString;
use std::path::Path;

/// A backup to be made.
#[derive(Debug, Clone, Copy)]
pub struct Backup<'a> {
    /// Where to.
    pub file: &'a Path,
    /// Even if something is there.
    pub overwrite: bool,
    /// `DATA_DIR`, which may have PostgreSQL's programs.
    pub data_dir: &'a Path,
}

/// Writes the database at `url` to a file, which is there when it is whole, or not at all; answers with its size in bytes.
pub async fn back_up(url: &SecretString, backup: Backup<'_>) -> Result<u64, AdminError> {
    let Backup { file, overwrite, data_dir } = backup;
    let search_path = search_path();
    let machine = Machine { search_path: &search_path, data_dir };
    dump(url, file, overwrite, machine).await.map_err(|error| AdminError::Other(error.into()))
}
