//! Sessions: looked at, and revoked.

use super::{Admin, AdminError};
use crate::domain::ids::SessionId;
use crate::store::sessions::{self, Listed, Revocation};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Which sessions to list.
#[derive(Debug, Clone, Default)]
pub struct SessionSearch {
    /// Of this user.
    pub user: Option<String>,
    /// Those too that were revoked or have expired.
    pub ended_too: bool,
    /// So many, those used last.
    pub limit: u32,
}

/// A session as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSession {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub username: String,
    /// `live`, `revoked` or `expired`.
    pub state: &'static str,
    /// The login.
    pub created_at: DateTime<Utc>,
    /// The last login or refresh.
    pub last_used_at: DateTime<Utc>,
    /// When it ends, unless it is used.
    pub expires_at: DateTime<Utc>,
    /// What the client said of itself at login: whatever it liked.
    pub user_agent: Option<String>,
    /// Where the login came from.
    pub ip: Option<String>,
}

/// What became of a session that was to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedSession {
    /// Whose it was.
    pub username: String,
    /// It had been revoked before, then.
    pub was_over_since: Option<DateTime<Utc>>,
}

impl Admin {
    /// Sessions, those used last first.
    pub async fn sessions(&self, search: &SessionSearch) -> Result<Vec<ListedSession>, AdminError> {
        let user = match &search.user {
            Some(name) => Some(self.id_of(name).await?),
            None => None,
        };
        let now = self.clock.now().wall;
        let live_at = (!search.ended_too).then_some(now);
        let found = sessions::list_for_admin(&self.pool, user, live_at, search.limit.into()).await?;
        Ok(found.into_iter().map(|session| listed(session, now)).collect())
    }

    /// Ends a session, and with it its sockets.
    pub async fn revoke_session(&self, id: &str) -> Result<EndedSession, AdminError> {
        let unknown = || AdminError::UnknownSession(id.to_owned());
        let session = SessionId::from(Uuid::try_parse(id).map_err(|_| unknown())?);
        let revoked = sessions::revoke_for_admin(&self.pool, session, self.clock.now().wall).await?;
        let Revocation { username, was_over_since } = revoked.ok_or_else(unknown)?;
        Ok(EndedSession { username, was_over_since })
    }
}

fn listed(session: Listed, now: DateTime<Utc>) -> ListedSession {
    let state = if session.revoked_at.is_some() {
        "revoked"
    } else if session.expires_at <= now {
        "expired"
    } else {
        "live"
    };
    let Listed { id, username, created_at, last_used_at, expires_at, user_agent, ip, .. } = session;
    ListedSession { id, username, state, created_at, last_used_at, expires_at, user_agent, ip }
}
