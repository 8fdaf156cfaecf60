//! How long HTTP requests take.

use super::register::{Register, SHORT};
use axum::http::{Method, StatusCode};
use prometheus::{HistogramVec, Result};
use std::time::Duration;

/// Measures requests by route, method and status.
#[derive(Clone)]
pub(crate) struct Requests(HistogramVec);

impl Requests {
    pub(super) fn new(register: &Register<'_>) -> Result<Self> {
        let name = "video_call_http_request_duration_seconds";
        let help = "From a request's head to its response's, by route (unmatched: none of ours), method and status. \
                    Long-polling, under /socket.io, waits for something to tell.";
        register.histograms(name, help, &["route", "method", "status"], SHORT).map(Self)
    }

    /// `route`: as it was declared, never the path that was asked for.
    pub(crate) fn answered(&self, route: &str, method: &Method, status: StatusCode, took: Duration) {
        let labels = [route, label(method), status.as_str()];
        self.0.with_label_values(&labels).observe(took.as_secs_f64());
    }
}

/// A client may invent methods.
fn label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
