//! Requests, one after the other on each of a few connections.

use crate::Stage;
use crate::board::{Board, Metric, Target, Unit};
use crate::house::{Contestant, Kind, NO_LISTS};
use crate::meter::{Meter, Spent};
use crate::wire::{Crowd, Http, get};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

const CONNECTIONS: usize = 32;

static HEALTH: Metric =
    Metric { name: "`/health`, requests a core-second", unit: Unit::PerSecond, target: Target::AtLeast(8.0) };
/// The sizes are users online.
static ONLINE: Metric = Metric {
    name: "`/api/online-users`, requests a core-second, by users online",
    unit: Unit::PerSecond,
    target: Target::AtLeast(8.0),
};

pub(super) async fn round(stage: &Stage, board: &mut Board) {
    for kind in Kind::ALL {
        let contestant = stage.house.start(kind, NO_LISTS).await;
        let mut crowd = Crowd::default();
        let health = get("/health", "");
        let (requests, spent) = crowd.during(ask(stage, &contestant, &health)).await;
        board.record(&HEALTH, kind, requests / spent.server);
        board.note(format!("http, {kind:?}, /health: {}", spent.shares()));
        let mut online = 0;
        for size in stage.plan.listed_users {
            crowd.fill(&contestant, online..size, "none", |_| |_| {}).await;
            online = size;
            let request = get("/api/online-users", &contestant.account(0).token);
            let (requests, spent) = crowd.during(ask(stage, &contestant, &request)).await;
            board.record_at(&ONLINE, size, kind, requests / spent.server);
        }
        contestant.server.kill().await;
    }
}

/// As many as can be answered in the time: how many, and what that took.
async fn ask(stage: &Stage, contestant: &Contestant, request: &[u8]) -> (f64, Spent) {
    flood(contestant, request, stage.plan.warm_up).await;
    let meter = Meter::start(&stage.house, contestant);
    let answered = flood(contestant, request, stage.plan.window / 3).await;
    (answered, meter.read())
}

async fn flood(contestant: &Contestant, request: &[u8], time: Duration) -> f64 {
    let answered = Rc::new(Cell::new(0_u32));
    let end = Instant::now() + time;
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (address, request, answered) = (contestant.address(), request.to_owned(), Rc::clone(&answered));
        connections.spawn_local(async move {
            let mut http = Http::open(address).await;
            while Instant::now() < end {
                http.ask(&request).await;
                answered.update(|count| count + 1);
            }
        });
    }
    connections.join_all().await;
    answered.get().into()
}
