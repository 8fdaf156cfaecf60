//! What happened, written behind and in order.
//!
//! The signalling path never waits for Postgres. It hands over the whole row of a call each time the row
//! changes; a row that still waits is replaced in place, so the backlog holds a call at most once (twice
//! while its first version is being written). One writer takes what has gathered, writes it as one statement
//! and one commit, and tries again for as long as the database is away. Writing a row twice does no harm, so
//! a commit whose answer was lost is simply repeated.

mod statements;
mod writer;

pub(crate) use writer::Writer;

use crate::domain::call::CallRecord;
use crate::domain::ids::{CallId, UserId};
use chrono::{DateTime, Utc};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// Rows written by one statement.
const BATCH: usize = 1000;

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
