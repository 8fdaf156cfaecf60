//! What an operator does from the command line, beside or without a running server.
//!
//! Everything is done in the database alone. A running server hears of each session that ends, and of each call that is to
//! end, through `LISTEN`, and cuts sockets and ends calls at once.

mod backup;
mod calls;
mod check;
mod error;
mod prune;
mod reader;
mod sessions;
mod users;

pub use backup::{Backup, back_up};
pub use calls::{CallEnd, CallSearch, ListedCall};
pub use check::{Offence, check};
pub use error::AdminError;
pub use prune::Pruned;
pub use reader::{ReaderName, ReaderPassword, expect_room_for_readers, make_reader};
pub use sessions::{EndedSession, ListedSession, SessionSearch};
pub use users::{ListedUser, NewName, NewPassword, Renamed, SessionsEnded, UserDetails};

use crate::auth::password::Passwords;
use crate::clock::Clock;
use crate::config::Config;
use crate::database::Database;
use crate::store::{self, Condition, Pool, pool};
use crate::telemetry::metrics::Metrics;
use secrecy::SecretString;

/// One for the statement, and one to spare for the pool's own tests of it.
const POOL_SIZE: u32 = 2;

/// Brings the schema of the database up to date.
pub async fn migrate(url: &SecretString) -> Result<(), AdminError> {
    pool::migrate(url).await.map_err(|error| AdminError::Other(error.into()))
}

/// Looks at and changes accounts, sessions and calls.
pub struct Admin {
    pool: Pool,
    passwords: Passwords,
    clock: Clock,
}

impl Admin {
    /// Connects, and sees that the database has our schema. A private database gets it here; one that is not ours
    /// alone is changed by `migrate` only.
    pub async fn connect(database: &Database, config: &Config, clock: Clock) -> Result<Self, AdminError> {
        if config.database_url.is_none() {
            migrate(database.url()).await?;
        }
        let pool = pool::connect(database.url(), POOL_SIZE).await;
        let pool = pool.map_err(|error| AdminError::Other(error.into()))?;
        match store::probe(&pool).await {
            Condition::Ready => {
                let passwords = Passwords::new(1, Metrics::new()?.hashing.clone())?;
                Ok(Self { pool, passwords, clock })
            }
            Condition::Behind => Err(AdminError::Behind),
            Condition::Down => Err(AdminError::Away),
        }
    }

    /// Ends the connections.
    pub async fn close(self) {
        self.pool.close().await;
    }
}
