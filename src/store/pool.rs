//! The connections to Postgres, and the schema they expect.

use secrecy::{ExposeSecret, SecretString};
use sqlx::migrate::{Migrate, MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use std::io;
use std::str::FromStr;
use std::time::Duration;

pub(crate) use sqlx::PgPool as Pool;

pub(super) static MIGRATOR: Migrator = sqlx::migrate!();
/// How long a start waits for a database that takes connections and does not answer.
const CONNECT_TIME: Duration = Duration::from_secs(10);
/// `lock_not_available`
const NO_LOCK: &str = "55P03";
/// How long one attempt at the migrations' lock may take, and the pause before the next.
const LOCK_ATTEMPT: &str = "set lock_timeout = '50ms'";
const LOCK_PAUSE: Duration = Duration::from_millis(100);
/// Made `concurrently`: an attempt that was cut off leaves them behind, half made.
const MADE_CONCURRENTLY: [&str; 1] = ["calls_named_by_end"];

/// Why the server cannot start with this database. The address may hold a password, so it is never shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("DATABASE_URL is not a PostgreSQL address")]
    Address(#[source] sqlx::Error),
    #[error("cannot connect to PostgreSQL: {0}")]
    Connect(#[source] sqlx::Error),
    #[error("the database does not answer as it should: {0}")]
    Query(#[source] sqlx::Error),
    #[error("cannot bring the database's schema up to date: {0}")]
    Migrate(#[source] MigrateError),
    /// Everybody who wants the table queues behind who waits for it: so nobody waits for it long.
    #[error(
        "cannot bring the database's schema up to date: a table that the migration {0} changes is in use (by a backup that runs, say); start again"
    )]
    Busy(i64),
    /// It may have what this program does not understand, so it is not touched.
    #[error("the database's schema is newer than this program: it has the migration {0}")]
    Newer(i64),
}

impl From<MigrateError> for StartError {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the library's others are all failures to migrate")]
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(version) => Self::Newer(version),
            MigrateError::ExecuteMigration(error, version) if lacks_lock(&error) => Self::Busy(version),
            other => Self::Migrate(other),
        }
    }
}

/// What a probe of the database found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    /// It does not answer.
    Down,
    /// It answers, and lacks migrations that this server knows.
    Behind,
    /// It answers and has our schema.
    Ready,
}

/// What the pool holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) idle: u32,
    pub(crate) busy: u32,
    pub(crate) limit: u32,
}

pub(crate) fn usage(pool: &Pool) -> Usage {
    // Read one after the other, while both change.
    let (open, idle) = (pool.size(), u32::try_from(pool.num_idle()).unwrap_or(u32::MAX));
    Usage {
        idle: idle.min(open),
        busy: open.saturating_sub(idle),
        limit: pool.options().get_max_connections(),
    }
}

/// Connects at once, so that a wrong address is an error at start and not at the first request.
/// Later outages are `unavailable` after two seconds, and a statement that hangs is cancelled by Postgres itself.
pub(crate) async fn connect(url: &SecretString, max_connections: u32) -> Result<Pool, StartError> {
    let options =
        address(url)?.options([("statement_timeout", "3s"), ("idle_in_transaction_session_timeout", "5s")]);
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(Duration::from_secs(2))
        .after_release(|connection, _| Box::pin(still_answers(connection)))
        .connect_with(options)
        .await
        .map_err(StartError::Connect)
}

/// The pool tests each connection that comes back, without a bound: those to a host that vanished would be lost to it
/// for a quarter of an hour. An error here drops the connection at once.
async fn still_answers(connection: &mut PgConnection) -> sqlx::Result<bool> {
    let answer = tokio::time::timeout(Duration::from_secs(1), connection.ping()).await;
    answer.unwrap_or(Err(sqlx::Error::PoolTimedOut)).map(|()| true)
}

/// Applies what is missing, over a connection of its own: a migration may take longer than a statement is allowed.
pub(crate) async fn migrate(url: &SecretString) -> Result<(), StartError> {
    let mut connection = connect_alone(url, &[("statement_timeout", "0")]).await?;
    lock_migrations(&mut connection).await?;
    drop_half_made(&mut connection).await.map_err(StartError::Query)?;
    // It takes the lock a second time, which is ours already. The end of the connection gives it back.
    MIGRATOR.run(&mut connection).await?;
    connection.close().await.map_err(StartError::Connect)
}

/// Waits until nobody else migrates. Not in one statement, as the library would: that is a transaction, whose end whoever makes
/// an index `concurrently` waits for, and the two would wait for each other.
async fn lock_migrations(connection: &mut PgConnection) -> Result<(), StartError> {
    sqlx::raw_sql(LOCK_ATTEMPT).execute(&mut *connection).await.map_err(StartError::Query)?;
    let mut has_waited = false;
    loop {
        match connection.lock().await {
            Ok(()) => break,
            Err(MigrateError::Execute(error)) if lacks_lock(&error) => {}
            Err(error) => return Err(error.into()),
        }
        if !has_waited {
            tracing::info!("waiting for another server, which brings the database's schema up to date");
            has_waited = true;
        }
        tokio::time::sleep(LOCK_PAUSE).await;
    }
    sqlx::raw_sql("reset lock_timeout").execute(connection).await.map_err(StartError::Query)?;
    Ok(())
}

/// Drops what an earlier migration was making when it was cut off: nobody uses it, and it is in the way of a second try.
async fn drop_half_made(connection: &mut PgConnection) -> sqlx::Result<()> {
    let names = MADE_CONCURRENTLY.map(str::to_owned);
    let left = sqlx::query_scalar!(
        r#"select i.indexrelid::regclass::text as "name!" from pg_index i join pg_class c on c.oid = i.indexrelid
           where c.relname = any($1) and c.relnamespace = current_schema()::regnamespace and not i.indisvalid"#,
        &names
    )
    .fetch_all(&mut *connection)
    .await?;
    for name in left {
        tracing::warn!(index = name, "an index was left half made; it is made anew");
        // PostgreSQL itself has quoted the name.
        let drop = format!("drop index concurrently {name}");
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut *connection).await?;
    }
    Ok(())
}

fn lacks_lock(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == NO_LOCK)
}

/// One connection, with settings of its own, for what takes longer than a statement of the server may.
pub(super) async fn connect_alone(
    url: &SecretString,
    settings: &[(&str, &str)],
) -> Result<PgConnection, StartError> {
    let options = address(url)?.options(settings.iter().copied());
    let connected = tokio::time::timeout(CONNECT_TIME, options.connect()).await;
    let no_answer = || sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "it does not answer"));
    connected.unwrap_or_else(|_| Err(no_answer())).map_err(StartError::Connect)
}

/// Asks the database for its migrations. Bounded only by the pool's own timeouts.
pub(crate) async fn probe(pool: &Pool) -> Condition {
    let wanted: Vec<i64> = MIGRATOR.iter().map(|migration| migration.version).collect();
    let applied = sqlx::query_scalar!(
        r#"select count(*) as "count!" from _sqlx_migrations where success and version = any($1)"#,
        &wanted
    )
    .fetch_one(pool)
    .await;
    match applied {
        Ok(count) if usize::try_from(count) == Ok(wanted.len()) => Condition::Ready,
        Err(error) if super::is_away(&error) => Condition::Down,
        Ok(_) => Condition::Behind,
        // The table is missing altogether, or may not be read.
        Err(error) => {
            tracing::debug!(%error, "the database's migrations cannot be read");
            Condition::Behind
        }
    }
}

/// A pool whose database is away.
#[cfg(test)]
pub(crate) fn nowhere() -> Pool {
    let options = PgPoolOptions::new().acquire_timeout(Duration::from_millis(50));
    options.connect_lazy("postgres://nobody@127.0.0.1:1/nothing").unwrap()
}

pub(crate) fn address(url: &SecretString) -> Result<PgConnectOptions, StartError> {
    let options = PgConnectOptions::from_str(url.expose_secret()).map_err(StartError::Address)?;
    Ok(options.application_name("video-call-server"))
}
