//! What a request needs.

use crate::auth::refresh_token::RefreshKeys;
use crate::auth::sessions::Sessions;
use crate::auth::token::Tokens;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::time::Moment;
use crate::error::Result;
use crate::live::Live;
use crate::store::Pool;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The server's parts, shared by both transports.
pub(crate) struct App {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Clock,
    pub(crate) pool: Pool,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) sessions: Sessions,
    pub(crate) live: Arc<Live>,
    pub(crate) started: Moment,
    /// Set at shutdown: the server takes no new work.
    pub(crate) draining: AtomicBool,
}

impl App {
    pub(crate) fn new(config: Arc<Config>, clock: Clock, pool: Pool, live: Arc<Live>) -> Result<Arc<Self>> {
        let (secret, previous) = (&config.jwt_secret, &config.jwt_previous_secrets);
        let tokens = Arc::new(Tokens::new(secret, previous, config.access_token_ttl));
        let sessions = Sessions::new(
            pool.clone(),
            tokens.clone(),
            RefreshKeys::new(secret, previous)?,
            config.refresh_token_ttl,
            clock.clone(),
            live.clone(),
        );
        let started = clock.now();
        let draining = AtomicBool::new(false);
        Ok(Arc::new(Self { config, clock, pool, tokens, sessions, live, started, draining }))
    }
}
