//! Postgres: free functions, one file a table. Only this room knows sqlx.

pub(crate) mod backup;
pub(crate) mod calls;
pub(crate) mod check;
pub(crate) mod journal;
pub(crate) mod notices;
pub(crate) mod pool;
pub(crate) mod private;
pub(crate) mod reader;
pub(crate) mod scram;
pub(crate) mod sessions;
pub(crate) mod users;

use crate::error::Error;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use std::time::Duration;

#[cfg(test)]
pub(crate) use pool::nowhere;
pub(crate) use pool::{Condition, Pool, probe};

/// The pool's own wait (2 s) and the statement's (3 s). Beyond them the network is at fault: a database host that
/// vanishes without a word would else hold its clients for as long as TCP tries.
const STATEMENT_TIME: Duration = Duration::from_secs(5);

/// Bounds the wait for one statement. Not for transactions: a cancelled `begin` leaves its connection in one.
trait InTime<T>: Future<Output = sqlx::Result<T>> + Sized {
    async fn in_time(self) -> sqlx::Result<T> {
        tokio::time::timeout(STATEMENT_TIME, self).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }
}

impl<T, F: Future<Output = sqlx::Result<T>>> InTime<T> for F {}

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
    if let sqlx::Error::Database(error) = error {
        // Whatever the reason, the connection is gone: a full disk may even show as an internal error of its start.
        let ends_connection = error
            .try_downcast_ref::<PgDatabaseError>()
            .is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic));
        // 08 connection, 53 resources, 57 operator intervention (shutdown, statement timeout), 58 the system under the
        // database, 55 lock not available or no connections allowed, 3D the database was renamed or dropped, 28 its
        // password was changed, 25006 read-only
        return ends_connection
            || error.code().is_some_and(|code| {
                ["08", "53", "57", "58", "55", "3D", "28"].iter().any(|class| code.starts_with(class))
                    || code == "25006"
            });
    }
    matches!(
        error,
        sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{Connection, PgConnection};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// What a client makes of a database that answers its first message with this error.
    async fn refused(severity: &str, code: &str) -> sqlx::Error {
        let fields = format!("S{severity}\0V{severity}\0C{code}\0Mcould not write init file\0\0");
        let length = u32::try_from(fields.len() + 4).unwrap();
        let message = [&b"E"[..], &length.to_be_bytes(), fields.as_bytes()].concat();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = async {
            let (mut client, _) = listener.accept().await.unwrap();
            client.read_buf(&mut Vec::new()).await.unwrap();
            client.write_all(&message).await.unwrap();
        };
        let url = format!("postgres://anybody@127.0.0.1:{port}/any?sslmode=disable");
        tokio::join!(PgConnection::connect(&url), answer).0.err().unwrap()
    }

    #[tokio::test]
    async fn a_database_that_ends_the_connection_is_away_whatever_its_reason() {
        assert!(is_away(&refused("FATAL", "XX000").await));
        assert!(is_away(&refused("PANIC", "XX000").await));
        assert!(is_away(&refused("ERROR", "58030").await));
        assert!(!is_away(&refused("ERROR", "XX000").await));
    }
}
