//! Login sessions: opened by a login, prolonged by refreshes, ended by whoever revokes them.

#[cfg(test)]
mod tests;

use super::refresh_token::{RefreshKeys, RefreshToken};
use super::token::{Claims, Tokens};
use crate::clock::Clock;
use crate::domain::ids::{SessionId, UserId};
use crate::domain::time::Moment;
use crate::domain::username::Username;
use crate::error::{Error, Result};
use crate::live::Live;
use crate::store::sessions::{NewSession, Refreshed};
use crate::store::users::Account;
use crate::store::{self, Pool};
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a verified session is believed without asking again.
const FRESH: Duration = Duration::from_mins(1);
/// How long an outage is believed in before the next one asks the database, and waits for it in vain.
const AWAY: Duration = Duration::from_secs(5);
/// How many verified sessions are remembered; beyond it each check asks the database.
const REMEMBERED: usize = 100_000;
/// An expired session is kept for a while, so that its holder hears `token_expired`.
const KEPT_AFTER_EXPIRY: TimeDelta = TimeDelta::days(7);
const CLEANED_AT_ONCE: i64 = 500;

/// Where a login comes from, for the owner's list of sessions.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub(crate) ip: IpAddr,
    /// At most 256 characters.
    pub(crate) user_agent: Option<String>,
}

/// What a client gets for a login or a refresh.
pub(crate) struct Grant {
    pub(crate) token: String,
    pub(crate) refresh_token: String,
    /// How long `token` is valid.
    pub(crate) expires_in: Duration,
}

/// The sessions as this process knows them.
///
/// A session that was verified is believed for a minute, and for as long as its token lives while the database is
/// away: people who are here stay here through an outage. The price: a session revoked in the database while this
/// process cannot reach it lives on until the connection is back (then all are checked again) or its token expires.
/// A session this process has never verified is `unavailable` during an outage, never let in on its signature alone.
pub(crate) struct Sessions {
    pool: Pool,
    tokens: Arc<Tokens>,
    refresh_keys: RefreshKeys,
    refresh_ttl: Duration,
    clock: Clock,
    live: Arc<Live>,
    verified: Mutex<Verified>,
}

#[derive(Default)]
struct Verified {
    sessions: HashMap<SessionId, Seen>,
    /// When the database last did not answer.
    away_at: Option<Moment>,
    /// The sessions that the database is being asked about: an answer may be older than the news of the session's end, and
    /// is not remembered then.
    asked: HashMap<SessionId, Asked>,
}

/// The questions about a session that are under way.
#[derive(Default)]
struct Asked {
    questions: usize,
    /// Its end was heard of meanwhile.
    has_ended: bool,
}

/// One of them, for as long as it lives.
struct Question<'a> {
    of: &'a Sessions,
    session: SessionId,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut asked) = self.of.verified().asked.entry(self.session) {
            asked.get_mut().questions -= 1;
            if asked.get().questions == 0 {
                asked.remove();
            }
        }
    }
}

struct Seen {
    user: UserId,
    /// `None`: something was missed since, ask again.
    at: Option<Moment>,
    /// When the newest token of the session seen here expires; nothing needs the entry after that.
    until: DateTime<Utc>,
}

impl Sessions {
    pub(crate) fn new(
        pool: Pool,
        tokens: Arc<Tokens>,
        refresh_keys: RefreshKeys,
        refresh_ttl: Duration,
        clock: Clock,
        live: Arc<Live>,
    ) -> Self {
        let verified = Mutex::default();
        Self { pool, tokens, refresh_keys, refresh_ttl, clock, live, verified }
    }

    /// Opens a session for an account whose password was just verified. `None`: it was disabled, deleted,
    /// renamed or given another hash in the milliseconds since.
    pub(crate) async fn open(&self, account: &Account, origin: &Origin) -> Result<Option<Grant>> {
        let now = self.clock.now();
        let session = SessionId::new();
        let question = self.ask(session);
        let new = NewSession {
            id: session,
            now: now.wall,
            expires_at: now.wall + self.refresh_ttl,
            user_agent: origin.user_agent.as_deref(),
            ip: origin.ip,
        };
        if !store::sessions::open(&self.pool, account, &new).await? {
            return Ok(None);
        }
        self.remember(&question, account.user.id, now.wall + self.tokens.ttl(), now);
        let refresh = RefreshToken { session, generation: 1 };
        self.grant(account.user.id, &account.user.username, refresh, now).map(Some)
    }

    /// Trades a refresh token for the next one. The direct parent of the newest token gets the same child again for
    /// ten seconds; any other used token revokes the session.
    pub(crate) async fn refresh(&self, refresh_token: &str) -> Result<Grant> {
        let RefreshToken { session, generation } = self.refresh_keys.open(refresh_token)?;
        let now = self.clock.now();
        let question = self.ask(session);
        let expires_at = now.wall + self.refresh_ttl;
        match store::sessions::refresh(&self.pool, session, generation, now.wall, expires_at).await? {
            Refreshed::Live { user, username, generation } => {
                self.remember(&question, user, now.wall + self.tokens.ttl(), now);
                self.grant(user, &username, RefreshToken { session, generation }, now)
            }
            Refreshed::Reused => {
                tracing::warn!(%session, "a used refresh token came again; its session is revoked");
                self.end(session);
                Err(Error::SessionRevoked)
            }
            Refreshed::Revoked => Err(Error::SessionRevoked),
            Refreshed::Expired => Err(Error::TokenExpired),
        }
    }

    /// Verifies an access token and that its session is live.
    pub(crate) async fn authenticate(&self, token: &str) -> Result<Claims> {
        let claims = self.tokens.verify(token, self.clock.now())?;
        self.check(&claims).await?;
        Ok(claims)
    }

    /// Whether the session of a verified token is live: else [`Error::SessionRevoked`].
    pub(crate) async fn check(&self, claims: &Claims) -> Result<()> {
        let now = self.clock.now();
        let known = {
            let verified = self.verified();
            let seen = verified.sessions.get(&claims.session);
            if seen.is_some_and(|seen| seen.user != claims.user) {
                // A token that mixes two users' claims ends neither's session.
                return Err(Error::SessionRevoked);
            }
            let is_away = verified.away_at.is_some_and(|at| now.since(at) < AWAY);
            if seen.is_some_and(|seen| is_away || seen.is_fresh(now)) {
                return Ok(());
            }
            seen.is_some()
        };
        let question = self.ask(claims.session);
        match store::sessions::is_live(&self.pool, claims.session, claims.user).await {
            Ok(true) => {
                self.remember(&question, claims.user, claims.expires_at, now);
                Ok(())
            }
            Ok(false) => {
                self.end(claims.session);
                Err(Error::SessionRevoked)
            }
            Err(Error::Unavailable { .. }) if known => {
                self.verified().away_at = Some(now);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn revoke(&self, session: SessionId) -> Result<()> {
        store::sessions::revoke(&self.pool, session, self.clock.now().wall).await?;
        self.end(session);
        Ok(())
    }

    /// Revokes every other session of the user.
    pub(crate) async fn revoke_others(&self, user: UserId, keep: SessionId) -> Result<()> {
        let now = self.clock.now().wall;
        let ended = store::sessions::revoke_of_user(&self.pool, user, Some(keep), now).await?;
        self.end_all(ended);
        Ok(())
    }

    /// The session has ended in the database: forgets it here and cuts its sockets.
    pub(crate) fn end(&self, session: SessionId) {
        {
            let mut verified = self.verified();
            verified.sessions.remove(&session);
            if let Some(asked) = verified.asked.get_mut(&session) {
                asked.has_ended = true;
            }
        }
        self.live.end_session(session);
    }

    pub(crate) fn end_all(&self, sessions: Vec<SessionId>) {
        for session in sessions {
            self.end(session);
        }
    }

    /// Somebody says that the session has ended. Anybody can say so, of any session: the database is asked, if anything here
    /// hangs on the session, and until it answers everything stays as it is.
    pub(crate) async fn check_end(&self, session: SessionId) -> Result<()> {
        let is_known = {
            let verified = self.verified();
            verified.sessions.contains_key(&session) || verified.asked.contains_key(&session)
        };
        if is_known || self.live.has_session(session) {
            self.end_all(store::sessions::ended_among(&self.pool, &[session]).await?);
        }
        Ok(())
    }

    /// Something may have been missed: every session is asked about again when it comes.
    pub(crate) fn doubt_all(&self) {
        for seen in self.verified().sessions.values_mut() {
            seen.at = None;
        }
    }

    /// Cuts the sockets of sessions that have ended.
    pub(crate) async fn check_sockets(&self) -> Result<()> {
        let here = self.live.sessions();
        if !here.is_empty() {
            self.end_all(store::sessions::ended_among(&self.pool, &here).await?);
        }
        Ok(())
    }

    /// Forgets what no token can ask for any more.
    pub(crate) fn prune(&self) {
        let now = self.clock.now().wall;
        let mut verified = self.verified();
        verified.sessions.retain(|_, seen| seen.until > now);
        verified.sessions.shrink_to_fit();
    }

    /// Deletes sessions that expired long ago, in batches small enough to disturb nobody.
    pub(crate) async fn clean_up(&self) -> Result<()> {
        let date = self.clock.now().wall - KEPT_AFTER_EXPIRY;
        while store::sessions::delete_expired(&self.pool, date, CLEANED_AT_ONCE).await? > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    fn grant(&self, user: UserId, username: &Username, refresh: RefreshToken, now: Moment) -> Result<Grant> {
        let token = self.tokens.sign(user, username, refresh.session, now)?;
        Ok(Grant { token, refresh_token: self.refresh_keys.seal(refresh), expires_in: self.tokens.ttl() })
    }

    /// To be called before the database is asked, and kept until its answer is remembered.
    fn ask(&self, session: SessionId) -> Question<'_> {
        self.verified().asked.entry(session).or_default().questions += 1;
        Question { of: self, session }
    }

    fn remember(&self, question: &Question<'_>, user: UserId, until: DateTime<Utc>, now: Moment) {
        let session = question.session;
        let mut verified = self.verified();
        verified.away_at = None;
        let room = verified.sessions.len() < REMEMBERED || verified.sessions.contains_key(&session);
        if room && !verified.asked.get(&session).is_some_and(|asked| asked.has_ended) {
            let seen = verified.sessions.entry(session).or_insert(Seen { user, at: None, until });
            seen.at = Some(now);
            seen.until = seen.until.max(until);
        }
    }

    fn verified(&self) -> MutexGuard<'_, Verified> {
        // Every change under the lock is complete in itself.
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn is_fresh(&self, now: Moment) -> bool {
        self.at.is_some_and(|at| now.since(at) < FRESH)
    }
}
