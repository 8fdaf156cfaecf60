//! The only reader of the environment.

use ipnet::IpNet;
use secrecy::SecretString;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything an operator can set, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// `APP_ENV`
    pub env: AppEnv,
    /// `HOST`
    pub host: IpAddr,
    /// `PORT`; 0 takes any free one
    pub port: u16,
    /// `DATABASE_URL`; none: a private PostgreSQL of the server's own
    pub database_url: Option<SecretString>,
    /// `DATA_DIR`
    pub data_dir: PathBuf,
    /// `JWT_SECRET`, at least 32 bytes
    pub jwt_secret: SecretString,
    /// `JWT_PREVIOUS_SECRETS`, newest first
    pub jwt_previous_secrets: Vec<SecretString>,
    /// `ACCESS_TOKEN_TTL`
    pub access_token_ttl: Duration,
    /// `REFRESH_TOKEN_TTL`
    pub refresh_token_ttl: Duration,
    /// `REGISTRATION`
    pub registration: Registration,
    /// `CORS_ORIGIN`: exact origins
    pub cors_origins: Vec<String>,
    /// `TRUSTED_PROXIES`
    pub trusted_proxies: Vec<IpNet>,
    /// `LOGIN_RATE_PER_MINUTE`; 0: no limit
    pub login_rate_per_minute: u32,
    /// `API_RATE_PER_MINUTE`; 0: no limit
    pub api_rate_per_minute: u32,
    /// `EVENT_RATE_PER_SECOND`; 0: no limit
    pub event_rate_per_second: u32,
    /// `CALL_RATE_PER_MINUTE`; 0: no limit
    pub call_rate_per_minute: u32,
    /// `RING_TIMEOUT`
    pub ring_timeout: Duration,
    /// `RECONNECT_GRACE`
    pub reconnect_grace: Duration,
    /// `JOIN_TIMEOUT`
    pub join_timeout: Duration,
    /// `SHUTDOWN_TIMEOUT`
    pub shutdown_timeout: Duration,
    /// `PING_INTERVAL`
    pub ping_interval: Duration,
    /// `PING_TIMEOUT`
    pub ping_timeout: Duration,
    /// `ICE_STUN_URLS`
    pub ice_stun_urls: Vec<String>,
    /// `ICE_TURN_URLS`
    pub ice_turn_urls: Vec<String>,
    /// `TURN_SECRET`, coturn's `static-auth-secret`
    pub turn_secret: Option<SecretString>,
    /// `TURN_TTL`
    pub turn_ttl: Duration,
    /// `JOURNAL_CAPACITY`: history facts that may wait for Postgres
    pub journal_capacity: usize,
    /// `LOG_FORMAT`
    pub log_format: LogFormat,
    /// `RUST_LOG`
    pub log_filter: String,
}

/// `APP_ENV`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppEnv {
    /// Works with nothing configured.
    Development,
    /// Refuses to start without its secrets.
    Production,
}

/// `REGISTRATION`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Anybody may make an account.
    Open,
    /// Only an operator makes accounts.
    Closed,
    /// A login with an unknown name makes the account, as on the demo server.
    OnLogin,
}

/// `LOG_FORMAT`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One object a line.
    Json,
}
