//! Table `sessions`.

use super::users::Account;
use super::{InTime, Pool};
use crate::domain::ids::{SessionId, UserId};
use crate::domain::username::Username;
use crate::error::{Error, Result};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use sqlx::postgres::{PgListener, PgPoolOptions};
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::timeout;
use uuid::Uuid;

/// A session about to be opened.
pub(crate) struct NewSession<'a> {
    pub(crate) id: SessionId,
    pub(crate) now: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    /// At most 256 characters.
    pub(crate) user_agent: Option<&'a str>,
    pub(crate) ip: IpAddr,
}

/// What became of a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refreshed {
    /// The session goes on; `generation` is the live one.
    Live { user: UserId, username: Username, generation: i32 },
    /// The token was neither the newest nor its direct parent: the session was revoked just now.
    Reused,
    /// Revoked before, or gone.
    Revoked,
    /// Not refreshed in time.
    Expired,
}

/// Opens a session, unless the account was disabled, deleted or given another password since it was looked at.
pub(crate) async fn open(pool: &Pool, account: &Account, new: &NewSession<'_>) -> Result<bool> {
    // The lock makes a change of the account wait until its revocations can see this session, or makes us see the change.
    let done = sqlx::query!(
        "insert into sessions (id, user_id, created_at, last_used_at, expires_at, user_agent, ip)
         select $1, u.id, $4, $4, $5, $6, $7::text::inet
         from users u where u.id = $2 and u.password_hash = $3 and u.disabled_at is null
         for share of u",
        Uuid::from(new.id),
        Uuid::from(account.user.id),
        account.password_hash.expose_secret(),
        new.now,
        new.expires_at,
        new.user_agent,
        new.ip.to_string()
    )
    .execute(pool)
    .in_time()
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Judges a refresh token and rotates its session, in one statement: the row lock makes two refreshes take turns,
/// and a client that leaves in the middle leaves nothing half done.
pub(crate) async fn refresh(
    pool: &Pool,
    session: SessionId,
    generation: i32,
    now: DateTime<Utc>,
    expires_at: DateTime<Utc>,
) -> Result<Refreshed> {
    let row = sqlx::query!(
        r#"with seen as (
               select s.id, s.user_id, s.refresh_generation, s.rotated_at, s.expires_at,
                      u.username, s.revoked_at is not null or u.disabled_at is not null as ended
               from sessions s join users u on u.id = s.user_id
               where s.id = $1 for update of s
           ), judged as materialized (
               select id, user_id, username, refresh_generation,
                      case when ended then 'revoked'
                           when expires_at <= $3 then 'expired'
                           when refresh_generation = $2 then 'rotate'
                           when refresh_generation = $2 + 1 and rotated_at > $3 - interval '10 seconds' then 'repeat'
                           else 'reuse'
                      end as verdict
               from seen
           ), rotated as (
               update sessions s
               set refresh_generation = j.refresh_generation + 1, rotated_at = $3, last_used_at = $3, expires_at = $4
               from judged j where s.id = j.id and j.verdict = 'rotate'
           ), revoked as (
               update sessions s set revoked_at = $3
               from judged j where s.id = j.id and j.verdict = 'reuse'
           )
           select user_id as "user_id!", username as "username!", verdict as "verdict!",
                  refresh_generation + (verdict = 'rotate')::int as "generation!"
           from judged"#,
        Uuid::from(session),
        generation,
        now,
        expires_at
    )
    .fetch_optional(pool)
    .in_time()
    .await?;
    let Some(row) = row else { return Ok(Refreshed::Revoked) };
    Ok(match row.verdict.as_str() {
        "rotate" | "repeat" => Refreshed::Live {
            user: row.user_id.into(),
            username: Username::parse(&row.username).map_err(Error::internal)?,
            generation: row.generation,
        },
        "reuse" => Refreshed::Reused,
        "expired" => Refreshed::Expired,
        _ => Refreshed::Revoked,
    })
}

/// Whether the session is there, not revoked, and its user not disabled.
pub(crate) async fn is_live(pool: &Pool, session: SessionId, user: UserId) -> Result<bool> {
    let live = sqlx::query_scalar!(
        r#"select exists (
               select from sessions s join users u on u.id = s.user_id
               where s.id = $1 and u.id = $2 and s.revoked_at is null and u.disabled_at is null
           ) as "live!""#,
        Uuid::from(session),
        Uuid::from(user)
    )
    .fetch_one(pool)
    .in_time()
    .await?;
    Ok(live)
}

/// Those of `sessions` that are not live any more.
pub(crate) async fn ended_among(pool: &Pool, sessions: &[SessionId]) -> Result<Vec<SessionId>> {
    let ids: Vec<_> = sessions.iter().map(|id| Uuid::from(*id)).collect();
    let ended = sqlx::query_scalar!(
        r#"select asked.id as "id!" from unnest($1::uuid[]) as asked (id)
           where not exists (
               select from sessions s join users u on u.id = s.user_id
               where s.id = asked.id and s.revoked_at is null and u.disabled_at is null
           )"#,
        &ids
    )
    .fetch_all(pool)
    .in_time()
    .await?;
    Ok(ended.into_iter().map(SessionId::from).collect())
}

/// Revoking twice is fine.
pub(crate) async fn revoke(pool: &Pool, session: SessionId, now: DateTime<Utc>) -> Result<()> {
    sqlx::query!(
        "update sessions set revoked_at = $2 where id = $1 and revoked_at is null",
        Uuid::from(session),
        now
    )
    .execute(pool)
    .in_time()
    .await?;
    Ok(())
}

/// Revokes every session of the user but `keep`; answers with those revoked.
pub(crate) async fn revoke_of_user(
    pool: &Pool,
    user: UserId,
    keep: Option<SessionId>,
    now: DateTime<Utc>,
) -> Result<Vec<SessionId>> {
    let ended = sqlx::query_scalar!(
        "update sessions set revoked_at = $3
         where user_id = $1 and id is distinct from $2 and revoked_at is null
         returning id",
        Uuid::from(user),
        keep.map(Uuid::from),
        now
    )
    .fetch_all(pool)
    .in_time()
    .await?;
    Ok(ended.into_iter().map(SessionId::from).collect())
}

/// Deletes at most `limit` sessions that expired before `date`; answers how many.
pub(crate) async fn delete_expired(pool: &Pool, date: DateTime<Utc>, limit: i64) -> Result<u64> {
    let done = sqlx::query!(
        "delete from sessions where id in (select id from sessions where expires_at < $1 limit $2)",
        date,
        limit
    )
    .execute(pool)
    .in_time()
    .await?;
    Ok(done.rows_affected())
}

/// How often a connection on which nothing was heard is asked whether it still lives: one whose far end vanished is silent too.
const SILENCE: Duration = Duration::from_secs(5);
/// How long its answer may take, and a new connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// Hears of every session that ends, whoever ended it.
pub(crate) struct EndedSessions(PgListener);

impl EndedSessions {
    /// Listens at the pool's database, on a connection of its own: one that dies without a word is missing to nobody.
    pub(crate) async fn listen(pool: &Pool) -> Result<Self> {
        let options = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let own = options.acquire_timeout(PATIENCE).connect_lazy_with((*pool.connect_options()).clone());
        let mut listener = PgListener::connect_with(&own).await?;
        // A loss is told at once, not after a reconnection: whoever listens anew also looks for what was missed.
        listener.eager_reconnect(false);
        listener.listen("session_ended").in_time().await?;
        Ok(Self(listener))
    }

    /// The next one. An error: the connection is lost, and with it whatever is said until somebody listens anew.
    pub(crate) async fn next(&mut self) -> Result<SessionId> {
        loop {
            let Ok(heard) = timeout(SILENCE, self.0.try_recv()).await else {
                self.still_answers().await?;
                continue;
            };
            let Some(notice) = heard? else { return Err(Error::unavailable()) };
            // Anybody who may connect can notify; what is no id says nothing.
            if let Ok(id) = uuid::Uuid::parse_str(notice.payload()) {
                return Ok(id.into());
            }
        }
    }

    async fn still_answers(&mut self) -> Result<()> {
        let asked = sqlx::query_scalar!(r#"select true as "alive!""#).fetch_one(&mut self.0);
        timeout(PATIENCE, asked).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
        Ok(())
    }
}
