//! What happened, written behind: in order for each call, and for each person.
//!
//! The signalling path never waits for Postgres. It hands over the whole row of a call each time the row
//! changes; a row that still waits is replaced in place, so the backlog holds a call at most once (twice
//! while its first version is being written). One writer takes what has gathered, writes it as one statement
//! and one commit, and tries again for as long as the database is away. Writing a row twice does no harm, so
//! a commit whose answer was lost is simply repeated.
//!
//! A row that somebody waits for is written at once, together with what happened before in calls of the same people: history
//! never shows anybody in two calls at once. The others gather for a moment, so that a commit somebody waits for
//! carries little else and a call that is answered and ended in that moment costs one write.

mod statements;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use writer::{Coroner, Writer};

use crate::domain::call::CallRecord;
use crate::domain::ids::{CallId, IdMap, IdSet, UserId};
use crate::domain::time::Moment;
use chrono::{DateTime, Utc};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

/// Rows written by one statement.
const BATCH: usize = 1000;
/// Rows that nobody waits for, in a statement that somebody waits for, or soon may, unless more than a whole batch has piled up.
const OTHERS: usize = 16;
/// What the backlog may take, whatever `JOURNAL_CAPACITY` says.
const MAX_BYTES: usize = 256 * 1024 * 1024;
/// A waiting row with its places in the order and in the table, which is kept at most 7/8 and at least 7/16 full.
const ROW_BYTES: usize = size_of::<CallId>() + 2 * size_of::<(CallId, Waiting)>();

/// The backlog's front: cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Journal(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Rows that may wait before new calls are refused.
    capacity: usize,
    backlog: Mutex<Backlog>,
    work: Notify,
    progress: watch::Sender<Progress>,
    /// Whether this process owns the history of the database, as far as it knows.
    owned: AtomicBool,
}

#[derive(Debug, Default)]
struct Backlog {
    /// How many rows were ever awaited; the number of such a row is its place in the order.
    accepted: u64,
    /// Rows that somebody waits for, and the others, in order.
    awaited: VecDeque<CallId>,
    others: VecDeque<CallId>,
    /// Of both.
    rows: IdMap<CallId, Waiting>,
    being_written: usize,
    /// Since when the oldest of the rows being written has waited, on the monotonic clock.
    being_written_since: Duration,
    last_seen: IdMap<UserId, DateTime<Utc>>,
}

/// A row that waits to be written.
#[derive(Debug)]
struct Waiting {
    /// If somebody waits for it.
    number: Option<u64>,
    /// When the first version of the row came, on the monotonic clock.
    since: Duration,
    row: CallRecord,
}

/// How far what is on record lags behind what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lag {
    /// Rows that are not committed yet.
    pub(crate) rows: usize,
    /// The memory they take.
    pub(crate) bytes: usize,
    /// How long the oldest of them has waited.
    pub(crate) age: Duration,
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// Every awaited row up to this number is committed.
    committed: u64,
    away: bool,
}

/// A row's place in the order, to wait for its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl Journal {
    /// A journal whose backlog holds `capacity` rows, and at most 256 MiB, before new calls are refused.
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Arc::new(Shared {
            capacity: capacity.min(MAX_BYTES / ROW_BYTES),
            backlog: Mutex::default(),
            work: Notify::new(),
            progress: watch::Sender::default(),
            owned: AtomicBool::new(false),
        }))
    }

    /// Rows that may wait before new calls are refused.
    pub(crate) fn capacity(&self) -> usize {
        self.0.capacity
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.0.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a new call may begin. What happens to calls that live is always taken in: they are fewer than the users.
    pub(crate) fn has_room(&self) -> bool {
        self.depth() < self.0.capacity
    }

    /// Whether this process is the one that owns the history of its database.
    pub(crate) fn owns_history(&self) -> bool {
        self.0.owned.load(Ordering::Relaxed)
    }

    /// Rows that are not committed yet.
    pub(crate) fn depth(&self) -> usize {
        let backlog = self.backlog();
        backlog.rows.len() + backlog.being_written
    }

    /// How far the backlog is behind at `now`.
    pub(crate) fn lag(&self, now: Moment) -> Lag {
        let backlog = self.backlog();
        let rows = backlog.rows.len() + backlog.being_written;
        let fronts = [backlog.awaited.front(), backlog.others.front()].into_iter().flatten();
        let oldest = fronts.filter_map(|oldest| backlog.rows.get(oldest)).map(|oldest| oldest.since);
        let since = oldest.chain((backlog.being_written > 0).then_some(backlog.being_written_since)).min();
        let age = since.map_or(Duration::ZERO, |since| now.mono.saturating_sub(since));
        Lag { rows, bytes: rows * ROW_BYTES, age }
    }

    /// Takes in the row as it stands at `now`.
    pub(crate) fn record(&self, row: CallRecord, now: Moment) {
        let mut backlog = self.backlog();
        if let Some(waiting) = backlog.rows.get_mut(&row.id) {
            waiting.row = row;
            return;
        }
        let is_first = backlog.others.is_empty();
        backlog.others.push_back(row.id);
        backlog.rows.insert(row.id, Waiting { number: None, since: now.mono, row });
        drop(backlog);
        if is_first {
            self.0.work.notify_one();
        }
    }

    /// Takes in the row as it stands at `now`, for somebody who waits until it is committed.
    pub(crate) fn record_awaited(&self, row: CallRecord, now: Moment) -> Ticket {
        let mut backlog = self.backlog();
        let id = row.id;
        let (since, number) = match backlog.rows.remove(&id) {
            Some(Waiting { since, number, .. }) => (since, number),
            None => (now.mono, None),
        };
        let number = number.unwrap_or_else(|| {
            backlog.others.retain(|other| *other != id);
            backlog.accepted += 1;
            backlog.awaited.push_back(id);
            backlog.accepted
        });
        backlog.rows.insert(id, Waiting { number: Some(number), since, row });
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

    /// What to write now.
    fn take_batch(&self, others: Others) -> Batch {
        let backlog = &mut *self.backlog();
        let awaited = backlog.awaited.len().min(BATCH);
        let mut waited: Vec<_> =
            backlog.awaited.drain(..awaited).filter_map(|id| backlog.rows.remove(&id)).collect();
        backlog.take_what_was_before(&mut waited);
        let room = match others {
            Others::None => 0,
            Others::Some if backlog.others.len() <= BATCH => OTHERS,
            Others::Some | Others::All => BATCH,
        };
        let beside = backlog.others.len().min(room).min(BATCH.saturating_sub(waited.len()));
        waited.extend(backlog.others.drain(..beside).filter_map(|id| backlog.rows.remove(&id)));
        backlog.being_written = waited.len();
        let since = waited.iter().map(|waiting| waiting.since).min();
        backlog.being_written_since = since.unwrap_or_default();
        let last_seen =
            if others == Others::None { IdMap::default() } else { std::mem::take(&mut backlog.last_seen) };
        Batch {
            last: waited.iter().filter_map(|waiting| waiting.number).max(),
            leaves_others: !backlog.others.is_empty(),
            rows: waited.into_iter().map(|waiting| waiting.row).collect(),
            last_seen: last_seen.into_iter().collect(),
        }
    }

    /// Whether there is something that nobody waits for.
    fn has_others(&self) -> bool {
        let backlog = self.backlog();
        !backlog.others.is_empty() || !backlog.last_seen.is_empty()
    }

    /// The rows of the batch are committed.
    fn rows_are_written(&self, batch: &Batch) {
        self.0.progress.send_modify(|progress| {
            progress.committed = batch.last.unwrap_or(progress.committed);
            progress.away = false;
        });
    }

    /// All of it is.
    fn batch_is_written(&self) {
        self.backlog().being_written = 0;
    }
}

impl Backlog {
    /// Adds to awaited rows what waits of other calls of the same people: it happened before.
    fn take_what_was_before(&mut self, awaited: &mut Vec<Waiting>) {
        if awaited.is_empty() || self.others.is_empty() {
            return;
        }
        let people: IdSet<_> =
            awaited.iter().flat_map(|waiting| [waiting.row.caller, waiting.row.callee]).collect();
        let rows = &mut self.rows;
        self.others.retain(|id| {
            let is_theirs = |waiting: &Waiting| {
                people.contains(&waiting.row.caller) || people.contains(&waiting.row.callee)
            };
            let theirs = if rows.get(id).is_some_and(is_theirs) { rows.remove(id) } else { None };
            let stays = theirs.is_none();
            awaited.extend(theirs);
            stays
        });
    }
}

/// How much to write of what nobody waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Others {
    None,
    Some,
    All,
}

struct Batch {
    /// The number of its last awaited row.
    last: Option<u64>,
    /// Something waits still that nobody waits for.
    leaves_others: bool,
    rows: Vec<CallRecord>,
    last_seen: Vec<(UserId, DateTime<Utc>)>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.last_seen.is_empty()
    }
}
