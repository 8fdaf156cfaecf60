//! Table `calls`, as its parties and operators read it. What writes it is the journal.

use super::{InTime, Pool};
use crate::domain::ids::{CallId, UserId};
use crate::error::Result;
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// One call with the names of its parties; a deleted account has neither id nor name.
#[derive(Debug, Clone)]
pub(crate) struct HistoryRow {
    pub(crate) id: CallId,
    pub(crate) caller: Side,
    pub(crate) callee: Side,
    pub(crate) call_type: String,
    pub(crate) status: String,
    pub(crate) end_reason: Option<String>,
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) answered_at: Option<DateTime<Utc>>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
}

/// One side of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Side {
    pub(crate) id: Option<UserId>,
    pub(crate) username: Option<String>,
}

/// Where a page of history starts: behind this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) started_at: DateTime<Utc>,
    pub(crate) id: CallId,
}

/// Which calls of a user are wanted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Filter<'a> {
    pub(crate) before: Option<Position>,
    pub(crate) status: Option<&'a str>,
    pub(crate) with: Option<UserId>,
}

struct Row {
    id: uuid::Uuid,
    caller_id: Option<uuid::Uuid>,
    caller: Option<String>,
    callee_id: Option<uuid::Uuid>,
    callee: Option<String>,
    call_type: String,
    status: String,
    end_reason: Option<String>,
    started_at: DateTime<Utc>,
    answered_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
}

/// The user's calls, newest first.
pub(crate) async fn list(
    pool: &Pool,
    user: UserId,
    filter: Filter<'_>,
    limit: i64,
) -> Result<Vec<HistoryRow>> {
    // Each side has an index in this order; one condition with `or` would sort a user's whole history for each page.
    let rows = sqlx::query_as!(
        Row,
        r#"with place as (
               select coalesce($2::timestamptz, 'infinity') as started_at,
                      coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') as id
           ), mine as (
               (select c.* from calls c
                where c.caller_id = $1
                  and (c.started_at, c.id) < ((select started_at from place), (select id from place))
                  and ($4::text is null or c.status = $4) and ($5::uuid is null or c.callee_id = $5)
                order by c.started_at desc, c.id desc limit $6)
               union all
               (select c.* from calls c
                where c.callee_id = $1
                  and (c.started_at, c.id) < ((select started_at from place), (select id from place))
                  and ($4::text is null or c.status = $4) and ($5::uuid is null or c.caller_id = $5)
                order by c.started_at desc, c.id desc limit $6)
           )
           select mine.id as "id!", caller_id, caller.username as "caller?", callee_id, callee.username as "callee?",
                  call_type as "call_type!", status as "status!", end_reason,
                  started_at as "started_at!", answered_at, ended_at
           from mine
           left join users caller on caller.id = mine.caller_id
           left join users callee on callee.id = mine.callee_id
           order by started_at desc, mine.id desc limit $6"#,
        Uuid::from(user),
        filter.before.map(|position| position.started_at),
        filter.before.map(|position| Uuid::from(position.id)),
        filter.status,
        filter.with.map(Uuid::from),
        limit
    )
    .fetch_all(pool)
    .in_time()
    .await?;
    Ok(rows.into_iter().map(HistoryRow::from).collect())
}

/// A call, if the user is a party of it.
pub(crate) async fn find(pool: &Pool, user: UserId, call: CallId) -> Result<Option<HistoryRow>> {
    let row = sqlx::query_as!(
        Row,
        r#"select c.id as "id!", caller_id, caller.username as "caller?", callee_id, callee.username as "callee?",
                  call_type as "call_type!", status as "status!", end_reason,
                  started_at as "started_at!", answered_at, ended_at
           from calls c
           left join users caller on caller.id = c.caller_id
           left join users callee on callee.id = c.callee_id
           where c.id = $1 and $2 in (c.caller_id, c.callee_id)"#,
        Uuid::from(call),
        Uuid::from(user)
    )
    .fetch_optional(pool)
    .in_time()
    .await?;
    Ok(row.map(HistoryRow::from))
}

/// Which calls an operator wants to see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Search {
    pub(crate) only_live: bool,
    pub(crate) status: Option<String>,
    pub(crate) user: Option<UserId>,
    pub(crate) since: Option<DateTime<Utc>>,
}

/// Anybody's calls, newest first.
pub(crate) async fn search(pool: &Pool, search: &Search, limit: i64) -> Result<Vec<HistoryRow>> {
    // The plan is made for these values, and what is not asked for is not in it: each search has its index.
    let rows = sqlx::query_as!(
        Row,
        r#"select c.id as "id!", caller_id, caller.username as "caller?", callee_id, callee.username as "callee?",
                  call_type as "call_type!", status as "status!", end_reason,
                  started_at as "started_at!", answered_at, ended_at
           from calls c
           left join users caller on caller.id = c.caller_id
           left join users callee on callee.id = c.callee_id
           where (not $1 or c.ended_at is null)
             and ($2::text is null or c.status = $2)
             and ($3::uuid is null or c.caller_id = $3 or c.callee_id = $3)
             and ($4::timestamptz is null or c.started_at >= $4)
           order by c.started_at desc, c.id desc limit $5"#,
        search.only_live,
        search.status.as_deref(),
        search.user.map(Uuid::from),
        search.since,
        limit
    )
    .fetch_all(pool)
    .in_time()
    .await?;
    Ok(rows.into_iter().map(HistoryRow::from).collect())
}

/// How a call stands in the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) status: String,
    pub(crate) end_reason: Option<String>,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    /// Whether the server that wrote the row runs.
    pub(crate) server_runs: bool,
}

pub(crate) async fn standing(pool: &Pool, call: CallId) -> Result<Option<Standing>> {
    let standing = sqlx::query_as!(
        Standing,
        r#"select status as "status!", end_reason, ended_at,
                  exists (
                      select from pg_stat_activity a
                      where a.datname = current_database()
                        and a.application_name = 'video-call-server journal ' || calls.node_id
                  ) as "server_runs!"
           from calls where id = $1"#,
        Uuid::from(call)
    )
    .fetch_optional(pool)
    .in_time()
    .await?;
    Ok(standing)
}

/// Asks whichever server has the call to end it. Asking again is fine.
pub(crate) async fn request_end(pool: &Pool, call: CallId, now: DateTime<Utc>) -> Result<()> {
    // Later than an earlier request, whatever the clocks say: a notice goes out only with a change.
    sqlx::query!(
        "update calls set end_requested_at = greatest($2, end_requested_at + interval '1 microsecond')
         where id = $1 and ended_at is null",
        Uuid::from(call),
        now
    )
    .execute(pool)
    .in_time()
    .await?;
    Ok(())
}

/// Those of the calls that an operator wants ended.
pub(crate) async fn whose_end_is_requested(pool: &Pool, calls: &[CallId]) -> Result<Vec<CallId>> {
    let ids: Vec<_> = calls.iter().map(|id| Uuid::from(*id)).collect();
    let asked =
        sqlx::query_scalar!("select id from calls where id = any($1) and end_requested_at is not null", &ids)
            .fetch_all(pool)
            .in_time()
            .await?;
    Ok(asked.into_iter().map(CallId::from).collect())
}

/// Deletes at most `limit` calls that ended before `horizon`, the oldest first; answers how many. What is locked is left out.
pub(crate) async fn delete_old(pool: &Pool, horizon: DateTime<Utc>, limit: i64) -> Result<u64> {
    // What ended before also started before: by that there is an index.
    let done = sqlx::query!(
        "with old as materialized (
             select id from calls where started_at < $1 and ended_at < $1
             order by started_at limit $2 for update skip locked
         )
         delete from calls using old where calls.id = old.id",
        horizon,
        limit
    )
    .execute(pool)
    .in_time()
    .await?;
    Ok(done.rows_affected())
}

/// Takes the parties out of at most `limit` calls that ended before `horizon`, likewise.
pub(crate) async fn anonymise_old(pool: &Pool, horizon: DateTime<Utc>, limit: i64) -> Result<u64> {
    let done = sqlx::query!(
        "with old as materialized (
             select id from calls
             where ended_at < $1 and ended_at is not null and (caller_id is not null or callee_id is not null)
             order by ended_at limit $2 for update skip locked
         )
         update calls set caller_id = null, callee_id = null from old where calls.id = old.id",
        horizon,
        limit
    )
    .execute(pool)
    .in_time()
    .await?;
    Ok(done.rows_affected())
}

impl From<Row> for HistoryRow {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.into(),
            caller: Side { id: row.caller_id.map(UserId::from), username: row.caller },
            callee: Side { id: row.callee_id.map(UserId::from), username: row.callee },
            call_type: row.call_type,
            status: row.status,
            end_reason: row.end_reason,
            started_at: row.started_at,
            answered_at: row.answered_at,
            ended_at: row.ended_at,
        }
    }
}
