//! Table `users`.

use super::{InTime, Pool};
use crate::domain::ids::{SessionId, UserId};
use crate::domain::username::Username;
use crate::error::{Error, Result};
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

/// Who somebody is to others.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: UserId,
    pub(crate) username: Username,
    pub(crate) last_seen_at: Option<DateTime<Utc>>,
}

/// A user with what a login needs.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) user: User,
    pub(crate) password_hash: SecretString,
    pub(crate) disabled: bool,
}

/// A user with what an operator's list shows.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) user: User,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) disabled_at: Option<DateTime<Utc>>,
}

/// The database decides whether the name is free: [`Error::UsernameTaken`].
pub(crate) async fn insert(
    pool: &Pool,
    username: &Username,
    password_hash: &SecretString,
    now: DateTime<Utc>,
) -> Result<Account> {
    let id = UserId::new();
    sqlx::query!(
        "insert into users (id, username, password_hash, created_at) values ($1, $2, $3, $4)",
        Uuid::from(id),
        username.as_str(),
        password_hash.expose_secret(),
        now
    )
    .execute(pool)
    .in_time()
    .await?;
    let user = User { id, username: username.clone(), last_seen_at: None };
    Ok(Account { user, password_hash: password_hash.clone(), disabled: false })
}

/// By name, without regard to case.
pub(crate) async fn account_named(pool: &Pool, username: &Username) -> Result<Option<Account>> {
    let row = sqlx::query!(
        r#"select id, username, password_hash, last_seen_at, disabled_at
           from users where lower(username) collate "C" = $1"#,
        username.folded()
    )
    .fetch_optional(pool)
    .in_time()
    .await?;
    row.map(|row| {
        let user = user(row.id, &row.username, row.last_seen_at)?;
        Ok(Account { user, password_hash: row.password_hash.into(), disabled: row.disabled_at.is_some() })
    })
    .transpose()
}

pub(crate) async fn find(pool: &Pool, id: UserId) -> Result<Option<User>> {
    let row = sqlx::query!("select id, username, last_seen_at from users where id = $1", Uuid::from(id))
        .fetch_optional(pool)
        .in_time()
        .await?;
    row.map(|row| user(row.id, &row.username, row.last_seen_at)).transpose()
}

/// Ordered by `lower(username)` in byte order, those behind `after`.
pub(crate) async fn list(pool: &Pool, after: Option<&Username>, limit: i64) -> Result<Vec<User>> {
    // No name sorts before the empty one.
    let after = after.map(Username::folded).unwrap_or_default();
    let rows = sqlx::query!(
        r#"select id, username, last_seen_at from users
           where lower(username) collate "C" > $1
           order by lower(username) collate "C" limit $2"#,
        after,
        limit
    )
    .fetch_all(pool)
    .in_time()
    .await?;
    rows.into_iter().map(|row| user(row.id, &row.username, row.last_seen_at)).collect()
}

/// [`list`] for an operator: of all accounts, or of the disabled ones.
pub(crate) async fn list_for_admin(
    pool: &Pool,
    after: Option<&Username>,
    only_disabled: bool,
    limit: i64,
) -> Result<Vec<Listed>> {
    let after = after.map(Username::folded).unwrap_or_default();
    let rows = sqlx::query!(
        r#"select id, username, created_at, last_seen_at, disabled_at from users
           where lower(username) collate "C" > $1 and (not $2 or disabled_at is not null)
           order by lower(username) collate "C" limit $3"#,
        after,
        only_disabled,
        limit
    )
    .fetch_all(pool)
    .in_time()
    .await?;
    let listed = rows.into_iter().map(|row| {
        let user = user(row.id, &row.username, row.last_seen_at)?;
        Ok(Listed { user, created_at: row.created_at, disabled_at: row.disabled_at })
    });
    listed.collect()
}

/// Replaces a hash by a better one of the same password; not if the password was changed meanwhile.
pub(crate) async fn upgrade_hash(
    pool: &Pool,
    id: UserId,
    from: &SecretString,
    to: &SecretString,
) -> Result<bool> {
    let done = sqlx::query!(
        "update users set password_hash = $3 where id = $1 and password_hash = $2",
        Uuid::from(id),
        from.expose_secret(),
        to.expose_secret()
    )
    .execute(pool)
    .in_time()
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Sets the password and revokes every session but `keep`; answers with those revoked.
pub(crate) async fn change_password(
    pool: &Pool,
    id: UserId,
    password_hash: &SecretString,
    keep: Option<SessionId>,
    now: DateTime<Utc>,
) -> Result<Vec<SessionId>> {
    let ended = sqlx::query_scalar!(
        "with changed as (update users set password_hash = $2 where id = $1 returning id)
         update sessions s set revoked_at = $4 from changed
         where s.user_id = changed.id and s.revoked_at is null and s.id is distinct from $3
         returning s.id",
        Uuid::from(id),
        password_hash.expose_secret(),
        keep.map(Uuid::from),
        now
    )
    .fetch_all(pool)
    .in_time()
    .await?;
    Ok(ended.into_iter().map(SessionId::from).collect())
}

/// Deletes the account; its sessions go with it, its calls stay without the name. Answers with the sessions it had.
pub(crate) async fn delete(pool: &Pool, id: UserId) -> Result<Vec<SessionId>> {
    // The outer select still sees the sessions: all parts of a statement see the same snapshot.
    let ended = sqlx::query_scalar!(
        "with gone as (delete from users where id = $1)
         select id from sessions where user_id = $1 and revoked_at is null",
        Uuid::from(id)
    )
    .fetch_all(pool)
    .in_time()
    .await?;
    Ok(ended.into_iter().map(SessionId::from).collect())
}

/// Disables the account, which also revokes its sessions, or enables it again. What is disabled already keeps its
/// date. Answers with the name as registered; `None`: there is no such account.
pub(crate) async fn set_disabled(
    pool: &Pool,
    username: &Username,
    disabled_at: Option<DateTime<Utc>>,
) -> Result<Option<Username>> {
    let name = sqlx::query_scalar!(
        r#"update users set disabled_at = case when $2::timestamptz is not null then coalesce(disabled_at, $2) end
           where lower(username) collate "C" = $1 returning username"#,
        username.folded(),
        disabled_at
    )
    .fetch_optional(pool)
    .in_time()
    .await?;
    name.map(|name| Username::parse(&name).map_err(Error::internal)).transpose()
}

/// Gives the account another name, and revokes its sessions: their tokens carry the old one. Answers with those revoked;
/// [`Error::UsernameTaken`] if somebody else has it.
pub(crate) async fn rename(
    pool: &Pool,
    id: UserId,
    username: &Username,
    now: DateTime<Utc>,
) -> Result<Vec<SessionId>> {
    let ended = sqlx::query_scalar!(
        "with renamed as (update users set username = $2 where id = $1 returning id)
         update sessions s set revoked_at = $3 from renamed
         where s.user_id = renamed.id and s.revoked_at is null
         returning s.id",
        Uuid::from(id),
        username.as_str(),
        now
    )
    .fetch_all(pool)
    .in_time()
    .await?;
    Ok(ended.into_iter().map(SessionId::from).collect())
}

/// What else there is of a user.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) disabled_at: Option<DateTime<Utc>>,
    /// Not revoked, and not expired.
    pub(crate) live_sessions: i64,
    /// On record, as caller or callee.
    pub(crate) calls: i64,
    pub(crate) live_call: Option<Uuid>,
}

pub(crate) async fn summary(pool: &Pool, id: UserId, now: DateTime<Utc>) -> Result<Option<Summary>> {
    let summary = sqlx::query_as!(
        Summary,
        r#"select created_at, disabled_at,
                  (select count(*) from sessions s
                   where s.user_id = u.id and s.revoked_at is null and s.expires_at > $2) as "live_sessions!",
                  (select count(*) from calls c where c.caller_id = u.id)
                      + (select count(*) from calls c where c.callee_id = u.id) as "calls!",
                  (select c.id from calls c where c.ended_at is null and u.id in (c.caller_id, c.callee_id)
                   order by c.started_at desc limit 1) as live_call
           from users u where u.id = $1"#,
        Uuid::from(id),
        now
    )
    .fetch_optional(pool)
    .in_time()
    .await?;
    Ok(summary)
}

fn user(id: uuid::Uuid, username: &str, last_seen_at: Option<DateTime<Utc>>) -> Result<User> {
    // The table's own check holds every name to this form.
    let username = Username::parse(username).map_err(Error::internal)?;
    Ok(User { id: id.into(), username, last_seen_at })
}
