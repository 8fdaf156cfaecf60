//! Which PostgreSQL: the one `DATABASE_URL` names, or a private one of the server's own.

use crate::config::{Config, search_path};
use crate::service::StartError;
use crate::store::private::{Durability, Options, PrivateError, PrivatePostgres};
use secrecy::SecretString;
use std::path::Path;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Pause before a private PostgreSQL that does not come up again is tried anew.
const REVIVAL_PAUSE: Duration = Duration::from_secs(1);

/// A database at hand. A private one runs for as long as this lives.
pub struct Database {
    url: SecretString,
    keeper: Option<Keeper>,
}

/// Who keeps a private PostgreSQL alive.
struct Keeper {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Database {
    /// The database to serve from.
    pub async fn open(config: &Config) -> Result<Self, StartError> {
        match &config.database_url {
            Some(url) => Ok(Self { url: url.clone(), keeper: None }),
            None => Self::private(&config.data_dir, Durability::Durable).await,
        }
    }

    /// The database for a command that may run beside the server: that server's own, if it runs.
    pub async fn open_for_command(config: &Config) -> Result<Self, StartError> {
        let opened = Self::open(config).await;
        let in_use = opened.as_ref().is_err_and(|error| {
            error.downcast_ref::<PrivateError>().is_some_and(|error| matches!(error, PrivateError::InUse(_)))
        });
        if in_use && let Ok(url) = std::fs::read_to_string(config.data_dir.join("postgres/url")) {
            return Ok(Self { url: SecretString::from(url.trim()), keeper: None });
        }
        opened
    }

    /// One for tests, gone with its process.
    pub async fn throwaway(folder: &Path) -> Result<Self, StartError> {
        Self::private(folder, Durability::Throwaway).await
    }

    async fn private(data_dir: &Path, durability: Durability) -> Result<Self, StartError> {
        tracing::info!(folder = %data_dir.display(), "starting a private PostgreSQL, since DATABASE_URL is not set");
        let options = Options { durability, ..Options::new(search_path()) };
        let postgres = PrivatePostgres::start(data_dir, options).await?;
        let url = postgres.url();
        let stop = CancellationToken::new();
        let task = tokio::spawn(keep(postgres, stop.clone()));
        Ok(Self { url, keeper: Some(Keeper { stop, task }) })
    }

    /// Where it is.
    pub fn url(&self) -> &SecretString {
        &self.url
    }

    /// Stops a private one.
    pub async fn close(self) {
        if let Some(Keeper { stop, task }) = self.keeper {
            stop.cancel();
            // A keeper that panicked has dropped its PostgreSQL, which stops it too.
            let _ = task.await;
        }
    }
}

async fn keep(mut postgres: PrivatePostgres, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = postgres.ended() => {
                tracing::error!("the private PostgreSQL has ended; starting it again");
                if let Err(error) = postgres.revive().await {
                    tracing::error!(%error, "the private PostgreSQL does not start");
                    tokio::time::sleep(REVIVAL_PAUSE).await;
                }
            }
        }
    }
    if let Err(error) = postgres.stop().await {
        tracing::warn!(%error, "the private PostgreSQL did not stop in order");
    }
}
