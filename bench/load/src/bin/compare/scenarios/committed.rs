//! What only ours does: calls that are on record before they ring.

use crate::Stage;
use crate::board::{Board, Metric, Target, Unit};
use crate::exchange::Exchange;
use crate::house::{Kind, NO_LISTS};
use crate::meter::Meter;
use crate::wire::Crowd;
use test_kit::postgres;

/// The sizes are calls at once.
static CALLS: Metric = Metric {
    name: "calls, each committed before it rings, then answered and ended, by calls at once",
    unit: Unit::PerSecond,
    target: Target::Any,
};

pub(super) async fn round(stage: &Stage, board: &mut Board) {
    let contestant = stage.house.start(Kind::Ours, NO_LISTS).await;
    let mut crowd = Crowd::default();
    let exchange = Exchange::open(&contestant, &mut crowd, stage.plan.pairs, 0).await;
    for at_once in stage.plan.commits_at_once {
        let before = rows(stage).await;
        let meter = Meter::start(&stage.house, &contestant);
        let spent = crowd
            .during(async {
                exchange.saturate(at_once, stage.plan.window).await;
                exchange.settle().await;
                meter.read()
            })
            .await;
        let tally = exchange.take_tally();
        assert_eq!(rows(stage).await - before, tally.calls, "calls that are on record");
        let per_second = tally.calls as f64 / spent.wall;
        board.record_at(&CALLS, at_once, Kind::Ours, per_second);
        let (shares, warning) = (spent.shares(), tally.warning());
        board.note(format!("committed, {at_once} at once: {per_second:.0} calls/s; {shares}{warning}"));
    }
    contestant.server.kill().await;
}

async fn rows(stage: &Stage) -> u64 {
    let count = postgres::rows(&stage.house.url, "select count(*) as calls from calls").await;
    count[0]["calls"].as_u64().unwrap()
}
