//! A network of the test's own: the server lives in a namespace, and its clients reach it over two links, of which one can
//! be taken down and one can lose packets.

use crate::world::needs;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};

/// A network namespace and the links to it. Dropping it removes both, when the processes in it have ended.
pub(crate) struct Network {
    name: String,
    links: [Link; 2],
}

/// A pair of virtual cards: ours and the server's.
struct Link {
    ours: String,
    our_address: Ipv4Addr,
    server_address: Ipv4Addr,
}

impl Network {
    pub(crate) fn create() -> Self {
        static COUNT: AtomicU8 = AtomicU8::new(0);
        needs("ip", "iproute2");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let name = format!("vcs-{process}-{number}");
        run("ip", &["netns", "add", &name]);
        // Two runs at a time are unlikely to meet.
        let net = 128 + u8::try_from(process % 64).unwrap();
        let links = [0, 1].map(|link| Link {
            ours: format!("v{process}-{number}{link}"),
            our_address: Ipv4Addr::new(10, net, 2 * number + link, 1),
            server_address: Ipv4Addr::new(10, net, 2 * number + link, 2),
        });
        let network = Self { name, links };
        for link in &network.links {
            network.connect(link);
        }
        network.inside(&["ip", "link", "set", "lo", "up"]);
        network
    }

    fn connect(&self, Link { ours, our_address, server_address }: &Link) {
        let theirs = their_end(ours);
        run("ip", &["link", "add", ours, "type", "veth", "peer", "name", &theirs, "netns", &self.name]);
        run("ip", &["address", "add", &format!("{our_address}/30"), "dev", ours]);
        run("ip", &["link", "set", ours, "up"]);
        self.inside(&["ip", "address", "add", &format!("{server_address}/30"), "dev", &theirs]);
        self.inside(&["ip", "link", "set", &theirs, "up"]);
    }

    fn inside(&self, command: &[&str]) {
        run("ip", &[&["netns", "exec", &self.name], command].concat());
    }

    /// The program, to be run in the namespace.
    pub(crate) fn command(&self, program: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Our end of the first link.
    pub(crate) fn our_address(&self) -> IpAddr {
        self.links[0].our_address.into()
    }

    /// Where the server is reached over each link.
    pub(crate) fn server_addresses(&self) -> [IpAddr; 2] {
        [0, 1].map(|link| self.links[link].server_address.into())
    }

    /// From here on nothing passes over the second link, and nobody is told.
    pub(crate) fn break_second_link(&self) {
        run("ip", &["link", "set", &self.links[1].ours, "down"]);
    }

    /// The same for both: the server's host is gone.
    pub(crate) fn break_links(&self) {
        self.links.iter().for_each(|link| run("ip", &["link", "set", &link.ours, "down"]));
    }

    pub(crate) fn mend_second_link(&self) {
        run("ip", &["link", "set", &self.links[1].ours, "up"]);
    }

    /// Of what passes the first link in either direction, this share is lost. False: this machine's kernel cannot.
    pub(crate) fn lose(&self, share: f32) -> bool {
        needs("iptables", "iptables");
        self.receivers().iter().all(|receiver| receiver.iptables(&receiver.rule("-A", share)).is_ok())
    }

    /// Everything arrives again; how many packets were lost.
    pub(crate) fn lose_nothing(&self, share: f32) -> u64 {
        let lost = self.receivers().map(|receiver| {
            let list = ["-L", "INPUT", "-v", "-x", "-n"].map(ToOwned::to_owned);
            let listed = receiver.iptables(&list).unwrap();
            let rule = listed.lines().find(|line| line.contains(&receiver.card)).unwrap();
            receiver.iptables(&receiver.rule("-D", share)).unwrap();
            rule.split_whitespace().next().unwrap().parse::<u64>().unwrap()
        });
        lost.iter().sum()
    }

    /// The two ends of the first link. A packet is lost where it arrives: one that is dropped where it is sent counts as
    /// a failure of the sender's machine, and its TCP acts on that.
    fn receivers(&self) -> [Receiver<'_>; 2] {
        let ours = &self.links[0].ours;
        [
            Receiver { space: None, card: ours.clone() },
            Receiver { space: Some(&self.name), card: their_end(ours) },
        ]
    }
}

/// A card and the namespace it is in.
struct Receiver<'a> {
    space: Option<&'a str>,
    card: String,
}

impl Receiver<'_> {
    fn rule(&self, action: &str, share: f32) -> Vec<String> {
        let rule = format!(
            "{action} INPUT -i {} -p tcp -m statistic --mode random --probability {share} -j DROP",
            self.card
        );
        rule.split(' ').map(ToOwned::to_owned).collect()
    }

    fn iptables(&self, arguments: &[String]) -> Result<String, String> {
        let arguments: Vec<_> = ["-w"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
        match self.space {
            None => try_run("iptables", &arguments),
            Some(space) => try_run("ip", &[&["netns", "exec", space, "iptables"], &arguments[..]].concat()),
        }
    }
}

/// The name of the server's end of a link.
fn their_end(ours: &str) -> String {
    format!("{ours}s")
}

impl Drop for Network {
    fn drop(&mut self) {
        for link in &self.links {
            let _ = try_run("ip", &["link", "delete", &link.ours]);
        }
        let _ = try_run("ip", &["netns", "delete", &self.name]);
    }
}

fn run(program: &str, arguments: &[&str]) {
    try_run(program, arguments).unwrap_or_else(|error| panic!("{program} {arguments:?}: {error}"));
}

fn try_run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let done = Command::new(program).args(arguments).output().map_err(|error| error.to_string())?;
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&done.stderr).into_owned())
    }
}
