//! Everybody who is here and every live call: the rules that look at more than one call.
//!
//! Every method takes the time and writes what must happen into [`Effects`]; nothing is sent or stored here.

mod calls;
mod devices;
mod timers;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

pub(crate) use calls::Dialled;
pub(crate) use devices::Joining;

use super::call::{Call, CallRecord, Refusal, Rules};
use super::ids::{CallId, DeviceId, IdMap, SessionId, UserId};
use super::message::{Message, Party};
use super::presence::Presence;
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    NotJoined,
    /// The device is joined as somebody else.
    OtherIdentity,
    /// The server goes down.
    Closing,
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
    timers: BTreeSet<(Duration, Timer)>,
    presence: Presence,
    /// Nothing new begins.
    closing: bool,
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

#[derive(Debug)]
struct LiveCall {
    call: Call,
    timer: Option<Duration>,
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
            timers: BTreeSet::new(),
            presence: Presence::default(),
            closing: false,
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

    pub(crate) fn call_count(&self) -> usize {
        self.calls.len()
    }

    pub(crate) fn device_count(&self) -> usize {
        self.devices.len()
    }

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

    /// The sessions that have a joined device, or a call that waits for one.
    pub(crate) fn sessions(&self) -> Vec<SessionId> {
        self.sessions.keys().copied().collect()
    }

    /// Whether [`Switchboard::sessions`] has it.
    pub(crate) fn has_session(&self, session: SessionId) -> bool {
        self.sessions.contains_key(&session)
    }

    pub(crate) fn has_call(&self, call: CallId) -> bool {
        self.calls.contains_key(&call)
    }

    /// The joined devices.
    pub(crate) fn devices(&self) -> Vec<DeviceId> {
        self.devices.keys().copied().collect()
    }

    /// The live calls.
    pub(crate) fn call_ids(&self) -> Vec<CallId> {
        self.calls.keys().copied().collect()
    }
}
