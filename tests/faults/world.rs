//! A PostgreSQL, a server in front of it, and what lies between them.

use crate::network::Network;
use crate::proxy::Proxy;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use test_kit::postgres::execute;
use test_kit::{Cluster, Server, ServerProcess};
use tokio::process::Command;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_video-call-server");

/// What every server of the suite is given: nothing that limits how much a test may ask of it.
const SETTINGS: [(&str, &str); 5] = [
    // The same for each run of a server, as the tokens outlive it.
    ("JWT_SECRET", "the servers of the suite of faults share this"),
    ("LOGIN_RATE_PER_MINUTE", "0"),
    ("API_RATE_PER_MINUTE", "0"),
    ("EVENT_RATE_PER_SECOND", "0"),
    ("CALL_RATE_PER_MINUTE", "0"),
];

/// A PostgreSQL of the test's own and the server on it.
pub(crate) struct World {
    server: Option<ServerProcess>,
    pub(crate) cluster: Cluster,
    proxy: Option<Proxy>,
    network: Option<Network>,
    /// The database, straight.
    pub(crate) database: String,
    /// The database, as the server is told.
    server_database: String,
    settings: Vec<(String, String)>,
    expected_error: Option<&'static str>,
}

impl Server for World {
    fn address(&self) -> SocketAddr {
        let address = self.server().address();
        match &self.network {
            None => address,
            Some(network) => SocketAddr::new(network.server_addresses()[0], address.port()),
        }
    }
}

impl World {
    /// With settings of the server beside those of the suite.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        Self::start_on(Cluster::start(&[]).await, settings).await
    }

    /// On a PostgreSQL that is there already.
    pub(crate) async fn start_on(cluster: Cluster, settings: &[(&str, &str)]) -> Self {
        Self::assemble(cluster, None, None, settings).await
    }

    /// With a proxy between the server and PostgreSQL.
    pub(crate) async fn behind_a_proxy() -> Self {
        let cluster = Cluster::start(&[]).await;
        let proxy = Proxy::before(([127, 0, 0, 1], cluster.port()).into()).await;
        Self::assemble(cluster, Some(proxy), None, &[]).await
    }

    /// With the server in a network of its own, from where it reaches PostgreSQL over the first link.
    pub(crate) async fn in_a_network(settings: &[(&str, &str)]) -> Self {
        let network = Network::create();
        let listen = format!("listen_addresses=127.0.0.1,{}", network.our_address());
        let cluster = Cluster::start(&[&listen]).await;
        let guest = format!("host all all {}/32 trust\n", network.server_addresses()[0]);
        let mut guests = File::options().append(true).open(cluster.data().join("pg_hba.conf")).unwrap();
        guests.write_all(guest.as_bytes()).unwrap();
        execute(&cluster.url("postgres"), "select pg_reload_conf()").await;
        let settings = [settings, &[("HOST", "0.0.0.0")]].concat();
        Self::assemble(cluster, None, Some(network), &settings).await
    }

    async fn assemble(
        cluster: Cluster,
        proxy: Option<Proxy>,
        network: Option<Network>,
        settings: &[(&str, &str)],
    ) -> Self {
        let database = cluster.create_database("calls").await;
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let settings = SETTINGS.iter().chain(settings).map(own).collect();
        let at = |address: SocketAddr| format!("postgres://postgres@{address}/calls");
        let server_database = match (&proxy, &network) {
            (Some(proxy), _) => at(proxy.address()),
            (None, Some(network)) => at(SocketAddr::new(network.our_address(), cluster.port())),
            (None, None) => database.clone(),
        };
        let (server, expected_error) = (None, None);
        let mut world =
            Self { server, cluster, proxy, network, database, server_database, settings, expected_error };
        world.start_server().await;
        world
    }

    pub(crate) fn server(&self) -> &ServerProcess {
        self.server.as_ref().expect("a running server")
    }

    pub(crate) fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("a proxy")
    }

    pub(crate) fn network(&self) -> &Network {
        self.network.as_ref().expect("a network")
    }

    /// Where the server is reached over the second link of its network.
    pub(crate) fn second_address(&self) -> SocketAddr {
        SocketAddr::new(self.network().server_addresses()[1], self.address().port())
    }

    /// The fault is one that the server tells its operator of, in these words.
    pub(crate) fn expect_error(&mut self, words: &'static str) {
        self.expected_error = Some(words);
    }

    /// No panic, and no error that an operator would have to look into.
    pub(crate) fn log_is_clean(&self) {
        let log = self.server().log();
        let is_expected = |line: &str| self.expected_error.is_some_and(|words| line.contains(words));
        let is_bad = |line: &&str| line.contains("panic") || line.contains(r#""level":"ERROR""#);
        assert_eq!(log.lines().filter(is_bad).find(|line| !is_expected(line)), None);
    }

    /// The server, to be ended.
    pub(crate) fn take_server(&mut self) -> ServerProcess {
        self.server.take().expect("a running server")
    }

    /// Another server on the same database, on this host.
    pub(crate) async fn start_successor(&self) -> ServerProcess {
        let settings = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let environment: Vec<_> = settings.chain([("DATABASE_URL", self.database.as_str())]).collect();
        ServerProcess::start(Path::new(PROGRAM), &environment).await
    }

    /// Starts the server; one that was started before must have ended.
    pub(crate) async fn start_server(&mut self) {
        assert!(self.server.is_none(), "a server runs");
        let settings = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let environment: Vec<_> = settings.chain([("DATABASE_URL", self.server_database.as_str())]).collect();
        let command = self.network.as_ref().map_or_else(|| Command::new(PROGRAM), |it| it.command(PROGRAM));
        self.server = Some(ServerProcess::start_by(command, &environment).await);
    }

    /// Stops the server in order. It must have nothing to complain of.
    pub(crate) async fn stop_server(&mut self) {
        let ended = self.take_server().stop().await;
        assert_eq!((ended.code, ended.complaints.as_str()), (Some(0), ""), "{}", ended.log);
    }
}

impl Drop for World {
    /// A test that fails shows what the server last saw.
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Some(server) = &self.server
        {
            let log = server.log();
            let lines: Vec<_> = log.lines().rev().take(40).collect();
            lines.iter().rev().for_each(|line| println!("{line}"));
        }
    }
}

/// Fails with the name of the Debian package that has the program.
pub(crate) fn needs(program: &str, package: &str) {
    let folders = ["/bin", "/sbin", "/usr/bin", "/usr/sbin"];
    let found = folders.iter().any(|folder| Path::new(folder).join(program).exists());
    assert!(found, "this test needs the Debian package {package}");
}
