//! `db backup|check`, and bringing a backup back.

use super::{Desk, finish};
use crate::app::TestApp;
use crate::database::TestDatabase;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::process::Command;

/// PostgreSQL's own program of that name on this machine.
fn tool(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = versions.map(|version| version.path().join("bin")).chain(std::env::split_paths(&path));
    let mut found = folders.map(|folder| folder.join(name)).filter(|program| program.is_file());
    found.next().unwrap_or_else(|| panic!("no {name} on this machine"))
}

/// The address as PostgreSQL's own programs take it: without what only sqlx knows.
fn address(database: &TestDatabase) -> &str {
    database.url.split('?').next().unwrap()
}

/// A `pg_dump` that does this, and is found before any other.
fn pretender(script: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let real = tool("pg_dump");
    let real = real.display();
    let text = format!("#!/bin/sh\nif [ \"$1\" = -V ]; then exec {real} -V; fi\nreal={real}\n{script}\n");
    let file = folder.path().join("pg_dump");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o755)).unwrap();
    folder
}

async fn run_with_first(desk: &Desk, first: &Path, words: &[&str]) -> super::Done {
    let path = format!("{}:{}", first.display(), std::env::var("PATH").unwrap());
    finish(desk.command(words).env("PATH", path), "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_server_comes_back_whole_and_passes_the_check() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app);
    let (alice, bob) = app.pair().await;
    let call = alice.talk(&bob).await;
    alice.hang_up(&call, &bob).await;
    app.outcome(&call).await;
    let said = desk.run(&["db", "backup", "calls.dump"]).await.ok();
    let file = desk.file("calls.dump");
    let kept = fs::metadata(&file).unwrap();
    assert_eq!(said, format!("wrote calls.dump ({} bytes)\n", kept.len()));
    assert_eq!(kept.permissions().mode() & 0o777, 0o600, "it has every password hash");

    // As docs/operations.md has it.
    let empty = TestDatabase::create().await;
    let mut restore = Command::new(tool("pg_restore"));
    restore.args(["--clean", "--if-exists", "--no-owner", "--exit-on-error", "--dbname", address(&empty)]);
    finish(desk.prepare(restore.arg(&file)), "").await.ok();
    let there = Desk::at(&empty);
    assert_eq!(there.run(&["db", "check"]).await.ok(), "");
    for table in ["users", "calls", "sessions", "_sqlx_migrations"] {
        let all = format!("select * from {table} order by 1");
        assert_eq!(empty.rows(&all).await, app.database.rows(&all).await, "{table}");
    }
    let restored = TestApp::start_on(empty, video_call_server::clock::Clock::machine(), |_| {}).await;
    restored.log_in("alice").await;
    assert_eq!(restored.outcome(&call).await, "completed/hangup");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_overwrites_only_by_force_and_names_itself_by_the_time() {
    let database = TestDatabase::create().await;
    let desk = Desk::at(&database);
    fs::write(desk.file("precious"), "precious").unwrap();
    let refused = desk.run(&["db", "backup", "precious"]).await;
    assert_eq!(refused.failure(), "precious is there already; --force overwrites it");
    assert_eq!(fs::read(desk.file("precious")).unwrap(), b"precious");
    desk.run(&["db", "backup", "--force", "precious"]).await.ok();
    assert!(fs::read(desk.file("precious")).unwrap().starts_with(b"PGDMP"));
    assert_eq!(desk.run(&["db", "backup", "--force", "."]).await.failure(), ". is a folder");
    assert!(
        desk.run(&["db", "backup", "no/folder/x"]).await.failure().starts_with("cannot write no/folder/x.")
    );
    let said = desk.run(&["db", "backup"]).await.ok();
    let name = said.split(' ').nth(1).unwrap();
    assert!(name.starts_with("video-call-server-2") && name.ends_with("Z.dump"), "{said}");
    assert_eq!(desk.files().len(), 2, "{:?}", desk.files());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_on_no_command_line_of_a_backup() {
    let database = TestDatabase::create().await;
    let spy = pretender("echo \"$@\" > arguments\nenv > environment\nexec $real \"$@\"");
    let mut desk = Desk::at(&database);
    // A server that asks for no password takes any.
    let secret = if let Some(password) = database.password() {
        // As the address has it.
        password.replace("%2D", "-").replace("%5F", "_")
    } else {
        let (scheme, rest) = database.url.split_once("://").unwrap();
        let (user, rest) = rest.split_once('@').unwrap();
        desk.database = format!("{scheme}://{user}:a%20secret%2F@{rest}");
        "a secret/".to_owned()
    };
    run_with_first(&desk, spy.path(), &["db", "backup", "calls.dump"]).await.ok();
    let arguments = fs::read_to_string(desk.file("arguments")).unwrap();
    assert!(!arguments.contains(&secret) && !arguments.contains("://"), "{arguments}");
    let environment = fs::read_to_string(desk.file("environment")).unwrap();
    assert!(environment.contains(&format!("PGPASSWORD={secret}\n")), "{environment}");
    assert!(!environment.contains("DATABASE_URL") && !environment.contains("JWT_SECRET"), "{environment}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_fails_leaves_nothing_and_says_why_in_one_line() {
    let database = TestDatabase::create().await;
    let desk = Desk::at(&database);
    let mismatch = "pg_dump: error: aborting because of server version mismatch";
    for (script, line) in [
        (
            format!("echo half; echo '{mismatch}' >&2; echo 'pg_dump: detail: too old' >&2; exit 1"),
            format!("{mismatch}; pg_dump: detail: too old"),
        ),
        ("echo no backup at all".to_owned(), "pg_restore: error: input file".to_owned()),
        ("kill -9 $$".to_owned(), "pg_dump ended with signal: 9 (SIGKILL)".to_owned()),
    ] {
        let broken = pretender(&script);
        let done = run_with_first(&desk, broken.path(), &["db", "backup", "calls.dump"]).await;
        assert!(done.failure().contains(&line), "{line}: {done:?}");
        assert_eq!(desk.files(), [] as [String; 0], "{line}");
    }
    let mut nowhere = Desk::at(&database);
    nowhere.database = "postgres://nobody:a-secret@127.0.0.1:1/nothing".into();
    let away = nowhere.run(&["db", "backup", "calls.dump"]).await;
    assert!(
        away.failure().starts_with("cannot connect to PostgreSQL: ") && !away.err.contains("a-secret"),
        "{away:?}"
    );
    assert_eq!(nowhere.files(), [] as [String; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_interrupted_leaves_nothing() {
    let database = TestDatabase::create().await;
    let desk = Desk::at(&database);
    let endless = pretender("echo half\ntouch begun\nexec sleep 600");
    let path = format!("{}:{}", endless.path().display(), std::env::var("PATH").unwrap());
    let mut child = desk.command(&["db", "backup", "calls.dump"]).env("PATH", path).spawn().unwrap();
    while !desk.file("begun").exists() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(1));
    assert_eq!(desk.files(), ["begun"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_says_nothing_beside_a_healthy_server_and_a_line_for_each_thing_that_is_wrong() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app);
    let (alice, bob) = app.pair().await;
    alice.talk(&bob).await;
    app.until("select status = 'active' from calls").await;
    assert_eq!(desk.run(&["db", "check"]).await.ok(), "");
    // This one's server is dead, and it rings for longer than a minute.
    let call = "00000000-0000-7000-8000-000000000002";
    let insert = "insert into calls (id, call_type, status, started_at, node_id)";
    let since = "now() - interval '75 seconds'";
    app.database
        .execute(&format!("{insert} values ('{call}', 'audio', 'ringing', {since}, gen_random_uuid())"))
        .await;
    let broken = desk.run(&["db", "check"]).await;
    assert_eq!(broken.failure(), "what must always be true is not: lines above: 2");
    let lines: Vec<_> = broken.out.lines().collect();
    assert!(lines[0].starts_with(&format!("rings for ever|{call}|since ")), "{broken:?}");
    assert!(lines[1].starts_with(&format!("live call of a dead server|{call}|node ")), "{broken:?}");
    let patient = desk.run(&["db", "check", "--ring-timeout", "90s"]).await;
    assert_eq!(patient.out.lines().count(), 1, "{patient:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_finds_a_schema_that_is_not_ours() {
    let database = TestDatabase::create().await;
    let desk = Desk::at(&database);
    database
        .execute(
            "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
             values (20990101000001, 'of the future', true, '', 0)",
        )
        .await;
    let newer = desk.run(&["db", "check"]).await;
    assert_eq!(
        (newer.code, newer.out.as_str()),
        (Some(1), "schema up to date|20990101000001|is of a newer program\n")
    );
    database.execute("drop table _sqlx_migrations").await;
    let missing = desk.run(&["db", "check"]).await;
    assert_eq!(missing.code, Some(1));
    let lines: Vec<_> = missing.out.lines().collect();
    assert!(
        lines.len() >= 3
            && lines.iter().all(|line| line.ends_with("is missing: run video-call-server migrate")),
        "{missing:?}"
    );
}
