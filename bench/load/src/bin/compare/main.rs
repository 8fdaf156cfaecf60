//! This server beside the demo server and a bare socketioxide, in one interleaved run: `bench/compare`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    reason = "a measurement panics where a server answers otherwise than it must, says what it saw, and counts far below 2^52"
)]

mod board;
mod exchange;
mod house;
mod machine;
mod meter;
mod plan;
mod scenarios;
mod wire;

use board::Board;
use house::House;
use load::setting;
use plan::Plan;
use scenarios::SCENARIOS;
use std::path::PathBuf;
use std::process::ExitCode;
use test_kit::load::{alone_beside_the_server, raise_file_limit};
use tokio::task::LocalSet;

/// What a scenario is given.
pub(crate) struct Stage {
    plan: Plan,
    house: House,
}

fn main() -> ExitCode {
    let wanted: Vec<_> = std::env::args().skip(1).collect();
    if let Some(unknown) = wanted.iter().find(|name| SCENARIOS.iter().all(|known| known.name != **name)) {
        let known: Vec<_> = SCENARIOS.iter().map(|known| known.name).collect();
        eprintln!("{unknown} is none of {}", known.join(", "));
        return ExitCode::FAILURE;
    }
    let is_quick = setting("BENCH_QUICK", 0) != 0;
    let plan = if is_quick { Plan::quick() } else { Plan::real(setting("BENCH_ROUNDS", 3)) };
    raise_file_limit(plan.users() as u64);
    alone_beside_the_server().block_on(LocalSet::new().run_until(async {
        let stage = Stage { house: House::build(plan.users()).await, plan };
        let mut board = Board::default();
        for scenario in
            SCENARIOS.iter().filter(|known| wanted.is_empty() || wanted.iter().any(|name| name == known.name))
        {
            for round in 1..=stage.plan.rounds {
                eprintln!("{}, round {round} of {}", scenario.name, stage.plan.rounds);
                (scenario.round)(&stage, &mut board).await;
            }
        }
        if is_quick {
            println!("BENCH_QUICK: everything ran; the figures mean nothing.\n");
        }
        println!("{}\n\n{}", machine::describe(&stage).await, board.markdown());
    }));
    ExitCode::SUCCESS
}

/// A path from the environment.
fn setting_path(name: &str) -> PathBuf {
    std::env::var_os(name).map_or_else(|| panic!("{name}: a path is missing"), PathBuf::from)
}
