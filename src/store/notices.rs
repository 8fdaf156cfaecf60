//! What PostgreSQL tells of changes that others made: the server's command line, another server, an admin in SQL.

use super::{InTime, Pool};
use crate::domain::ids::{CallId, SessionId};
use crate::error::{Error, Result};
use sqlx::postgres::{PgListener, PgPoolOptions};
use std::time::Duration;
use tokio::time::timeout;

/// How often a connection on which nothing was heard is asked whether it still lives: one whose far end vanished is silent too.
const SILENCE: Duration = Duration::from_secs(5);
/// How long its answer may take, and a new connection.
const PATIENCE: Duration = Duration::from_secs(2);

const SESSION_ENDED: &str = "session_ended";
const CALL_END_REQUESTED: &str = "call_end_requested";

/// Something that may have happened. Anybody who may connect can send a notice, also who may not write a row: it is a reason to
/// look at the row, and nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A session was revoked or deleted.
    SessionEnded(SessionId),
    /// An operator wants a call to end.
    CallEndRequested(CallId),
}

/// Hears of every change that matters to a running server, whoever made it.
pub(crate) struct Notices(PgListener);

impl Notices {
    /// Listens at the pool's database, on a connection of its own: one that dies without a word is missing to nobody.
    pub(crate) async fn listen(pool: &Pool) -> Result<Self> {
        let options = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let own = options.acquire_timeout(PATIENCE).connect_lazy_with((*pool.connect_options()).clone());
        let mut listener = PgListener::connect_with(&own).await?;
        // A loss is told at once, not after a reconnection: whoever listens anew also looks for what was missed.
        listener.eager_reconnect(false);
        listener.listen_all([SESSION_ENDED, CALL_END_REQUESTED]).in_time().await?;
        Ok(Self(listener))
    }

    /// The next one. An error: the connection is lost, and with it whatever is said until somebody listens anew.
    pub(crate) async fn next(&mut self) -> Result<Notice> {
        loop {
            let Ok(heard) = timeout(SILENCE, self.0.try_recv()).await else {
                self.still_answers().await?;
                continue;
            };
            let Some(heard) = heard? else { return Err(Error::unavailable()) };
            if let Some(notice) = read(heard.channel(), heard.payload()) {
                return Ok(notice);
            }
        }
    }

    async fn still_answers(&mut self) -> Result<()> {
        let asked = sqlx::query_scalar!(r#"select true as "alive!""#).fetch_one(&mut self.0);
        timeout(PATIENCE, asked).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
        Ok(())
    }
}

/// What is no id says nothing.
fn read(channel: &str, payload: &str) -> Option<Notice> {
    let id = uuid::Uuid::parse_str(payload).ok()?;
    match channel {
        SESSION_ENDED => Some(Notice::SessionEnded(id.into())),
        CALL_END_REQUESTED => Some(Notice::CallEndRequested(id.into())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_an_id_on_a_known_channel_and_anything_else_is_nothing() {
        let id = SessionId::new();
        let call = CallId::from(uuid::Uuid::from(id));
        assert_eq!(read(SESSION_ENDED, &id.to_string()), Some(Notice::SessionEnded(id)));
        assert_eq!(read(CALL_END_REQUESTED, &id.to_string()), Some(Notice::CallEndRequested(call)));
        for payload in ["", "x", "'; drop table calls", "0", &"9".repeat(8000)] {
            assert_eq!(read(SESSION_ENDED, payload), None);
            assert_eq!(read(CALL_END_REQUESTED, payload), None);
        }
        assert_eq!(read("elsewhere", &id.to_string()), None);
    }
}
