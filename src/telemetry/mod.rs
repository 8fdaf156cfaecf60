//! Logs and metrics are set up here and nowhere else.

mod log;
pub(crate) mod metrics;

pub(crate) use log::filter;
pub use log::{Output, TelemetryError, init};
