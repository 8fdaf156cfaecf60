//! What happened, written behind and in order.
//!
//! The signalling path never waits for Postgres. It hands over the whole row of a call each time the row
//! changes; a row that still waits is replaced in place, so the backlog holds a call at most once (twice
//! while its first version is being written). One writer takes what has gathered, writes it as one statement
//! and one commit, and tries again for as long as the database is away. Writing a row twice does no harm, so
//! a commit whose answer was lost is simply repeated.

use crate::domain::call::CallRecord;
use crate::domain::ids::{CallId, NodeId, UserId};
use crate::error::Error;
use crate::store::is_away;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{Connection, PgConnection};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Rows written by one statement.
const BATCH: usize = 1000;
/// How long one statement may take before its connection counts as dead.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// The first and the longest pause between attempts while the database is away.
const RETRY: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];
/// How long a new process waits for a dead one's connection to be noticed.
const OWNERSHIP_WAIT: Duration = Duration::from_secs(3);
/// The advisory lock of the process that writes history: "vcs" and a version.
const OWNERSHIP_LOCK: i64 = 0x0076_6373_0001;

/// The backlog's front: cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Journal(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    capacity: usize,
    backlog: Mutex<Backlog>,
    work: Notify,
    progress: watch::Sender<Progress>,
}

#[derive(Debug, Default)]
struct Backlog {
    /// How many rows were ever taken in; a row's number is its place in the order.
    accepted: u64,
    order: VecDeque<CallId>,
    rows: HashMap<CallId, (u64, CallRecord)>,
    being_written: usize,
    last_seen: HashMap<UserId, DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// Every row up to this number is committed.
    committed: u64,
    away: bool,
}

/// A row's place in the order, to wait for its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl Journal {
    /// A journal whose backlog holds `capacity` rows before new calls are refused.
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Arc::new(Shared {
            capacity,
            backlog: Mutex::default(),
            work: Notify::new(),
            progress: watch::Sender::default(),
        }))
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.0.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a new call may begin. What happens to calls that live is always taken in: they are fewer than the users.
    pub(crate) fn has_room(&self) -> bool {
        self.depth() < self.0.capacity
    }

    /// Rows that are not committed yet.
    pub(crate) fn depth(&self) -> usize {
        let backlog = self.backlog();
        backlog.order.len() + backlog.being_written
    }

    /// Takes in the row as it stands now.
    pub(crate) fn record(&self, row: CallRecord) -> Ticket {
        let mut backlog = self.backlog();
        let next = backlog.accepted + 1;
        let id = row.id;
        let entry = backlog.rows.entry(id).or_insert_with(|| (next, row.clone()));
        entry.1 = row;
        let number = entry.0;
        if number == next {
            backlog.accepted = next;
            backlog.order.push_back(id);
        }
        drop(backlog);
        self.0.work.notify_one();
        Ticket(number)
    }

    /// Takes in when users were last seen. Beyond the capacity it is dropped: it is a hint, not history.
    pub(crate) fn saw(&self, users: &[UserId], at: DateTime<Utc>) {
        if users.is_empty() {
            return;
        }
        let mut backlog = self.backlog();
        let room = self.0.capacity.saturating_sub(backlog.last_seen.len());
        backlog.last_seen.extend(users.iter().take(room).map(|user| (*user, at)));
        drop(backlog);
        self.0.work.notify_one();
    }

    /// Waits until the row is committed; gives up when the database is away, or after `limit`.
    pub(crate) async fn committed(&self, ticket: Ticket, limit: Duration) -> bool {
        let mut progress = self.0.progress.subscribe();
        let done = progress.wait_for(|progress| progress.committed >= ticket.0 || progress.away);
        match timeout(limit, done).await {
            Ok(Ok(progress)) => progress.committed >= ticket.0,
            Ok(Err(_)) | Err(_) => false,
        }
    }

    fn take_batch(&self) -> Batch {
        let mut backlog = self.backlog();
        let count = backlog.order.len().min(BATCH);
        let ids: Vec<_> = backlog.order.drain(..count).collect();
        let numbered: Vec<_> = ids.iter().filter_map(|id| backlog.rows.remove(id)).collect();
        backlog.being_written = numbered.len();
        Batch {
            last: numbered.last().map(|(number, _)| *number),
            rows: numbered.into_iter().map(|(_, row)| row).collect(),
            last_seen: std::mem::take(&mut backlog.last_seen).into_iter().collect(),
        }
    }

    fn batch_is_written(&self, batch: &Batch) {
        self.backlog().being_written = 0;
        self.0.progress.send_modify(|progress| {
            progress.committed = batch.last.unwrap_or(progress.committed);
            progress.away = false;
        });
    }
}

struct Batch {
    last: Option<u64>,
    rows: Vec<CallRecord>,
    last_seen: Vec<(UserId, DateTime<Utc>)>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.last_seen.is_empty()
    }
}

/// Writes the journal, on a connection of its own.
pub(crate) struct Writer {
    journal: Journal,
    url: SecretString,
    node: NodeId,
    connection: Option<PgConnection>,
}

impl Writer {
    /// Connects, takes over the history, and closes the rows that a dead process left live.
    pub(crate) async fn start(journal: Journal, url: SecretString, node: NodeId) -> Result<Self, Error> {
        let mut writer = Self { journal, url, node, connection: None };
        let mut connection = writer.connect().await?;
        writer.own_history(&mut connection).await?;
        writer.connection = Some(connection);
        Ok(writer)
    }

    /// Writes until `stop`, then what is left.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let batch = self.journal.take_batch();
            if batch.is_empty() {
                if stop.is_cancelled() {
                    break;
                }
                tokio::select! {
                    () = self.journal.0.work.notified() => {}
                    () = stop.cancelled() => {}
                }
                continue;
            }
            self.write_at_last(&batch).await;
            self.journal.batch_is_written(&batch);
        }
        if let Some(connection) = self.connection.take() {
            // Nothing is in flight; a failed goodbye loses nothing.
            let _ = connection.close().await;
        }
    }

    /// Tries until the batch is written.
    async fn write_at_last(&mut self, batch: &Batch) {
        let [mut pause, longest] = RETRY;
        while let Err(error) = self.write(batch).await {
            self.connection = None;
            self.journal.0.progress.send_modify(|progress| progress.away = true);
            tracing::warn!(%error, rows = batch.rows.len(), backlog = self.journal.depth(), "history waits for the database");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// One attempt. A row that the database refuses for what it is gets written alone, or dropped with a loud word.
    async fn write(&mut self, batch: &Batch) -> Result<(), sqlx::Error> {
        let mut connection = if let Some(connection) = self.connection.take() {
            connection
        } else {
            let mut connection = self.connect().await?;
            self.own_history(&mut connection).await?;
            connection
        };
        match limited(insert_calls(&mut connection, &batch.rows, self.node)).await {
            Err(error) if !is_away(&error) => {
                for row in &batch.rows {
                    match limited(insert_calls(&mut connection, std::slice::from_ref(row), self.node)).await {
                        Err(error) if is_away(&error) => return Err(error),
                        Err(error) => {
                            tracing::error!(call = %row.id, %error, "history refuses a row; it is dropped");
                        }
                        Ok(()) => {}
                    }
                }
            }
            other => other?,
        }
        if !batch.last_seen.is_empty() {
            limited(update_last_seen(&mut connection, &batch.last_seen)).await?;
        }
        self.connection = Some(connection);
        Ok(())
    }

    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        limited(PgConnection::connect(self.url.expose_secret())).await
    }

    /// One process at a time owns the history of a database, by an advisory lock that lives as long as the
    /// connection. The owner may close what others left live; who is not the owner leaves it alone.
    async fn own_history(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if !limited(lock_ownership(connection)).await? {
            tracing::warn!(
                "another server writes history into this database; calls it left live are not closed"
            );
            return Ok(());
        }
        let closed = limited(close_left_live(connection, self.node)).await?;
        if closed > 0 {
            tracing::warn!(calls = closed, "closed calls that a dead server left live");
        }
        Ok(())
    }
}

async fn limited<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    timeout(WRITE_TIMEOUT, work).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

async fn lock_ownership(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let started = tokio::time::Instant::now();
    loop {
        let owned = sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "owned!""#, OWNERSHIP_LOCK)
            .fetch_one(&mut *connection)
            .await?;
        if owned || started.elapsed() > OWNERSHIP_WAIT {
            return Ok(owned);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn close_left_live(connection: &mut PgConnection, node: NodeId) -> Result<u64, sqlx::Error> {
    let closed = sqlx::query!(
        "update calls
         set status = 'failed', end_reason = 'server_restart', ended_at = greatest(now(), started_at, answered_at)
         where ended_at is null and node_id <> $1",
        Uuid::from(node)
    )
    .execute(connection)
    .await?;
    Ok(closed.rows_affected())
}

/// A party whose account went meanwhile is written as null. A row that is over is never opened again.
async fn insert_calls(
    connection: &mut PgConnection,
    rows: &[CallRecord],
    node: NodeId,
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let text = |text: &'static str| text.to_owned();
    let ids: Vec<_> = rows.iter().map(|row| Uuid::from(row.id)).collect();
    let callers: Vec<_> = rows.iter().map(|row| Uuid::from(row.caller)).collect();
    let callees: Vec<_> = rows.iter().map(|row| Uuid::from(row.callee)).collect();
    let types: Vec<_> = rows.iter().map(|row| text(row.call_type.as_str())).collect();
    let statuses: Vec<_> = rows.iter().map(|row| text(row.status.as_str())).collect();
    let reasons: Vec<_> = rows.iter().map(|row| row.end_reason.map(|reason| text(reason.as_str()))).collect();
    let started: Vec<_> = rows.iter().map(|row| row.started_at).collect();
    let answered: Vec<_> = rows.iter().map(|row| row.answered_at).collect();
    let ended: Vec<_> = rows.iter().map(|row| row.ended_at).collect();
    sqlx::query!(
        "insert into calls (id, caller_id, callee_id, call_type, status, end_reason,
                            started_at, answered_at, ended_at, node_id)
         select f.id, caller.id, callee.id, f.call_type, f.status, f.end_reason,
                f.started_at, f.answered_at, f.ended_at, $10
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[],
                     $7::timestamptz[], $8::timestamptz[], $9::timestamptz[])
              as f (id, caller_id, callee_id, call_type, status, end_reason, started_at, answered_at, ended_at)
         left join users caller on caller.id = f.caller_id
         left join users callee on callee.id = f.callee_id
         on conflict (id) do update
         set status = excluded.status, end_reason = excluded.end_reason,
             answered_at = excluded.answered_at, ended_at = excluded.ended_at
         where calls.ended_at is null",
        &ids,
        &callers,
        &callees,
        &types,
        &statuses,
        &reasons as &[Option<String>],
        &started,
        &answered as &[Option<DateTime<Utc>>],
        &ended as &[Option<DateTime<Utc>>],
        Uuid::from(node)
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn update_last_seen(
    connection: &mut PgConnection,
    last_seen: &[(UserId, DateTime<Utc>)],
) -> Result<(), sqlx::Error> {
    let users: Vec<_> = last_seen.iter().map(|(user, _)| Uuid::from(*user)).collect();
    let times: Vec<_> = last_seen.iter().map(|(_, at)| *at).collect();
    sqlx::query!(
        "update users
         set last_seen_at = greatest(users.last_seen_at, f.at)
         from unnest($1::uuid[], $2::timestamptz[]) as f (id, at)
         where users.id = f.id",
        &users,
        &times
    )
    .execute(connection)
    .await?;
    Ok(())
}
