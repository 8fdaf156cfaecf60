//! Postgres: free functions, one file a table. Only this room knows sqlx.

pub(crate) mod private;

use crate::error::Error;

impl From<sqlx::Error> for Error {
    /// A database that is away is `unavailable`; a broken unique name is `username_taken`; the rest is our fault.
    fn from(error: sqlx::Error) -> Self {
        if is_away(&error) {
            tracing::warn!(%error, "the database is away");
            return Self::unavailable();
        }
        match error.as_database_error().and_then(|e| e.constraint()) {
            Some("users_username_key") => Self::UsernameTaken,
            _ => Self::internal(error),
        }
    }
}

/// Whether the failure is the database's absence (or its being overloaded), rather than something wrong with the statement.
pub(crate) fn is_away(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Protocol(_) => true,
        // 08 connection, 53 resources, 57 operator intervention (shutdown, statement timeout), 55 lock not available, 25006 read-only
        sqlx::Error::Database(e) => e.code().is_some_and(|code| {
            ["08", "53", "57", "55"].iter().any(|class| code.starts_with(class)) || code == "25006"
        }),
        _ => false,
    }
}
