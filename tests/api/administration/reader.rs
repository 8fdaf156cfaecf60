//! `migrate --reader-role`.

use super::Desk;
use crate::app::TestApp;
use crate::database::TestDatabase;
use serde_json::json;
use test_kit::client::call_user;

/// A name for a role of this test alone: roles belong to the whole PostgreSQL.
fn name(what: &str) -> String {
    format!("vcs_reader_{}_{what}", std::process::id())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

async fn forget(database: &TestDatabase, role: &str) {
    let role = quoted(role);
    database.execute(&format!("grant {role} to current_user; drop owned by {role}; drop role {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_reads_history_and_nothing_secret_and_writes_nothing() {
    let app = TestApp::start().await;
    let (desk, role) = (Desk::of(&app), name("plain"));
    let alice = app.user("alice").await;
    let absent = app.register("bob").await;
    alice.ok("call_user", &call_user(&absent.id)).await;
    app.until("select count(*) = 1 from calls").await;
    let made = desk.run(&["migrate", "--reader-role", &role]).await.ok();
    assert_eq!(
        made,
        format!("the schema is up to date\nmade the role {role:?}, which may read the history\n")
    );
    let database = &app.database;
    database.execute(&format!("grant {role} to current_user")).await;
    for allowed in [
        "select * from call_history",
        "select * from call_daily_stats",
        "select * from calls",
        "select id, username, created_at, last_seen_at, disabled_at from users",
    ] {
        database.try_as(&role, allowed).await.expect(allowed);
    }
    for forbidden in [
        "select password_hash from users",
        "select * from users",
        "select id from sessions",
        "select refresh_generation from sessions",
        "insert into calls (id) values (gen_random_uuid())",
        "update calls set status = 'missed'",
        "update calls set end_requested_at = now()",
        "delete from calls",
        "delete from users",
        "update users set disabled_at = now()",
        "update sessions set revoked_at = now()",
        "truncate calls",
        "create table mine (n int)",
        "drop table calls",
        "select * from _sqlx_migrations",
    ] {
        let error = database.try_as(&role, forbidden).await.expect_err(forbidden);
        let code = error.as_database_error().unwrap().code().unwrap().into_owned();
        assert_eq!(code, "42501", "{forbidden}: {error}");
    }
    let settings = format!(
        "select rolcanlogin as login, array_to_string(rolconfig, ' ') as config from pg_roles where rolname = '{role}'"
    );
    let config =
        "default_transaction_read_only=on statement_timeout=60s idle_in_transaction_session_timeout=60s";
    assert_eq!(database.rows(&settings).await, [json!({"login": true, "config": config})]);
    let again = desk.run(&["migrate", "--reader-role", &role]).await.ok();
    assert!(
        again.ends_with(&format!("the role was there already: {role:?}, which may read the history\n")),
        "{again}"
    );
    forget(database, &role).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_a_name_whatever_is_in_it() {
    let database = TestDatabase::create().await;
    let desk = Desk::at(&database);
    for odd in ["\"; drop table calls; --", "Select", "with space", "ünï", "a\nb", "it's $$x$$"] {
        let role = name(odd);
        let made = desk.run(&["migrate", "--reader-role", &role]).await.ok();
        assert!(made.contains(&format!("made the role {role:?}")), "{made}");
        let found = database.rows("select rolname from pg_roles").await;
        assert!(found.contains(&json!({"rolname": role})), "{role}");
        let known = format!(
            "select has_table_privilege(oid, 'calls', 'SELECT') as reads from pg_roles where rolname = $n${role}$n$"
        );
        assert_eq!(database.rows(&known).await, [json!({"reads": true})]);
        forget(&database, &role).await;
    }
    for (bad, problem) in [
        ("", "the name of a role has 1 to 63 bytes"),
        (&"x".repeat(64), "the name of a role has 1 to 63 bytes"),
        ("pg_reader", "reserved"),
        ("public", "reserved"),
    ] {
        let refused = desk.run(&["migrate", "--reader-role", bad]).await;
        assert!(refused.failure().contains(problem), "{bad}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_do_more_is_left_as_it_is() {
    let database = TestDatabase::create().await;
    let desk = Desk::at(&database);
    let role = name("more");
    let own = database.rows("select current_user as name").await[0]["name"].as_str().unwrap().to_owned();
    let refused = desk.run(&["migrate", "--reader-role", &own]).await;
    assert!(
        refused.failure().starts_with(&format!("the role {own:?} may do more than read: ")),
        "{refused:?}"
    );
    for (before, after, why) in [
        ("alter role R createdb", "alter role R nocreatedb", "it may make roles or databases"),
        (
            "grant update (status) on calls to R",
            "revoke update (status) on calls from R",
            "it may write to our tables",
        ),
        ("grant insert on users to R", "revoke insert on users from R", "it may write to our tables"),
        (
            "grant select on users to R",
            "revoke select on users from R",
            "it may read what passwords or refresh tokens are checked with",
        ),
        ("create role R_group; grant R_group to R", "drop role R_group", "it is a member of other roles"),
        (
            "grant create on schema public to R; grant R to current_user; set role R; create table theirs (); reset role",
            "drop table theirs",
            "it owns something",
        ),
    ] {
        let as_role = |sql: &str| sql.replace('R', &role);
        database.execute(&format!("create role {role}")).await;
        database.execute(&as_role(before)).await;
        let refused = desk.run(&["migrate", "--reader-role", &role]).await;
        assert_eq!(
            refused.failure(),
            format!("the role {role:?} may do more than read: {why}; it is left as it is, name another one"),
        );
        let untouched = format!("select has_table_privilege('{role}', 'call_history', 'SELECT') as reads");
        assert_eq!(database.rows(&untouched).await, [json!({"reads": false})], "{before}");
        database.execute(&as_role(after)).await;
        forget(&database, &role).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_creates_nothing_where_everybody_might() {
    let database = TestDatabase::create().await;
    let (desk, role) = (Desk::at(&database), name("open"));
    // As it comes before PostgreSQL 15.
    database.execute("grant create on schema public to public").await;
    desk.run(&["migrate", "--reader-role", &role]).await.ok();
    database.execute(&format!("grant {role} to current_user")).await;
    let sql = "set default_transaction_read_only = off; create table mine (n int)";
    let error = database.try_as(&role, sql).await.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().unwrap(), "42501", "{error}");
    database.execute(&format!("grant create on schema public to {role}")).await;
    let refused = desk.run(&["migrate", "--reader-role", &role]).await;
    assert_eq!(
        refused.failure(),
        format!(
            "the role {role:?} may do more than read: it may create tables; it is left as it is, name another one"
        )
    );
    forget(&database, &role).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_is_open_to_everybody_and_not_ours_to_close_is_told_of() {
    let database = TestDatabase::create().await;
    let (mut desk, role, maker) = (Desk::at(&database), name("ajar"), name("maker"));
    database
        .execute(&format!(
            "grant create on schema public to public;
             create role {maker} createrole;
             grant {maker} to current_user;
             grant all on all tables in schema public to {maker} with grant option"
        ))
        .await;
    let separator = if database.url.contains('?') { '&' } else { '?' };
    desk.database = format!("{}{separator}options[role]={maker}", database.url);
    let refused = desk.run(&["migrate", "--reader-role", &role]).await;
    assert!(
        refused.failure().starts_with("everybody may create tables in the schema public, "),
        "{refused:?}"
    );
    let there = database.rows(&format!("select from pg_roles where rolname = '{role}'")).await;
    assert!(there.is_empty(), "nothing is done by halves");
    forget(&database, &maker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_read_and_never_shown() {
    let database = TestDatabase::create().await;
    let desk = Desk::at(&database);
    let role = name("password");
    let words = ["migrate", "--reader-role", &role, "--reader-password"];
    let short = desk.run_with(&words, "short\n").await;
    assert_eq!(short.failure(), "the password of a role has 8 to 128 printable ASCII characters");
    assert_eq!(desk.run(&words).await.failure(), "there is no password on standard input");
    let made = desk.run_with(&words, "correct horse 1\n").await.ok();
    assert!(!made.contains("correct"), "{made}");
    // What PostgreSQL keeps only its superuser sees; `store::scram` is held to what PostgreSQL makes of a password itself.
    if database.rows("select rolsuper from pg_roles where rolname = current_user").await
        == [json!({"rolsuper": true})]
    {
        let kept = format!("select rolpassword from pg_authid where rolname = '{role}'");
        let kept = database.rows(&kept).await;
        assert!(kept[0]["rolpassword"].as_str().unwrap().starts_with("SCRAM-SHA-256$4096:"));
    }
    desk.run(&["migrate", "--reader-password"]).await.usage();
    forget(&database, &role).await;
}
