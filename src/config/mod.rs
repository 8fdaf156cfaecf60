//! The only reader of the environment.
//!
//! [`read_env_file`], then the command line takes [`Flags`], then [`Draft::load`] reads them. Every mistake is one
//! line that names the variable.

mod effective;
mod env_file;
mod flags;
mod load;
mod parse;
mod secret;
mod secret_file;
#[cfg(test)]
mod tests;

pub use effective::{Setting, Sources};
pub use env_file::read_env_file;
pub use flags::{Flags, finish};
pub use load::Draft;
pub(crate) use secret_file::shown as shown_path;

use ipnet::IpNet;
use secrecy::SecretString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// A setting that cannot be used: one line, with the variable's name first.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: {problem}")]
pub struct ConfigError {
    variable: &'static str,
    problem: String,
}

impl ConfigError {
    pub(crate) fn new(variable: &'static str, problem: impl Into<String>) -> Self {
        Self { variable, problem: problem.into() }
    }
}

/// Everything an operator can set, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// `APP_ENV`
    pub env: AppEnv,
    /// `HOST`
    pub host: IpAddr,
    /// `PORT`; 0 takes any free one
    pub port: u16,
    /// `TLS_CERT` and `TLS_KEY`; none: plain HTTP
    pub tls: Option<TlsFiles>,
    /// `DATABASE_URL`; none: a private PostgreSQL of the server's own
    pub database_url: Option<SecretString>,
    /// `REDIS_URL`; none: this server is alone
    pub redis_url: Option<SecretString>,
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
    /// `WEB_ROOT`: the built reference client
    pub web_root: PathBuf,
    /// `JOURNAL_CAPACITY`: history facts that may wait for Postgres
    pub journal_capacity: usize,
    /// `METRICS_ADDR`; none: `/metrics` on the main port, for this machine alone
    pub metrics_addr: Option<SocketAddr>,
    /// `HISTORY_RETENTION`: what becomes of calls that ended so long ago is the next one's; none: they are kept for ever
    pub history_retention: Option<Duration>,
    /// `HISTORY_RETENTION_ACTION`
    pub history_retention_action: RetentionAction,
    /// `LOG_FORMAT`
    pub log_format: LogFormat,
    /// `RUST_LOG`
    pub log_filter: String,
}

impl Config {
    /// What holds where nothing is set.
    fn defaults(env: AppEnv, jwt_secret: SecretString) -> Self {
        let (host, log_format) = match env {
            AppEnv::Development => (Ipv4Addr::LOCALHOST, LogFormat::Pretty),
            AppEnv::Production => (Ipv4Addr::UNSPECIFIED, LogFormat::Json),
        };
        Self {
            env,
            host: host.into(),
            port: 3001,
            tls: None,
            database_url: None,
            redis_url: None,
            data_dir: "./data".into(),
            jwt_secret,
            jwt_previous_secrets: Vec::new(),
            access_token_ttl: Duration::from_hours(1),
            refresh_token_ttl: Duration::from_hours(30 * 24),
            registration: Registration::Open,
            cors_origins: vec!["http://localhost:5173".into()],
            trusted_proxies: Vec::new(),
            login_rate_per_minute: 10,
            api_rate_per_minute: 600,
            event_rate_per_second: 30,
            call_rate_per_minute: 30,
            ring_timeout: Duration::from_mins(1),
            reconnect_grace: Duration::from_secs(15),
            join_timeout: Duration::from_secs(10),
            shutdown_timeout: Duration::from_secs(20),
            ping_interval: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(10),
            ice_stun_urls: Vec::new(),
            ice_turn_urls: Vec::new(),
            turn_secret: None,
            turn_ttl: Duration::from_hours(1),
            web_root: "web/dist".into(),
            journal_capacity: 100_000,
            metrics_addr: None,
            history_retention: None,
            history_retention_action: RetentionAction::Delete,
            log_format,
            log_filter: "info".into(),
        }
    }

    /// What development has where nothing is set, on any free port and with a secret everybody knows. For tests.
    pub fn for_tests() -> Self {
        let secret = "for tests only, since everybody can read it here";
        Self { port: 0, ..Self::defaults(AppEnv::Development, secret.into()) }
    }
}

/// `APP_ENV`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppEnv {
    /// Works with nothing configured.
    Development,
    /// Refuses to start without its secrets.
    Production,
}

/// The files of the server's own TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// `TLS_CERT`: the certificate, and those that vouch for it, in PEM
    pub cert: PathBuf,
    /// `TLS_KEY`: its private key, in PEM
    pub key: PathBuf,
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

/// `HISTORY_RETENTION_ACTION`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionAction {
    /// The row goes.
    Delete,
    /// The row stays, without its parties.
    Anonymise,
}

impl RetentionAction {
    /// As it is set.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Anonymise => "anonymise",
        }
    }
}

/// `LOG_FORMAT`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One object a line.
    Json,
}

/// Where programs are, for finding PostgreSQL's.
#[expect(clippy::disallowed_methods, reason = "this is the room where the environment is read")]
pub(crate) fn search_path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_default()
}
