//! Faults of PostgreSQL and of the way to it. Through all of them sockets and calls live, and new calls ring.

use crate::population::Population;
use crate::proxy::Line;
use crate::rounds;
use crate::world::{PROGRAM, World};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use serde_json::Value;
use std::time::Duration;
use test_kit::postgres::execute;
use test_kit::{Account, Client, End, PATIENCE, Shutdown};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;

/// The database is away while this runs: calls go on, new ones ring, REST serves or says when to come back.
async fn live_without_a_database(world: &World, people: &Population, time: Duration) {
    let refused = live_with_a_bad_database(world, people, time).await;
    assert!(refused > 0, "the database was there all the time");
}

/// The same, where the database may answer all the same; how many requests were refused.
pub(crate) async fn live_with_a_bad_database(world: &World, people: &Population, time: Duration) -> usize {
    let mut refused = 0;
    let bad = async {
        let begun = tokio::time::Instant::now();
        loop {
            people.new_calls().await;
            refused += world.rest_answers(people).await.iter().filter(|answer| answer.status == 503).count();
            let left = time.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(Duration::from_secs(3))).await;
        }
    };
    people.talk_while(bad).await;
    people.all_stayed();
    refused
}

/// Everybody is here and talks, and each round adds calls before and after its fault.
pub(crate) async fn settled(world: &World) -> Population {
    let mut people = Population::register(world).await;
    people.enter(world).await;
    people.talk().await;
    people
}

/// After a fault: nobody has noticed, and everything that happened is on record.
pub(crate) async fn all_is_as_before(world: &World, people: &mut Population) {
    people.new_calls().await;
    world.check(people).await;
    people.all_stayed();
    a_revocation_in_sql_is_heard(world, people).await;
    // Calls that began before a fault end after it, and others begin.
    people.hang_up().await;
    people.talk().await;
}

/// As the claims of its token say.
fn session_of(account: &Account) -> String {
    let claims = account.token.split('.').nth(1).unwrap();
    let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    claims["sid"].as_str().unwrap().to_owned()
}

/// A login that an admin ends is over at once, as before the fault.
async fn a_revocation_in_sql_is_heard(world: &World, people: &Population) {
    let account = Account::log_in(world, &people.accounts[0].username).await;
    let client = Client::joined(world, &account).await;
    let session = session_of(&account);
    execute(&world.database, &format!("update sessions set revoked_at = now() where id = '{session}'")).await;
    assert_eq!(client.ended().await, End::Disconnect);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_stopped_as_by_a_crash_and_started_ten_seconds_later() {
    let mut world = World::start(&[]).await;
    let mut people = settled(&world).await;
    for _ in 0..rounds() {
        people.new_calls().await;
        world.cluster.stop(Shutdown::Immediate).await;
        live_without_a_database(&world, &people, Duration::from_secs(10)).await;
        people.talk_while(world.cluster.resume()).await;
        all_is_as_before(&world, &mut people).await;
    }
    world.stop_server().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_frozen_for_half_a_minute() {
    // It is mostly waiting: two at a time.
    let half = rounds() / 2;
    tokio::join!(freeze_for_half_a_minute(half), freeze_for_half_a_minute(rounds() - half));
}

async fn freeze_for_half_a_minute(times: usize) {
    let mut world = World::start(&[]).await;
    let mut people = settled(&world).await;
    for _ in 0..times {
        people.new_calls().await;
        world.cluster.freeze();
        live_without_a_database(&world, &people, Duration::from_secs(30)).await;
        world.cluster.thaw();
        all_is_as_before(&world, &mut people).await;
    }
    world.stop_server().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_to_postgres_cut() {
    ill_treat_the_line(Line::Cut, Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_to_postgres_slow() {
    ill_treat_the_line(Line::Slow(Duration::from_millis(400)), Duration::from_secs(4)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_to_postgres_half_open() {
    ill_treat_the_line(Line::HalfOpen, Duration::from_secs(8)).await;
}

async fn ill_treat_the_line(line: Line, time: Duration) {
    let mut world = World::behind_a_proxy().await;
    let mut people = settled(&world).await;
    for _ in 0..rounds() {
        people.new_calls().await;
        world.proxy().set(line);
        let refused = live_with_a_bad_database(&world, &people, time).await;
        assert!(refused > 0 || matches!(line, Line::Slow(_)), "the database was there all the time");
        world.proxy().set(Line::Good);
        all_is_as_before(&world, &mut people).await;
    }
    world.stop_server().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_backend_terminated() {
    let mut world = World::start(&[]).await;
    let mut people = settled(&world).await;
    for _ in 0..rounds() {
        let terminate = execute(
            &world.database,
            "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = 'client backend'",
        );
        // In the midst of writing.
        tokio::join!(people.new_calls(), people.exchange(), terminate);
        all_is_as_before(&world, &mut people).await;
    }
    world.stop_server().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_postgres_takes_connections_and_never_answers_says_so_and_ends() {
    // The kernel takes what nobody accepts.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://postgres@{}/calls", silent.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut server = Command::new(PROGRAM);
    server.env_clear().envs([("PORT", "0"), ("DATABASE_URL", &url)]).current_dir(&folder).kill_on_drop(true);
    let ended = timeout(PATIENCE, server.output()).await.expect("it to end").unwrap();
    let complaint = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1));
    assert!(
        complaint.contains("cannot connect to PostgreSQL") && complaint.lines().count() == 1,
        "{complaint}"
    );
}
