//! How often one client address may ask.

use super::client_addr::ClientAddr;
use crate::error::{Error, Result};
use crate::telemetry::metrics::Counter;
use axum::extract::{Request as Incoming, State};
use axum::http::Request;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use governor::clock::{Clock, QuantaInstant};
use governor::middleware::NoOpMiddleware;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tower_governor::GovernorError;
use tower_governor::governor::{GovernorConfig, GovernorConfigBuilder};
use tower_governor::key_extractor::KeyExtractor;
use utoipa_axum::router::OpenApiRouter;

/// A limit for each client address: so many a minute, as many at once. Counts across every router it is put on.
#[derive(Clone)]
pub(crate) struct Limit {
    governor: Option<Arc<GovernorConfig<ByAddress, NoOpMiddleware<QuantaInstant>>>>,
    /// Counts what it refuses.
    refused: Counter,
    /// Hears of every address that it lets through.
    heard: Option<Arc<dyn Fn(IpAddr) + Send + Sync>>,
}

#[derive(Debug, Clone)]
struct ByAddress;

impl KeyExtractor for ByAddress {
    type Key = IpAddr;

    fn extract<T>(&self, request: &Request<T>) -> Result<IpAddr, GovernorError> {
        let addr = request.extensions().get::<ClientAddr>().ok_or(GovernorError::UnableToExtractKey)?;
        Ok(addr.bucket())
    }
}

impl Limit {
    /// 0: no limit.
    pub(crate) fn per_minute(rate: u32, refused: &Counter) -> Result<Self> {
        let refused = refused.clone();
        if rate == 0 {
            return Ok(Self { governor: None, refused, heard: None });
        }
        let mut builder = GovernorConfigBuilder::default().key_extractor(ByAddress);
        let period = (Duration::from_mins(1) / rate).max(Duration::from_nanos(1));
        let config = builder.period(period).burst_size(rate).finish();
        let governor = config.ok_or_else(|| Error::internal("a rate limit of nothing"))?;
        Ok(Self { governor: Some(Arc::new(governor)), refused, heard: None })
    }

    /// Tells of every address that it lets through.
    pub(crate) fn telling(mut self, heard: impl Fn(IpAddr) + Send + Sync + 'static) -> Self {
        self.heard = Some(Arc::new(heard));
        self
    }

    /// Another server has let the address through.
    pub(crate) fn count_elsewhere(&self, address: &IpAddr) {
        if let Some(config) = &self.governor {
            // Refused or not: it has happened.
            let _ = config.limiter().check_key(address);
        }
    }

    /// Puts the limit on every route of the router.
    ///
    /// Not by the layer of `tower_governor`, which makes itself a clock for each refusal: that asks the processor what it is,
    /// which a virtual machine has to emulate, and was 7 % of what a flood cost.
    pub(crate) fn on<S: Clone + Send + Sync + 'static>(&self, router: OpenApiRouter<S>) -> OpenApiRouter<S> {
        if self.governor.is_none() { router } else { router.layer(from_fn_with_state(self.clone(), guard)) }
    }

    /// Counts one request of the address.
    pub(crate) fn take(&self, addr: &ClientAddr) -> Result<()> {
        self.count(&addr.bucket())
    }

    fn count(&self, address: &IpAddr) -> Result<()> {
        let Some(config) = &self.governor else { return Ok(()) };
        let limiter = config.limiter();
        limiter.check_key(address).map_err(|refused| {
            self.refused.inc();
            let retry_after = refused.wait_time_from(limiter.clock().now());
            Error::RateLimited { retry_after: retry_after.max(Duration::from_secs(1)) }
        })?;
        if let Some(heard) = &self.heard {
            heard(*address);
        }
        Ok(())
    }

    /// Forgets addresses that have not asked lately: the map does not shrink by itself.
    pub(crate) fn prune(&self) {
        if let Some(config) = &self.governor {
            config.limiter().retain_recent();
            config.limiter().shrink_to_fit();
        }
    }
}

async fn guard(State(limit): State<Limit>, request: Incoming, next: Next) -> Result<Response> {
    limit.count(&ByAddress.extract(&request).map_err(Error::internal)?)?;
    Ok(next.run(request).await)
}
