//! What a request needs.

use crate::auth::accounts::Accounts;
use crate::auth::password::Passwords;
use crate::auth::refresh_token::RefreshKeys;
use crate::auth::sessions::Sessions;
use crate::auth::token::Tokens;
use crate::clock::Clock;
use crate::cluster::Counted;
use crate::config::Config;
use crate::domain::time::Moment;
use crate::error::Result;
use crate::http::health::Probe;
use crate::http::limits::Limit;
use crate::live::Live;
use crate::notices;
use crate::retention;
use crate::store::Pool;
use crate::telemetry::metrics::{Metrics, Refusals};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The server's parts, shared by both transports.
pub(crate) struct App {
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Clock,
    pub(crate) pool: Pool,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) accounts: Accounts,
    pub(crate) live: Arc<Live>,
    pub(crate) limits: Limits,
    pub(crate) probe: Arc<Probe>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) started: Moment,
    /// Set at shutdown: the server wants no new work.
    pub(crate) draining: Arc<AtomicBool>,
}

/// The limits for each client address.
pub(crate) struct Limits {
    /// Register and login, where passwords are hashed.
    pub(crate) logins: Limit,
    /// Everything else under `/api`.
    pub(crate) api: Limit,
    /// Handshakes of Socket.IO; ten times as many as requests under `/api`.
    pub(crate) handshakes: Limit,
}

impl Limits {
    fn new(config: &Config, refusals: &Refusals, live: &Arc<Live>) -> Result<Self> {
        let elsewhere = Arc::clone(live);
        let tell = move |address| elsewhere.count_elsewhere(Counted::Login(address));
        Ok(Self {
            logins: Limit::per_minute(config.login_rate_per_minute, &refusals.login)?.telling(tell),
            api: Limit::per_minute(config.api_rate_per_minute, &refusals.api)?,
            handshakes: Limit::per_minute(
                config.api_rate_per_minute.saturating_mul(10),
                &refusals.handshake,
            )?,
        })
    }
}

impl App {
    pub(crate) fn new(
        config: Arc<Config>,
        clock: Clock,
        pool: Pool,
        live: Arc<Live>,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>> {
        let (secret, previous) = (&config.jwt_secret, &config.jwt_previous_secrets);
        let tokens = Arc::new(Tokens::new(secret, previous, config.access_token_ttl));
        let sessions = Arc::new(Sessions::new(
            pool.clone(),
            tokens.clone(),
            RefreshKeys::new(secret, previous)?,
            config.refresh_token_ttl,
            clock.clone(),
            live.clone(),
        ));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let (passwords, refusals) = (Passwords::new(cores, metrics.hashing.clone())?, &metrics.refusals);
        let accounts = Accounts::new(
            pool.clone(),
            passwords,
            refusals.clone(),
            sessions.clone(),
            config.registration,
            clock.clone(),
            live.clone(),
        );
        let limits = Limits::new(&config, refusals, &live)?;
        let probe = Probe::new(pool.clone(), clock.clone());
        let (started, draining) = (clock.now(), Arc::default());
        Ok(Arc::new(Self {
            config,
            clock,
            pool,
            tokens,
            sessions,
            accounts,
            live,
            limits,
            probe,
            metrics,
            started,
            draining,
        }))
    }

    /// Something was counted on another node.
    pub(crate) fn count(&self, counted: &Counted) {
        match counted {
            // By the calls themselves.
            Counted::Call(_) => {}
            Counted::Login(address) => self.limits.logins.count_elsewhere(address),
            Counted::Failure { name, address } => self.accounts.count_failure(name, *address),
        }
    }

    /// What has to be done beside requests: following what others do in the database, forgetting what is old. Runs until it is dropped.
    pub(crate) async fn upkeep(self: Arc<Self>) {
        tokio::join!(notices::follow(&self), self.each_minute(), self.each_hour());
    }

    async fn each_minute(&self) {
        loop {
            self.clock.sleep(Duration::from_mins(1)).await;
            self.log_vitals();
            self.limits.logins.prune();
            self.limits.api.prune();
            self.limits.handshakes.prune();
            self.accounts.prune();
            self.sessions.prune();
            // A connection that died without a word tells nothing, and no loss either.
            report(notices::catch_up(self).await, "sessions and calls could not be checked again");
        }
    }

    /// What grows when something goes wrong, for whoever reads the log of a server afterwards.
    fn log_vitals(&self) {
        let lag = self.live.history_lag();
        tracing::info!(
            tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks(),
            devices = self.live.devices().len(),
            users = self.live.active_users(),
            calls = self.live.active_calls(),
            journal_rows = lag.rows,
            journal_bytes = lag.bytes,
            journal_age_ms = lag.age.as_millis(),
            "vitals"
        );
    }

    async fn each_hour(&self) {
        loop {
            self.clock.sleep(Duration::from_hours(1)).await;
            report(self.sessions.clean_up().await, "old sessions could not be deleted");
            report(self.forget_old_calls().await, "old calls could not be forgotten");
        }
    }

    /// One server is enough for it: the one that owns the history.
    async fn forget_old_calls(&self) -> Result<()> {
        if let Some(keep) = self.config.history_retention
            && self.live.owns_history()
        {
            let rule = retention::Rule { keep, action: self.config.history_retention_action };
            retention::forget(&self.pool, rule, self.clock.now().wall).await?;
        }
        Ok(())
    }
}

/// Upkeep that fails is tried again at its next turn.
fn report(outcome: Result<()>, what: &'static str) {
    if let Err(error) = outcome {
        tracing::warn!(%error, what);
    }
}
