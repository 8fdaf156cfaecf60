//! From flags and variables to a [`Config`], in two steps: what was said, and then what serving needs beside it.

use super::secret_file::Given;
use super::{AppEnv, Config, ConfigError, Flags, TlsFiles, parse, secret};
use crate::config::parse::Parsed;
use secrecy::SecretString;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

const INSTANT: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// As long as `100years` are in a duration's words.
const CENTURY: Duration = Duration::from_hours(24 * 36_525);

/// A configuration that is read and checked, but does not have its secret yet: only serving needs one.
#[derive(Debug, Clone)]
pub struct Draft {
    config: Config,
    jwt_secret: Option<SecretString>,
    has_origins: bool,
    has_log_filter: bool,
}

impl Draft {
    /// Reads what was set; what was not, or is empty, has its default.
    pub fn load(mut flags: Flags) -> Result<Self, ConfigError> {
        let mut env = AppEnv::Development;
        set(&mut env, "APP_ENV", flags.app_env.take(), parse::app_env)?;
        let mut config = Config::defaults(env, throwaway_secret()?);
        let jwt_secret = set_secrets(&mut config, &mut flags)?;
        set(&mut config.host, "HOST", flags.host, parse::host)?;
        set(&mut config.port, "PORT", flags.port, parse::port)?;
        let has_origins = set(&mut config.cors_origins, "CORS_ORIGIN", flags.cors_origin, parse::origins)?;
        set(&mut config.trusted_proxies, "TRUSTED_PROXIES", flags.trusted_proxies, parse::networks)?;
        config.tls = tls_files(path(flags.tls_cert), path(flags.tls_key))?;
        if let Some(path) = path(flags.data_dir) {
            config.data_dir = path;
        }
        if let Some(path) = path(flags.web_root) {
            config.web_root = path;
        }
        set(&mut config.journal_capacity, "JOURNAL_CAPACITY", flags.journal_capacity, parse::capacity)?;
        let keep = |raw: &str| parse::duration(DAY, CENTURY)(raw).map(Some);
        set(&mut config.history_retention, "HISTORY_RETENTION", flags.history_retention, keep)?;
        let action = &mut config.history_retention_action;
        set(action, "HISTORY_RETENTION_ACTION", flags.history_retention_action, parse::retention_action)?;
        set(&mut config.registration, "REGISTRATION", flags.registration, parse::registration)?;
        let rates = [
            (&mut config.login_rate_per_minute, "LOGIN_RATE_PER_MINUTE", flags.login_rate_per_minute),
            (&mut config.api_rate_per_minute, "API_RATE_PER_MINUTE", flags.api_rate_per_minute),
            (&mut config.event_rate_per_second, "EVENT_RATE_PER_SECOND", flags.event_rate_per_second),
            (&mut config.call_rate_per_minute, "CALL_RATE_PER_MINUTE", flags.call_rate_per_minute),
        ];
        for (rate, name, raw) in rates {
            set(rate, name, raw, parse::rate)?;
        }
        let times = [
            (&mut config.access_token_ttl, "ACCESS_TOKEN_TTL", flags.access_token_ttl, SECOND, 30 * DAY),
            (&mut config.refresh_token_ttl, "REFRESH_TOKEN_TTL", flags.refresh_token_ttl, SECOND, 730 * DAY),
            (&mut config.ring_timeout, "RING_TIMEOUT", flags.ring_timeout, INSTANT, HOUR),
            (&mut config.reconnect_grace, "RECONNECT_GRACE", flags.reconnect_grace, Duration::ZERO, HOUR),
            (&mut config.join_timeout, "JOIN_TIMEOUT", flags.join_timeout, INSTANT, 5 * MINUTE),
            (&mut config.shutdown_timeout, "SHUTDOWN_TIMEOUT", flags.shutdown_timeout, SECOND, HOUR),
            (&mut config.ping_interval, "PING_INTERVAL", flags.ping_interval, SECOND, 5 * MINUTE),
            (&mut config.ping_timeout, "PING_TIMEOUT", flags.ping_timeout, SECOND, 5 * MINUTE),
            (&mut config.turn_ttl, "TURN_TTL", flags.turn_ttl, SECOND, 30 * DAY),
        ];
        for (time, name, raw, min, max) in times {
            set(time, name, raw, parse::duration(min, max))?;
        }
        set(&mut config.ice_stun_urls, "ICE_STUN_URLS", flags.ice_stun_urls, parse::stun_urls)?;
        set(&mut config.ice_turn_urls, "ICE_TURN_URLS", flags.ice_turn_urls, parse::turn_urls)?;
        set(&mut config.metrics_addr, "METRICS_ADDR", flags.metrics_addr, parse::listen_address)?;
        set(&mut config.log_format, "LOG_FORMAT", flags.log_format, parse::log_format)?;
        let has_log_filter =
            set(&mut config.log_filter, "RUST_LOG", flags.rust_log, |raw| Ok(raw.to_owned()))?;
        check(&config)?;
        Ok(Self { config, jwt_secret, has_origins, has_log_filter })
    }

    /// The settings for serving. In development, a missing `JWT_SECRET` is taken from `DATA_DIR`, where it is made
    /// if need be; in production it is an error, as is a missing `CORS_ORIGIN`.
    pub fn for_serving(self) -> Result<Config, ConfigError> {
        self.complete(secret::kept)
    }

    /// The settings as they would be for serving, for whoever only looks: nothing is made. A secret that would be is
    /// empty.
    pub fn for_checking(self) -> Result<Config, ConfigError> {
        self.complete(|data_dir| Ok(secret::existing(data_dir)?.unwrap_or_else(|| "".into())))
    }

    fn complete(
        mut self,
        development_secret: impl FnOnce(&Path) -> Result<SecretString, ConfigError>,
    ) -> Result<Config, ConfigError> {
        let production = self.config.env == AppEnv::Production;
        self.config.jwt_secret = match self.jwt_secret {
            Some(secret) => secret,
            None if production => return Err(required("JWT_SECRET", "at least 32 random bytes")),
            None => development_secret(&self.config.data_dir)?,
        };
        if production && !self.has_origins {
            return Err(required("CORS_ORIGIN", "the origins of the pages that may use the server"));
        }
        Ok(self.config)
    }

    /// The settings for commands that neither sign tokens nor answer pages: they make no secret, and the one they
    /// carry is random and forgotten. They say what they did in one line, so unless `RUST_LOG` is set the log is for
    /// warnings.
    pub fn for_commands(mut self) -> Config {
        if !self.has_log_filter {
            "warn".clone_into(&mut self.config.log_filter);
        }
        self.config
    }
}

/// The secrets, each from its variable or its file; the one that signs tokens has no place in `config` yet.
fn set_secrets(config: &mut Config, flags: &mut Flags) -> Result<Option<SecretString>, ConfigError> {
    let url = ("DATABASE_URL", flags.database_url.take());
    let url = Given::read(url, ("DATABASE_URL_FILE", flags.database_url_file.take()))?;
    set_secret(&mut config.database_url, url, |raw| match raw.trim() {
        "" => Ok(None),
        raw => parse::database_url(raw),
    })?;
    let redis = ("REDIS_URL", flags.redis_url.take());
    let redis = Given::read(redis, ("REDIS_URL_FILE", flags.redis_url_file.take()))?;
    set_secret(&mut config.redis_url, redis, |raw| match raw.trim() {
        "" => Ok(None),
        raw => parse::redis_url(raw),
    })?;
    let mut jwt_secret = None;
    let secret = ("JWT_SECRET", flags.jwt_secret.take());
    let secret = Given::read(secret, ("JWT_SECRET_FILE", flags.jwt_secret_file.take()))?;
    set_secret(&mut jwt_secret, secret, |raw| parse::secret(raw).map(Some))?;
    let previous = ("JWT_PREVIOUS_SECRETS", flags.jwt_previous_secrets.take());
    let previous =
        Given::read(previous, ("JWT_PREVIOUS_SECRETS_FILE", flags.jwt_previous_secrets_file.take()))?;
    let parse_previous = if previous.path.is_some() { parse::secret_lines } else { parse::secrets };
    set_secret(&mut config.jwt_previous_secrets, previous, parse_previous)?;
    let turn = ("TURN_SECRET", flags.turn_secret.take());
    let turn = Given::read(turn, ("TURN_SECRET_FILE", flags.turn_secret_file.take()))?;
    set_secret(&mut config.turn_secret, turn, |raw| Ok(Some(raw.into())))?;
    Ok(jwt_secret)
}

/// What is read is told when it is read; here it only counts whether both halves are named.
fn tls_files(cert: Option<PathBuf>, key: Option<PathBuf>) -> Result<Option<TlsFiles>, ConfigError> {
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some(TlsFiles { cert, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(ConfigError::new("TLS_KEY", "is needed, since TLS_CERT is set")),
        (None, Some(_)) => Err(ConfigError::new("TLS_CERT", "is needed, since TLS_KEY is set")),
    }
}

/// A file or folder; systems allow names that are no UTF-8.
fn path(raw: Option<OsString>) -> Option<PathBuf> {
    raw.filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// What no single variable can tell.
fn check(config: &Config) -> Result<(), ConfigError> {
    if config.env == AppEnv::Production && config.database_url.is_none() {
        return Err(required("DATABASE_URL", "the PostgreSQL to use"));
    }
    match (config.ice_turn_urls.is_empty(), config.turn_secret.is_some()) {
        (false, false) => Err(ConfigError::new("TURN_SECRET", "is needed for the servers in ICE_TURN_URLS")),
        (true, true) => Err(ConfigError::new("ICE_TURN_URLS", "is needed, since TURN_SECRET is set")),
        _ => Ok(()),
    }
}

/// Sets `slot` if there is anything to set it to, and tells whether there was.
fn set<T>(
    slot: &mut T,
    variable: &'static str,
    raw: Option<OsString>,
    parse: impl FnOnce(&str) -> Parsed<T>,
) -> Result<bool, ConfigError> {
    match text(variable, raw)?.as_deref().map(str::trim) {
        None | Some("") => Ok(false),
        Some(raw) => {
            *slot = parse(raw).map_err(|problem| ConfigError::new(variable, problem))?;
            Ok(true)
        }
    }
}

/// [`set`] for secrets, in which every byte counts, a space too.
fn set_secret<T>(
    slot: &mut T,
    given: Given,
    parse: impl FnOnce(&str) -> Parsed<T>,
) -> Result<(), ConfigError> {
    let Given { variable, raw, path } = given;
    if let Some(raw) = text(variable, raw)? {
        *slot = parse(&raw)
            .map_err(|problem| ConfigError::new(variable, Given::locate(path.as_deref(), problem)))?;
    }
    Ok(())
}

fn text(variable: &'static str, raw: Option<OsString>) -> Result<Option<String>, ConfigError> {
    raw.map(|raw| raw.into_string().map_err(|_| ConfigError::new(variable, "is not valid UTF-8"))).transpose()
}

fn required(variable: &'static str, what: &str) -> ConfigError {
    ConfigError::new(variable, format!("is required when APP_ENV=production: {what}"))
}

fn throwaway_secret() -> Result<SecretString, ConfigError> {
    let random = secret::random();
    random.map(Into::into).map_err(|error| ConfigError::new("JWT_SECRET", format!("no randomness: {error}")))
}
