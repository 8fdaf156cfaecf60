//! `video-call-server db …`: the database as a whole.

use super::show::text;
use crate::output;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use video_call_server::admin::{self, Admin, Backup, Pruned};
use video_call_server::clock::Clock;
use video_call_server::config::{Config, RetentionAction};
use video_call_server::database::Database;
use video_call_server::server::shutdown_signal;
use video_call_server::service::StartError;

/// What to do with the database.
#[derive(Subcommand)]
pub(crate) enum DbCommand {
    /// Write everything to a file, with PostgreSQL's `pg_dump`; `pg_restore` brings it back
    Backup(BackupTo),
    /// Look for what can never be true of the data, and whether the schema is up to date; says nothing when all is well
    Check,
    /// Delete or anonymise old calls now, as `HISTORY_RETENTION` says; a running server does it each hour
    Prune,
}

/// Where to write.
#[derive(Args)]
pub(crate) struct BackupTo {
    /// The file; only its owner may read it [default: video-call-server-<time>.dump]
    file: Option<PathBuf>,
    /// Overwrite a file that is there
    #[arg(long)]
    force: bool,
}

/// Does it and says so.
pub(crate) async fn run(command: DbCommand, database: &Database, config: &Config) -> Result<(), StartError> {
    match command {
        DbCommand::Backup(to) => back_up(to, database, config).await,
        DbCommand::Check => check(database, config).await,
        DbCommand::Prune => {
            let admin = Admin::connect(database, config, Clock::machine()).await?;
            let pruned = admin.prune(config).await;
            admin.close().await;
            Ok(output::say(&what_was_pruned(&pruned?))?)
        }
    }
}

async fn back_up(to: BackupTo, database: &Database, config: &Config) -> Result<(), StartError> {
    let file = to.file.unwrap_or_else(|| {
        let now = Clock::machine().now().wall.format("%Y%m%dT%H%M%SZ");
        PathBuf::from(format!("video-call-server-{now}.dump"))
    });
    let backup = Backup { file: &file, overwrite: to.force, data_dir: &config.data_dir };
    let size = tokio::select! {
        size = admin::back_up(database.url(), backup) => size?,
        signal = shutdown_signal() => {
            signal?;
            return Err("interrupted: there is no backup".into());
        }
    };
    Ok(output::say(&format!("wrote {} ({size} bytes)", file.display()))?)
}

/// A line for each thing that is wrong.
async fn check(database: &Database, config: &Config) -> Result<(), StartError> {
    let found = admin::check(database.url(), config.ring_timeout).await?;
    if found.is_empty() {
        return Ok(());
    }
    for offence in &found {
        output::say(&offence.to_string())?;
    }
    Err(format!("what must always be true is not: lines above: {}", found.len()).into())
}

fn what_was_pruned(Pruned { calls, action, ended_before }: &Pruned) -> String {
    let done = match action {
        RetentionAction::Delete => "deleted",
        RetentionAction::Anonymise => "anonymised",
    };
    format!("calls that ended before {}, {done}: {calls}", text(*ended_before))
}
