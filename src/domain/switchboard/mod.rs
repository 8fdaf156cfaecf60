//! Everybody who is here and every live call: the rules that look at more than one call.
//!
//! Every method takes the time and writes what must happen into [`Effects`]; nothing is sent or stored here.

mod calls;
mod devices;
mod nodes;
mod timers;

#[cfg(test)]
mod model;
#[cfg(test)]
mod node_tests;
#[cfg(test)]
mod tests;

pub(crate) use calls::{Dialled, Missed};
pub(crate) use devices::{Entry, Joining};
pub(crate) use nodes::{Act, CallCard, DeviceCard, PastCard};

use super::call::{Call, CallRecord, Refusal, Rules};
use super::ids::{CallId, DeviceId, IdMap, NodeId, SessionId, UserId};
use super::message::{Message, Party};
use super::presence::Presence;
use nodes::Foreign;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;
use timers::Timer;

/// What must happen, in order: first the sends, then the cuts.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) sends: Vec<(DeviceId, Message)>,
    /// History rows that changed.
    pub(crate) records: Vec<CallRecord>,
    /// Devices that are here no more and must be disconnected.
    pub(crate) cuts: Vec<(DeviceId, Cut)>,
    /// Users whose last device just left.
    pub(crate) gone: Vec<UserId>,
    /// What the other nodes have to know of.
    pub(crate) news: Vec<NodeNews>,
}

impl Effects {
    /// Lets `after` happen behind all of this.
    pub(crate) fn append(&mut self, after: Self) {
        self.sends.extend(after.sends);
        self.records.extend(after.records);
        self.cuts.extend(after.cuts);
        self.gone.extend(after.gone);
        self.news.extend(after.news);
    }
}

/// What changed on this node, for the others. There is none where this node is alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NodeNews {
    Came(DeviceId),
    Went {
        device: DeviceId,
        deliberate: bool,
    },
    /// The call is another than it was.
    Changed(CallId),
    /// The call is another than it was, in what only matters if it has to be taken over.
    Trickled(CallId),
    Over(PastCard),
}

/// How many calls are in which state.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallStates {
    /// Not on record yet.
    pub(crate) dialling: usize,
    pub(crate) ringing: usize,
    pub(crate) active: usize,
}

/// Why the server disconnects a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    TokenExpired,
    SessionRevoked,
}

/// Why a command is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Fault {
    NotJoined,
    /// The device is joined as somebody else.
    OtherIdentity,
    /// The server goes down, or what has to judge is out of reach.
    Unavailable,
    /// No such call, or not the sender's: the two look the same.
    NoSuchCall,
    SelfCall,
    TooManyDevices,
    Refused(Refusal),
}

/// The state of everything live.
#[derive(Debug)]
pub(crate) struct Switchboard {
    rules: Rules,
    devices: IdMap<DeviceId, Device>,
    users: IdMap<UserId, Line>,
    /// Whose session it is, for every session in some line.
    sessions: IdMap<SessionId, UserId>,
    calls: IdMap<CallId, LiveCall>,
    past: IdMap<CallId, PastCall>,
    /// Calls that live on other nodes.
    foreign: IdMap<CallId, Foreign>,
    timers: BTreeSet<(Duration, Timer)>,
    presence: Presence,
    /// Nothing new begins.
    closing: bool,
    /// There are other nodes, or may be.
    shared: bool,
}

/// A joined connection.
#[derive(Debug)]
struct Device {
    user: UserId,
    session: SessionId,
    /// On the monotonic clock.
    token_expires: Duration,
    timer: Option<Duration>,
    warned: bool,
    /// The node that it is connected to; none: this one.
    node: Option<NodeId>,
}

/// A user who is online, or in a call that waits for a device to come back.
#[derive(Debug)]
struct Line {
    party: Party,
    /// Oldest first.
    devices: Vec<DeviceId>,
    /// Those of the devices, and while there is a call also those a device may come back with.
    sessions: Vec<SessionId>,
    call: Option<CallId>,
}

impl Line {
    fn new(party: Party) -> Self {
        Self { party, devices: Vec::new(), sessions: Vec::new(), call: None }
    }
}

#[derive(Debug)]
struct LiveCall {
    call: Call,
    timer: Option<Duration>,
    /// It may ring. Among several nodes it has to be claimed first, as far as that can be done.
    placed: bool,
    /// Redis has it.
    claimed: bool,
}

/// Enough of an ended call to answer a retry.
#[derive(Debug)]
struct PastCall {
    caller: UserId,
    callee: UserId,
    rejected: bool,
}

impl Switchboard {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            devices: IdMap::default(),
            users: IdMap::default(),
            sessions: IdMap::default(),
            calls: IdMap::default(),
            past: IdMap::default(),
            foreign: IdMap::default(),
            timers: BTreeSet::new(),
            presence: Presence::default(),
            closing: false,
            shared: false,
        }
    }

    pub(crate) fn presence(&mut self) -> &mut Presence {
        &mut self.presence
    }

    pub(crate) fn is_online(&self, user: UserId) -> bool {
        self.presence.is_online(user)
    }

    pub(crate) fn online_count(&self) -> usize {
        self.presence.count()
    }

    /// The live calls, wherever they live.
    pub(crate) fn call_count(&self) -> usize {
        self.calls.len() + self.foreign.len()
    }

    /// The devices that are connected to this node.
    pub(crate) fn device_count(&self) -> usize {
        self.devices.values().filter(|entry| entry.node.is_none()).count()
    }

    /// The users who have a device connected to this node.
    pub(crate) fn users_here(&self) -> usize {
        let is_here = |line: &&Line| line.devices.iter().any(|device| self.node_of(*device).is_none());
        self.users.values().filter(is_here).count()
    }

    /// Of the calls that live here.
    pub(crate) fn calls_by_state(&self) -> CallStates {
        let mut states = CallStates::default();
        for LiveCall { call, .. } in self.calls.values() {
            if call.is_dialling() {
                states.dialling += 1;
            } else if call.is_pending() {
                states.ringing += 1;
            } else {
                states.active += 1;
            }
        }
        states
    }

    /// The sessions that have a device connected to this node, or a call on it that may wait for one.
    pub(crate) fn sessions(&self) -> Vec<SessionId> {
        let is_ours = |user: &UserId| {
            self.users.get(user).is_some_and(|line| {
                line.call.is_some_and(|call| self.calls.contains_key(&call))
                    || line.devices.iter().any(|device| self.node_of(*device).is_none())
            })
        };
        self.sessions.iter().filter(|(_, user)| is_ours(user)).map(|(session, _)| *session).collect()
    }

    /// Whether the session has a joined device, or a call that waits for one.
    pub(crate) fn has_session(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    pub(crate) fn has_call(&self, call: CallId) -> bool {
        self.calls.contains_key(&call)
    }

    /// The devices that are connected to this node.
    pub(crate) fn devices(&self) -> Vec<DeviceId> {
        let here = self.devices.iter().filter(|(_, entry)| entry.node.is_none());
        here.map(|(device, _)| *device).collect()
    }

    /// The calls that live here.
    pub(crate) fn call_ids(&self) -> Vec<CallId> {
        self.calls.keys().copied().collect()
    }
}
