//! Whole calls: first as many as the server can take, then half as many as the demo server could.

use super::commit::Commits;
use crate::Stage;
use crate::board::{Board, Metric, Target, Unit, Whose};
use crate::exchange::{Exchange, Tally};
use crate::house::{Contestant, Kind, NO_LISTS};
use crate::meter::{Meter, Spent};
use crate::wire::Crowd;
use std::rc::Rc;
use std::time::Duration;
use test_kit::load::percentile;

const CANDIDATES: usize = 10;

static MESSAGES: Metric = Metric {
    name: "messages, in and out, a core-second of the server: whole calls, full load",
    unit: Unit::PerSecond,
    target: Target::AtLeast(4.5),
};
static CANDIDATE: Metric = Metric {
    name: "p99 candidate in → candidate out, at half the demo server's maximum",
    unit: Unit::Time,
    target: Target::AtMost(0.3),
};
static RING: Metric = Metric {
    name: "p99 `call_user` → `incoming_call`, at that load; ours is committed first",
    unit: Unit::Time,
    target: Target::AtMostOf(2.0, "a bare commit's p99"),
};
/// The sizes are eighths of the demo server's maximum, of which four are that load.
static CPU: Metric = Metric {
    name: "server CPU a call, at that load, database apart, by the rate of calls",
    unit: Unit::Time,
    target: Target::AtMost(0.48),
};
const EIGHTHS: [usize; 3] = [1, 2, 4];

pub(super) async fn round(stage: &Stage, board: &mut Board) {
    let mut demo_maximum = 0.0;
    for kind in Kind::ALL {
        let contestant = stage.house.start(kind, NO_LISTS).await;
        let mut crowd = Crowd::default();
        let exchange = Exchange::open(&contestant, &mut crowd, stage.plan.pairs, CANDIDATES).await;
        let turn = Turn { stage, contestant: &contestant, exchange };
        let maximum = crowd.during(turn.full_load(board)).await;
        if kind == Kind::Demo {
            demo_maximum = maximum;
        }
        for eighths in EIGHTHS {
            crowd.during(turn.equal_load(board, eighths, demo_maximum * eighths as f64 / 8.0)).await;
        }
        contestant.server.kill().await;
    }
}

struct Turn<'a> {
    stage: &'a Stage,
    contestant: &'a Contestant,
    exchange: Rc<Exchange>,
}

impl Turn<'_> {
    /// Gives the calls a second.
    async fn full_load(&self, board: &mut Board) -> f64 {
        let at_once = self.stage.plan.calls_at_once;
        let (tally, spent) = self.measure(async |time| self.exchange.saturate(at_once, time).await).await;
        let (kind, per_second) = (self.contestant.kind, tally.calls as f64 / spent.wall);
        board.record(&MESSAGES, kind, tally.messages as f64 / spent.server);
        let (shares, warning) = (spent.shares(), tally.warning());
        board.note(format!("calls, {kind:?}, full load: {per_second:.0} calls/s; {shares}{warning}"));
        per_second
    }

    async fn equal_load(&self, board: &mut Board, eighths: usize, per_second: f64) {
        let (kind, is_half) = (self.contestant.kind, eighths == 4);
        let commits =
            if is_half && kind == Kind::Ours { Some(Commits::begin(&self.stage.house).await) } else { None };
        let (mut tally, spent) = self.measure(async |time| self.exchange.pace(per_second, time).await).await;
        board.record_at(&CPU, eighths, kind, spent.server / tally.calls as f64);
        if !is_half {
            return;
        }
        let p99 = |values: &mut [Duration]| percentile(values, 0.99).as_secs_f64();
        board.record(&CANDIDATE, kind, p99(&mut tally.candidates));
        board.record(&RING, kind, p99(&mut tally.rings));
        if let Some(commits) = commits {
            board.record(&RING, Whose::Beside, p99(&mut commits.end().await));
        }
        let (shares, warning) = (spent.shares(), tally.warning());
        board.note(format!("calls, {kind:?}, {per_second:.0} calls/s: {shares}{warning}"));
    }

    /// What comes of a load once the server is warm, to the end of the last call, and what it takes.
    async fn measure(&self, load: impl AsyncFn(Duration)) -> (Tally, Spent) {
        load(self.stage.plan.warm_up).await;
        self.exchange.settle().await;
        self.exchange.take_tally();
        let meter = Meter::start(&self.stage.house, self.contestant);
        load(self.stage.plan.window).await;
        self.exchange.settle().await;
        (self.exchange.take_tally(), meter.read())
    }
}
