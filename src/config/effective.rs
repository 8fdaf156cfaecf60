//! What the settings come to, and where each was said: for an operator who wonders which of several places won.

use super::{AppEnv, Config, LogFormat, Registration};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use humantime::format_duration;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use std::fmt::Display;
use std::path::Path;

/// A variable, what it comes to, and where that was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The variable's name.
    pub name: String,
    /// What holds, as it would be written; of a secret only that there is one. None: nothing is set, and nothing holds.
    pub value: Option<String>,
    /// `flag`, `environment`, `.env`, `file` (a secret's own) or `default`.
    pub source: &'static str,
}

/// Where each variable was set, in the order of the help.
#[derive(Debug, Clone, Default)]
pub struct Sources(Vec<Origin>);

#[derive(Debug, Clone)]
struct Origin {
    name: String,
    source: &'static str,
    /// Of a `_FILE`: the file. Of everything else the configuration itself has the value.
    path: Option<String>,
}

const NOWHERE: &str = "default";

impl Sources {
    /// What the command line and the environment gave; `of_env_file` are the variables that `.env` has set.
    pub fn new(command: &Command, matches: &ArgMatches, of_env_file: &[String]) -> Self {
        let origin = |arg: &Arg| {
            let name = arg.get_env()?.to_str()?.to_owned();
            let id = arg.get_id().as_str();
            let raw = matches.get_raw(id).and_then(|mut values| values.next()).filter(|raw| !raw.is_empty());
            let source = match (raw, matches.value_source(id)) {
                (None, _) => NOWHERE,
                (_, Some(ValueSource::CommandLine)) => "flag",
                _ if of_env_file.contains(&name) => ".env",
                _ => "environment",
            };
            let path = raw.filter(|_| name.ends_with("_FILE")).map(|raw| raw.to_string_lossy().into_owned());
            Some(Origin { name, source, path })
        };
        Self(command.get_arguments().filter_map(origin).collect())
    }

    /// Every variable with what it comes to in `config`; those of files only where they are set.
    pub fn settings(&self, config: &Config) -> Vec<Setting> {
        let is_file = |origin: &Origin| origin.name.ends_with("_FILE");
        let shown = self.0.iter().filter(|origin| !is_file(origin) || origin.path.is_some());
        let setting = |origin: &Origin| {
            let value = if is_file(origin) { origin.path.clone() } else { value(config, &origin.name) };
            let source = if self.is_in_file(&origin.name) { "file" } else { origin.source };
            Setting { name: origin.name.clone(), value, source }
        };
        shown.map(setting).collect()
    }

    fn is_in_file(&self, name: &str) -> bool {
        self.0.iter().any(|origin| origin.path.is_some() && origin.name.strip_suffix("_FILE") == Some(name))
    }
}

/// What a variable comes to, as it would be written in the environment.
pub(super) fn value(config: &Config, name: &str) -> Option<String> {
    let shown = |value: &dyn Display| Some(value.to_string());
    let path = |path: &Path| Some(path.display().to_string());
    let list = |list: &[String]| (!list.is_empty()).then(|| list.join(","));
    match name {
        "APP_ENV" => Some(app_env(config.env).into()),
        "HOST" => shown(&config.host),
        "PORT" => shown(&config.port),
        "TLS_CERT" => path(&config.tls.as_ref()?.cert),
        "TLS_KEY" => path(&config.tls.as_ref()?.key),
        "CORS_ORIGIN" => list(&config.cors_origins),
        "TRUSTED_PROXIES" => {
            list(&config.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>())
        }
        "WEB_ROOT" => path(&config.web_root),
        "SHUTDOWN_TIMEOUT" => shown(&format_duration(config.shutdown_timeout)),
        "DATABASE_URL" => config.database_url.as_ref().map(|url| without_password(url.expose_secret())),
        "REDIS_URL" => config.redis_url.as_ref().map(|url| without_password(url.expose_secret())),
        "DATA_DIR" => path(&config.data_dir),
        "JOURNAL_CAPACITY" => shown(&config.journal_capacity),
        "HISTORY_RETENTION" => Some(format_duration(config.history_retention?).to_string()),
        "HISTORY_RETENTION_ACTION" => Some(config.history_retention_action.as_str().into()),
        "JWT_SECRET" => {
            Some(&config.jwt_secret).filter(|secret| !secret.expose_secret().is_empty()).map(masked)
        }
        "JWT_PREVIOUS_SECRETS" => {
            let secrets: Vec<_> = config.jwt_previous_secrets.iter().map(masked).collect();
            list(&secrets)
        }
        "ACCESS_TOKEN_TTL" => shown(&format_duration(config.access_token_ttl)),
        "REFRESH_TOKEN_TTL" => shown(&format_duration(config.refresh_token_ttl)),
        "REGISTRATION" => Some(registration(config.registration).into()),
        "LOGIN_RATE_PER_MINUTE" => shown(&config.login_rate_per_minute),
        "API_RATE_PER_MINUTE" => shown(&config.api_rate_per_minute),
        "EVENT_RATE_PER_SECOND" => shown(&config.event_rate_per_second),
        "CALL_RATE_PER_MINUTE" => shown(&config.call_rate_per_minute),
        "RING_TIMEOUT" => shown(&format_duration(config.ring_timeout)),
        "RECONNECT_GRACE" => shown(&format_duration(config.reconnect_grace)),
        "JOIN_TIMEOUT" => shown(&format_duration(config.join_timeout)),
        "PING_INTERVAL" => shown(&format_duration(config.ping_interval)),
        "PING_TIMEOUT" => shown(&format_duration(config.ping_timeout)),
        "ICE_STUN_URLS" => list(&config.ice_stun_urls),
        "ICE_TURN_URLS" => list(&config.ice_turn_urls),
        "TURN_SECRET" => config.turn_secret.as_ref().map(masked),
        "TURN_TTL" => shown(&format_duration(config.turn_ttl)),
        "METRICS_ADDR" => shown(config.metrics_addr.as_ref()?),
        "LOG_FORMAT" => Some(log_format(config.log_format).into()),
        "RUST_LOG" => Some(config.log_filter.clone()),
        _ => None,
    }
}

fn app_env(env: AppEnv) -> &'static str {
    match env {
        AppEnv::Development => "development",
        AppEnv::Production => "production",
    }
}

fn registration(registration: Registration) -> &'static str {
    match registration {
        Registration::Open => "open",
        Registration::Closed => "closed",
        Registration::OnLogin => "on_login",
    }
}

fn log_format(format: LogFormat) -> &'static str {
    match format {
        LogFormat::Pretty => "pretty",
        LogFormat::Json => "json",
    }
}

/// Its length tells a truncated secret from a whole one.
fn masked(secret: &SecretString) -> String {
    format!("*** ({} bytes)", secret.expose_secret().len())
}

/// The URL of a database, or of Redis, without what lets somebody in: a password before the host, or among the parameters.
fn without_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    // The last @: a password that should have been escaped may hold one.
    let rest = match rest.rsplit_once('@') {
        None => rest.to_owned(),
        // Nobody can tell where the password ends.
        Some((login, _)) if login.contains(['/', '?']) => return format!("{scheme}://***"),
        Some((login, host)) => match login.split_once(':') {
            None => format!("{login}@{host}"),
            Some((user, _)) => format!("{user}:***@{host}"),
        },
    };
    let Some((address, parameters)) = rest.split_once('?') else { return format!("{scheme}://{rest}") };
    let parameter = |pair: &str| match pair.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("pass") => format!("{name}=***"),
        _ => pair.to_owned(),
    };
    let parameters = parameters.split('&').map(parameter).collect::<Vec<_>>().join("&");
    format!("{scheme}://{address}?{parameters}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_password_wherever_it_is() {
        for (url, shown) in [
            ("postgres://db/calls", "postgres://db/calls"),
            ("postgres://u@db/calls", "postgres://u@db/calls"),
            ("postgres://u:hush@db:5432/calls", "postgres://u:***@db:5432/calls"),
            ("postgres://u:hu@sh@db/calls", "postgres://u:***@db/calls"),
            ("postgres://u:hu@sh/hu?sh@db/calls", "postgres://***"),
            ("postgres://db:5432/calls?user=u&password=hu@sh", "postgres://***"),
            ("postgres://db/calls?user=u&password=hush&a=b", "postgres://db/calls?user=u&password=***&a=b"),
            ("postgres://u:hush@db/calls?sslPassword=hush", "postgres://u:***@db/calls?sslPassword=***"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn of_a_secret_only_its_length_is_shown() {
        assert_eq!(masked(&"hush".into()), "*** (4 bytes)");
    }
}
