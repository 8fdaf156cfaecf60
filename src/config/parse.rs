//! From text to values. An `Err` says what is wrong without the variable's name, which the caller adds.

use super::{AppEnv, LogFormat, Registration, RetentionAction};
use crate::cluster;
use axum::http::Uri;
use ipnet::IpNet;
use secrecy::SecretString;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// HS256 needs a key as long as its hash (RFC 7518, section 3.2).
const SECRET_BYTES: usize = 32;
/// Enough of a wrong value to recognise it by.
const SHOWN: usize = 60;

pub(super) type Parsed<T> = Result<T, String>;

/// The value as an error shows it: in quotes, on one line, and not endless.
fn shown(raw: &str) -> String {
    if raw.chars().count() > SHOWN {
        let start: String = raw.chars().take(SHOWN).collect();
        return format!("{start:?}…");
    }
    format!("{raw:?}")
}

fn not(raw: &str, expected: impl Display) -> String {
    format!("{} is not {expected}", shown(raw))
}

/// The entries of a comma-separated list; empty ones are a slip, not a value.
fn list<T>(raw: &str, parse: impl Fn(&str) -> Parsed<T>) -> Parsed<Vec<T>> {
    raw.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(parse).collect()
}

pub(super) fn app_env(raw: &str) -> Parsed<AppEnv> {
    match raw {
        "development" => Ok(AppEnv::Development),
        "production" => Ok(AppEnv::Production),
        _ => Err(not(raw, "development or production")),
    }
}

pub(super) fn registration(raw: &str) -> Parsed<Registration> {
    match raw {
        "open" => Ok(Registration::Open),
        "closed" => Ok(Registration::Closed),
        "on_login" => Ok(Registration::OnLogin),
        _ => Err(not(raw, "open, closed or on_login")),
    }
}

pub(super) fn log_format(raw: &str) -> Parsed<LogFormat> {
    match raw {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        _ => Err(not(raw, "pretty or json")),
    }
}

pub(super) fn retention_action(raw: &str) -> Parsed<RetentionAction> {
    match raw {
        "delete" => Ok(RetentionAction::Delete),
        "anonymise" => Ok(RetentionAction::Anonymise),
        _ => Err(not(raw, "delete or anonymise")),
    }
}

pub(super) fn host(raw: &str) -> Parsed<IpAddr> {
    raw.parse().map_err(|_| not(raw, "an IP address such as 0.0.0.0 or ::1"))
}

pub(super) fn port(raw: &str) -> Parsed<u16> {
    raw.parse().map_err(|_| not(raw, "a port number (0 to 65535)"))
}

/// 0 takes any free port.
pub(super) fn listen_address(raw: &str) -> Parsed<Option<SocketAddr>> {
    raw.parse()
        .map(Some)
        .map_err(|_| not(raw, "an address with its port such as 127.0.0.1:9464 or [::1]:9464"))
}

pub(super) fn rate(raw: &str) -> Parsed<u32> {
    raw.parse().map_err(|_| not(raw, "a whole number (0: no limit)"))
}

pub(super) fn capacity(raw: &str) -> Parsed<usize> {
    const RANGE: std::ops::RangeInclusive<usize> = 1..=10_000_000;
    let number = raw.parse().ok().filter(|number| RANGE.contains(number));
    number.ok_or_else(|| not(raw, format_args!("a number from {} to {}", RANGE.start(), RANGE.end())))
}

/// A duration with its unit, between two bounds, both included.
pub(super) fn duration(min: Duration, max: Duration) -> impl FnOnce(&str) -> Parsed<Duration> {
    move |raw| {
        let time = humantime::parse_duration(raw)
            .map_err(|_| not(raw, "a duration with its unit, such as 500ms, 60s, 1h or 30d"))?;
        if (min..=max).contains(&time) {
            return Ok(time);
        }
        let (min, max) = (humantime::format_duration(min), humantime::format_duration(max));
        Err(not(raw, format_args!("between {min} and {max}")))
    }
}

/// The URL is not shown: it holds a password.
pub(super) fn database_url(raw: &str) -> Parsed<Option<SecretString>> {
    let rest = raw.strip_prefix("postgres://").or_else(|| raw.strip_prefix("postgresql://"));
    match rest {
        Some(rest) if !rest.is_empty() => Ok(Some(raw.into())),
        _ => Err("must look like postgres://user:password@host:5432/name".into()),
    }
}

/// Nor is this one.
pub(super) fn redis_url(raw: &str) -> Parsed<Option<SecretString>> {
    if cluster::is_address(raw) {
        Ok(Some(raw.into()))
    } else {
        Err("must look like redis://user:password@host:6379/0, or rediss:// for TLS".into())
    }
}

/// The secret is not shown.
pub(super) fn secret(raw: &str) -> Parsed<SecretString> {
    // Copied to where there is one secret a line, it would become two of them.
    if raw.contains(['\n', '\r']) {
        return Err("must be one line".into());
    }
    if raw.len() < SECRET_BYTES {
        return Err(format!("must be at least {SECRET_BYTES} bytes long, and is {}", raw.len()));
    }
    Ok(raw.into())
}

pub(super) fn secrets(raw: &str) -> Parsed<Vec<SecretString>> {
    list(raw, secret)
}

/// Secrets as a file has them, one a line: whatever could be the secret can stand here as it was.
pub(super) fn secret_lines(raw: &str) -> Parsed<Vec<SecretString>> {
    raw.lines().filter(|line| !line.is_empty()).map(secret).collect()
}

pub(super) fn networks(raw: &str) -> Parsed<Vec<IpNet>> {
    list(raw, |entry| {
        IpNet::from_str(entry)
            .or_else(|_| IpAddr::from_str(entry).map(IpNet::from))
            .map_err(|_| not(entry, "an address or a network such as 10.0.0.0/8"))
    })
}

pub(super) fn origins(raw: &str) -> Parsed<Vec<String>> {
    let origins = list(raw, origin)?;
    if origins.is_empty() { Err("must name at least one origin".into()) } else { Ok(origins) }
}

/// An origin as browsers write it (RFC 6454, section 6.2): lower case, without the scheme's own port.
fn origin(raw: &str) -> Parsed<String> {
    if raw == "*" {
        return Err("* is refused, since any page could then act for its visitors; list the origins".into());
    }
    let expected = || not(raw, "an origin such as https://calls.example.org (no path, no slash at the end)");
    let origin = raw.to_ascii_lowercase();
    let uri: Uri = origin.parse().map_err(|_| expected())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(expected()) };
    let (host, port) = (authority.host(), authority.port_u16());
    let bare = format!("{scheme}://{host}");
    let whole = port.map_or_else(|| bare.clone(), |port| format!("{bare}:{port}"));
    // Whatever is left over is a path, a user, or a port that is none.
    if host.is_empty() || whole != origin {
        return Err(expected());
    }
    Ok(if matches!((scheme, port), ("http", Some(80)) | ("https", Some(443))) { bare } else { whole })
}

pub(super) fn stun_urls(raw: &str) -> Parsed<Vec<String>> {
    list(raw, |entry| ice_url(entry, ["stun:", "stuns:"], "a STUN URL such as stun:stun.example.org:3478"))
}

pub(super) fn turn_urls(raw: &str) -> Parsed<Vec<String>> {
    let example = "a TURN URL such as turn:turn.example.org:3478?transport=udp";
    list(raw, |entry| ice_url(entry, ["turn:", "turns:"], example))
}

/// RFC 7064 and 7065: no slashes after the scheme, no user.
fn ice_url(raw: &str, schemes: [&str; 2], expected: &str) -> Parsed<String> {
    let rest = schemes.iter().find_map(|scheme| raw.strip_prefix(scheme));
    let wrong = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@');
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(wrong) => Ok(raw.to_owned()),
        _ => Err(not(raw, expected)),
    }
}
