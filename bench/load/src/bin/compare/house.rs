//! Who is measured, and what they run on: PostgreSQL with everybody's account, and each server in its turn.

use crate::setting_path;
use jsonwebtoken::{EncodingKey, Header};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use test_kit::load::on_its_own_core;
use test_kit::{Account as Registered, Cluster, Server, ServerProcess, postgres};
use tokio::process::Command;
use uuid::Uuid;

/// Socket.IO's own default, for all of them.
pub(crate) const PING_INTERVAL: Duration = Duration::from_secs(25);
const SECRET: &str = "the secret of a measurement, known to whoever reads this";
/// Whoever is measured may have this many files open beside its sockets.
const MORE_FILES: usize = 500;

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// `bench/demo-server`.
    Demo,
    /// `bench/load/src/bin/bare.rs`.
    Bare,
    /// `SERVER_BIN`.
    Ours,
}

/// Nobody is told who comes and goes.
pub(crate) const NO_LISTS: usize = usize::MAX;
/// Everybody always is.
pub(crate) const ALL_LISTS: usize = 0;

impl Kind {
    /// In the order in which they take turns.
    pub(crate) const ALL: [Self; 3] = [Self::Demo, Self::Bare, Self::Ours];
}

/// PostgreSQL, and the programs that are measured.
pub(crate) struct House {
    pub(crate) postgres: Cluster,
    /// Of our server's database.
    pub(crate) url: String,
    server: PathBuf,
    files: u64,
}

/// A user.
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) name: String,
    /// Nothing, where nobody asks for one.
    pub(crate) token: String,
}

/// A server that runs.
pub(crate) struct Contestant {
    pub(crate) kind: Kind,
    pub(crate) server: ServerProcess,
}

impl House {
    /// With so many accounts.
    pub(crate) async fn build(users: usize) -> Self {
        let postgres = Cluster::start(&[]).await;
        let url = postgres.create_database("load").await;
        let house =
            Self { postgres, url, server: setting_path("SERVER_BIN"), files: (users + MORE_FILES) as u64 };
        house.furnish(users).await;
        house
    }

    /// One account is registered, the others have the hash of its password: hashing theirs would take minutes. Each has a
    /// session, as after a login.
    async fn furnish(&self, users: usize) {
        let first = self.start(Kind::Ours, NO_LISTS).await;
        Registered::register(&first, "model").await;
        first.server.stop().await;
        let accounts = format!(
            "insert into users (id, username, password_hash)
             select ('0' || lpad(to_hex(n), 31, '0'))::uuid, 'user' || lpad(n::text, 6, '0'),
                    (select password_hash from users where username = 'model')
             from generate_series(0, {users} - 1) n;
             insert into sessions (id, user_id, expires_at)
             select ('1' || lpad(to_hex(n), 31, '0'))::uuid, ('0' || lpad(to_hex(n), 31, '0'))::uuid, now() + interval '1 day'
             from generate_series(0, {users} - 1) n;
             analyze"
        );
        postgres::execute(&self.url, &accounts).await;
    }

    /// Starts a server, on the core that belongs to whoever is measured. Those who know no presence but whole lists send
    /// none while fewer than `lists_from` users are online.
    pub(crate) async fn start(&self, kind: Kind, lists_from: usize) -> Contestant {
        let (ping, lists) = (PING_INTERVAL.as_millis().to_string(), lists_from.to_string());
        let others = [
            ("NODE_ENV", "production"),
            ("LOG", "off"),
            ("PING_INTERVAL", ping.as_str()),
            ("BROADCAST_FROM", lists.as_str()),
        ];
        let ours = [
            ("DATABASE_URL", self.url.as_str()),
            ("JWT_SECRET", SECRET),
            // All clients are one address.
            ("LOGIN_RATE_PER_MINUTE", "0"),
            ("API_RATE_PER_MINUTE", "0"),
            ("PING_INTERVAL", "25s"),
            ("PING_TIMEOUT", "20s"),
            // As quiet as the others.
            ("RUST_LOG", "warn,video_call_server::service=info"),
        ];
        let environment = if kind == Kind::Ours { &ours[..] } else { &others[..] };
        let server = ServerProcess::start_by(self.command(kind), environment).await;
        Contestant { kind, server }
    }

    fn command(&self, kind: Kind) -> Command {
        match kind {
            Kind::Demo => {
                let mut node = on_its_own_core(Path::new("node"), self.files);
                node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../demo-server/index.js"));
                node
            }
            Kind::Bare => {
                let beside_this = std::env::current_exe().unwrap().with_file_name("bare");
                on_its_own_core(&beside_this, self.files)
            }
            Kind::Ours => on_its_own_core(&self.server, self.files),
        }
    }
}

impl Contestant {
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The user with this number, who has just logged in where that is asked for.
    pub(crate) fn account(&self, number: usize) -> Account {
        let (id, name) = (Uuid::from_u128(number as u128), format!("user{number:06}"));
        let token = if self.kind == Kind::Ours { sign(id, &name) } else { String::new() };
        Account { id: id.to_string(), name, token }
    }
}

impl Server for Contestant {
    fn address(&self) -> SocketAddr {
        self.server.address()
    }
}

/// What the contract says of an access token.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'static str,
    aud: &'static str,
    sub: Uuid,
    sid: Uuid,
    username: &'a str,
    jti: Uuid,
    iat: u64,
    nbf: u64,
    exp: u64,
}

fn sign(user: Uuid, username: &str) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let claims = Claims {
        iss: "video-call-server",
        aud: "video-call-server",
        sub: user,
        sid: Uuid::from_u128(1 << 124 | user.as_u128()),
        username,
        jti: user,
        iat: now,
        nbf: now,
        exp: now + 3600,
    };
    jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}
