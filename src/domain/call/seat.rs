//! A party's place in a call: the device that holds it, or the gap it left and what waits for its return.

use super::{Actor, HELD_CANDIDATES, Refusal};
use crate::domain::ids::{DeviceId, SessionId};
use crate::domain::message::Message;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Descriptions may be 48 KiB each: a peer that renegotiates against an empty seat may park only a few.
const HELD_DESCRIPTIONS: usize = 4;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Seat {
    device: DeviceId,
    session: SessionId,
    link: Link,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Link {
    Up,
    /// The device dropped off; its session may take the seat again until then.
    Down {
        until: Duration,
        held: Vec<Message>,
    },
}

impl Seat {
    pub(super) fn new(by: Actor) -> Self {
        Self { device: by.device, session: by.session, link: Link::Up }
    }

    /// Whether this device holds the seat, connected.
    pub(super) fn is(&self, device: DeviceId) -> bool {
        self.device == device && self.is_up()
    }

    /// Whether this device held the seat and dropped off.
    pub(super) fn waits_for(&self, device: DeviceId) -> bool {
        self.device == device && !self.is_up()
    }

    pub(super) fn belongs_to(&self, session: SessionId) -> bool {
        self.session == session
    }

    /// Whether a joining device of `session` gets the seat: when it is empty, or when the device asks for it.
    pub(super) fn may_be_taken_by(&self, session: SessionId, resume: bool) -> bool {
        self.session == session && (resume || !self.is_up())
    }

    pub(super) fn is_up(&self) -> bool {
        match self.link {
            Link::Up => true,
            Link::Down { .. } => false,
        }
    }

    /// The device, if it can be told something now.
    pub(super) fn reachable(&self) -> Option<DeviceId> {
        self.is_up().then_some(self.device)
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.link {
            Link::Up => None,
            Link::Down { until, .. } => Some(until),
        }
    }

    pub(super) fn is_overdue(&self, now: Duration) -> bool {
        self.deadline().is_some_and(|until| until <= now)
    }

    pub(super) fn drop_off(&mut self, until: Duration) {
        self.link = Link::Down { until, held: Vec::new() };
    }

    pub(super) fn move_deadline(&mut self, moved: impl Fn(Duration) -> Duration) {
        if let Link::Down { until, .. } = &mut self.link {
            *until = moved(*until);
        }
    }

    /// The device takes the seat; returns what waited for it.
    pub(super) fn take(&mut self, device: DeviceId) -> Vec<Message> {
        self.device = device;
        match std::mem::replace(&mut self.link, Link::Up) {
            Link::Up => Vec::new(),
            Link::Down { held, .. } => held,
        }
    }

    /// Sends to the device, or keeps the message for its return.
    pub(super) fn tell(
        &mut self,
        message: Message,
        sends: &mut Vec<(DeviceId, Message)>,
    ) -> Result<(), Refusal> {
        let held = match &mut self.link {
            Link::Up => {
                sends.push((self.device, message));
                return Ok(());
            }
            Link::Down { held, .. } => held,
        };
        let (same_kind, limit): (fn(&Message) -> bool, usize) = match message {
            Message::IceCandidate { .. } => (|m| matches!(m, Message::IceCandidate { .. }), HELD_CANDIDATES),
            Message::Renegotiate { .. } => (|m| matches!(m, Message::Renegotiate { .. }), HELD_DESCRIPTIONS),
            Message::MediaState { .. } => {
                // Only the latest counts.
                held.retain(|m| !matches!(m, Message::MediaState { .. }));
                (|_| false, 1)
            }
            Message::Joined { .. }
            | Message::UsersUpdated(_)
            | Message::PresenceDelta(_)
            | Message::IncomingCall { .. }
            | Message::CallStatus { .. }
            | Message::CallAccepted { .. }
            | Message::CallRejected { .. }
            | Message::CallEnded { .. }
            | Message::PeerReconnecting { .. }
            | Message::PeerReconnected { .. }
            | Message::TokenExpiring { .. } => (|_| false, 1),
        };
        if held.iter().filter(|m| same_kind(m)).count() >= limit {
            return Err(Refusal::TooManyHeld);
        }
        held.push(message);
        Ok(())
    }
}
