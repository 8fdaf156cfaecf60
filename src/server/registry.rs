//! Which TCP connections there are: how many, from where, and which of them carry an Engine.IO session.

use super::Limits;
use super::connection::{Connection, Gate};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// An Engine.IO session id: the socket library makes and accepts only this length.
type Sid = [u8; 16];

/// The connections of one listener.
pub(crate) struct Registry {
    limits: Limits,
    state: Mutex<State>,
    open: TaskTracker,
}

#[derive(Default)]
struct State {
    next_id: u64,
    gates: HashMap<u64, Arc<Gate>>,
    per_address: HashMap<IpAddr, usize>,
    /// The session a connection carried last, and the connections of a session.
    carries: HashMap<u64, Sid>,
    carried_by: HashMap<Sid, Vec<(u64, Connection)>>,
    ended: HashSet<Sid>,
    refused: u64,
}

/// A connection's place in the registry, given back when it is dropped.
pub(super) struct Entry {
    registry: Arc<Registry>,
    id: u64,
    /// None: the address is not counted.
    address: Option<IpAddr>,
    _open: TaskTrackerToken,
}

/// The session was ended by the server.
pub(super) struct Ended;

impl Registry {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::default(), open: TaskTracker::new() })
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// A place for a new connection from `peer`, unless there are too many.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr, gate: &Arc<Gate>) -> Option<Entry> {
        let address = (!self.limits.is_exempt(peer)).then(|| network(peer));
        let mut state = self.lock();
        let of_address = address.and_then(|address| state.per_address.get(&address)).copied().unwrap_or(0);
        if state.gates.len() >= self.limits.max_connections || of_address >= self.limits.max_per_address {
            state.refused += 1;
            // Enough to see it in the log, without a line for each connection of a flood.
            if state.refused.is_power_of_two() {
                tracing::warn!(open = state.gates.len(), refused = state.refused, "too many connections");
            }
            return None;
        }
        state.next_id += 1;
        let id = state.next_id;
        state.gates.insert(id, Arc::clone(gate));
        if let Some(address) = address {
            *state.per_address.entry(address).or_default() += 1;
        }
        Some(Entry { registry: Arc::clone(self), id, address, _open: self.open.token() })
    }

    /// Notes that the connection `id` carries a request of the session `sid` from here on.
    pub(super) fn carry(&self, id: u64, sid: &str, connection: &Connection) -> Result<(), Ended> {
        let Ok(sid) = Sid::try_from(sid.as_bytes()) else { return Ok(()) };
        let mut state = self.lock();
        if state.ended.contains(&sid) {
            return Err(Ended);
        }
        state.put_down(id);
        // The connection may be gone since, and its place with it.
        if state.gates.contains_key(&id) {
            state.carries.insert(id, sid);
            state.carried_by.entry(sid).or_default().push((id, connection.clone()));
        }
        Ok(())
    }

    /// Closes the connections of a session and refuses it for as long as it could live without them.
    pub(super) fn end_session(self: &Arc<Self>, sid: &str) {
        let Ok(sid) = Sid::try_from(sid.as_bytes()) else { return };
        let carriers = {
            let mut state = self.lock();
            if state.ended.insert(sid) {
                let registry = Arc::clone(self);
                tokio::spawn(async move {
                    tokio::time::sleep(registry.limits.session_life).await;
                    registry.lock().ended.remove(&sid);
                });
            }
            state.carried_by.get(&sid).cloned().unwrap_or_default()
        };
        for (_, connection) in carriers {
            connection.close();
        }
    }

    /// Reads a little later from the connections of a session.
    pub(super) fn hold_back(&self, sid: &str) {
        let Ok(sid) = Sid::try_from(sid.as_bytes()) else { return };
        let state = self.lock();
        for (_, connection) in state.carried_by.get(&sid).into_iter().flatten() {
            connection.hold_back_request();
        }
    }

    /// Closes every connection.
    pub(super) fn close_all(&self) {
        let gates: Vec<_> = self.lock().gates.values().cloned().collect();
        for gate in gates {
            gate.close();
        }
    }

    /// Waits until no connection is left. New ones must not be admitted any more.
    pub(super) async fn emptied(&self) {
        self.open.close();
        self.open.wait().await;
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().gates.len()
    }

    /// How many were closed as they came, since there were too many.
    pub(crate) fn refused(&self) -> u64 {
        self.lock().refused
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put_down(&mut self, id: u64) {
        let Some(sid) = self.carries.remove(&id) else { return };
        if let Some(carriers) = self.carried_by.get_mut(&sid) {
            carriers.retain(|(carrier, _)| *carrier != id);
            if carriers.is_empty() {
                self.carried_by.remove(&sid);
            }
        }
    }
}

impl Entry {
    pub(super) fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.registry.lock();
        state.gates.remove(&self.id);
        state.put_down(self.id);
        if let Some(address) = self.address
            && let Some(count) = state.per_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                state.per_address.remove(&address);
            }
        }
    }
}

/// What one subscriber is given: an IPv4 address, or an IPv6 network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(max_connections: usize, max_per_address: usize) -> Arc<Registry> {
        Registry::new(Limits {
            max_connections,
            max_per_address,
            exempt: vec!["10.0.0.0/8".parse().unwrap()],
            ..Limits::default()
        })
    }

    fn admit(registry: &Arc<Registry>, peer: &str) -> Option<Entry> {
        registry.admit(peer.parse().unwrap(), &Gate::new())
    }

    #[test]
    fn an_address_gets_its_share_and_no_more_until_it_gives_one_back() {
        let registry = registry(10, 2);
        let first = admit(&registry, "192.0.2.1").unwrap();
        let _second = admit(&registry, "::ffff:192.0.2.1").unwrap();
        assert!(admit(&registry, "192.0.2.1").is_none());
        let _other = admit(&registry, "192.0.2.2").unwrap();
        drop(first);
        assert!(admit(&registry, "192.0.2.1").is_some());
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_address() {
        let registry = registry(10, 1);
        let _first = admit(&registry, "2001:db8:0:1::1").unwrap();
        assert!(admit(&registry, "2001:db8:0:1:ffff::2").is_none());
        assert!(admit(&registry, "2001:db8:0:2::1").is_some());
    }

    #[test]
    fn loopback_and_trusted_proxies_have_no_share_but_count_for_the_whole() {
        let registry = registry(5, 1);
        let _held: Vec<_> = ["127.0.0.1", "127.0.0.1", "::1", "10.1.2.3", "::ffff:10.1.2.3"]
            .map(|peer| admit(&registry, peer).unwrap())
            .into();
        assert!(admit(&registry, "127.0.0.1").is_none());
    }

    #[test]
    fn nothing_is_kept_of_connections_that_are_gone() {
        let registry = registry(5, 5);
        let entry = admit(&registry, "192.0.2.1").unwrap();
        assert!(registry.carry(entry.id(), "AAAAAAAAAAAAAAAA", &Connection::detached()).is_ok());
        assert!(registry.carry(entry.id(), "BBBBBBBBBBBBBBBB", &Connection::detached()).is_ok());
        drop(entry);
        let state = registry.lock();
        assert!(state.gates.is_empty() && state.per_address.is_empty());
        assert!(state.carries.is_empty() && state.carried_by.is_empty());
    }

    #[tokio::test]
    async fn an_ended_session_is_closed_and_refused_for_its_lifetime() {
        let limits = Limits { session_life: std::time::Duration::from_millis(100), ..Limits::default() };
        let registry = Registry::new(limits);
        let entry = admit(&registry, "192.0.2.1").unwrap();
        let carrier = Connection::detached();
        let sid = "AAAAAAAAAAAAAAAA";
        assert!(registry.carry(entry.id(), sid, &carrier).is_ok());
        registry.end_session(sid);
        assert!(carrier.is_closed());
        assert!(registry.carry(entry.id(), sid, &carrier).is_err());
        let accepted = async {
            while registry.carry(entry.id(), sid, &carrier).is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), accepted).await.unwrap();
    }
}
