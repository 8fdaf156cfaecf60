//! The database itself refuses rows that no call can leave.

use crate::database::TestDatabase;
use sqlx::Error;

/// Type, status, reason, and the seconds after noon at which it started, was answered and ended.
type Row = (&'static str, &'static str, Option<&'static str>, [Option<i32>; 3]);

const fn row(status: &'static str, reason: &'static str, answered: Option<i32>, ended: Option<i32>) -> Row {
    let reason = if reason.is_empty() { None } else { Some(reason) };
    ("video", status, reason, [Some(0), answered, ended])
}

const TALKED: [Option<i32>; 2] = [Some(5), Some(9)];

/// Everything that the rules of a call can leave.
const POSSIBLE: [Row; 19] = [
    row("ringing", "", None, None),
    row("active", "", Some(5), None),
    row("completed", "hangup", TALKED[0], TALKED[1]),
    row("completed", "hangup", Some(0), Some(0)),
    row("completed", "connection_lost", TALKED[0], TALKED[1]),
    row("completed", "server_shutdown", TALKED[0], TALKED[1]),
    row("completed", "session_revoked", TALKED[0], TALKED[1]),
    row("rejected", "rejected", None, Some(3)),
    row("cancelled", "cancelled", None, Some(3)),
    row("cancelled", "connection_lost", None, Some(3)),
    row("cancelled", "session_revoked", None, Some(3)),
    row("missed", "no_answer", None, Some(60)),
    row("missed", "user_offline", None, Some(0)),
    row("missed", "user_busy", None, Some(0)),
    row("failed", "server_shutdown", None, Some(3)),
    row("failed", "server_restart", None, Some(3)),
    row("failed", "server_restart", Some(2), Some(3)),
    ("audio", "ringing", None, [Some(0), None, None]),
    ("audio", "active", None, [Some(0), Some(0), None]),
];

const ENDED: &str = "calls_ended_exactly_when_over";
const REASON: &str = "calls_reason_exactly_when_over";
const ANSWERED: &str = "calls_answered_exactly_when_answered";
const FITS: &str = "calls_reason_fits_status";

/// Rows with exactly one thing wrong, and the constraint that says so.
const IMPOSSIBLE: [(&str, Row); 38] = [
    ("calls_type_known", ("telepathy", "ringing", None, [Some(0), None, None])),
    ("calls_type_known", ("Video", "ringing", None, [Some(0), None, None])),
    ("calls_type_known", ("", "ringing", None, [Some(0), None, None])),
    ("calls_status_known", row("dialling", "hangup", None, Some(3))),
    ("calls_status_known", row("Completed", "hangup", None, Some(3))),
    ("calls_status_known", row("", "hangup", None, Some(3))),
    ("calls_end_reason_known", row("completed", "bored", TALKED[0], TALKED[1])),
    ("calls_end_reason_known", row("missed", "Busy", None, Some(3))),
    (REASON, row("ringing", "cancelled", None, None)),
    (REASON, row("active", "hangup", Some(5), None)),
    (REASON, row("completed", "", TALKED[0], TALKED[1])),
    (REASON, row("rejected", "", None, Some(3))),
    (REASON, row("cancelled", "", None, Some(3))),
    (REASON, row("missed", "", None, Some(3))),
    (REASON, row("failed", "", None, Some(3))),
    (ENDED, row("ringing", "hangup", None, Some(3))),
    (ENDED, row("active", "hangup", Some(2), Some(3))),
    (ENDED, row("completed", "", Some(2), None)),
    (ENDED, row("rejected", "", None, None)),
    (ENDED, row("cancelled", "", None, None)),
    (ENDED, row("missed", "", None, None)),
    (ENDED, row("failed", "", None, None)),
    (ANSWERED, row("ringing", "", Some(2), None)),
    (ANSWERED, row("active", "", None, None)),
    (ANSWERED, row("completed", "hangup", None, Some(3))),
    (ANSWERED, row("rejected", "rejected", Some(2), Some(3))),
    (ANSWERED, row("cancelled", "cancelled", Some(2), Some(3))),
    (ANSWERED, row("missed", "no_answer", Some(2), Some(3))),
    (ANSWERED, row("failed", "server_shutdown", Some(2), Some(3))),
    (FITS, row("completed", "rejected", TALKED[0], TALKED[1])),
    (FITS, row("completed", "server_restart", TALKED[0], TALKED[1])),
    (FITS, row("rejected", "hangup", None, Some(3))),
    (FITS, row("cancelled", "no_answer", None, Some(3))),
    (FITS, row("missed", "cancelled", None, Some(3))),
    (FITS, row("failed", "connection_lost", None, Some(3))),
    ("calls_ended_after_start", row("missed", "no_answer", None, Some(-1))),
    ("calls_ended_after_answer", row("completed", "hangup", Some(5), Some(4))),
    ("calls_answered_after_start", row("active", "", Some(-1), None)),
];

const ANN: &str = "'00000000-0000-7000-8000-000000000001'";
const BEN: &str = "'00000000-0000-7000-8000-000000000002'";

async fn with_two_users() -> TestDatabase {
    let database = TestDatabase::create().await;
    let users = format!("({ANN}, 'ann', '$argon2id$x'), ({BEN}, 'ben', '$argon2id$x')");
    database.execute(&format!("insert into users (id, username, password_hash) values {users}")).await;
    database
}

fn insert(call: &Row, parties: [&str; 2]) -> String {
    let (call_type, status, reason, times) = call;
    let reason = reason.map_or("null".to_owned(), |reason| format!("'{reason}'"));
    let times = times.map(|second| {
        second.map_or("null".to_owned(), |s| format!("timestamptz '2026-01-01 12:00Z' + interval '{s} s'"))
    });
    format!(
        "insert into calls (id, caller_id, callee_id, call_type, status, end_reason, started_at, answered_at, ended_at, node_id)
         values (gen_random_uuid(), {}, {}, '{call_type}', '{status}', {reason}, {}, gen_random_uuid())",
        parties[0],
        parties[1],
        times.join(", ")
    )
}

/// The constraint that refuses the statement.
async fn refusal(database: &TestDatabase, sql: &str) -> String {
    match database.try_execute(sql).await {
        Err(Error::Database(error)) => error.constraint().unwrap_or(error.message()).to_owned(),
        other => panic!("{sql}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_that_a_call_can_leave_is_taken() {
    let database = with_two_users().await;
    for call in &POSSIBLE {
        database.execute(&insert(call, [ANN, BEN])).await;
        database.execute(&insert(call, ["null", BEN])).await;
        database.execute(&insert(call, ["null", "null"])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_impossible_row_is_refused_by_the_constraint_that_names_its_fault() {
    let database = with_two_users().await;
    let mut wrong = Vec::new();
    for (constraint, call) in &IMPOSSIBLE {
        let refused = refusal(&database, &insert(call, [ANN, BEN])).await;
        if refused != *constraint {
            wrong.push((refused, constraint, call));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let ringing = &POSSIBLE[0];
    assert_eq!(refusal(&database, &insert(ringing, [ANN, ANN])).await, "calls_not_with_oneself");
    let nobody = "'00000000-0000-7000-8000-00000000000f'";
    assert_eq!(refusal(&database, &insert(ringing, [nobody, BEN])).await, "calls_caller_fkey");
    assert_eq!(refusal(&database, &insert(ringing, [ANN, nobody])).await, "calls_callee_fkey");
    assert!(database.rows("select from calls").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_and_sessions_that_cannot_be_are_refused() {
    let database = with_two_users().await;
    let user = |name: &str, hash: &str| {
        format!(
            "insert into users (id, username, password_hash) values (gen_random_uuid(), '{name}', '{hash}')"
        )
    };
    let session = |columns: &str, values: &str| {
        format!("insert into sessions (id, user_id, {columns}) values (gen_random_uuid(), {ANN}, {values})")
    };
    let later = "now() + interval '1 day'";
    let long = "x".repeat(257);
    for (constraint, sql) in [
        ("users_username_form", user("ab", "$argon2id$x")),
        ("users_username_form", user(&"a".repeat(33), "$argon2id$x")),
        ("users_username_form", user(".dot", "$argon2id$x")),
        ("users_username_form", user("two words", "$argon2id$x")),
        ("users_username_form", user("umläut", "$argon2id$x")),
        ("users_username_key", user("ANN", "$argon2id$x")),
        ("users_password_argon2id", user("carl", "hunter2")),
        ("users_password_argon2id", user("carl", "$2b$10$bcrypt")),
        ("sessions_expire_after_creation", session("expires_at", "now() - interval '1 s'")),
        (
            "sessions_generation_positive",
            session("expires_at, refresh_generation, rotated_at", &format!("{later}, 0, now()")),
        ),
        (
            "sessions_rotated_with_generation",
            session("expires_at, refresh_generation", &format!("{later}, 2")),
        ),
        ("sessions_rotated_with_generation", session("expires_at, rotated_at", &format!("{later}, now()"))),
        ("sessions_user_agent_short", session("expires_at, user_agent", &format!("{later}, '{long}'"))),
    ] {
        assert_eq!(refusal(&database, &sql).await, constraint, "{sql}");
    }
    database.execute(&session("expires_at, user_agent", &format!("{later}, '{}'", &long[1..]))).await;
}
