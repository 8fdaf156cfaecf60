//! What the journal says to the database.

use crate::domain::call::CallRecord;
use crate::domain::ids::{CallId, NodeId, UserId};
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use std::time::Duration;
use uuid::Uuid;

/// The advisory lock of the process that writes history: "vcs" and a version.
const OWNERSHIP_LOCK: i64 = 0x0076_6373_0001;

/// One process at a time owns the history of a database, by an advisory lock that lives as long as the connection. The owner
/// may close what others left live; who is not the owner leaves it alone.
pub(super) async fn lock_ownership(
    connection: &mut PgConnection,
    wait: Duration,
) -> Result<bool, sqlx::Error> {
    let started = tokio::time::Instant::now();
    loop {
        let owned = sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "owned!""#, OWNERSHIP_LOCK)
            .fetch_one(&mut *connection)
            .await?;
        if owned || started.elapsed() >= wait {
            return Ok(owned);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

pub(super) async fn close_left_live(connection: &mut PgConnection, node: NodeId) -> Result<u64, sqlx::Error> {
    let closed = sqlx::query!(
        "update calls
         set status = 'failed', end_reason = 'server_restart', ended_at = greatest(now(), started_at, answered_at)
         where ended_at is null and node_id <> $1",
        Uuid::from(node)
    )
    .execute(connection)
    .await?;
    Ok(closed.rows_affected())
}

/// Live rows that another process wrote last, and which: but for one that is connected to write what follows.
pub(super) async fn left_live(
    connection: &mut PgConnection,
    node: NodeId,
) -> Result<Vec<(CallId, NodeId)>, sqlx::Error> {
    let left = sqlx::query!(
        "select id, node_id from calls
         where ended_at is null and node_id <> $1
           and not exists (select from pg_stat_activity
                           where application_name = 'video-call-server journal ' || node_id::text)",
        Uuid::from(node)
    );
    let rows = left.fetch_all(connection).await?;
    Ok(rows.into_iter().map(|row| (row.id.into(), row.node_id.into())).collect())
}

pub(super) async fn close(connection: &mut PgConnection, calls: &[CallId]) -> Result<u64, sqlx::Error> {
    let ids: Vec<_> = calls.iter().map(|call| Uuid::from(*call)).collect();
    let closed = sqlx::query!(
        "update calls
         set status = 'failed', end_reason = 'server_restart', ended_at = greatest(now(), started_at, answered_at)
         where ended_at is null and id = any($1)",
        &ids
    );
    Ok(closed.execute(connection).await?.rows_affected())
}

/// A party whose account went meanwhile is written as null. A row that is over is never opened again.
pub(super) async fn insert_calls(
    connection: &mut PgConnection,
    rows: &[CallRecord],
    node: NodeId,
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let text = |text: &'static str| text.to_owned();
    let ids: Vec<_> = rows.iter().map(|row| Uuid::from(row.id)).collect();
    let callers: Vec<_> = rows.iter().map(|row| Uuid::from(row.caller)).collect();
    let callees: Vec<_> = rows.iter().map(|row| Uuid::from(row.callee)).collect();
    let types: Vec<_> = rows.iter().map(|row| text(row.call_type.as_str())).collect();
    let statuses: Vec<_> = rows.iter().map(|row| text(row.status.as_str())).collect();
    let reasons: Vec<_> = rows.iter().map(|row| row.end_reason.map(|reason| text(reason.as_str()))).collect();
    let started: Vec<_> = rows.iter().map(|row| row.started_at).collect();
    let answered: Vec<_> = rows.iter().map(|row| row.answered_at).collect();
    let ended: Vec<_> = rows.iter().map(|row| row.ended_at).collect();
    sqlx::query!(
        "insert into calls (id, caller_id, callee_id, call_type, status, end_reason,
                            started_at, answered_at, ended_at, node_id)
         select f.id, caller.id, callee.id, f.call_type, f.status, f.end_reason,
                f.started_at, f.answered_at, f.ended_at, $10
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[],
                     $7::timestamptz[], $8::timestamptz[], $9::timestamptz[])
              as f (id, caller_id, callee_id, call_type, status, end_reason, started_at, answered_at, ended_at)
         left join users caller on caller.id = f.caller_id
         left join users callee on callee.id = f.callee_id
         on conflict (id) do update
         set status = excluded.status, end_reason = excluded.end_reason,
             answered_at = excluded.answered_at, ended_at = excluded.ended_at, node_id = excluded.node_id
         where calls.ended_at is null",
        &ids,
        &callers,
        &callees,
        &types,
        &statuses,
        &reasons as &[Option<String>],
        &started,
        &answered as &[Option<DateTime<Utc>>],
        &ended as &[Option<DateTime<Utc>>],
        Uuid::from(node)
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(super) async fn update_last_seen(
    connection: &mut PgConnection,
    last_seen: &[(UserId, DateTime<Utc>)],
) -> Result<(), sqlx::Error> {
    let users: Vec<_> = last_seen.iter().map(|(user, _)| Uuid::from(*user)).collect();
    let times: Vec<_> = last_seen.iter().map(|(_, at)| *at).collect();
    sqlx::query!(
        "update users
         set last_seen_at = greatest(users.last_seen_at, f.at)
         from unnest($1::uuid[], $2::timestamptz[]) as f (id, at)
         where users.id = f.id",
        &users,
        &times
    )
    .execute(connection)
    .await?;
    Ok(())
}
