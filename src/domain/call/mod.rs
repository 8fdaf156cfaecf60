//! One call: a state machine that is given an event and the time, and says what to tell whom.
//!
//! ```text
//! dialling ──announced──▶ ringing ──accepted──▶ active
//!     └──────────┴────────────────┴───────▶ ended (the call is dropped; its last record stays)
//! ```
//!
//! `dialling` lasts until the call is on record (or Postgres is known to be away): nobody is rung for a
//! call that a crash would forget. The machine sends nothing, awaits nothing, and reads no clock.

mod ending;
mod obstacle;
mod record;
mod seat;
mod transitions;

#[cfg(test)]
mod tests;

pub(crate) use ending::{EndReason, Ending};
pub(crate) use obstacle::Obstacle;
pub(crate) use record::{CallRecord, CallStatus};

use super::ids::{CallId, DeviceId, SessionId, UserId};
use super::media::{CallType, Candidate, Description, MediaState};
use super::message::{ActiveCall, EndNotice, Message, Party};
use super::time::Moment;
use chrono::{DateTime, Utc};
use seat::Seat;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Candidates kept for a device that is not ready for them.
pub(crate) const HELD_CANDIDATES: usize = 64;

/// The times a call lives by.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Rules {
    /// How long a callee is rung.
    pub(crate) ring_timeout: Duration,
    /// How long a device that dropped off may take to come back.
    pub(crate) reconnect_grace: Duration,
}

/// Which side of a call a user is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Role {
    Caller,
    Callee,
}

impl Role {
    fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

/// A device of one of the two parties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Actor {
    pub(crate) role: Role,
    pub(crate) device: DeviceId,
    pub(crate) session: SessionId,
}

/// Everything that can happen to a call.
#[derive(Debug, Clone)]
pub(crate) enum Event {
    /// The call is on record; these are the callee's devices now.
    Announced {
        devices: Vec<(DeviceId, SessionId)>,
    },
    /// A device joined: it may come back into the call, or be rung. `resume`: it asks for the call by its id.
    Joined {
        by: Actor,
        resume: bool,
    },
    Accepted {
        by: Actor,
        answer: Description,
    },
    Rejected {
        by: Actor,
    },
    Ended {
        by: Actor,
    },
    Candidate {
        by: Actor,
        candidate: Candidate,
    },
    Renegotiated {
        by: Actor,
        description: Description,
    },
    MediaChanged {
        by: Actor,
        media: MediaState,
    },
    /// The device's connection broke without a word.
    Dropped {
        by: Actor,
    },
    /// The device is not there any more, and nobody saw it go.
    Missing {
        device: DeviceId,
    },
    /// The device disconnected on purpose.
    Left {
        by: Actor,
    },
    /// The device's session was revoked.
    Revoked {
        session: SessionId,
    },
    /// Neither party, but whoever runs the server, ends it.
    EndedByOperator,
    /// Its people are in another call, or it has ended elsewhere while this node was out of reach.
    Lost,
    /// A deadline may have passed.
    Tick,
    /// The server is going down.
    ShutDown,
}

impl Event {
    /// Whether it is for the other party, and changes nothing about the call once the two talk.
    pub(crate) fn passes_on(&self) -> bool {
        match self {
            Self::Candidate { .. } | Self::Renegotiated { .. } | Self::MediaChanged { .. } => true,
            Self::Announced { .. }
            | Self::Joined { .. }
            | Self::Accepted { .. }
            | Self::Rejected { .. }
            | Self::Ended { .. }
            | Self::Dropped { .. }
            | Self::Missing { .. }
            | Self::Left { .. }
            | Self::Revoked { .. }
            | Self::EndedByOperator
            | Self::Lost
            | Self::Tick
            | Self::ShutDown => false,
        }
    }
}

/// Why an event is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// The call is not in a state for it, or the device has no part in it.
    State(Obstacle),
    /// As many candidates as are held wait already.
    TooManyHeld,
}

/// What an event led to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What to tell, in order.
    pub(crate) sends: Vec<(DeviceId, Message)>,
    /// The way back for the device that joined.
    pub(crate) resumed: Option<ActiveCall>,
    /// The history row changed.
    pub(crate) record: Option<CallRecord>,
    /// How the call ended, if it did; it must be dropped then.
    pub(crate) ended: Option<Ending>,
}

/// A live call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Call {
    id: CallId,
    caller: Party,
    callee: Party,
    media: CallType,
    started: Moment,
    rules: Rules,
    state: State,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum State {
    Dialling(Pending),
    Ringing { pending: Pending, rung: Vec<Rung> },
    Active { answered: DateTime<Utc>, caller: Seat, callee: Seat },
}

/// The caller's side until somebody answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Pending {
    caller: Seat,
    offer: Description,
    /// The caller's candidates so far: sent to the ringing devices as they come, and again to the one that answers.
    trickled: Vec<Candidate>,
}

/// A device of the callee that is being rung.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Rung {
    device: DeviceId,
    session: SessionId,
    /// Its candidates, held back so that its address does not leak before it consents.
    held: Vec<Candidate>,
}

impl Call {
    /// Somebody dials. Nobody is rung before [`Event::Announced`].
    pub(crate) fn dial(
        caller: Party,
        by: Actor,
        callee: Party,
        media: CallType,
        offer: Description,
        rules: Rules,
        now: Moment,
    ) -> Self {
        let pending = Pending { caller: Seat::new(by), offer, trickled: Vec::new() };
        Self {
            id: CallId::new(),
            caller,
            callee,
            media,
            started: now,
            rules,
            state: State::Dialling(pending),
        }
    }

    pub(crate) fn id(&self) -> CallId {
        self.id
    }

    /// Which side the user is on, if any.
    pub(crate) fn role_of(&self, user: UserId) -> Option<Role> {
        if user == self.caller.id {
            Some(Role::Caller)
        } else if user == self.callee.id {
            Some(Role::Callee)
        } else {
            None
        }
    }

    pub(crate) fn party(&self, role: Role) -> &Party {
        match role {
            Role::Caller => &self.caller,
            Role::Callee => &self.callee,
        }
    }

    /// Whether nobody answered yet.
    pub(crate) fn is_pending(&self) -> bool {
        match self.state {
            State::Dialling(_) | State::Ringing { .. } => true,
            State::Active { .. } => false,
        }
    }

    /// Whether nobody has been rung yet.
    pub(crate) fn is_dialling(&self) -> bool {
        match self.state {
            State::Dialling(_) => true,
            State::Ringing { .. } | State::Active { .. } => false,
        }
    }

    /// Whether the device takes part: it called, it is rung, or it answered.
    pub(crate) fn involves(&self, device: DeviceId) -> bool {
        match &self.state {
            State::Dialling(pending) => pending.caller.is(device),
            State::Ringing { pending, rung } => {
                pending.caller.is(device) || rung.iter().any(|rung| rung.device == device)
            }
            State::Active { caller, callee, .. } => caller.is(device) || callee.is(device),
        }
    }

    /// The devices that take part, as [`Call::involves`] has it.
    pub(crate) fn devices(&self) -> Vec<DeviceId> {
        match &self.state {
            State::Dialling(pending) => pending.caller.reachable().into_iter().collect(),
            State::Ringing { pending, rung } => {
                pending.caller.reachable().into_iter().chain(rung.iter().map(|rung| rung.device)).collect()
            }
            State::Active { caller, callee, .. } => {
                caller.reachable().into_iter().chain(callee.reachable()).collect()
            }
        }
    }

    /// The device that has the place, if it is reachable: while it rings, the callee has none.
    pub(crate) fn device_of(&self, role: Role) -> Option<DeviceId> {
        match (&self.state, role) {
            (State::Dialling(pending) | State::Ringing { pending, .. }, Role::Caller) => {
                pending.caller.reachable()
            }
            (State::Dialling(_) | State::Ringing { .. }, Role::Callee) => None,
            (State::Active { caller, .. }, Role::Caller) => caller.reachable(),
            (State::Active { callee, .. }, Role::Callee) => callee.reachable(),
        }
    }

    /// Whether the two talk, both connected: what they pass on then changes nothing here.
    pub(crate) fn is_settled(&self) -> bool {
        match &self.state {
            State::Dialling(_) | State::Ringing { .. } => false,
            State::Active { caller, callee, .. } => caller.is_up() && callee.is_up(),
        }
    }

    /// Whether the device holds a place in the call and was given up for lost.
    pub(crate) fn waits_for(&self, device: DeviceId) -> bool {
        match &self.state {
            State::Dialling(pending) | State::Ringing { pending, .. } => pending.caller.waits_for(device),
            State::Active { caller, callee, .. } => caller.waits_for(device) || callee.waits_for(device),
        }
    }

    /// The same call on another machine's clock: it stood so at `then`, by the clock that it lived by, and now it is `now`.
    pub(crate) fn moved(mut self, then: Moment, now: Moment) -> Self {
        self.started.mono = now.same_instant(then, self.started.mono);
        let moved = |at: Duration| now.same_instant(then, at);
        match &mut self.state {
            State::Dialling(pending) | State::Ringing { pending, .. } => pending.caller.move_deadline(moved),
            State::Active { caller, callee, .. } => {
                caller.move_deadline(moved);
                callee.move_deadline(moved);
            }
        }
        self
    }

    pub(crate) fn call_type(&self) -> CallType {
        self.media
    }

    /// The device that called, while nobody answered.
    pub(crate) fn is_dialled_by(&self, device: DeviceId) -> bool {
        match &self.state {
            State::Dialling(pending) | State::Ringing { pending, .. } => pending.caller.is(device),
            State::Active { .. } => false,
        }
    }

    /// When something happens by itself next.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Dialling(pending) | State::Ringing { pending, .. } => {
                let ring = self.started.mono + self.rules.ring_timeout;
                Some(pending.caller.deadline().map_or(ring, |grace| grace.min(ring)))
            }
            State::Active { caller, callee, .. } => match (caller.deadline(), callee.deadline()) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        }
    }

    /// The history row as it stands.
    pub(crate) fn record(&self) -> CallRecord {
        let (status, answered_at) = match &self.state {
            State::Dialling(_) | State::Ringing { .. } => (CallStatus::Ringing, None),
            State::Active { answered, .. } => (CallStatus::Active, Some(*answered)),
        };
        CallRecord {
            id: self.id,
            caller: self.caller.id,
            callee: self.callee.id,
            call_type: self.media,
            status,
            end_reason: None,
            started_at: self.started.wall,
            answered_at,
            ended_at: None,
            rang: !self.is_dialling(),
        }
    }

    fn active_call(&self, role: Role) -> ActiveCall {
        ActiveCall {
            call: self.id,
            role,
            peer: self.party(role.other()).clone(),
            call_type: self.media,
            active: !self.is_pending(),
            start_time: self.started.wall.timestamp_millis(),
        }
    }

    /// Ends the call: every device still concerned but `except` is told `notice`.
    fn end(&self, how: EndReason, notice: EndNotice, except: Option<DeviceId>, now: Moment) -> Outcome {
        let mut concerned = Vec::new();
        match &self.state {
            State::Dialling(pending) => concerned.extend(pending.caller.reachable()),
            State::Ringing { pending, rung } => {
                concerned.extend(pending.caller.reachable());
                concerned.extend(rung.iter().map(|rung| rung.device));
            }
            State::Active { caller, callee, .. } => {
                concerned.extend(caller.reachable());
                concerned.extend(callee.reachable());
            }
        }
        let message = Message::CallEnded { call: self.id, reason: notice };
        let told = concerned.into_iter().filter(|device| Some(*device) != except);
        Outcome { sends: told.map(|device| (device, message.clone())).collect(), ..self.ended(how, now) }
    }

    fn ended(&self, how: EndReason, now: Moment) -> Outcome {
        let ending = Ending { reason: how, answered: !self.is_pending() };
        let record = CallRecord {
            status: ending.status(),
            end_reason: Some(how),
            ended_at: Some(now.dated_from(self.started)),
            ..self.record()
        };
        Outcome { record: Some(record), ended: Some(ending), ..Outcome::default() }
    }
}
