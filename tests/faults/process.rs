//! Faults of the server's process.

use crate::database::{all_is_as_before, settled};
use crate::ledger::{ACTIVE, HUNG_UP, RINGING, SERVER_RESTART};
use crate::population::Population;
use crate::rounds;
use crate::world::World;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;
use test_kit::client::call_user;
use test_kit::postgres::rows;
use test_kit::{Client, End, PATIENCE, Server};
use tokio::net::TcpStream;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_amid_dialling_loses_no_call_and_the_next_one_closes_what_it_left_live() {
    let mut world = World::start(&[]).await;
    let mut people = Population::register(&world).await;
    people.enter(&world).await;
    people.talk().await;
    for round in 0..rounds() {
        people.new_calls().await;
        // The ends of these were heard a moment before they were written.
        people.ledger.settles(&world.database).await;
        kill_amid_dialling(&mut world, &mut people, round).await;
        the_dead_ones_statements_are_over(&world).await;
        let left = rows(&world.database, HISTORY).await;
        world.start_server().await;
        only_live_rows_were_closed(&left, &rows(&world.database, HISTORY).await);
        people.enter(&world).await;
        people.talk().await;
        people.new_calls().await;
        world.check(&people).await;
    }
    world.stop_server().await;
}

/// What the dead server had sent to PostgreSQL is carried out all the same, a moment after its death.
async fn the_dead_ones_statements_are_over(world: &World) {
    let journals =
        "select pid from pg_stat_activity where application_name like 'video-call-server journal%'";
    let over = timeout(PATIENCE, async {
        while !rows(&world.database, journals).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    over.await.expect("PostgreSQL to notice that the server is dead");
}

const HISTORY: &str = "select id, status, end_reason, answered_at, ended_at from calls order by id";

/// Ten dial and ten hang up at the moment of the kill; what was acknowledged counts.
async fn kill_amid_dialling(world: &mut World, people: &mut Population, round: usize) {
    let dialled: Vec<_> = people
        .idle_callers()
        .map(|(caller, callee)| (caller, caller.emit_with_ack("call_user", &call_user(&callee.id))))
        .collect();
    for pair in 0..dialled.len() {
        let call = &people.calls[pair];
        people.pair(pair).0.emit("end_call", &json!({"callId": call}));
        // Whether its end was written is for the server to know.
        people.ledger.note(call, &[ACTIVE, HUNG_UP]);
    }
    // From before the first acknowledgement to well behind the last one.
    tokio::time::sleep(Duration::from_millis(3) * u32::try_from(round).unwrap()).await;
    assert_eq!(world.take_server().kill().await.code, None, "killed");
    for client in &people.clients {
        assert_eq!(client.ended().await, End::Close);
    }
    for (caller, dial) in dialled {
        if let Some(call) = call_in(caller, dial) {
            people.ledger.note(&call, &[RINGING]);
        }
    }
    people.ledger.end_live(|_| SERVER_RESTART);
    people.calls.clear();
}

/// The call whose dialling was acknowledged, if it was.
fn call_in(caller: &Client, dial: u64) -> Option<String> {
    Some(caller.ack_so_far(dial)?["callId"].as_str()?.to_owned())
}

/// Rows that were over are as they were; those that were not failed by the restart; none came and none went.
fn only_live_rows_were_closed(before: &[Value], after: &[Value]) {
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(after) {
        if before["ended_at"].is_null() {
            assert_eq!((&after["id"], &after["answered_at"]), (&before["id"], &before["answered_at"]));
            assert_eq!([&after["status"], &after["end_reason"]], ["failed", "server_restart"]);
        } else {
            assert_eq!(after, before);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_stopped_amid_calls_ends_each_of_them_in_order() {
    let mut world = World::start(&[]).await;
    let mut people = Population::register(&world).await;
    for _ in 0..rounds() {
        people.enter(&world).await;
        people.talk().await;
        people.new_calls().await;
        world.check(&people).await;
        let ringing: Vec<_> = people.idle_callers().collect();
        join_all(ringing.iter().map(async |(caller, callee)| people.ring(caller, callee).await)).await;
        let (talker, _) = people.pair(0);
        let (hears, ()) = tokio::join!(talker.expect("call_ended"), world.stop_server());
        assert_eq!(hears["reason"], "server_shutdown");
        for client in &people.clients {
            assert_eq!(client.ended().await, End::Close, "the official client should come back by itself");
        }
        people.ledger.end_live(|outcome| match outcome {
            ACTIVE => "completed/server_shutdown",
            _ => "failed/server_shutdown",
        });
        people.calls.clear();
        // Before the next server can have closed anything.
        let live = rows(&world.database, "select id from calls where ended_at is null").await;
        assert_eq!(live, [] as [Value; 0]);
        people.ledger.settles(&world.database).await;
        world.start_server().await;
    }
    world.stop_server().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_sockets_that_broke_off_come_back_at_once_and_their_calls_go_on() {
    let mut world = World::start(&[]).await;
    let mut people = Population::register(&world).await;
    people.enter(&world).await;
    people.talk().await;
    let mut slowest = Duration::ZERO;
    for _ in 0..rounds() {
        slowest = slowest.max(people.enter(&world).await);
        people.new_calls().await;
        world.check(&people).await;
    }
    println!("two hundred sockets were back within {slowest:?}");
    world.stop_server().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_out_of_file_descriptors_keeps_its_calls_and_serves_again_when_some_are_free() {
    let mut world = World::start(&[]).await;
    world.expect_error("cannot accept connections");
    let mut people = settled(&world).await;
    for round in 1..=rounds() {
        let limit = u64::try_from(world.server().open_files() + SPARE_FILES).unwrap();
        world.server().limit_open_files(Some(limit));
        let address = world.address();
        let held = join_all((0..2 * SPARE_FILES).map(|_| TcpStream::connect(address))).await;
        world.server().logs_times(&["cannot accept connections"], round).await;
        people.talk_while(people.new_calls()).await;
        people.all_stayed();
        drop(held);
        all_is_as_before(&world, &mut people).await;
        world.server().limit_open_files(None);
    }
    world.stop_server().await;
}

/// File descriptors left when the limit is set: enough for REST, fewer than are then asked for.
const SPARE_FILES: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_calls_of_a_server_whose_host_vanished_are_closed_by_its_successor() {
    let world = World::in_a_network(&[]).await;
    let mut people = settled(&world).await;
    people.ledger.settles(&world.database).await;
    world.network().break_links();
    let successor = world.start_successor().await;
    // First PostgreSQL misses the dead host, then the successor finds the history without an owner.
    successor.logs(&["another server writes history"]).await;
    let left = "select id from calls where ended_at is null";
    let closed = timeout(3 * PATIENCE, async {
        while !rows(&world.database, left).await.is_empty() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    assert!(closed.await.is_ok(), "the calls of a dead host stay open");
    people.calls.clear();
    people.ledger.end_live(|_| SERVER_RESTART);
    people.ledger.settles(&world.database).await;
    assert_eq!(successor.stop().await.code, Some(0));
}
