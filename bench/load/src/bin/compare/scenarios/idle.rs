//! Sockets that have joined and do nothing more.

use crate::Stage;
use crate::board::{Board, Metric, Target, Unit};
use crate::house::{Kind, NO_LISTS};
use crate::meter::Meter;
use crate::wire::Crowd;
use tokio::time::sleep;

/// The sizes are sockets.
static MEMORY: Metric = Metric {
    name: "memory an idle joined socket, by sockets",
    unit: Unit::Bytes,
    target: Target::AtMost(1.0),
};
static CPU: Metric = Metric {
    name: "CPU of that many idle sockets, over their heartbeats",
    unit: Unit::Percent,
    target: Target::AtMost(0.3),
};

pub(super) async fn round(stage: &Stage, board: &mut Board) {
    for kind in Kind::ALL {
        let contestant = stage.house.start(kind, NO_LISTS).await;
        let mut crowd = Crowd::default();
        crowd.during(sleep(stage.plan.settle)).await;
        let empty = contestant.server.memory();
        let mut sockets = 0;
        for size in stage.plan.idle_sockets {
            crowd.fill(&contestant, sockets..size, "none", |_| |_| {}).await;
            sockets = size;
            crowd.during(sleep(stage.plan.settle)).await;
            let taken = contestant.server.memory().saturating_sub(empty);
            board.record_at(&MEMORY, size, kind, taken as f64 / size as f64);
        }
        let meter = Meter::start(&stage.house, &contestant);
        crowd.during(sleep(stage.plan.heartbeat)).await;
        let spent = meter.read();
        board.record(&CPU, kind, spent.server / spent.wall * 100.0);
        board.note(format!(
            "idle, {kind:?}, {sockets} sockets: {} bytes, {empty} without any",
            contestant.server.memory()
        ));
        contestant.server.kill().await;
    }
}
