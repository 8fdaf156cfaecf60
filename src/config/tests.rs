use super::*;
use clap::{Command, CommandFactory, FromArgMatches, Parser};
use secrecy::ExposeSecret;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Parser)]
struct Only {
    #[command(flatten)]
    flags: Flags,
}

/// The command without the environment of whoever runs the tests.
fn command() -> Command {
    finish(Only::command()).mut_args(|arg| arg.env(None::<&str>))
}

/// Loads what `--name value` flags say.
fn load(settings: &[(&str, &str)]) -> Result<Draft, ConfigError> {
    let flag = |(name, value): &(&str, &str)| format!("--{}={value}", name.to_lowercase().replace('_', "-"));
    let words = std::iter::once("server".to_owned()).chain(settings.iter().map(flag));
    let matches = command().try_get_matches_from(words).unwrap();
    Draft::load(Only::from_arg_matches(&matches).unwrap().flags)
}

fn config(settings: &[(&str, &str)]) -> Config {
    load(settings).unwrap().for_commands()
}

fn error(settings: &[(&str, &str)]) -> String {
    load(settings).unwrap_err().to_string()
}

const SECRET: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn nothing_set_is_development() {
    let config = config(&[]);
    assert_eq!(config.env, AppEnv::Development);
    assert_eq!((config.host.to_string(), config.port), ("127.0.0.1".into(), 3001));
    assert_eq!(config.log_format, LogFormat::Pretty);
}

#[test]
fn metrics_have_an_address_with_its_port_or_none() {
    assert_eq!(config(&[]).metrics_addr, None);
    for address in ["127.0.0.1:9464", "[::1]:9464", "0.0.0.0:0"] {
        let found = config(&[("METRICS_ADDR", address)]).metrics_addr;
        assert_eq!(found.map(|found| found.to_string()).as_deref(), Some(address));
    }
    for wrong in ["9464", ":9464", "localhost:9464", "127.0.0.1", "127.0.0.1:65536"] {
        let expected = format!(
            "METRICS_ADDR: {wrong:?} is not an address with its port such as 127.0.0.1:9464 or [::1]:9464"
        );
        assert_eq!(error(&[("METRICS_ADDR", wrong)]), expected);
    }
}

#[test]
fn an_empty_value_counts_as_unset() {
    let config = config(&[("PORT", ""), ("APP_ENV", " "), ("DATABASE_URL", ""), ("RING_TIMEOUT", "")]);
    assert_eq!((config.port, config.env), (3001, AppEnv::Development));
    assert!(config.database_url.is_none());
}

#[test]
fn production_needs_its_database_for_everything_and_the_rest_for_serving() {
    let database = ("DATABASE_URL", "postgres://db/calls");
    let production = ("APP_ENV", "production");
    assert!(error(&[production]).starts_with("DATABASE_URL: is required when APP_ENV=production"));
    let draft = load(&[production, database]).unwrap();
    let for_commands = draft.clone().for_commands();
    assert_eq!(for_commands.host.to_string(), "0.0.0.0");
    assert_eq!(for_commands.log_format, LogFormat::Json);
    let error = draft.for_serving().unwrap_err().to_string();
    assert!(error.starts_with("JWT_SECRET: is required when APP_ENV=production"));
    let draft = load(&[production, database, ("JWT_SECRET", SECRET)]).unwrap();
    let error = draft.for_serving().unwrap_err().to_string();
    assert!(error.starts_with("CORS_ORIGIN: is required when APP_ENV=production"));
    let origin = ("CORS_ORIGIN", "https://calls.example.org");
    let served =
        load(&[production, database, ("JWT_SECRET", SECRET), origin]).unwrap().for_serving().unwrap();
    assert_eq!(served.jwt_secret.expose_secret(), SECRET);
}

#[test]
fn only_serving_makes_a_secret() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let draft = load(&[("DATA_DIR", data.to_str().unwrap())]).unwrap();
    draft.clone().for_commands();
    assert!(!data.exists());
    let first = draft.clone().for_serving().unwrap();
    let second = draft.for_serving().unwrap();
    assert_eq!(first.jwt_secret.expose_secret(), second.jwt_secret.expose_secret());
}

#[test]
fn every_mistake_is_one_line_that_names_the_variable_and_what_is_expected() {
    for (variable, value, problem) in [
        ("PORT", "abc", r#""abc" is not a port number (0 to 65535)"#),
        ("PORT", "65536", r#""65536" is not a port number (0 to 65535)"#),
        ("PORT", "1\n2", r#""1\n2" is not a port number (0 to 65535)"#),
        ("HOST", "localhost", r#""localhost" is not an IP address such as 0.0.0.0 or ::1"#),
        ("APP_ENV", "prod", r#""prod" is not development or production"#),
        ("REGISTRATION", "maybe", r#""maybe" is not open, closed or on_login"#),
        ("LOG_FORMAT", "xml", r#""xml" is not pretty or json"#),
        ("LOGIN_RATE_PER_MINUTE", "-1", r#""-1" is not a whole number (0: no limit)"#),
        ("JOURNAL_CAPACITY", "0", r#""0" is not a number from 1 to 10000000"#),
        ("RING_TIMEOUT", "60", r#""60" is not a duration with its unit, such as 500ms, 60s, 1h or 30d"#),
        ("RING_TIMEOUT", "0s", r#""0s" is not between 1ms and 1h"#),
        ("PING_INTERVAL", "999ms", r#""999ms" is not between 1s and 5m"#),
        ("ACCESS_TOKEN_TTL", "500ms", r#""500ms" is not between 1s and 30days"#),
        ("DATABASE_URL", "mysql://u:hush@db/x", "must look like postgres://user:password@host:5432/name"),
        ("JWT_SECRET", "hush", "must be at least 32 bytes long, and is 4"),
        ("JWT_PREVIOUS_SECRETS", "hush", "must be at least 32 bytes long, and is 4"),
        (
            "TRUSTED_PROXIES",
            "10.0.0.0/33",
            r#""10.0.0.0/33" is not an address or a network such as 10.0.0.0/8"#,
        ),
        ("CORS_ORIGIN", ",", "must name at least one origin"),
        ("ICE_STUN_URLS", "http://x", r#""http://x" is not a STUN URL such as stun:stun.example.org:3478"#),
        (
            "CORS_ORIGIN",
            "*",
            "* is refused, since any page could then act for its visitors; list the origins",
        ),
        ("TURN_SECRET", "hush", "is needed, since TURN_SECRET is set"),
    ] {
        let error = error(&[(variable, value)]);
        let named = if variable == "TURN_SECRET" { "ICE_TURN_URLS" } else { variable };
        assert_eq!(error, format!("{named}: {problem}"));
    }
    assert_eq!(error(&[("TLS_CERT", "a.pem")]), "TLS_KEY: is needed, since TLS_CERT is set");
    assert_eq!(error(&[("TLS_KEY", "a.pem"), ("TLS_CERT", "")]), "TLS_CERT: is needed, since TLS_KEY is set");
    assert_eq!(
        error(&[("ICE_TURN_URLS", "turn:t.example.org")]),
        "TURN_SECRET: is needed for the servers in ICE_TURN_URLS"
    );
}

#[test]
fn an_endless_value_is_shown_in_part() {
    assert!(error(&[("PORT", &"9".repeat(5000))]).len() < 200);
}

#[test]
fn an_origin_is_written_as_browsers_write_it() {
    let origins = |raw| config(&[("CORS_ORIGIN", raw)]).cors_origins;
    assert_eq!(
        origins("https://A.example.org:443, http://[::1]:5173,capacitor://localhost,"),
        ["https://a.example.org", "http://[::1]:5173", "capacitor://localhost"]
    );
    for wrong in
        ["https://a.org/", "https://a.org/x", "a.org", "https://u@a.org", "https://a.org:99999", "null"]
    {
        assert!(error(&[("CORS_ORIGIN", wrong)]).contains("is not an origin such as"), "{wrong}");
    }
}

#[test]
fn lists_and_units_are_read() {
    let config = config(&[
        ("TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1,2001:db8::/32"),
        ("RING_TIMEOUT", "1m 30s"),
        ("ICE_TURN_URLS", "turn:t.example.org:3478?transport=udp,turns:t.example.org"),
        ("TURN_SECRET", "s"),
        ("REGISTRATION", "on_login"),
    ]);
    assert_eq!(config.trusted_proxies.len(), 3);
    assert_eq!(config.trusted_proxies[1].prefix_len(), 32);
    assert_eq!(config.ring_timeout, Duration::from_secs(90));
    assert_eq!(config.ice_turn_urls.len(), 2);
    assert_eq!(config.registration, Registration::OnLogin);
}

#[test]
fn a_configuration_does_not_print_its_secrets() {
    let draft = load(&[
        ("JWT_SECRET", "hush-hush-hush-hush-hush-hush-hush-1"),
        ("JWT_PREVIOUS_SECRETS", "hush-hush-hush-hush-hush-hush-hush-2"),
        ("DATABASE_URL", "postgres://u:hush@db/calls"),
        ("ICE_TURN_URLS", "turn:t.example.org"),
        ("TURN_SECRET", "hush"),
    ]);
    assert!(!format!("{draft:?}").contains("hush"));
    assert!(!format!("{:?}", draft.unwrap().for_serving()).contains("hush"));
}

#[test]
fn a_secret_may_stand_in_a_file_of_its_own() {
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let url = "postgres://u:hush@db/calls";
    let previous = format!("{SECRET} \n{SECRET},{SECRET}\n");
    let config = load(&[
        ("DATABASE_URL_FILE", &file("url", &format!("{url}\n"))),
        ("JWT_SECRET", ""),
        ("JWT_SECRET_FILE", &file("jwt", &format!("{SECRET} \r\n"))),
        ("JWT_PREVIOUS_SECRETS_FILE", &file("previous", &previous)),
        ("ICE_TURN_URLS", "turn:t.example.org"),
        ("TURN_SECRET_FILE", &file("turn", "hush")),
        ("REDIS_URL_FILE", &file("redis", "rediss://:hush@redis:6379/1\n")),
    ]);
    let config = config.unwrap().for_serving().unwrap();
    assert_eq!(config.database_url.unwrap().expose_secret(), url);
    assert_eq!(config.jwt_secret.expose_secret(), format!("{SECRET} "));
    assert_eq!(config.turn_secret.unwrap().expose_secret(), "hush");
    assert_eq!(config.redis_url.unwrap().expose_secret(), "rediss://:hush@redis:6379/1");
    let previous: Vec<_> =
        config.jwt_previous_secrets.iter().map(|secret| secret.expose_secret().to_owned()).collect();
    assert_eq!(
        previous,
        [format!("{SECRET} "), format!("{SECRET},{SECRET}")],
        "each as it could have been JWT_SECRET"
    );
}

#[test]
fn a_secret_and_its_file_at_once_or_a_file_of_no_use_is_one_line_that_names_them() {
    for variable in ["DATABASE_URL", "REDIS_URL", "JWT_SECRET", "JWT_PREVIOUS_SECRETS", "TURN_SECRET"] {
        let file = format!("{variable}_FILE");
        let both = error(&[(variable, "hush"), (&file, "/nowhere/hush")]);
        assert_eq!(both, format!("{variable}: is set, and {file} too: set one of them"));
        let missing = error(&[(&file, "/nowhere/x")]);
        assert_eq!(missing, format!(r#"{file}: "/nowhere/x" cannot be read: there is no such file"#));
    }
    let short = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(short.path(), "hush").unwrap();
    let path = short.path().to_str().unwrap();
    assert_eq!(
        error(&[("JWT_SECRET_FILE", path)]),
        format!("JWT_SECRET_FILE: what {path:?} holds must be at least 32 bytes long, and is 4")
    );
    std::fs::write(short.path(), format!("{SECRET}\n{SECRET}\n")).unwrap();
    assert_eq!(
        error(&[("JWT_SECRET_FILE", path)]),
        format!("JWT_SECRET_FILE: what {path:?} holds must be one line")
    );
    let url = error(&[("DATABASE_URL_FILE", path)]);
    assert!(url.starts_with("DATABASE_URL_FILE: what ") && !url.contains(SECRET));
}

#[test]
fn help_does_not_show_what_the_environment_holds() {
    let mut command = finish(Only::command()).mut_args(|arg| arg);
    assert!(
        command.get_arguments().filter(|arg| arg.get_env().is_some()).all(clap::Arg::is_hide_env_values_set)
    );
    assert!(command.render_help().to_string().contains("--ring-timeout <DURATION>"));
}

/// Every `NAME=value` of `.env.example`, commented out or not.
fn example() -> BTreeMap<String, String> {
    let text: String = include_str!("../../.env.example")
        .lines()
        .filter_map(|line| {
            let line = line.strip_prefix('#').unwrap_or(line);
            line.starts_with(|c: char| c.is_ascii_uppercase()).then(|| format!("{line}\n"))
        })
        .collect();
    dotenvy::from_read_iter(text.as_bytes()).collect::<Result<_, _>>().unwrap()
}

#[test]
fn the_example_has_every_variable_and_no_other() {
    let known: BTreeSet<String> = Only::command()
        .get_arguments()
        .filter_map(|arg| arg.get_env())
        .map(|name| name.to_str().unwrap().to_owned())
        .collect();
    assert_eq!(example().into_keys().collect::<BTreeSet<_>>(), known);
    for arg in Only::command().get_arguments().filter(|arg| arg.get_env().is_some()) {
        let flag = arg.get_long().unwrap().to_uppercase().replace('-', "_");
        assert_eq!(arg.get_env().unwrap().to_str().unwrap(), flag);
    }
}

#[test]
fn every_variable_is_shown_as_it_would_be_written() {
    let mut all = example();
    all.retain(|name, _| !name.ends_with("_FILE"));
    all.extend(["JWT_SECRET", "JWT_PREVIOUS_SECRETS"].map(|name| (name.to_owned(), SECRET.to_owned())));
    let load_all = |map: &BTreeMap<String, String>| {
        let pairs: Vec<_> = map.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        load(&pairs).unwrap().for_serving().unwrap()
    };
    let config = load_all(&all);
    let mut shown = BTreeMap::new();
    for (name, given) in &all {
        let value = effective::value(&config, name).unwrap_or_else(|| panic!("{name} is not shown"));
        let is_secret = name.contains("SECRET") || name == "DATABASE_URL";
        assert_eq!(is_secret, value.contains("***"), "{name}={value}");
        shown.insert(name.clone(), if is_secret { given.clone() } else { value });
    }
    assert_eq!(format!("{:?}", load_all(&shown)), format!("{config:?}"));
}

#[test]
fn a_redis_url_is_one_of_a_redis_that_is_reached_by_tcp() {
    for url in ["redis://127.0.0.1:6379/0", "redis://user:hush@redis", "rediss://redis.example.org:6380"] {
        assert!(load(&[("REDIS_URL", url)]).is_ok(), "{url}");
    }
    assert!(config(&[("REDIS_URL", " ")]).redis_url.is_none());
    for url in [
        "redis",
        "redis://",
        "redis:///tmp/redis.sock",
        "unix:///tmp/redis.sock",
        "http://hush@redis",
        "redis://redis/x",
    ] {
        let error = error(&[("REDIS_URL", url)]);
        assert!(
            error.starts_with("REDIS_URL: must look like redis://") && !error.contains("hush"),
            "{error}"
        );
    }
}

#[test]
fn the_example_loads_and_shows_the_defaults() {
    let all = example();
    let pairs =
        |map: &BTreeMap<String, String>| -> Vec<(String, String)> { map.clone().into_iter().collect() };
    let load_all = |map: &BTreeMap<String, String>| {
        let pairs = pairs(map);
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        load(&pairs).unwrap()
    };
    // A secret is given directly or in a file, and these files are nobody's.
    let direct = all.into_iter().filter(|(name, _)| !name.ends_with("_FILE")).collect::<BTreeMap<_, _>>();
    load_all(&direct);
    // These have no default to show, so the example shows an example.
    let shown_only = [
        "TLS_CERT",
        "TLS_KEY",
        "DATABASE_URL",
        "REDIS_URL",
        "HISTORY_RETENTION",
        "TRUSTED_PROXIES",
        "ICE_STUN_URLS",
        "ICE_TURN_URLS",
        "TURN_SECRET",
        "METRICS_ADDR",
    ];
    let mut defaults = direct;
    defaults.retain(|name, _| !shown_only.contains(&name.as_str()));
    let defaults = load_all(&defaults).for_commands();
    // A command's log is quieter unless it is told, as it is by the example.
    assert_eq!(format!("{defaults:?}"), format!("{:?}", config(&[("RUST_LOG", "info")])));
    assert_eq!(config(&[]).log_filter, "warn");
}
