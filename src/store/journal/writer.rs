//! The one who writes the journal, on a connection of its own, for as long as it takes.

use super::statements::{close, close_left_live, insert_calls, left_live, lock_ownership, update_last_seen};
use super::{Batch, Journal, Others};
use crate::domain::ids::{CallId, NodeId};
use crate::error::Error;
use crate::store::is_away;
use crate::telemetry::metrics::Writing;
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use std::str::FromStr;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long what nobody waits for gathers.
const GATHER: Duration = Duration::from_millis(50);
/// How long one statement may take before its connection counts as dead.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// The first and the longest pause between attempts while the database is away.
const RETRY: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];
/// How long a new process waits for a dead one's connection to be noticed.
const OWNERSHIP_WAIT: Duration = Duration::from_secs(3);
/// PostgreSQL asks this often whether our host still lives. By itself it would ask after two hours, and a dead host's
/// connection holds the lock on the history until then.
const KEEPALIVE: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "5s"),
    ("tcp_keepalives_interval", "2s"),
    ("tcp_keepalives_count", "3"),
    ("tcp_user_timeout", "11s"),
];
/// How often a server makes sure that it owns the history, or tries to.
const OWNERSHIP_RETRY: Duration = Duration::from_secs(10);

/// Of several nodes' live rows, each with the node that wrote it last, those that nobody can write to their end any more; none:
/// nobody can tell now.
pub(crate) type Coroner =
    Box<dyn Fn(Vec<(CallId, NodeId)>) -> BoxFuture<'static, Option<Vec<CallId>>> + Send + Sync>;

/// Writes the journal, on a connection of its own.
pub(crate) struct Writer {
    journal: Journal,
    url: SecretString,
    node: NodeId,
    metrics: Writing,
    connection: Option<PgConnection>,
    /// None: no other server lives while this one owns the history.
    coroner: Option<Coroner>,
    /// When ownership was looked after last.
    tended: Instant,
    /// Holds the lock on the history, on this connection.
    owns: bool,
    /// Held it once: what is live since then is this process's own.
    has_owned: bool,
}

impl Writer {
    /// Connects, takes over the history, and closes the rows that a dead process left live.
    pub(crate) async fn start(
        journal: Journal,
        url: SecretString,
        node: NodeId,
        metrics: Writing,
        coroner: Option<Coroner>,
    ) -> Result<Self, Error> {
        let (owns, has_owned, tended) = (false, false, Instant::now());
        let mut writer =
            Self { journal, url, node, metrics, connection: None, coroner, tended, owns, has_owned };
        let mut connection = writer.connect().await?;
        // Where there are several servers, another one has it most of the time, and looks after what is left.
        let wait = if writer.coroner.is_some() { OWNERSHIP_WAIT / 6 } else { OWNERSHIP_WAIT };
        let owns = limited(lock_ownership(&mut connection, wait)).await?;
        writer.set_owns(owns);
        if writer.owns {
            writer.own_history(&mut connection).await?;
        } else if writer.coroner.is_none() {
            tracing::warn!(
                "another server writes history into this database; calls it leaves live stay open for now"
            );
        }
        writer.connection = Some(connection);
        Ok(writer)
    }

    /// Writes until `stop`, then what is left.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        // Until when what nobody waits for gathers, if there is something.
        let mut gathers: Option<Instant> = None;
        loop {
            let stops = stop.is_cancelled();
            if !stops && self.tended.elapsed() >= OWNERSHIP_RETRY {
                self.tend_ownership().await;
            }
            let others = match gathers {
                _ if stops => Others::All,
                Some(until) if until <= Instant::now() => Others::Some,
                Some(_) | None => Others::None,
            };
            let batch = self.journal.take_batch(others);
            if !batch.is_empty() {
                self.write_at_last(&batch).await;
                self.journal.batch_is_written();
            } else if stops {
                break;
            }
            if others != Others::None && !batch.leaves_others {
                gathers = None;
            }
            gathers = self.journal.has_others().then(|| gathers.unwrap_or_else(|| Instant::now() + GATHER));
            if batch.is_empty() {
                let tend = self.tended + OWNERSHIP_RETRY;
                tokio::select! {
                    () = self.journal.0.work.notified() => {}
                    () = stop.cancelled() => {}
                    () = sleep_until(gathers.map_or(tend, |until| until.min(tend))) => {}
                }
            }
        }
        if let Some(connection) = self.connection.take() {
            // Nothing is in flight; a failed goodbye loses nothing.
            let _ = connection.close().await;
        }
    }

    /// Now and then: a lock is held only as long as its connection, and nodes die.
    async fn tend_ownership(&mut self) {
        self.tended = Instant::now();
        if let Err(error) = self.keep_or_get_ownership().await {
            self.connection = None;
            self.set_owns(false);
            tracing::debug!(%error, "the history is not owned");
        }
    }

    async fn keep_or_get_ownership(&mut self) -> sqlx::Result<()> {
        let mut connection = self.take_connection().await?;
        if self.owns && self.coroner.is_some() {
            self.own_history(&mut connection).await?;
        } else if self.owns {
            limited(connection.ping()).await?;
        } else {
            self.try_to_own(&mut connection).await?;
        }
        self.connection = Some(connection);
        Ok(())
    }

    async fn take_connection(&mut self) -> sqlx::Result<PgConnection> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        self.set_owns(false);
        self.connect().await
    }

    /// Others ask the journal.
    fn set_owns(&mut self, owns: bool) {
        self.owns = owns;
        self.journal.0.owned.store(owns, Ordering::Relaxed);
    }

    /// Tries until the batch is written.
    async fn write_at_last(&mut self, batch: &Batch) {
        let [mut pause, longest] = RETRY;
        let mut rows_are_in = batch.rows.is_empty();
        while let Err(error) = self.write(batch, &mut rows_are_in).await {
            self.connection = None;
            self.metrics.failures.inc();
            self.journal.0.progress.send_modify(|progress| progress.away = true);
            tracing::warn!(%error, rows = batch.rows.len(), backlog = self.journal.depth(), "history waits for the database");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// One attempt. `rows_are_in`: those of the batch are written, by this attempt or an earlier one.
    async fn write(&mut self, batch: &Batch, rows_are_in: &mut bool) -> Result<(), sqlx::Error> {
        let mut connection = self.take_connection().await?;
        if !self.owns {
            match self.try_to_own(&mut connection).await {
                Err(error) if is_away(&error) => return Err(error),
                // Whose history it is can wait; what happened must be written.
                Err(error) => tracing::warn!(%error, "cannot close what a dead server left live"),
                Ok(()) => {}
            }
        }
        if !*rows_are_in {
            self.write_rows(&mut connection, batch).await?;
            *rows_are_in = true;
        }
        self.journal.rows_are_written(batch);
        if !batch.last_seen.is_empty() {
            match limited(update_last_seen(&mut connection, &batch.last_seen)).await {
                Err(error) if is_away(&error) => return Err(error),
                // A hint, not history: nothing waits for it.
                Err(error) => tracing::error!(%error, "when users were last seen cannot be written"),
                Ok(()) => {}
            }
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// A row that the database refuses for what it is gets written alone, or dropped with a loud word. Counted when all are in:
    /// an attempt that fails half way is repeated as a whole.
    async fn write_rows(&self, connection: &mut PgConnection, batch: &Batch) -> Result<(), sqlx::Error> {
        let begun = Instant::now();
        match limited(insert_calls(connection, &batch.rows, self.node)).await {
            Err(error) if is_the_rows_fault(&error) => {}
            other => {
                other?;
                self.metrics.rows.inc_by(batch.rows.len() as u64);
                self.metrics.commit.observe(begun.elapsed().as_secs_f64());
                return Ok(());
            }
        }
        let (mut written, mut dropped) = (0, 0);
        for row in &batch.rows {
            match limited(insert_calls(connection, std::slice::from_ref(row), self.node)).await {
                Err(error) if !is_the_rows_fault(&error) => return Err(error),
                Err(error) => {
                    dropped += 1;
                    tracing::error!(call = %row.id, %error, "history refuses a row; it is dropped");
                }
                Ok(()) => written += 1,
            }
        }
        self.metrics.rows.inc_by(written);
        self.metrics.dropped.inc_by(dropped);
        Ok(())
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        // A statement that hangs ends on the server too, and does not hold the lock below for ever.
        let options = PgConnectOptions::from_str(self.url.expose_secret())?;
        // The name tells, in `pg_stat_activity`, which nodes live: a live row of any other is a dead one's.
        let name = format!("video-call-server journal {}", Uuid::from(self.node));
        let options =
            options.application_name(&name).options([("statement_timeout", "4s")]).options(KEEPALIVE);
        limited(PgConnection::connect_with(&options)).await
    }

    /// Closes what a dead server left live.
    async fn own_history(&mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let closed = match &self.coroner {
            None => limited(close_left_live(connection, self.node)).await?,
            Some(coroner) => {
                let left = limited(left_live(connection, self.node)).await?;
                let Some(dead) = coroner(left).await else { return Ok(()) };
                limited(close(connection, &dead)).await?
            }
        };
        if closed > 0 {
            self.metrics.left_live.inc_by(closed);
            tracing::warn!(calls = closed, "closed calls that a dead server left live");
        }
        self.has_owned = true;
        Ok(())
    }

    /// Tries for the lock again: another server had it, or a connection that was lost.
    async fn try_to_own(&mut self, connection: &mut PgConnection) -> sqlx::Result<()> {
        if limited(lock_ownership(connection, Duration::ZERO)).await? {
            if !self.has_owned {
                self.own_history(connection).await?;
            }
            self.set_owns(true);
        }
        Ok(())
    }
}

/// Whether the row is refused for what it is (data exceptions and broken constraints): nothing else is ever dropped.
fn is_the_rows_fault(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("22") || code.starts_with("23"))
}

async fn limited<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(WRITE_TIMEOUT, work).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}
