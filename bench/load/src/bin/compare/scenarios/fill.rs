//! Users who join one after the other, each told of all before, and all before told of each.

use crate::Stage;
use crate::board::{Board, Metric, Target, Unit};
use crate::house::{ALL_LISTS, Kind};
use crate::meter::Meter;
use crate::wire::{Crowd, enter};

static TIME: Metric = Metric {
    name: "users who join one after the other: time",
    unit: Unit::Time,
    target: Target::AtMost(0.05),
};

pub(super) async fn round(stage: &Stage, board: &mut Board) {
    for kind in Kind::ALL {
        let contestant = stage.house.start(kind, ALL_LISTS).await;
        let mut crowd = Crowd::default();
        let meter = Meter::start(&stage.house, &contestant);
        let sizes = stage.plan.filling_users;
        for number in 0..sizes[2] {
            let account = contestant.account(number);
            let (_, reader) = crowd.during(enter(contestant.address(), &account, "full")).await;
            crowd.add(reader, |_| {});
            if let Some(size) = sizes.iter().find(|size| **size == number + 1) {
                board.record_at(&TIME, *size, kind, meter.read().wall);
            }
        }
        board.note(format!("fill, {kind:?}: {}", meter.read().shares()));
        contestant.server.kill().await;
    }
}
