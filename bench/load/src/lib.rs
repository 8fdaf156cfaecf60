//! What the measurements share: a server to measure, and what a series of samples says.
#![expect(
    clippy::panic,
    clippy::missing_panics_doc,
    clippy::disallowed_methods,
    reason = "a measurement that cannot be taken ends with a panic, and its settings come from the environment"
)]

mod ground;
mod trend;

pub use ground::Ground;
pub use trend::Trend;

/// A whole number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |raw| {
        raw.parse().unwrap_or_else(|_| panic!("{name}: {raw:?} is not a whole number"))
    })
}
