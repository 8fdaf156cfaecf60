//! What is counted and measured, for Prometheus.
//!
//! Each server has a registry of its own: several may run in one process. What happens is counted by handles that are made once,
//! so that an event costs one atomic addition and no label is looked up on its way. What is so at a moment (users, calls, depths) is not
//! counted a second time but read where it is, when somebody asks: [`Metrics::gauge`].
//!
//! Labels come from fixed sets: no name, no id, nothing that a client may choose.

mod calls;
mod events;
mod process;
mod reading;
mod register;
mod requests;
mod work;

pub(crate) use calls::Calls;
pub(crate) use events::{Events, Outcomes, SocketEvent};
pub(crate) use prometheus::IntCounter as Counter;
pub(crate) use requests::Requests;
pub(crate) use work::{Hashing, Refusals, Writing};

use crate::error::{Error, Result};
use crate::version::{REVISION, VERSION};
use prometheus::{IntGaugeVec, Opts, Registry, TextEncoder};
use reading::{Kind, Reading};
use register::Register;
use std::fmt;
use std::sync::Arc;

/// The type of what [`Metrics::render`] gives.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics of one server.
pub(crate) struct Metrics {
    registry: Registry,
    pub(crate) events: Events,
    /// CONNECTs of the socket namespace.
    pub(crate) connects: Outcomes,
    pub(crate) calls: Calls,
    pub(crate) requests: Requests,
    pub(crate) refusals: Refusals,
    pub(crate) hashing: Hashing,
    pub(crate) writing: Writing,
}

impl Metrics {
    pub(crate) fn new() -> Result<Arc<Self>> {
        Self::registered().map(Arc::new).map_err(Error::internal)
    }

    fn registered() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let register = Register(&registry);
        let refusals = Refusals::new(&register)?;
        let calls = Calls::new(&register, refusals.call.clone())?;
        let connects = register.counters(
            "video_call_socket_connects_total",
            "CONNECTs to the socket namespace, by result: ok, or the code that the client was refused with.",
            &["result"],
        )?;
        let metrics = Self {
            events: Events::new(&register)?,
            connects: Outcomes::new(&connects, &[])?,
            writing: Writing::new(&register, calls.left_live()?)?,
            calls,
            requests: Requests::new(&register)?,
            refusals,
            hashing: Hashing::new(&register)?,
            registry: registry.clone(),
        };
        process::register(&metrics)?;
        let build = IntGaugeVec::new(
            Opts::new("video_call_build_info", "Always 1; its labels tell what runs."),
            &["version", "revision"],
        )?;
        build.with_label_values(&[VERSION, REVISION]).set(1);
        metrics.registry.register(Box::new(build))?;
        Ok(metrics)
    }

    /// A value that is read when somebody asks.
    pub(crate) fn gauge(
        &self,
        name: &str,
        help: &str,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Result<()> {
        self.add(Kind::Gauge, name, help, &[], move || vec![("", read())]).map_err(Error::internal)
    }

    /// Values that are read when somebody asks, each with its value of `label`.
    pub(crate) fn gauges(
        &self,
        name: &str,
        help: &str,
        label: &str,
        read: impl Fn() -> Vec<(&'static str, f64)> + Send + Sync + 'static,
    ) -> Result<()> {
        self.add(Kind::Gauge, name, help, &[label], read).map_err(Error::internal)
    }

    /// A count that somebody else keeps, read when somebody asks.
    pub(crate) fn counter(
        &self,
        name: &str,
        help: &str,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) -> Result<()> {
        self.add(Kind::Counter, name, help, &[], move || vec![("", read())]).map_err(Error::internal)
    }

    fn add(
        &self,
        kind: Kind,
        name: &str,
        help: &str,
        label: &[&str],
        read: impl Fn() -> Vec<(&'static str, f64)> + Send + Sync + 'static,
    ) -> prometheus::Result<()> {
        self.registry.register(Box::new(Reading::new(kind, name, help, label, Box::new(read))?))
    }

    /// Everything, in Prometheus's text format. Reads files of the system and takes locks, if shortly: not for a thread that has
    /// other things to do.
    pub(crate) fn render(&self) -> Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather()).map_err(Error::internal)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}
