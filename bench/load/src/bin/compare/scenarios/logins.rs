//! Logins, beside the hash that they cannot do without, and what calls notice of them.

use crate::Stage;
use crate::board::{Board, Metric, Target, Unit, Whose};
use crate::exchange::Exchange;
use crate::house::{Contestant, Kind, NO_LISTS};
use crate::meter::Meter;
use crate::wire::{Crowd, Http, post};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use test_kit::PASSWORD;
use test_kit::load::{in_the_servers_place, percentile};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

/// Logins at once.
const CONNECTIONS: usize = 8;
const PAIRS: usize = 20;
const CANDIDATES: usize = 10;
/// Of the server's hashes: OWASP's.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

static LOGINS: Metric = Metric {
    name: "logins a core-second",
    unit: Unit::PerSecond,
    target: Target::AtLeastOf(0.9, "argon2 alone"),
};
static CANDIDATE: Metric = Metric {
    name: "p99 candidate in → candidate out, under a flood of logins",
    unit: Unit::Time,
    target: Target::AtMostOf(1.1, "without logins"),
};

pub(super) async fn round(stage: &Stage, board: &mut Board) {
    let time = stage.plan.window;
    board.record(&LOGINS, Whose::Beside, in_the_servers_place(|| hashes_a_second(time)));
    let contestant = stage.house.start(Kind::Ours, NO_LISTS).await;
    let mut crowd = Crowd::default();
    let exchange =
        Exchange::open(&contestant, &mut crowd, stage.plan.pairs.min(PAIRS * 10), CANDIDATES).await;
    let p99 = crowd.during(candidates(stage, &exchange)).await;
    board.record(&CANDIDATE, Whose::Beside, p99);
    let flood = Flood::begin(&contestant);
    crowd.during(sleep(stage.plan.warm_up)).await;
    let p99 = crowd.during(candidates(stage, &exchange)).await;
    board.record(&CANDIDATE, Kind::Ours, p99);
    let (meter, before) = (Meter::start(&stage.house, &contestant), flood.logins.get());
    crowd.during(sleep(time)).await;
    let (spent, logins) = (meter.read(), flood.logins.get() - before);
    flood.end().await;
    board.record(&LOGINS, Kind::Ours, f64::from(logins) / spent.server);
    board.note(format!("logins alone: {}", spent.shares()));
    contestant.server.kill().await;
}

async fn candidates(stage: &Stage, exchange: &Rc<Exchange>) -> f64 {
    exchange.pace(stage.plan.calls_beside_logins, stage.plan.warm_up).await;
    exchange.settle().await;
    exchange.take_tally();
    exchange.pace(stage.plan.calls_beside_logins, stage.plan.window).await;
    exchange.settle().await;
    let mut tally = exchange.take_tally();
    percentile(&mut tally.candidates, 0.99).as_secs_f64()
}

/// Logins, one after the other on each connection.
struct Flood {
    logins: Rc<Cell<u32>>,
    connections: JoinSet<()>,
}

impl Flood {
    fn begin(contestant: &Contestant) -> Self {
        let logins = Rc::new(Cell::new(0_u32));
        let mut connections = JoinSet::new();
        for number in 0..CONNECTIONS {
            let name = contestant.account(number).name;
            let request = post("/api/login", &format!(r#"{{"username":"{name}","password":"{PASSWORD}"}}"#));
            let (address, logins) = (contestant.address(), Rc::clone(&logins));
            let _: AbortHandle = connections.spawn_local(async move {
                let mut http = Http::open(address).await;
                loop {
                    http.ask(&request).await;
                    logins.update(|count| count + 1);
                }
            });
        }
        Self { logins, connections }
    }

    async fn end(mut self) {
        // A login that was refused has ended its connection.
        assert!(self.connections.try_join_next().is_none(), "a login failed");
        self.connections.shutdown().await;
    }
}

/// As the server does it, with memory that is used again.
fn hashes_a_second(time: Duration) -> f64 {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(32)).unwrap();
    let mut memory = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    // A thread's time begins with it.
    let taken = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let (mut output, mut hashes) = ([0; 32], 0.0);
    while taken() < time {
        argon2
            .hash_password_into_with_memory(
                PASSWORD.as_bytes(),
                b"sixteen bytes of",
                &mut output,
                &mut memory,
            )
            .unwrap();
        std::hint::black_box(&output);
        hashes += 1.0;
    }
    hashes / taken().as_secs_f64()
}
