//! Calls: looked at, and ended.

use super::{Admin, AdminError};
use crate::domain::ids::CallId;
use crate::store::calls::{self, HistoryRow, Search, Standing};
use chrono::{DateTime, Utc};
use std::time::Duration;
use uuid::Uuid;

/// How long the end of a call is waited for. Its server hears of it at once and writes its row a moment later; a server that
/// has just lost its database may need some seconds.
const END_WITHIN: Duration = Duration::from_secs(6);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Which calls to list.
#[derive(Debug, Clone, Default)]
pub struct CallSearch {
    /// Those only that are live.
    pub only_live: bool,
    /// Of this status.
    pub status: Option<String>,
    /// Of this user, on either side.
    pub user: Option<String>,
    /// That began then or later.
    pub since: Option<DateTime<Utc>>,
    /// So many, the newest.
    pub limit: u32,
}

/// A call as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedCall {
    /// Its id.
    pub id: Uuid,
    /// Who called; none: the account was deleted, or the call anonymised.
    pub caller: Option<String>,
    /// Who was called; likewise.
    pub callee: Option<String>,
    /// `video` or `audio`.
    pub call_type: String,
    /// `ringing`, `active`, …
    pub status: String,
    /// Why it ended, if it did.
    pub end_reason: Option<String>,
    /// When it was dialled.
    pub started_at: DateTime<Utc>,
    /// When it was answered, if it was.
    pub answered_at: Option<DateTime<Utc>>,
    /// When it ended, if it did.
    pub ended_at: Option<DateTime<Utc>>,
}

/// What became of a call that was to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallEnd {
    /// It has ended, as its status and reason say.
    Ended(String),
    /// It had ended before, as its status and reason say, then.
    WasOver(String, DateTime<Utc>),
}

impl Admin {
    /// Calls, newest first.
    pub async fn calls(&self, search: &CallSearch) -> Result<Vec<ListedCall>, AdminError> {
        let user = match &search.user {
            Some(name) => Some(self.id_of(name).await?),
            None => None,
        };
        let CallSearch { only_live, status, since, limit, .. } = search.clone();
        let found =
            calls::search(&self.pool, &Search { only_live, status, user, since }, limit.into()).await?;
        Ok(found.into_iter().map(ListedCall::from).collect())
    }

    /// Asks the server that has the call to end it, and waits until it is on record as ended.
    pub async fn end_call(&self, id: &str) -> Result<CallEnd, AdminError> {
        let unknown = || AdminError::UnknownCall(id.to_owned());
        let call = CallId::from(Uuid::try_parse(id).map_err(|_| unknown())?);
        let before = calls::standing(&self.pool, call).await?.ok_or_else(unknown)?;
        if let Some(ended_at) = before.ended_at {
            return Ok(CallEnd::WasOver(outcome(&before), ended_at));
        }
        calls::request_end(&self.pool, call, self.clock.now().wall).await?;
        let deadline = self.clock.now().mono + END_WITHIN;
        loop {
            let standing = calls::standing(&self.pool, call).await?.ok_or_else(unknown)?;
            if standing.ended_at.is_some() {
                return Ok(CallEnd::Ended(outcome(&standing)));
            }
            if self.clock.now().mono >= deadline {
                return Err(AdminError::StillLive(why_live(id, &standing)));
            }
            self.clock.sleep(LOOK_EVERY).await;
        }
    }
}

fn outcome(standing: &Standing) -> String {
    format!("{}, {}", standing.status, standing.end_reason.as_deref().unwrap_or("for no reason"))
}

fn why_live(id: &str, standing: &Standing) -> String {
    if standing.server_runs {
        return format!(
            "the server that has the call {id} runs and has not ended it within {END_WITHIN:?}; it was asked to, and will once it hears of it"
        );
    }
    format!(
        "no server answered: the one that had the call {id} does not run; the next one that starts closes the call (failed, server_restart)"
    )
}

impl From<HistoryRow> for ListedCall {
    fn from(row: HistoryRow) -> Self {
        Self {
            id: row.id.into(),
            caller: row.caller.username,
            callee: row.callee.username,
            call_type: row.call_type,
            status: row.status,
            end_reason: row.end_reason,
            started_at: row.started_at,
            answered_at: row.answered_at,
            ended_at: row.ended_at,
        }
    }
}
