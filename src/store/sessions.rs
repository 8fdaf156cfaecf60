//! Table `sessions`.

use super::users::Account;
use super::{InTime, Pool};
use crate::domain::ids::{SessionId, UserId};
use crate::domain::username::Username;
use crate::error::{Error, Result};
use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use std::net::IpAddr;
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

/// Opens a session, unless the account was disabled, deleted, renamed or given another password since it was looked at.
pub(crate) async fn open(pool: &Pool, account: &Account, new: &NewSession<'_>) -> Result<bool> {
    // The lock makes a change of the account wait until its revocations can see this session, or makes us see the change.
    let done = sqlx::query!(
        "insert into sessions (id, user_id, created_at, last_used_at, expires_at, user_agent, ip)
         select $1, u.id, $4, $4, $5, $6, $7::text::inet
         from users u
         where u.id = $2 and u.password_hash = $3 and u.username = $8 and u.disabled_at is null
         for share of u",
        Uuid::from(new.id),
        Uuid::from(account.user.id),
        account.password_hash.expose_secret(),
        new.now,
        new.expires_at,
        new.user_agent,
        new.ip.to_string(),
        account.user.username.as_str()
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

/// A session with what an operator's list shows.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) id: Uuid,
    pub(crate) username: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) last_used_at: DateTime<Utc>,
    pub(crate) expires_at: DateTime<Utc>,
    pub(crate) revoked_at: Option<DateTime<Utc>>,
    pub(crate) user_agent: Option<String>,
    pub(crate) ip: Option<String>,
}

/// The sessions of one user or of all, those used last first; `live_at`: only those that are good at that time.
pub(crate) async fn list_for_admin(
    pool: &Pool,
    user: Option<UserId>,
    live_at: Option<DateTime<Utc>>,
    limit: i64,
) -> Result<Vec<Listed>> {
    let listed = sqlx::query_as!(
        Listed,
        r#"select s.id, u.username, s.created_at, s.last_used_at, s.expires_at, s.revoked_at, s.user_agent,
                  host(s.ip) as ip
           from sessions s join users u on u.id = s.user_id
           where ($1::uuid is null or s.user_id = $1)
             and ($2::timestamptz is null or (s.revoked_at is null and s.expires_at > $2))
           order by s.last_used_at desc, s.id desc limit $3"#,
        user.map(Uuid::from),
        live_at,
        limit
    )
    .fetch_all(pool)
    .in_time()
    .await?;
    Ok(listed)
}

/// What became of a session that an operator revokes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Revocation {
    pub(crate) username: String,
    /// It had ended before, then.
    pub(crate) was_over_since: Option<DateTime<Utc>>,
}

/// Revokes a session that is live, and tells how it stood; `None`: there is none by that id.
pub(crate) async fn revoke_for_admin(
    pool: &Pool,
    session: SessionId,
    now: DateTime<Utc>,
) -> Result<Option<Revocation>> {
    // One that has expired is revoked, too: a socket may outlive it, for as long as its access token is good.
    let found = sqlx::query_as!(
        Revocation,
        r#"with seen as (
               select s.id, u.username, s.revoked_at from sessions s join users u on u.id = s.user_id
               where s.id = $1 for update of s
           ), revoked as (
               update sessions s set revoked_at = $2 from seen where s.id = seen.id and seen.revoked_at is null
           )
           select username as "username!", revoked_at as was_over_since from seen"#,
        Uuid::from(session),
        now
    )
    .fetch_optional(pool)
    .in_time()
    .await?;
    Ok(found)
}
