//! What is measured, a file each.

mod calls;
mod commit;
mod committed;
mod fill;
mod http;
mod idle;
mod logins;
mod presence;

use crate::Stage;
use crate::board::Board;
use std::pin::Pin;

/// Every server in its turn, once.
type Round = for<'a> fn(&'a Stage, &'a mut Board) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Something to measure.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) round: Round,
}

/// All of it.
pub(crate) const SCENARIOS: [Scenario; 7] = [
    Scenario { name: "calls", round: |stage, board| Box::pin(calls::round(stage, board)) },
    Scenario { name: "idle", round: |stage, board| Box::pin(idle::round(stage, board)) },
    Scenario { name: "presence", round: |stage, board| Box::pin(presence::round(stage, board)) },
    Scenario { name: "fill", round: |stage, board| Box::pin(fill::round(stage, board)) },
    Scenario { name: "http", round: |stage, board| Box::pin(http::round(stage, board)) },
    Scenario { name: "logins", round: |stage, board| Box::pin(logins::round(stage, board)) },
    Scenario { name: "committed", round: |stage, board| Box::pin(committed::round(stage, board)) },
];
