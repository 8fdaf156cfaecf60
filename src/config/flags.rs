//! Every variable as the command line and the environment know it: raw text, read by `load`.

use clap::Args;
use std::ffi::OsString;

/// The settings, unread. Each is a variable and, in lower case with dashes, a flag.
// The text is parsed later, so that every mistake becomes one line that names the variable.
#[derive(Args, Default)]
pub struct Flags {
    /// `development`, or `production`: refuses to start without its secrets [default: development]
    #[arg(long, env, value_name = "ENV", help_heading = "Server")]
    pub(super) app_env: Option<OsString>,
    /// Address to listen on [default: 0.0.0.0; 127.0.0.1 in development]
    #[arg(long, env, value_name = "ADDRESS", help_heading = "Server")]
    pub(super) host: Option<OsString>,
    /// Port to listen on; 0 takes any free one [default: 3001]
    #[arg(long, env, value_name = "NUMBER", help_heading = "Server")]
    pub(super) port: Option<OsString>,
    /// Certificate to serve HTTPS with, in PEM, and those that vouch for it; needs `TLS_KEY` [default: none: plain HTTP]
    #[arg(long, env, value_name = "PATH", help_heading = "Server")]
    pub(super) tls_cert: Option<OsString>,
    /// The certificate's private key, in PEM [default: none]
    #[arg(long, env, value_name = "PATH", help_heading = "Server")]
    pub(super) tls_key: Option<OsString>,
    #[arg(long, env, value_name = "ORIGINS", help_heading = "Server")]
    #[arg(
        help = "Origins of the pages that may use the server, comma-separated [default: http://localhost:5173]"
    )]
    pub(super) cors_origin: Option<OsString>,
    /// Reverse proxies whose `X-Forwarded-For` is believed: addresses or networks, comma-separated [default: none]
    #[arg(long, env, value_name = "NETWORKS", help_heading = "Server")]
    pub(super) trusted_proxies: Option<OsString>,
    /// The built reference client, served at `/` [default: web/dist]
    #[arg(long, env, value_name = "PATH", help_heading = "Server")]
    pub(super) web_root: Option<OsString>,
    /// How long a shutdown may take [default: 20s]
    #[arg(long, env, value_name = "DURATION", help_heading = "Server")]
    pub(super) shutdown_timeout: Option<OsString>,

    /// PostgreSQL to use [default: a private one of the server's own, under `DATA_DIR`]
    #[arg(long, env, value_name = "URL", help_heading = "Data")]
    pub(super) database_url: Option<OsString>,
    /// File that holds `DATABASE_URL`, instead of it [default: none]
    #[arg(long, env, value_name = "PATH", help_heading = "Data")]
    pub(super) database_url_file: Option<OsString>,
    /// Redis that several servers share to be one [default: none: this server is alone]
    #[arg(long, env, value_name = "URL", help_heading = "Data")]
    pub(super) redis_url: Option<OsString>,
    /// File that holds `REDIS_URL`, instead of it [default: none]
    #[arg(long, env, value_name = "PATH", help_heading = "Data")]
    pub(super) redis_url_file: Option<OsString>,
    /// Where the server keeps files of its own [default: ./data]
    #[arg(long, env, value_name = "PATH", help_heading = "Data")]
    pub(super) data_dir: Option<OsString>,
    /// History facts that may wait for PostgreSQL before new calls are refused [default: 100000]
    #[arg(long, env, value_name = "NUMBER", help_heading = "Data")]
    pub(super) journal_capacity: Option<OsString>,
    /// How long calls that have ended are kept, 1d to 100years [default: for ever]
    #[arg(long, env, value_name = "DURATION", help_heading = "Data")]
    pub(super) history_retention: Option<OsString>,
    /// What happens to them then: `delete`, or `anonymise`, which takes the parties out of the row [default: delete]
    #[arg(long, env, value_name = "ACTION", help_heading = "Data")]
    pub(super) history_retention_action: Option<OsString>,

    /// What signs the access tokens, at least 32 bytes; other users see flags, so prefer the variable
    /// [default: in development, made once and kept in `DATA_DIR`]
    #[arg(long, env, value_name = "SECRET", help_heading = "Accounts")]
    pub(super) jwt_secret: Option<OsString>,
    /// File that holds `JWT_SECRET`, instead of it [default: none]
    #[arg(long, env, value_name = "PATH", help_heading = "Accounts")]
    pub(super) jwt_secret_file: Option<OsString>,
    /// Secrets whose tokens still verify, newest first, comma-separated [default: none]
    #[arg(long, env, value_name = "SECRETS", help_heading = "Accounts")]
    pub(super) jwt_previous_secrets: Option<OsString>,
    /// File that holds `JWT_PREVIOUS_SECRETS`, one a line, instead of it [default: none]
    #[arg(long, env, value_name = "PATH", help_heading = "Accounts")]
    pub(super) jwt_previous_secrets_file: Option<OsString>,
    /// How long an access token is good [default: 1h]
    #[arg(long, env, value_name = "DURATION", help_heading = "Accounts")]
    pub(super) access_token_ttl: Option<OsString>,
    /// How long a session lives without being used [default: 30d]
    #[arg(long, env, value_name = "DURATION", help_heading = "Accounts")]
    pub(super) refresh_token_ttl: Option<OsString>,
    /// `open`, `closed`, or `on_login`: a login with an unknown name makes the account [default: open]
    #[arg(long, env, value_name = "MODE", help_heading = "Accounts")]
    pub(super) registration: Option<OsString>,

    /// Logins and registrations a minute, per client address; 0: no limit [default: 10]
    #[arg(long, env, value_name = "NUMBER", help_heading = "Limits")]
    pub(super) login_rate_per_minute: Option<OsString>,
    /// Other requests a minute, per client address; 0: no limit [default: 600]
    #[arg(long, env, value_name = "NUMBER", help_heading = "Limits")]
    pub(super) api_rate_per_minute: Option<OsString>,
    /// Socket events a second, per socket; 0: no limit [default: 30]
    #[arg(long, env, value_name = "NUMBER", help_heading = "Limits")]
    pub(super) event_rate_per_second: Option<OsString>,
    /// Calls a minute, per user; 0: no limit [default: 30]
    #[arg(long, env, value_name = "NUMBER", help_heading = "Limits")]
    pub(super) call_rate_per_minute: Option<OsString>,

    /// How long a call rings [default: 60s]
    #[arg(long, env, value_name = "DURATION", help_heading = "Calls")]
    pub(super) ring_timeout: Option<OsString>,
    /// How long a call waits for a device that dropped off [default: 15s]
    #[arg(long, env, value_name = "DURATION", help_heading = "Calls")]
    pub(super) reconnect_grace: Option<OsString>,
    /// How long a socket may take to join [default: 10s]
    #[arg(long, env, value_name = "DURATION", help_heading = "Calls")]
    pub(super) join_timeout: Option<OsString>,
    /// Time between two heartbeats of a socket [default: 10s]
    #[arg(long, env, value_name = "DURATION", help_heading = "Calls")]
    pub(super) ping_interval: Option<OsString>,
    /// How long a heartbeat may stay unanswered [default: 10s]
    #[arg(long, env, value_name = "DURATION", help_heading = "Calls")]
    pub(super) ping_timeout: Option<OsString>,

    /// STUN servers given to clients, comma-separated [default: none]
    #[arg(long, env, value_name = "URLS", help_heading = "ICE")]
    pub(super) ice_stun_urls: Option<OsString>,
    /// TURN servers given to clients, comma-separated; needs `TURN_SECRET` [default: none]
    #[arg(long, env, value_name = "URLS", help_heading = "ICE")]
    pub(super) ice_turn_urls: Option<OsString>,
    /// coturn's static-auth-secret; other users see flags, so prefer the variable [default: none]
    #[arg(long, env, value_name = "SECRET", help_heading = "ICE")]
    pub(super) turn_secret: Option<OsString>,
    /// File that holds `TURN_SECRET`, instead of it [default: none]
    #[arg(long, env, value_name = "PATH", help_heading = "ICE")]
    pub(super) turn_secret_file: Option<OsString>,
    /// How long a TURN credential is good [default: 1h]
    #[arg(long, env, value_name = "DURATION", help_heading = "ICE")]
    pub(super) turn_ttl: Option<OsString>,

    /// Where `/metrics` is served, ADDRESS:PORT [default: on the main port, for this machine alone]
    #[arg(long, env, value_name = "ADDRESS:PORT", help_heading = "Metrics")]
    pub(super) metrics_addr: Option<OsString>,

    /// `pretty` or `json` [default: json; pretty in development]
    #[arg(long, env, value_name = "FORMAT", help_heading = "Logs")]
    pub(super) log_format: Option<OsString>,
    /// What is logged: a level, or levels by module [default: info; warn in commands other than serve]
    #[arg(long, env, value_name = "FILTER", help_heading = "Logs")]
    pub(super) rust_log: Option<OsString>,
}

/// What every flag has in common, which the derive has no word for: subcommands take it as well, and
/// `--help` does not show what the environment holds, since some of it is secret.
pub fn finish(command: clap::Command) -> clap::Command {
    command.mut_args(|arg| if arg.get_env().is_some() { arg.global(true).hide_env_values(true) } else { arg })
}
