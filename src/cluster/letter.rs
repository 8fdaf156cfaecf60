//! What nodes tell each other.

use crate::domain::ids::{CallId, DeviceId, NodeId, UserId};
use crate::domain::media::{CallType, Description};
use crate::domain::message::{ActiveCall, DialStatus, Message};
use crate::domain::switchboard::{Act, CallCard, DeviceCard, Fault, PastCard};
use crate::domain::time::Moment;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// From one node to another. Those of one node arrive in the order in which it sent them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Letter {
    /// All that is on the sender: nothing else is.
    Here { devices: Vec<DeviceCard>, calls: Vec<CallCard> },
    /// Asks for [`Letter::Here`]: something was missed.
    Who,
    /// A device has joined.
    Came(DeviceCard),
    /// A device is gone.
    Went { device: DeviceId, deliberate: bool },
    /// A call lives on the sender.
    Call(CallCard),
    /// A call that lived on the sender is over.
    Over(PastCard),
    /// For a device that is connected to the receiver.
    Deliver { to: DeviceId, message: Message },
    /// What a device of the sender wants of a call that lives on the receiver. After `until` nobody waits for the answer any more.
    Ask { id: u64, until: DateTime<Utc>, device: DeviceId, what: Ask },
    /// The answer to an [`Letter::Ask`].
    Told { id: u64, answer: Result<Told, Fault> },
    /// Something happened on the sender that counts on every node.
    Counted(Counted),
    /// Takes the place of what came too late.
    Void,
    /// To oneself: what was said before has been heard.
    Echo(u64),
    /// The sender goes: its devices come back elsewhere, and its calls are to be taken over.
    Leaving,
}

impl Letter {
    /// About what it holds in memory.
    pub(super) fn size(&self) -> usize {
        let more = match self {
            Self::Deliver { message, .. } => message.media_size(),
            Self::Ask { what: Ask::Act(act), .. } => act.media_size(),
            Self::Ask { what: Ask::Dial { offer, .. }, .. } => offer.size(),
            Self::Here { devices, calls } => {
                devices.len() * size_of::<DeviceCard>() + calls.len() * size_of::<CallCard>()
            }
            Self::Ask { what: Ask::ComeBack { .. }, .. }
            | Self::Who
            | Self::Came(_)
            | Self::Went { .. }
            | Self::Call(_)
            | Self::Over(_)
            | Self::Told { .. }
            | Self::Counted(_)
            | Self::Void
            | Self::Echo(_)
            | Self::Leaving => 0,
        };
        size_of::<Self>() + more
    }

    /// Whether it asks for something that nobody waits for at `now`.
    pub(super) fn is_late(&self, now: Moment) -> bool {
        matches!(self, Self::Ask { until, .. } if *until < now.wall)
    }
}

/// What is limited for all nodes together.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Counted {
    /// The user has begun a call, or tried to.
    Call(UserId),
    /// The address was let through to log in, or to register.
    Login(IpAddr),
    /// The password for the name was wrong, by somebody at the address.
    Failure { name: String, address: IpAddr },
}

/// A question of a device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Ask {
    Act(Act),
    Dial {
        to: UserId,
        call_type: CallType,
        offer: Description,
    },
    /// It has joined and wants its call back, or is rung by it.
    ComeBack {
        resume: Option<CallId>,
    },
}

/// What a question led to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Told {
    Done,
    Dialled { call: CallId, status: DialStatus },
    Back(Option<ActiveCall>),
}

/// What a node learns of the others.
#[derive(Debug)]
pub(crate) enum News {
    Letter(NodeId, Letter),
    /// A node is there that was not.
    Arrived(NodeId),
    /// A node is dead. Its calls, if this one is to take them over.
    Gone(NodeId, Vec<CallId>),
    /// Redis may have forgotten what this node has, and others may have missed what it said.
    Resync,
    /// Another node has the call that this one took for its own.
    Lost(CallId),
    /// Time to look after what was left undone.
    Beat,
}
