//! Faults of those at the other end, the clients, and of the way to them.

use crate::database::settled;
use crate::population::Population;
use crate::rounds;
use crate::world::World;
use futures_util::future::{join, join_all};
use serde_json::json;
use std::time::Duration;

/// So that a silent client is noticed within three seconds, and its call ends a while after all of them were noticed.
const IMPATIENT: [(&str, &str); 3] =
    [("PING_INTERVAL", "1s"), ("PING_TIMEOUT", "2s"), ("RECONNECT_GRACE", "12s")];

/// The first ten who were called.
const LOST: [usize; 10] = [1, 3, 5, 7, 9, 11, 13, 15, 17, 19];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_vanish_without_a_packet_are_noticed_and_may_come_back() {
    let mut world = World::in_a_network(&IMPATIENT).await;
    let mut people = settled(&world).await;
    for _ in 0..rounds() {
        assert_eq!(people.come_back(&world.second_address(), &LOST).await, LOST.len());
        people.forget_events().await;
        world.network().break_second_link();
        people.absent.extend(LOST);
        are_missed_and_come_back(&world, &mut people).await;
        world.network().mend_second_link();
        world.check(&people).await;
    }
    world.stop_server().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_are_noticed_and_hold_up_nobody() {
    let mut world = World::start(&IMPATIENT).await;
    let mut people = settled(&world).await;
    for _ in 0..rounds() {
        people.forget_events().await;
        for deaf in LOST {
            people.clients[deaf].stop_reading();
        }
        people.absent.extend(LOST);
        people.talk_while(join_all((0..3).map(|pair| flood(&people, pair)))).await;
        are_missed_and_come_back(&world, &mut people).await;
        world.check(&people).await;
    }
    world.stop_server().await;
}

/// The caller sends what the callee does not take, more than any buffer on the way holds.
async fn flood(people: &Population, pair: usize) {
    let sdp = format!("v=0\r\n{}", "a=x\r\n".repeat(8000));
    let description = json!({"type": "offer", "sdp": sdp});
    let event = json!({"callId": people.calls[pair], "description": description});
    for _ in 0..120 {
        // Answered one by one, so that heartbeats get through; refused, once the callee is missed for good.
        people.pair(pair).0.ack("renegotiate", &event).await;
    }
}

/// Those who talk to the lost hear of it; half of the lost come back in time and go on talking, the calls of the others end.
async fn are_missed_and_come_back(world: &World, people: &mut Population) {
    let missed = join_all(LOST.map(async |lost| {
        let told = people.clients[lost - 1].expect("peer_reconnecting").await;
        assert_eq!(told["callId"], json!(people.calls[lost / 2]));
    }));
    people.talk_while(missed).await;
    world.presence_equals_sockets(people).await;
    let (back, gone) = LOST.split_at(LOST.len() / 2);
    assert_eq!(people.come_back(world, back).await, back.len());
    for socket in back {
        people.clients[socket - 1].expect("peer_reconnected").await;
    }
    let ended = join_all(gone.iter().map(async |socket| {
        let told = people.clients[socket - 1].expect("call_ended").await;
        let call = &people.calls[socket / 2];
        assert_eq!(told, json!({"callId": call, "reason": "connection_lost"}));
        people.ledger.note(call, &["completed/connection_lost"]);
    }));
    people.talk_while(ended).await;
    assert_eq!(people.come_back(world, gone).await, 0);
    for socket in gone {
        people.talk_again(socket / 2).await;
    }
    people.new_calls().await;
    people.all_stayed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fifth_of_all_packets_lost() {
    let mut world = World::in_a_network(&[]).await;
    let people = settled(&world).await;
    if !world.network().lose(LOSS) {
        println!("NOT TESTED: this machine's kernel cannot lose packets (iptables' statistic match)");
        return;
    }
    println!("packets are lost by iptables' statistic match, in a network namespace");
    world.network().lose_nothing(LOSS);
    for _ in 0..rounds() {
        assert!(world.network().lose(LOSS));
        let until_it_is_over = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            world.network().lose_nothing(LOSS)
        };
        let dialling = join(until_it_is_over, people.new_calls());
        let (lost, ()) = people.talk_while(dialling).await;
        assert!(lost > 0, "nothing was lost");
        people.all_stayed();
        world.check(&people).await;
    }
    world.stop_server().await;
}

const LOSS: f32 = 0.2;
